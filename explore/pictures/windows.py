"""The ways a window can walk over a map, and the words that each reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from arch.errors import InputError
from arch.isa import Traversal
from arch.traversal import Move, path
from explore.pictures.style import BLUE, GREEN, ORANGE, Picture

WALKS = ("snake", "raster", "line buffer")
COLOURS = {"snake": BLUE, "raster": ORANGE, "line buffer": GREEN}
_LARGEST = 32
"""Rows and columns of a map that a picture shows."""


@dataclass(frozen=True)
class Walk:
    """One walk: for each position its row, column, and the words brought so far, padding counted and without.

    `new` holds the coordinates of the words that are read for each position, `held` those that are on the chip then.
    """

    name: str
    rows: np.ndarray
    columns: np.ndarray
    brought: np.ndarray
    read: np.ndarray
    new: list[set[tuple[int, int]]]
    held: list[set[tuple[int, int]]]


def walk(name: str, height: int, width: int, kernel: int) -> Walk:
    """The walk of a K x K window (`kernel` = K) over a same-padded `height` x `width` map, pad (K - 1) div 2.

    A start brings K x K words and every move K of them (`arch.traversal`); words in the padding are not read. A line
    buffer walks as the raster does, but in every row of positions but the first reads the window's lowest row alone: it
    holds the others.
    """
    order = Traversal.SNAKE if name == "snake" else Traversal.RASTER
    positions = list(path(height, width, order))
    rows, columns = (np.array([getattr(item, side) for item in positions]) for side in ("row", "column"))
    pad = (kernel - 1) // 2
    words = [_brought(item.row - pad, item.column - pad, item.move, kernel) for item in positions]
    new = [_inside(some, height, width) for some in words]
    whole = (_brought(item.row - pad, item.column - pad, Move.START, kernel) for item in positions)
    held = [_inside(some, height, width) for some in whole]
    if name == "line buffer":
        lowest = rows - pad + kernel - 1
        new = [
            {word for word in some if word[0] == last or row == 0}
            for some, row, last in zip(new, rows.tolist(), lowest.tolist(), strict=True)
        ]
        held = _held(held, words, height, width)
    brought, read = np.cumsum([len(some) for some in words]), np.cumsum([len(some) for some in new])
    return Walk(name, rows, columns, brought, read, new, held)


def _held(
    windows: list[set[tuple[int, int]]], words: list[list[tuple[int, int]]], height: int, width: int
) -> list[set[tuple[int, int]]]:
    """For each position the words in the window, and in a line buffer, which keeps of every column brought the lower
    K - 1 words.
    """
    lines: dict[int, set[tuple[int, int]]] = {}
    found = []
    for window, some in zip(windows, words, strict=True):
        top = min(y for y, _ in some)
        for column in {x for _, x in some}:
            lines[column] = _inside([(y, x) for y, x in some if x == column and y > top], height, width)
        found.append(window.union(*lines.values()))
    return found


def _inside(words: list[tuple[int, int]], height: int, width: int) -> set[tuple[int, int]]:
    return {(y, x) for y, x in words if 0 <= y < height and 0 <= x < width}


def _brought(top: int, left: int, move: Move, kernel: int) -> list[tuple[int, int]]:
    """Coordinates of the words that a move brings to the window whose upper left corner is there."""
    down, across = range(top, top + kernel), range(left, left + kernel)
    if move == Move.RIGHT:
        across = [left + kernel - 1]
    elif move == Move.LEFT:
        across = [left]
    elif move == Move.DOWN:
        down = [top + kernel - 1]
    return [(y, x) for y in down for x in across]


def check_sizes(height: int, width: int, kernel: int) -> None:
    """Raise `InputError` if a picture of such a map could not be read."""
    if not (1 <= height <= _LARGEST and 1 <= width <= _LARGEST):
        raise InputError(f"height and width must be 1 to {_LARGEST} for a picture, not {height} x {width}")
    if not 2 <= kernel <= min(height, width):
        raise InputError(f"kernel must be 2 to {min(height, width)}, the map's smaller side, not {kernel}")


def window_paths(height: int = 6, width: int = 8, kernel: int = 3) -> Picture:
    """The paths of snake, raster and line buffer over a map of `height` x `width` words, and the words they read.

    `kernel` is the window's side. Below stand the words read so far, position by position, padding not counted. Raises
    `InputError` for maps of more than 32 rows or columns.

    >>> [axes.get_title().splitlines()[0] for axes in window_paths(4, 4).axes[:3]]
    ['snake', 'raster', 'line buffer']
    """
    check_sizes(height, width, kernel)
    walks = [walk(name, height, width, kernel) for name in WALKS]
    picture = Picture(figsize=(11, 6.6))
    grid = picture.add_gridspec(2, 3, height_ratios=[1.2, 1])
    for column, item in enumerate(walks):
        axes = picture.add_subplot(grid[0, column])
        draw_map(axes, height, width)
        axes.plot(item.columns, item.rows, "-", color=COLOURS[item.name], linewidth=1.8)
        axes.plot(item.columns[0], item.rows[0], "o", color=COLOURS[item.name], markersize=8)
        axes.plot(item.columns[-1], item.rows[-1], "s", color=COLOURS[item.name], markersize=8)
        axes.set_title(f"{item.name}\n{item.read[-1]:,} words read, {item.brought[-1]:,} with padding", fontsize=10)
    axes = picture.add_subplot(grid[1, :])
    for item in walks:
        axes.plot(np.arange(1, len(item.read) + 1), item.read, color=COLOURS[item.name], linewidth=2, label=item.name)
    everything = height * width * kernel**2
    axes.set_xlabel("positions of the window")
    axes.set_ylabel("words read")
    axes.set_title(f"without any reuse each position brings {kernel**2} words, {everything:,} in all", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return picture


def draw_map(axes: Axes, height: int, width: int, around: int = 0) -> None:
    """An empty map: a cell a word, and room for `around` cells on each side."""
    axes.set_xlim(-0.7 - around, width - 0.3 + around)
    axes.set_ylim(height - 0.3 + around, -0.7 - around)
    axes.set_aspect("equal")
    axes.set_axis_off()
    across = [[(-0.5, y - 0.5), (width - 0.5, y - 0.5)] for y in range(height + 1)]
    down = [[(x - 0.5, -0.5), (x - 0.5, height - 0.5)] for x in range(width + 1)]
    axes.add_collection(LineCollection(across + down, colors="0.8", linewidths=0.8, zorder=2))
