"""Geometry of instructions: which words a walk over some rows and columns of a map begins at, and tiles of maps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from arch.chip import Chip
from compiler.nodes import NetworkError
from compiler.views import MapView

WIDEST = 15
"""Inner steps in a row of a walk: columns of a window, or planes side by side (field kernel_width)."""
LONGEST_ROW = 1023
"""What fields `height` and `width` can say."""
MOST_PAD = 15
"""What pad_top and pad_left can say."""


class Tile(NamedTuple):
    """Positions `height` x `width` from row `top`, column `left` of a map: every `down`-th row, `across`-th column."""

    top: int
    left: int
    height: int
    width: int
    down: int = 1
    across: int = 1


def source(view: MapView, top: int, left: int, plane: int = 0, down: int = 1) -> dict[str, Any]:
    """Fields of a moving map whose first position reads coordinate (top, left) of the tensor first, and which has
    every `down`-th row of the tensor.

    What lies outside the map is padding, and what lies outside the view is never needed or counts as padding. A walk
    that reads only padding is told a step that never reaches the map.
    """
    pad_top = max(-((top - view.first) // down), 0)
    row = top - view.first + pad_top * down
    column, pad_left = max(left - view.first_column, 0), max(view.first_column - left, 0)
    height, width = -(-(view.height - row) // down), view.width - column
    if height < 1 or width < 1:
        return padding(view)
    if max(pad_top, pad_left) > MOST_PAD:
        raise NetworkError(f"a walk needs {max(pad_top, pad_left)} rows of padding; at most {MOST_PAD} exist")
    return {
        "source_space": view.space,
        "source": view.base + (plane - view.first_plane) * view.plane + row * view.pitch + column,
        "source_pitch": view.pitch * down,
        "source_height": height,
        "source_width": width,
        "pad_top": pad_top,
        "pad_left": pad_left,
    }


def padding(view: MapView) -> dict[str, Any]:
    """Fields of a PIXELS walk that reads padding alone."""
    return {
        "source_space": view.space,
        "source": view.base,
        "source_pitch": view.pitch,
        "source_height": 1,
        "source_width": 1,
        "pad_top": 1,
        "step": 0,
        "dilation": 0,
    }


def target(view: MapView, tile: Tile, plane: int = 0) -> dict[str, Any]:
    """Fields of the emitted map: the tile's words."""
    return {
        "height": tile.height,
        "width": tile.width,
        "target_space": view.space,
        "target": _word(view, tile, plane),
        "target_pitch": view.pitch * tile.down,
        "target_outer": view.plane,
        "target_step": tile.across,
    }


def mask(view: MapView | None, tile: Tile, plane: int = 0) -> dict[str, Any]:
    """Fields of the mask map of the same words; none without a view."""
    if view is None:
        return {}
    return {
        "mask": 1,
        "mask_space": view.space,
        "mask_source": _word(view, tile, plane),
        "mask_pitch": view.pitch * tile.down,
        "mask_outer": view.plane,
    }


def pixels(view: MapView, tile: Tile, plane: int = 0) -> dict[str, Any]:
    """Fields of the pixel map: the tile's words, which are neighbours in their rows."""
    assert tile.across == 1
    return {
        "height": tile.height,
        "width": tile.width,
        "pixel_space": view.space,
        "pixel": _word(view, tile, plane),
        "pixel_pitch": view.pitch * tile.down,
        "pixel_plane": view.plane,
    }


def _word(view: MapView, tile: Tile, plane: int) -> int:
    rows, columns = tile.top - view.first, tile.left - view.first_column
    return view.base + (plane - view.first_plane) * view.plane + rows * view.pitch + columns


def whole(view: MapView) -> Tile:
    """All of a view's positions."""
    return Tile(view.first, view.first_column, view.height, view.width)


def window_tiles(tile: Tile, chip: Chip) -> Iterator[Tile]:
    """Tiles whose positions all have an accumulator cell in a window walk."""
    cells = chip.accumulator_banks * chip.taps
    width = min(tile.width, cells)
    yield from _cut(tile, cells // width, width)


def block_tiles(tile: Tile, chip: Chip, steps: int) -> Iterator[Tile]:
    """Tiles whose blocks all have an accumulator bank; as few cycles as rectangles allow, `steps` a block."""
    yield from _cut(tile, *_block_extents(tile.height, tile.width, chip.accumulator_banks, chip.taps, steps))


@cache
def _block_extents(rows: int, columns: int, banks: int, taps: int, steps: int) -> tuple[int, int]:
    """Height and width of the tiles that `block_tiles` cuts `rows` x `columns` positions into."""
    least, best = 0, (1, 1)
    for parts in range(1, min(columns, 16) + 1):
        width = -(-columns // parts)
        across = _lengths(columns, width)
        for height in range(1, min(rows, banks * taps // width) + 1):
            tiles = blocks = 0
            for (tall, down), (wide, beside) in product(_lengths(rows, height), across):
                tiles += down * beside
                blocks += down * beside * -(-tall * wide // taps)
            cost = blocks * steps + _TILE_CYCLES * tiles
            if -(-height * width // taps) <= banks and (least == 0 or cost < least):
                least, best = cost, (height, width)
    return best


def _lengths(whole: int, most: int) -> tuple[tuple[int, int], ...]:
    """Pieces of at most `most` of a length: (length, how many), the full ones and what is left."""
    full, left = divmod(whole, most)
    return ((most, full), (left, 1)) if left else ((most, full),)


def given_tiles(
    tile: Tile, most: tuple[int, int], partial: bool, window: bool, layer: str, chip: Chip
) -> Iterator[Tile]:
    """Tiles of at most most[0] x most[1] positions. Raises `NetworkError` if their partial sums have no cells."""
    height, width = min(most[0], tile.height), min(most[1], tile.width)
    cells = chip.accumulator_banks * chip.taps
    needed = height * width if window else -(-height * width // chip.taps) * chip.taps
    if partial and needed > cells:
        raise NetworkError(
            f"mapping: {layer}: a tile of {height} x {width} outputs takes {needed} of chip {chip.name}'s {cells} "
            f"accumulator cells for partial sums; choose a tile of at most {cells} outputs"
        )
    yield from _cut(tile, height, width)


_TILE_CYCLES = 20
"""About what an instruction costs beside its steps: fetch, first loads, and the last write."""


def _cut(tile: Tile, height: int, width: int) -> Iterator[Tile]:
    for top in range(0, tile.height, height):
        for left in range(0, tile.width, width):
            rows, columns = min(height, tile.height - top), min(width, tile.width - left)
            first = tile.top + top * tile.down, tile.left + left * tile.across
            yield Tile(*first, rows, columns, tile.down, tile.across)
