"""The order in which a window or a block walks over positions, and the words that each move brings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from arch.chip import Chip
from arch.isa import Compute, Moving, Traversal


class Move(IntEnum):
    """How a position is reached from the one before; it says which words the window gains."""

    START = 0  # nothing is kept: K columns, the left one first
    RIGHT = 1  # the rightmost column
    LEFT = 2  # the leftmost column
    DOWN = 3  # the lowest row


class Position(NamedTuple):
    """A place of the nest and the move that led to it."""

    row: int
    column: int
    move: Move


def path(height: int, width: int, traversal: Traversal) -> Iterator[Position]:
    """The positions of a SNAKE or RASTER walk over height x width, in order."""
    for row in range(height):
        left = traversal == Traversal.SNAKE and row % 2 == 1
        for step in range(width):
            column = width - 1 - step if left else step
            if step:
                move = Move.LEFT if left else Move.RIGHT
            elif row and traversal == Traversal.SNAKE:
                move = Move.DOWN
            else:
                move = Move.START
            yield Position(row, column, move)


def blocks(compute: Compute, chip: Chip) -> list[int]:
    """Words of each block of a BLOCK walk: T, and what is left in the last."""
    words = compute.height * compute.width
    return [min(chip.taps, words - first) for first in range(0, words, chip.taps)]


def window_accesses(compute: Compute, chip: Chip) -> Iterator[list[int]]:
    """For each position, the words that each of its window accesses really reads (padding needs no read).

    An access takes one cycle of the source memory and brings K words, one from each bank: a column (START brings K of
    them), or a row on the way down.
    """
    side = chip.kernel
    for row, column, move in path(compute.height, compute.width, compute.traversal):
        rows = _inside(row - compute.pad_top, side, compute.source_height)
        columns = _inside(column - compute.pad_left, side, compute.source_width)
        if move == Move.START:
            yield [rows * int(0 <= column - compute.pad_left + i < compute.source_width) for i in range(side)]
        elif move == Move.DOWN:
            yield [columns * int(0 <= row - compute.pad_top + side - 1 < compute.source_height)]
        else:
            new = column - compute.pad_left + (side - 1 if move == Move.RIGHT else 0)
            yield [rows * int(0 <= new < compute.source_width)]


def accesses(compute: Compute, chip: Chip) -> list[list[int]]:
    """For each position, the words that each access of its moving operand reads; one empty access for pixels alone."""
    if compute.moving == Moving.WINDOW:
        return list(window_accesses(compute, chip))
    if compute.moving == Moving.BLOCK:
        return [[1] * words for words in blocks(compute, chip)]
    if compute.traversal == Traversal.BLOCK:
        return [[] for _ in blocks(compute, chip)]
    return [[0]] * (compute.height * compute.width)


def _inside(first: int, count: int, limit: int) -> int:
    return max(0, min(first + count, limit) - max(first, 0))
