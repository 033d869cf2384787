"""What the compiled loop works on: the instruction table, the memories, the scratch space and their sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from arch import fields
from arch.chip import Chip
from arch.isa import Compute, Instruction, Load, Loss, Moving, Route, Stationary, Transfer, Traversal
from arch.modes import BY_LANE, mode_of
from arch.timing import writes_rows
from arch.traversal import inner_steps
from sim.fast_vectors import WIDTH

PLAIN = (
    "convolution",
    "convolution_by_channel",
    "convolution_weights",
    "convolution_weights_by_channel",
    "convolution_bias",
    "dense",
    "dense_input",
    "dense_weights",
    "dense_bias",
    "rows",
)
"""Modes that have a function of their own for a single group of neighbouring words."""
KINDS = ("halt", "load", "loss", "transfer", *PLAIN, "products", "lanes", "gradients", "lane_gradients")
"""What a row of the table may be; its `kind` is the place here. The last four execute every mode but those of rows."""
_NAMES = dict.fromkeys(
    field.name for kind in (Load, Loss, Compute, Transfer) for field in fields.layout(kind) if not field.reserved
)
_SHAPE = (
    "scatter",
    "by_lane",  # a lane is a channel of both operands: outer groups move the source
    "by_channel",  # an iteration is a channel of the source, and a lane of the result a filter
    "channels",  # of a gathered word
    "features",  # results of a position
    "steps",  # kernel taps (or planes) of a position
    "positions",  # of a group, each word counted
    "chunk",  # positions that are worked on at once
    "groups",  # inner groups that are worked on at once
    "mask_step",
    "made",  # first of its places in the array of iterations that are made
)
ROW = np.dtype([(name, np.int64) for name in ("kind", *_NAMES, *_SHAPE)])
"""A row: the kind, every field of the executed instructions as an integer (0 where the instruction has none), and what

follows from a COMPUTE's fields alone.
"""
_ROOM = 1 << 18
"""Gathered values of one chunk, unless a single position has more."""


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
    """All state, flat: int16 `feature`, `gradient`, `external` [words, lanes], int8 `external_bytes`, those of
    `external`, int16 `weight`, `kernels`, `bias` [rows, taps, lanes], uint32 `random` [taps, lanes]; float64 `cells`
    [banks, taps, lanes], the accumulators as held by a COMPUTE.
    """

    feature: np.ndarray
    gradient: np.ndarray
    weight: np.ndarray
    random: np.ndarray
    kernels: np.ndarray
    bias: np.ndarray
    external: np.ndarray
    external_bytes: np.ndarray
    cells: np.ndarray


class Scratch(NamedTuple):
    """Room for one instruction at a time, flat; what it holds between instructions has no meaning, but is finite.

    float64: `source` padded windows or blocks, `factors` kernels, `pixels` gradient words, `sums` accumulators;
    int64: `powers` of a loss, `products` of weight rows, int32: their `multipliers`; int16: `words` of blocks,
    `operands` of a step and those of the last one (`sim.fast_operands`).
    """

    source: np.ndarray
    factors: np.ndarray
    pixels: np.ndarray
    sums: np.ndarray
    powers: np.ndarray
    products: np.ndarray
    multipliers: np.ndarray
    words: np.ndarray
    operands: np.ndarray


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


def row_of(instruction: Instruction, chip: Chip) -> np.ndarray:
    """The instruction's row, `ROW`[]."""
    row = np.zeros((), ROW)
    for name in _NAMES:
        row[name] = getattr(instruction, name, 0)
    if not isinstance(instruction, Compute):
        row["kind"] = KINDS.index(type(instruction).__name__.lower())
        return row
    row["kind"] = KINDS.index(kind_of(instruction))
    for name, value in _shape(instruction, chip).items():
        row[name] = value
    if instruction.skip and mode_of(instruction) == "convolution":  # the mask map is the pixel map
        for part in ("space", "pitch"):
            row[f"mask_{part}"] = row[f"pixel_{part}"]
        row["mask_source"], row["mask_outer"], row["mask_step"] = row["pixel"], row["pixel_plane"], 1
    return row


