"""Programs and images as bus words: which 32 bits lie at which byte address.

A list of transactions is a pair of arrays, uint32[n] each: byte addresses and words.
"""

from __future__ import annotations

import numpy as np

from arch.bus import Window, instruction_stride, program_address, random_address, weight_address, word_address
from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES, INSTRUCTION_BITS, encode
from arch.program import Program
from testbenches.external import external_bytes

READ, WRITE = 0xF0, 0xF1
"""Kinds of transactions: what is done, and above it a bit for each byte that is selected."""
_OUTSIDE = WRITE ^ 0xF5
"""What makes a write one to the memory outside, which only `testbenches.native` plays."""


def script(kind: int, addresses: np.ndarray, words: np.ndarray) -> str:
    """What benches play, a line a transaction: kind, byte address, word, all hexadecimal."""
    return "".join(f"{kind:x} {a:x} {w:x}\n" for a, w in zip(addresses.tolist(), words.tolist(), strict=True))


def image_addresses(chip: Chip) -> np.ndarray:
    """Byte addresses of all bus words that hold an image, all but the external memory, which has none."""
    features = word_address(Window.FEATURE, np.arange(chip.feature_words), chip)  # type: ignore[arg-type]
    gradients = word_address(Window.GRADIENT, np.arange(chip.gradient_words), chip)  # type: ignore[arg-type]
    rows, taps = np.ogrid[: chip.weight_rows, : chip.taps]
    weights = weight_address(rows, taps, chip)  # type: ignore[arg-type]
    taps, lanes = np.ogrid[: chip.taps, : chip.lanes]
    states = random_address(taps, lanes, chip)  # type: ignore[arg-type]
    inside = np.arange(_bus_words(chip)) * 4
    words = [(np.asarray(first).reshape(-1, 1) + inside).reshape(-1) for first in (features, gradients, weights)]
    return np.concatenate([*words, np.asarray(states).reshape(-1)]).astype(np.uint32)


def image_words(image: Image, chip: Chip) -> np.ndarray:
    """The bus words of an image, in the order of `image_addresses`."""
    elements = np.concatenate(
        [array.reshape(-1, chip.lanes) for array in (image.feature, image.gradient, image.weight)]
    )
    halves = np.zeros((len(elements), 2 * _bus_words(chip)), np.int16)
    halves[:, : chip.lanes] = elements
    return np.concatenate([halves.view("<u4").reshape(-1), image.random.reshape(-1)])


def image_of(words: np.ndarray, chip: Chip, external: np.ndarray) -> Image:
    """The image that these bus words hold, in the order of `image_addresses`, and the words outside."""
    count = chip.feature_words + chip.gradient_words + chip.weight_rows * chip.taps
    halves = words[: count * _bus_words(chip)].astype("<u4").view("<i2").reshape(count, -1)[:, : chip.lanes]
    feature, gradient, weight = np.split(halves, [chip.feature_words, chip.feature_words + chip.gradient_words])
    return Image(
        feature.astype(np.int16),
        gradient.astype(np.int16),
        weight.astype(np.int16).reshape(chip.weight_rows, chip.taps, chip.lanes),
        words[count * _bus_words(chip) :].astype(np.uint32).reshape(chip.taps, chip.lanes),
        external,
    )


def instruction_words(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """Byte addresses and words of all instructions."""
    chip = program.chip
    count = INSTRUCTION_BITS // 32
    codes = b"".join(
        encode(item, chip).to_bytes(count * 4, "little") for engine in ENGINES for item in program.streams[engine]
    )
    firsts = [program_address(engine, 0, chip) for engine in ENGINES]
    addresses = [
        first + np.arange(len(program.streams[engine]))[:, None] * instruction_stride() + np.arange(count) * 4
        for engine, first in zip(ENGINES, firsts, strict=True)
    ]
    return np.concatenate([item.reshape(-1) for item in addresses]).astype(np.uint32), np.frombuffer(codes, "<u4")


def input_words(program: Program, values: dict[str, np.ndarray]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Kinds, byte addresses and words that set input regions and leave everything beside them as it is."""
    chip = program.chip
    count = program.external_words
    data, named = Image.blank(chip, external_words=count), Image.blank(chip, external_words=count)
    for name, integers in values.items():
        region = program.inputs[name]
        data.write(region, integers, chip)
        named.write(region, np.full(region.shape, -1), chip)
    words, marks = image_words(data, chip)[: -chip.multipliers], image_words(named, chip)[: -chip.multipliers]
    addresses = image_addresses(chip)
    outside = [external_bytes(image.external, chip).view("<u4") for image in (data, named)]
    return [*_written(0, addresses, words, marks), *_written(_OUTSIDE, np.arange(len(outside[0])) * 4, *outside)]


def _written(
    change: int, addresses: np.ndarray, words: np.ndarray, marks: np.ndarray
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Writes of the bytes that are marked, by kind; `change` is what its lowest digit differs by."""
    selected = np.packbits(marks.view(np.uint8).reshape(-1, 4) != 0, axis=1, bitorder="little")[:, 0]
    places = [(bits, np.flatnonzero(selected == bits)) for bits in range(1, 16)]
    return [(bits << 4 | 1 ^ change, addresses[some], words[some]) for bits, some in places if len(some)]


def _bus_words(chip: Chip) -> int:
    """Bus words of a memory word that hold lanes; those up to the stride hold none."""
    return (chip.lanes + 1) // 2
