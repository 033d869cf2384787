"""Strides and dilations, cut into walks: a walk has one step from a position to the next, along rows and columns alike,
and one distance from a kernel tap to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import gcd, lcm
from typing import NamedTuple

from arch.chip import Chip
from arch.isa import Instruction
from arch.timing import FETCH_CYCLES, duration
from compiler.graph import Operation
from compiler.walks import Tile

MOST_STEP = 7
"""What fields step and target_step can say."""


class Walk(NamedTuple):
    """Positions of a tile with the kernel rows `rows`, over every `down`-th row of the source."""

    tile: Tile
    rows: range
    down: int


def phases(tile: Tile, every: tuple[int, int]) -> Iterator[Tile]:
    """The tile's positions, every so many rows and columns of them in a tile; columns one by one if they lie too far
    apart for a walk."""
    down, across = every
    for top in range(min(down, tile.height)):
        height = -(-(tile.height - top) // down)
        for left in range(min(across, tile.width)):
            width = -(-(tile.width - left) // across)
            starts = range(left, tile.width, across) if across > MOST_STEP else (left,)
            for start in starts:
                columns = width if len(starts) == 1 else 1
                steps = down if height > 1 else 1, across if columns > 1 else 1
                yield Tile(tile.top + top, tile.left + start, height, columns, *steps)


def even_ways(tile: Tile, stride: tuple[int, int]) -> Iterator[list[Tile]]:
    """Ways to cut a tile into such whose positions lie as far apart in the source along rows as along columns: itself
    if it is one, else by phases, or by rows or positions alone, as far as a walk can take such steps."""
    down, across = stride
    if 1 in (tile.height, tile.width):
        down = across = across if tile.height == 1 else down
    step = lcm(down, across)
    if step <= MOST_STEP:
        yield list(phases(tile, (step // down, step // across)))
    if step > MOST_STEP or down != across:
        yield list(phases(tile, (tile.height, 1 if stride[1] <= MOST_STEP else tile.width)))


def shortest(ways: Iterable[Iterable[Instruction]], chip: Chip) -> list[Instruction]:
    """The instructions of the way that takes the fewest cycles."""
    made = [list(way) for way in ways]
    if len(made) == 1:
        return made[0]
    return min(made, key=lambda way: sum(duration(item, chip) + FETCH_CYCLES for item in way))


def step_of(tile: Tile, stride: tuple[int, int]) -> int:
    """The source rows and columns from a position of such a tile to the next; a single one needs none."""
    if tile.width > 1:
        return stride[1] * tile.across
    return stride[0] * tile.down if tile.height > 1 else 1


def summing_walks(operation: Operation, tile: Tile, rows: range) -> list[Walk]:
    """Walks whose sums together are those over a tile's positions, whose words stay neighbours in their rows, as few as
    there are.

    Rows of the tile lie stride[0] apart in the source, columns stride[1]: every q-th row lies m · stride[1] rows apart,
    for the smallest q and m, so that on every m-th row of the source the step is stride[1] both ways.
    """
    down, across = operation.stride
    if across > MOST_STEP:
        return _walks(operation, phases(tile, (tile.height, tile.width)), rows, 1)
    shared = gcd(down, across)
    together = _walks(operation, phases(tile, (across // shared, 1)), rows, down // shared)
    alone = _walks(operation, phases(tile, (tile.height, 1)), rows, 1)
    return min(together, alone, key=len)


def _walks(operation: Operation, tiles: Iterator[Tile], rows: range, down: int) -> list[Walk]:
    return [Walk(tile, some, down) for tile in tiles for some in alike_rows(operation, rows, down)]


def alike_rows(operation: Operation, rows: range, down: int = 1) -> list[range]:
    """Kernel rows that lie as far apart as kernel columns do, counted in every `down`-th row of the source."""
    step, rest = divmod(down * operation.dilation[1], operation.dilation[0])
    if operation.kernel[1] == 1:
        step, rest = down // gcd(down, operation.dilation[0]), 0
    step = min(len(rows) if rest else step, len(rows))
    return [rows[first::step] for first in range(step)]


def distance(operation: Operation, rows: range, down: int = 1) -> int:
    """The distance from a kernel tap to the next of such rows."""
    return rows.step * operation.dilation[0] // down if len(rows) > 1 else operation.dilation[1]
