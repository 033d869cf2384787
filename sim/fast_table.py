"""What the compiled loop works on: the instruction table, the memories, the scratch space and their sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from arch import fields
from arch.chip import Chip
from arch.isa import MODES, Compute, Instruction, Load, Loss, Moving, Stationary, mode_of
from sim.fast_vectors import WIDTH

KINDS = ("halt", "load", "loss", *MODES)
"""What a row of the table may be; its `kind` is the place here."""
_NAMES = dict.fromkeys(
    field.name for kind in (Load, Loss, Compute) for field in fields.layout(kind) if not field.reserved
)
ROW = np.dtype([("kind", np.int64)] + [(name, np.int64) for name in _NAMES])
"""A row: the kind and every field of the executed instructions as an integer, 0 where the instruction has none."""


class Sizes(NamedTuple):
    """The chip's numbers that values depend on; `row` = taps x lanes, `padded` = lanes up to a multiple of WIDTH."""

    taps: int
    lanes: int
    side: int
    row: int
    padded: int
    registers: int
    bits: int


class Memories(NamedTuple):
    """All state, flat: int16 `feature`, `gradient` [words, lanes], `weight`, `kernels`, `bias` [rows, taps, lanes],

    uint32 `random` [taps, lanes].
    """

    feature: np.ndarray
    gradient: np.ndarray
    weight: np.ndarray
    random: np.ndarray
    kernels: np.ndarray
    bias: np.ndarray


class Scratch(NamedTuple):
    """Room for one instruction at a time, flat; what it holds between instructions has no meaning, but is finite.

    float64: `source` padded windows or blocks, `factors` kernels, `pixels` gradient words, `sums` accumulators;
    int64: `powers` of a loss, `products` of weight rows, int32: their `multipliers`; int16: `words` of blocks.
    """

    source: np.ndarray
    factors: np.ndarray
    pixels: np.ndarray
    sums: np.ndarray
    powers: np.ndarray
    products: np.ndarray
    multipliers: np.ndarray
    words: np.ndarray


def sizes(chip: Chip) -> Sizes:
    """The sizes of a chip."""
    return Sizes(
        taps=chip.taps,
        lanes=chip.lanes,
        side=chip.kernel,
        row=chip.multipliers,
        padded=_padded(chip.lanes),
        registers=chip.kernel_registers,
        bits=chip.word_bits,
    )


def row_of(instruction: Instruction) -> np.ndarray:
    """The instruction's row, `ROW`[]."""
    row = np.zeros((), ROW)
    if isinstance(instruction, Compute):
        name = mode_of(instruction)
        assert name is not None
        row["kind"] = KINDS.index(name)
    else:
        row["kind"] = KINDS.index(type(instruction).__name__.lower())
    for name in _NAMES:
        row[name] = getattr(instruction, name, 0)
    return row


def scratch(instructions: Iterable[Instruction], chip: Chip) -> Scratch:
    """Zeroed scratch that is large enough for each of the instructions."""
    needs = np.max([(0,) * 4, *(_needs(item, chip) for item in instructions if isinstance(item, Compute))], axis=0)
    source, pixels, sums, words = map(int, needs + 2 * WIDTH)
    return Scratch(
        source=np.zeros(source),
        factors=np.zeros((chip.multipliers + WIDTH) * _padded(chip.lanes)),
        pixels=np.zeros(pixels),
        sums=np.zeros(sums),
        powers=np.zeros(chip.multipliers, np.int64),
        products=np.zeros(chip.accumulator_banks * chip.multipliers, np.int64),
        multipliers=np.zeros(chip.multipliers, np.int32),
        words=np.zeros(words, np.int16),
    )


def _needs(compute: Compute, chip: Chip) -> tuple[int, int, int, int]:
    """Elements of `source`, `pixels`, `sums` and `words` that a COMPUTE uses."""
    padded = _padded(chip.lanes)
    words = compute.height * compute.width
    blocks = (words + chip.taps) * chip.lanes if compute.moving == Moving.BLOCK else 0
    source = blocks
    if compute.moving == Moving.WINDOW:
        edge = chip.kernel - 1
        source = (compute.height + edge) * (compute.width + edge) * chip.lanes
    pixels = words * padded if compute.stationary == Stationary.PIXEL else 0
    sums = max((words + chip.taps + 1) * padded, (chip.multipliers + WIDTH) * padded, compute.iterations * WIDTH)
    return source, pixels, sums, blocks


def _padded(lanes: int) -> int:
    return -(-lanes // WIDTH) * WIDTH
