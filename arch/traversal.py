"""The order in which a window or a block walks over positions, and the words that each move brings."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from arch.isa import Compute, Moving, Stationary, Traversal


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


def blocks(compute: Compute, chip: Chip) -> np.ndarray:
    """Words of each block of a BLOCK or PIXELS walk, int64[blocks]: T, and what is left in the last."""
    words = compute.height * compute.width
    sizes = np.full(-(-words // chip.taps), chip.taps, np.int64)
    sizes[-1] = words - chip.taps * (len(sizes) - 1)
    return sizes


def positions(compute: Compute, chip: Chip) -> int:
    """Positions of a group: T words are one in BLOCK and PIXELS walks."""
    words = compute.height * compute.width
    return -(-words // chip.taps) if compute.traversal in (Traversal.BLOCK, Traversal.PIXELS) else words


def masks_by_pixels(compute: Compute) -> bool:
    """Whether the pixel map is the mask map: lanes above zero are the iterations made."""
    window = compute.moving == Moving.WINDOW and compute.stationary == Stationary.KERNEL
    return bool(compute.skip and compute.mask and window)


def inner_steps(compute: Compute) -> int:
    """Kernel taps (or planes) that a position goes through; 1 but for PIXELS."""
    return compute.kernel_height * compute.kernel_width


def reach(compute: Compute, chip: Chip) -> int:
    """Words that one access of a PIXELS walk brings at most: as many as `step` spreads over different banks."""
    return chip.kernel // gcd(compute.step, chip.kernel)


def accesses(compute: Compute, chip: Chip) -> np.ndarray:
    """Accesses of the loader for each position of a group, int64[positions]; every inner step makes as many.

    An access takes one cycle and brings, from different banks, K words of a window's column or row, one word of a
    BLOCK, or up to `reach` neighbouring positions of one row (PIXELS). A pixel word comes beside another access, or by
    itself if nothing moves.
    """
    count = positions(compute, chip)
    if compute.traversal == Traversal.PIXELS:
        place = np.arange(compute.height * compute.width)
        run = np.minimum(place % chip.taps, place % compute.width)
        starts = (run % reach(compute, chip) == 0).astype(np.int64)
        return np.add.reduceat(starts, np.arange(0, len(place), chip.taps))
    if compute.moving == Moving.BLOCK:
        return blocks(compute, chip)
    result = np.ones(count, np.int64)
    if compute.moving == Moving.WINDOW:
        starts = slice(None, None, compute.width) if compute.traversal == Traversal.RASTER else 0
        result[starts] = chip.kernel
    return result


def source_words(compute: Compute, chip: Chip) -> int:
    """Words of the moving map that a group's walk reads; padding needs no read."""
    if compute.moving == Moving.WINDOW:
        return _window_words(compute, chip)
    if compute.moving != Moving.BLOCK:
        return 0
    if compute.traversal == Traversal.BLOCK:
        return compute.height * compute.width
    return _gathered(compute)


def pixel_words(compute: Compute, chip: Chip) -> int:
    """Words of the pixel map that a group's walk reads."""
    words = compute.height * compute.width
    if compute.stationary == Stationary.MATCH:
        return _gathered(compute)
    if compute.moving == Moving.KERNEL:
        return min(compute.height, compute.source_height) * min(compute.width, compute.source_width)
    if compute.stationary == Stationary.PIXEL:
        return words * (inner_steps(compute) if compute.moving == Moving.ONE else 1)
    return words if masks_by_pixels(compute) else 0


def _gathered(compute: Compute) -> int:
    """Words inside the map, over all positions and inner steps of a PIXELS walk."""
    columns = 1 if compute.planes else compute.kernel_width
    planes = compute.kernel_width if compute.planes else 1
    step, dilation = compute.step, compute.dilation
    rows = _inside_steps(compute.height, compute.kernel_height, compute.pad_top, compute.source_height, step, dilation)
    across = _inside_steps(compute.width, columns, compute.pad_left, compute.source_width, step, dilation)
    return rows * across * planes


@lru_cache(maxsize=1 << 14)
def _inside_steps(extent: int, taps: int, pad: int, limit: int, step: int, dilation: int) -> int:
    """Pairs (position, tap) along one side whose coordinate lies within 0 ... limit-1."""
    place = np.arange(extent)[:, None] * step + np.arange(taps) * dilation - pad
    return int(np.count_nonzero((place >= 0) & (place < limit)))


def line_columns(compute: Compute, chip: Chip) -> int:
    """Columns of the map that the windows of a nest meet: a word each in every line of a line buffer."""
    return min(compute.source_width, compute.width + chip.kernel - 1 - compute.pad_left)


def line_accesses(compute: Compute, chip: Chip) -> tuple[int, int]:
    """How often a nest reads and writes the line buffer, K - 1 words at once.

    Every column in the map is written whenever it comes, and read in all rows of positions but the first.
    """
    if not chip.line_words or compute.moving != Moving.WINDOW:
        return 0, 0
    columns = compute.outer * compute.inner * line_columns(compute, chip)
    return (compute.height - 1) * columns, compute.height * columns


def _window_words(compute: Compute, chip: Chip) -> int:
    """Words inside the map, over all accesses of a window's walk: K columns first, then a column or a row a move.

    With a line buffer each of them once.
    """
    side, snake = chip.kernel, compute.traversal == Traversal.SNAKE
    rows, row_inside = _window_side(compute.height, compute.pad_top, compute.source_height, side)
    columns, column_inside = _window_side(compute.width, compute.pad_left, compute.source_width, side)
    if chip.line_words:
        return int(row_inside.sum() * column_inside.sum())
    to_right = int(column_inside[side : side + compute.width - 1].sum())
    to_left = int(column_inside[: compute.width - 1].sum())
    leftward = rows[1::2].sum() if snake else 0
    words = int((rows.sum() - leftward) * to_right + leftward * to_left)
    if not snake:
        return words + int(rows.sum() * columns[0])
    down = np.arange(1, compute.height)
    edges = np.where(down % 2 == 1, columns[-1], columns[0])
    return words + int(rows[0] * columns[0] + (row_inside[side:] * edges).sum())


def _window_side(extent: int, pad: int, limit: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one side: coordinates inside the map of each position's window, and of each coordinate whether it is."""
    inside = np.arange(extent + side - 1) - pad
    inside = ((inside >= 0) & (inside < limit)).astype(np.int64)
    return np.convolve(inside, np.ones(side, np.int64), "valid"), inside
