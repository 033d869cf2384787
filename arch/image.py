"""All of the machine's state that outlives a program's run: the memories and the rounders' random state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.chip import Chip
from arch.errors import InputError
from arch.layout import Region, Store
from arch.numerics import seeded

MEMORIES = ("feature", "gradient", "weight", "random", "external")
"""The arrays of an image."""
ON_CHIP = MEMORIES[:3]
"""Those that hold words on the chip."""
LARGEST_EXTERNAL = 1 << 30
"""Bytes of the external memory that an image holds at most."""


@dataclass
class Image:
    """The contents of a chip's memories.

    `feature` and `gradient` are int16[words, lanes], `weight` is int16[rows, taps, lanes], each element within
    `word_bits` bits; `random` is uint32[taps, lanes], never 0. `external` is int16[words, lanes]: the first words of
    the external memory, as many as the program declares; an int16 may be two bytes, the first one low.
    """

    feature: np.ndarray
    gradient: np.ndarray
    weight: np.ndarray
    random: np.ndarray
    external: np.ndarray

    @classmethod
    def blank(cls, chip: Chip, seed: int = 1, external_words: int = 0) -> Image:
        """Zeros everywhere, and random states from `seed`. Raises `InputError` beyond the words outside."""
        check_external(external_words, chip)
        return cls(
            np.zeros((chip.feature_words, chip.lanes), np.int16),
            np.zeros((chip.gradient_words, chip.lanes), np.int16),
            np.zeros((chip.weight_rows, chip.taps, chip.lanes), np.int16),
            seeded(seed, chip.taps, chip.lanes),
            np.zeros((external_words, chip.lanes), np.int16),
        )

    def copy(self) -> Image:
        """An independent copy."""
        return Image(*(getattr(self, name).copy() for name in MEMORIES))

    def store(self, store: Store) -> np.ndarray:
        """The array of a memory."""
        return getattr(self, store.value)

    def cells(self, region: Region) -> np.ndarray:
        """The array that the places of a region count in, flat: int16, or int8 of bytes outside."""
        flat = self.store(region.store).reshape(-1)
        return flat.view(np.int8) if region.bytes_outside else flat

    def read(self, region: Region, chip: Chip) -> np.ndarray:
        """The region's integers, int16 of its shape."""
        return self.cells(region)[region.indices(chip)].astype(np.int16)

    def write(self, region: Region, values: np.ndarray, chip: Chip) -> None:
        """Set the region's integers. Raises `InputError` if the shape differs or a value exceeds the word."""
        values = np.asarray(values)
        if values.dtype.kind not in "iu":
            raise InputError(f"{region.name} must be integers, not {values.dtype}")
        if values.shape != region.shape:
            raise InputError(f"{region.name} must have shape {list(region.shape)}, not {list(values.shape)}")
        largest = region.largest(chip)
        if values.size and (values.max() > largest or values.min() < -largest - 1):
            raise InputError(f"{region.name} has values beyond {largest.bit_length() + 1} bits")
        flat = self.cells(region)
        for part, places in region.parts(chip):
            flat[places] = region.spread(values if region.patches else values[part])

    def write_real(self, region: Region, values: np.ndarray, chip: Chip) -> None:
        """Set a region without patches to `values`, float of its shape, as `quantised` makes integers of them."""
        flat, largest = self.cells(region), region.largest(chip)
        for part, places in region.parts(chip):
            flat[places] = quantised(values[part], region.fraction, largest, region.name).reshape(-1)

    def differences(self, other: Image) -> int:
        """How many memory elements and random states differ."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in MEMORIES)
        return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def check_external(words: int, chip: Chip) -> None:
    """Raise `InputError` unless an image of `chip` may hold so many external words."""
    most = min(chip.external_words, LARGEST_EXTERNAL // (2 * chip.lanes))
    if not 0 <= words <= most:
        raise InputError(f"external words must be 0 to {most} on chip {chip.name}, not {words}")


def real_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float64. Raises `InputError` naming `name` unless all are finite real numbers."""
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{name} must be real numbers, not {values.dtype}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{name} must be finite numbers, but holds NaN or infinity")
    return values


def quantised(values: np.ndarray, fraction: int, largest: int, name: str = "values") -> np.ndarray:
    """`values` (float) as int16 integers with `fraction` fraction bits, rounded half up and saturated at `largest`,
    or one less than its negative.

    Raises `InputError` naming `name` if a value is NaN or infinite.
    """
    scaled = real_numbers(values, name)
    scaled *= 2.0**fraction
    scaled += 0.5
    np.floor(scaled, out=scaled)
    return np.clip(scaled, -largest - 1, largest, out=scaled).astype(np.int16)