def kind_of(compute: Compute) -> str:
    """Which of `KINDS` executes a COMPUTE."""
    name = mode_of(compute)
    assert name is not None
    windows = compute.traversal != Traversal.BLOCK
    grouped = compute.outer * compute.inner > 1 or compute.target_step > 1
    if name in PLAIN and not (windows and (grouped or compute.keep or compute.hold)):
        return name
    if not writes_rows(compute):
        return "lanes" if name in BY_LANE else "products"
    return "lane_gradients" if name in BY_LANE or compute.moving in (Moving.ONE, Moving.UNIT) else "gradients"


def _shape(compute: Compute, chip: Chip) -> dict[str, int]:
    """What a COMPUTE's row has besides its fields."""
    scatter = compute.moving == Moving.KERNEL
    by_lane = mode_of(compute) in BY_LANE
    by_channel = scatter or compute.moving_route == Route.TAP
    windows = scatter or compute.moving == Moving.WINDOW
    steps = chip.taps if windows else inner_steps(compute)
    positions = compute.height * compute.width
    blocks = compute.traversal == Traversal.BLOCK
    channels = compute.iterations if by_channel else chip.lanes
    features = chip.lanes if by_channel or by_lane else compute.iterations
    terms = steps * channels
    groups = 1 if by_lane else max(1, min(compute.inner, _ROOM // (terms * min(positions, WIDTH))))
    chunk = max(1, min(positions, _ROOM // (terms * groups), _ROOM // WIDTH))
    if scatter:  # whole rows
        chunk = max(1, chunk // compute.width) * compute.width
    return {
        "scatter": scatter,
        "by_lane": by_lane,
        "by_channel": by_channel,
        "channels": channels,
        "features": features,
        "steps": steps,
        "positions": -(-positions // chip.taps) if blocks else positions,
        "chunk": min(chunk, positions),
        "groups": groups,
        "mask_step": compute.target_step,
    }


def scratch(instructions: Iterable[Instruction], chip: Chip) -> Scratch:
    """Zeroed scratch that is large enough for each of the instructions."""
    needs = np.max([(0,) * 5, *(_needs(item, chip) for item in instructions if isinstance(item, Compute))], axis=0)
    source, factors, pixels, sums, words = map(int, needs + 2 * WIDTH)
    return Scratch(
        source=np.zeros(source),
        factors=np.zeros(factors),
        pixels=np.zeros(pixels),
        sums=np.zeros(sums),
        powers=np.zeros(chip.multipliers, np.int64),
        products=np.zeros(chip.accumulator_banks * chip.multipliers, np.int64),
        multipliers=np.zeros(chip.multipliers, np.int32),
        words=np.zeros(words, np.int16),
        operands=np.zeros((3 + chip.kernel_registers) * chip.multipliers, np.int16),
    )


def _needs(compute: Compute, chip: Chip) -> tuple[int, int, int, int, int]:
    """Elements of `source`, `factors`, `pixels`, `sums` and `words` that a COMPUTE uses."""
    if kind_of(compute) not in PLAIN:
        return _group_needs(compute, chip)
    padded = _padded(chip.lanes)
    words = compute.height * compute.width
    blocks = (words + chip.taps) * chip.lanes if compute.moving == Moving.BLOCK else 0
    source = blocks
    if compute.moving == Moving.WINDOW:
        edge = chip.kernel - 1
        source = (compute.height + edge) * (compute.width + edge) * chip.lanes
    factors = (chip.multipliers + WIDTH) * padded
    pixels = words * padded if compute.stationary == Stationary.PIXEL else 0
    sums = max((words + chip.taps + 1) * padded, (chip.multipliers + WIDTH) * padded, compute.iterations * WIDTH)
    return source, factors, pixels, sums, blocks


def _group_needs(compute: Compute, chip: Chip) -> tuple[int, int, int, int, int]:
    shape, padded = _shape(compute, chip), _padded(chip.lanes)
    terms = shape["steps"] * shape["channels"]
    source = shape["chunk"] * shape["groups"] * terms
    pixels = source if compute.stationary == Stationary.MATCH else shape["chunk"] * padded
    return source, shape["groups"] * terms * padded, pixels, max(shape["chunk"], terms) * padded, 0


def _padded(lanes: int) -> int:
    return -(-lanes // WIDTH) * WIDTH
