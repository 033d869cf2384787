"""Convolutions and poolings by constant kernels, forward: windows where they fit, pixels everywhere else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from arch.isa import Compute, Instruction, Traversal
from arch.layout import Kind
from arch.modes import mode_fields
from arch.timing import FETCH_CYCLES, duration
from compiler import walks
from compiler.emitter import WALKS, Emitter
from compiler.graph import Operation, Operator
from compiler.kernels import Rows
from compiler.nodes import NetworkError
from compiler.strides import alike_rows, distance, even_ways, shortest, step_of
from compiler.views import MapView
from compiler.walks import Tile

_WINDOW = {Kind.FILTERS: "convolution", Kind.CHANNELS: "convolution_by_channel", Kind.LANES: "depthwise"}
_PIXELS = {Kind.FILTERS: "pixelwise", Kind.CHANNELS: "pixelwise_by_channel", Kind.LANES: "pixelwise_by_lane"}


def conv(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Conv: for outer groups that share a bias register, tiles whose partial sums fit the accumulators."""
    layout = on.layout(operation.weight)
    view = on.rows(operation.weight)
    for part in range(layout.cut.groups):
        per_part = layout.outer // layout.cut.groups
        first, stop = max(part * per_part, view.first), min((part + 1) * per_part, view.first + view.groups)
        for group, count in on.chunks(operation, first, stop):
            yield from on.load_bias(operation, group)
            yield from _Forward(operation, on, layout, part).run(group, count)


def windows_fit(operation: Operation, on: Emitter, view: MapView, pads: tuple[int, int]) -> bool:
    """Whether the chip's windows, and its line buffer, serve a convolution of these pads over a view."""
    side = on.chip.kernel
    if on.mapping.of(operation.layer).walk == "pixels":
        return False
    plain = operation.kernel == (side, side) and operation.stride == (1, 1) and operation.dilation == (1, 1)
    across = not on.chip.line_words or view.width <= on.chip.line_words
    return plain and across and max(pads) < side and min(pads) >= 0 and (view.height == 1 or view.pitch % side == 1)


def on_scatter(operation: Operation, on: Emitter) -> bool:
    """Whether the forward pass scatters: its kernels are laid out for it, and zeros of its input are left out."""
    return operation.weight in on.kernels.scattering and operation.operator == Operator.CONV


class Piece(NamedTuple):
    """Rows and columns of a kernel that one instruction takes."""

    rows: range
    columns: range


