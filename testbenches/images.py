"""First contents of the memories: random ones, and the corners of what data can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from arch.chip import Chip, largest_of
from arch.image import Image
from testbenches.transfers import generated_words

_LARGEST = largest_of(16)
"""Of the external memory, whose elements have 16 bits whatever the chip's have."""
_MEMORIES = ("feature", "gradient", "weight", "external")


def random_image(chip: Chip, rng: np.random.Generator) -> Image:
    """Memories of zeros, extremes, small numbers, halves of powers of two and anything, in runs of a word or more."""
    image = Image.blank(chip, seed=int(rng.integers(1 << 63)), external_words=generated_words(chip))
    for name in _MEMORIES:
        array = getattr(image, name)
        flat = array.reshape(-1, chip.lanes)
        largest = _LARGEST if name == "external" else chip.largest
        style = np.repeat(rng.integers(6, size=len(flat) // 4 + 1), 4)[: len(flat), None]
        shape = flat.shape
        flat[:] = np.choose(
            style,
            [
                np.zeros(shape, np.int64),
                rng.choice([-largest - 1, largest], shape),
                rng.integers(-2, 2 * chip.lanes, shape),
                rng.choice([-1, 1], shape) << rng.integers(chip.word_bits - 1, size=shape),
                rng.integers(-largest - 1, largest + 1, shape),
                rng.integers(-largest - 1, largest + 1, shape) * rng.integers(2, size=shape),
            ],
        )
    return image


def _filled(values: Callable[[Chip, np.random.Generator, tuple[int, ...]], np.ndarray]) -> Callable:
    def image(chip: Chip, rng: np.random.Generator) -> Image:
        made = Image.blank(chip, seed=int(rng.integers(1 << 63)), external_words=generated_words(chip))
        for name in _MEMORIES:
            array = getattr(made, name)
            array[...] = values(chip, rng, array.shape)
        return made

    return image


def _some(chip: Chip, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Any number but zero."""
    values = rng.integers(-chip.largest - 1, chip.largest, shape)
    return values + (values >= 0)


def _halves(chip: Chip, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Powers of two, whose products lie halfway between two results at many a shift."""
    return rng.choice([-1, 1], shape) << rng.integers(chip.word_bits - 1, size=shape)


def _few(chip: Chip, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of kernel taps, many of them equal: maxima that several taps have, and pixels that match."""
    return rng.integers(-1, min(4, chip.taps), shape)


def _sparse(chip: Chip, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros but for one element in four: most iterations can be skipped."""
    return _some(chip, rng, shape) * (rng.integers(4, size=shape) == 0)


def _scales(chip: Chip, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers of every size, zeros and extremes: some updates of weights are lost, others do not fit."""
    small = rng.choice([-1, 1], shape) * (
        rng.integers(1 << chip.word_bits - 1, size=shape) >> rng.integers(16, size=shape)
    )
    extreme = rng.choice([-chip.largest - 1, chip.largest], shape)
    return np.where(rng.integers(5, size=shape) == 0, extreme, small)


IMAGES: dict[str, Callable[[Chip, np.random.Generator], Image]] = {
    "mixed": random_image,
    "zeros": _filled(lambda chip, rng, shape: np.zeros(shape, np.int64)),
    "no zeros": _filled(_some),
    "smallest": _filled(lambda chip, rng, shape: np.full(shape, -chip.largest - 1)),
    "ones": _filled(lambda chip, rng, shape: np.ones(shape, np.int64)),
    "extremes": _filled(lambda chip, rng, shape: rng.choice([-chip.largest - 1, chip.largest], shape)),
    "ties": _filled(_halves),
    "few values": _filled(_few),
    "scales": _filled(_scales),
    "sparse": _filled(_sparse),
}
"""What memories may hold, by name: each makes an image."""