class _Forward:
    def __init__(self, operation: Operation, on: Emitter, layout: Rows, part: int):
        self.operation, self.on, self.layout = operation, on, layout
        self.x, self.y = on.map(operation.inputs[0]), on.map(operation.output)
        self.mask = on.map(operation.mask) if operation.mask else None
        shape = layout.shape
        self.by_lane = layout.kind == Kind.LANES
        self.planes = 1 if self.by_lane else on.chip.words(layout.inputs)
        self.first_plane = part * self.planes
        self.inner = self.planes // layout.cut.depth
        self.chunk, self.columns = min(layout.cut.chunk, shape[2]), min(layout.cut.columns, shape[3])
        self.chunks = layout.cut.parts(shape[2], shape[3])
        self.pieces = list(_pieces(operation, self.chunk, self.columns))
        held = shape[0] // layout.cut.groups if layout.kind == Kind.FILTERS else layout.inputs
        self.iterations = 1 if self.by_lane else min(on.chip.lanes, held)
        fraction = on.fractions[operation.inputs[0]] + on.fractions[operation.weight]
        self.numbers = on.map_numbers(operation, fraction)
        self.choice = on.mapping.of(operation.layer)
        self.window = self.chunks == 1 and windows_fit(operation, on, self.x, operation.pads)
        if self.choice.walk == "window" and not self.window:
            raise NetworkError(
                f"mapping: {operation.layer} cannot be walked in windows on chip {on.chip.name}: they serve "
                f"{on.chip.kernel} x {on.chip.kernel} kernels of stride and dilation 1 and padding below "
                f"{on.chip.kernel}; choose pixels"
            )

    def run(self, group: int, count: int) -> Iterator[Instruction]:
        if on_scatter(self.operation, self.on):
            yield from self._scatters()
            return
        if self.window and self.choice.walk is None:
            self.window = self._windows_are_shorter(group, count)
        ways = even_ways(walks.whole(self.y), self.operation.stride)
        yield from shortest((self._walks(way, group, count) for way in ways), self.on.chip)

    def _walks(self, way: list[Tile], group: int, count: int) -> Iterator[Compute]:
        for tile in self._tiles(way):
            if len(self.pieces) == 1:
                yield self._compute(tile, group, count, self.pieces[0])
                continue
            for outer in range(group, group + count):
                for index, piece in enumerate(self.pieces):
                    partial = {"keep": int(index > 0), "hold": int(index < len(self.pieces) - 1)}
                    yield self._compute(tile, outer, 1, piece, **partial)

    def _windows_are_shorter(self, group: int, count: int) -> bool:
        """Whether windows take no more cycles than pixels; the same for all chunks of a weight, wherever they lie."""
        views = [replace(view, base=0) for view in (self.x, self.y, self.mask) if view]
        known, key = self.on.kernels.shorter_windows, (self.operation.output, count, *views)
        if key not in known:
            known[key] = self._cycles(True, group, count) <= self._cycles(False, group, count)
        return known[key]

    def _cycles(self, window: bool, group: int, count: int) -> int:
        """What a walk of the map takes, windows or pixels."""
        self.window = window
        cut = list(self._tiles([walks.whole(self.y)]))
        tiles = Counter((tile.height, tile.width) for tile in cut)
        firsts = {(tile.height, tile.width): tile for tile in reversed(cut)}
        return sum(
            number * (duration(self._compute(firsts[shape], group, count, self.pieces[0]), self.on.chip) + FETCH_CYCLES)
            for shape, number in tiles.items()
        )

    def _scatters(self) -> Iterator[Instruction]:
        """Strips of columns whose outputs have an accumulator each; inputs between strips are met twice."""
        side, pads = self.on.chip.kernel, self.operation.pads
        whole = walks.whole(self.y)
        most = self.on.chip.accumulator_banks * side - 2 * (side - 1)
        strips = -(-whole.width // most)
        width = -(-whole.width // strips)
        bottom, right = whole.top + whole.height, whole.left + whole.width
        for left in range(whole.left, right, width):
            stop = min(left + width, right)
            first = max(left - pads[1], self.x.first_column)
            walk = {"height": bottom - pads[0] + side - 1 - self.x.first, "width": stop - pads[1] + side - 1 - first}
            tile = Tile(whole.top, left, whole.height, stop - left)
            columns = self.x.first_column + self.x.width - first
            pixels = walks.pixels(self.x, Tile(self.x.first, first, self.x.height, columns))
            mask = walks.mask(self.mask, tile)
            fields: dict[str, Any] = pixels | walks.target(self.y, tile) | mask | self.numbers | walk
            yield Compute(
                **mode_fields("scatter"),
                traversal=Traversal.RASTER,
                iterations=self.iterations,
                source_height=self.x.height,
                source_width=columns,
                pad_top=whole.top - pads[0] + side - 1 - self.x.first,
                pad_left=left - pads[1] + side - 1 - first,
                row=self.on.start(self.operation.weight, 0),
                reload=1,
                rotate=int(self.layout.cut.rotated),
                skip=1,
                **fields,
            )

    def _tiles(self, way: list[Tile]) -> Iterator[Tile]:
        partial = self.inner * len(self.pieces) > 1
        steps = self.inner * self.iterations * self.layout.cut.depth * self.columns * self.chunk
        for tile in way:
            if self.choice.tile:
                yield from walks.given_tiles(
                    tile, self.choice.tile, partial, self.window, self.operation.layer, self.on.chip
                )
            elif not partial:
                yield tile
            elif self.window:
                yield from walks.window_tiles(tile, self.on.chip)
            else:
                yield from walks.block_tiles(tile, self.on.chip, steps)

    def _compute(self, tile: Tile, group: int, count: int, piece: Piece, **partial: int) -> Compute:
        operation, on = self.operation, self.on
        rows = self.chunks * self.iterations
        place = piece.rows.start // self.chunk * self.layout.cut.across(operation.kernel[1])
        place += piece.columns.start // self.columns
        fields: dict[str, Any] = {
            "iterations": self.iterations,
            "outer": count,
            "inner": self.inner,
            "row": on.start(operation.weight, group) + place * self.iterations,
            "row_outer": self.inner * rows,
            "row_inner": rows,
            "reload": 1,
            "rotate": int(self.layout.cut.rotated),
            "bias_word": group % on.chip.taps if operation.bias else 0,
            **walks.target(self.y, tile, group),
            **walks.mask(self.mask, tile, group),
            **self.numbers,
            **partial,
        }
        plane = group if self.by_lane else self.first_plane
        return Compute(**(self._windows(tile, plane) if self.window else self._pixels(tile, plane, piece)) | fields)

    def _windows(self, tile: Tile, plane: int) -> dict[str, Any]:
        pads = self.operation.pads
        return {
            **mode_fields(_WINDOW[self.layout.kind]),
            "traversal": WALKS[self.on.chip.traversal],
            "source_group": self.x.plane,
            **walks.source(self.x, tile.top - pads[0], tile.left - pads[1], plane),
        }

    def _pixels(self, tile: Tile, plane: int, piece: Piece) -> dict[str, Any]:
        operation, depth = self.operation, self.layout.cut.depth
        top = tile.top * operation.stride[0] - operation.pads[0] + piece.rows.start * operation.dilation[0]
        left = tile.left * operation.stride[1] - operation.pads[1] + piece.columns.start * operation.dilation[1]
        return {
            **mode_fields(_PIXELS[self.layout.kind]),
            "traversal": Traversal.PIXELS,
            "step": step_of(tile, operation.stride),
            "dilation": distance(operation, piece.rows),
            "kernel_height": len(piece.rows),
            "kernel_width": depth if depth > 1 else len(piece.columns),
            "planes": int(depth > 1),
            "tap": piece.rows.start % self.chunk * self.columns,
            "tap_row": piece.rows.step * self.columns,
            "tap_column": 1,
            "source_plane": self.x.plane if depth > 1 else 0,
            "source_group": self.x.plane * depth,
            **walks.source(self.x, top, left, plane),
        }


def _pieces(operation: Operation, chunk: int, columns: int) -> Iterator[Piece]:
    """What lies in a row, kernel rows apart if dilations differ."""
    height, width = operation.kernel
    for top in range(0, height, chunk):
        for rows in alike_rows(operation, range(top, min(top + chunk, height))):
            for left in range(0, width, columns):
                yield Piece(rows, range(left, min(left + columns, width)))
