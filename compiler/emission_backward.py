"""Input gradients of convolutions, by phases of the stride."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import Any, NamedTuple

from arch.isa import Compute, Instruction, Space, Traversal
from arch.layout import Kind
from arch.modes import mode_fields
from compiler import walks
from compiler.emission_conv import windows_fit
from compiler.emitter import WALKS, Emitter
from compiler.graph import Operation
from compiler.strides import phases
from compiler.views import MapView
from compiler.walks import Tile

_WINDOW = {Kind.FILTERS: "convolution_by_channel", Kind.CHANNELS: "convolution", Kind.LANES: "depthwise"}
_PIXELS = {Kind.FILTERS: "pixelwise_by_channel", Kind.CHANNELS: "pixelwise", Kind.LANES: "pixelwise_by_lane"}


@dataclass(frozen=True)
class Taps:
    """Kernel taps along one side that reach the positions of one phase: `count` of them from `first`, `step` apart.

    Position i of the phase meets the last of them at gradient coordinate i + `origin`, the one before at one more
    `spread` further, and so on.
    """

    first: int
    step: int
    count: int
    origin: int
    spread: int


class Piece(NamedTuple):
    """Taps of a kernel that lie in the `place`-th of its rows of weights, whose first tap is `first` of the kernel."""

    place: int
    first: tuple[int, int]
    down: Taps
    across: Taps


def taps_of(operation: Operation, axis: int, phase: int, extent: tuple[int, int]) -> Taps:
    """Taps among extent[0] ... extent[1]-1 along a side that reach positions phase, phase + stride, …; count 0 if none
    does."""
    stride, pad, dilation = operation.stride[axis], operation.pads[axis], operation.dilation[axis]
    reaching = [k for k in range(*extent) if (phase + pad - k * dilation) % stride == 0]
    if not reaching:
        return Taps(0, 1, 0, 0, 1)
    if len(reaching) == 1:
        return Taps(reaching[0], 1, 1, (phase + pad - reaching[0] * dilation) // stride, 1)
    step = stride // gcd(stride, dilation)
    return Taps(
        reaching[0], step, len(reaching), (phase + pad - reaching[-1] * dilation) // stride, step * dilation // stride
    )


def gradient_at(phase: Tile, tile: Tile, row: int, column: int, operation: Operation) -> tuple[int, int]:
    """The gradient coordinate at which a tile of a phase begins, if the phase begins at (row, column)."""
    down, across = operation.stride
    return (tile.top - phase.top) // down + row, (tile.left - phase.left) // across + column


def conv_input_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """The transposed convolution, a sum over the gradient's channels for every phase of the stride."""
    layout = on.layout(operation.weight)
    for part in range(layout.cut.groups):
        yield from _InputGradient(operation, on, part).run()


class _InputGradient:
    def __init__(self, operation: Operation, on: Emitter, part: int):
        self.operation, self.on, self.part = operation, on, part
        self.layout = on.layout(operation.weight)
        self.dy, self.dx = on.map(operation.inputs[0]), on.map(operation.output)
        self.mask = on.map(operation.mask) if operation.mask else None
        outputs, inputs = self.layout.shape[0] // self.layout.cut.groups, self.layout.inputs
        height, width = operation.kernel
        words = on.chip.words
        self.by_lane = self.layout.kind == Kind.LANES
        self.depth = self.layout.cut.depth
        self.gradients = 1 if self.by_lane else words(outputs)
        self.planes = self.layout.outer if self.by_lane else words(inputs)
        self.made = self._made()
        held = outputs if self.layout.kind == Kind.FILTERS else inputs
        self.iterations = 1 if self.by_lane else min(on.chip.lanes, held)
        self.chunk, self.columns = (min(self.layout.cut.chunk, height), min(self.layout.cut.columns, width))
        self.chunks = self.layout.cut.parts(height, width)
        fraction = on.fractions[operation.inputs[0]] + on.fractions[operation.weight]
        self.numbers = on.map_numbers(operation, fraction)
        pads = tuple(side - 1 - pad for side, pad in zip(operation.kernel, operation.pads, strict=True))
        self.window_pads = (pads[0], pads[1])
        self.window = self.chunks == 1 and windows_fit(operation, on, self.dy, self.window_pads)

    def _made(self) -> range:
        """The planes, of those of a group of the convolution, whose kernels are there."""
        view = self.on.rows(self.operation.weight)
        if self.by_lane:
            return range(view.first, view.first + view.groups)
        inner = view.inner or range(self.planes // self.depth)
        return range(inner.start * self.depth, inner.stop * self.depth)

    def run(self) -> Iterator[Instruction]:
        if self.window:
            whole = walks.whole(self.dx)
            if self._skips():
                mask = self.mask
                assert mask
                fields = self._windows(whole) | walks.pixels(mask, whole) | {"skip": 1}
                yield from self._groups(whole, fields)
                return
            tiles = [whole] if self.gradients == 1 else walks.window_tiles(whole, self.on.chip)
            for tile in tiles:
                yield from self._groups(tile, self._windows(tile))
            return
        for phase in phases(walks.whole(self.dx), self.operation.stride):
            pieces = list(self._pieces(phase))
            if not pieces:
                yield from zeros(self.dx, phase, self.made, self.on)
                continue
            steps = self.gradients * self.iterations * max(piece.down.count * piece.across.count for piece in pieces)
            single = self.gradients * len(pieces) == 1
            for tile in [phase] if single else walks.block_tiles(phase, self.on.chip, steps):
                fields = [self._pixels(phase, tile, piece) for piece in pieces]
                if len(fields) == 1:
                    yield from self._groups(tile, fields[0])
                    continue
                for plane in self.made:
                    for index, piece in enumerate(fields):
                        partial = {"keep": int(index > 0), "hold": int(index < len(fields) - 1)}
                        yield self._compute(tile, piece | partial, plane, 1)

    def _skips(self) -> bool:
        """Whether results that the mask clears are not computed: one group of kernels, a result an iteration."""
        single = self.gradients * self.planes * self.layout.cut.groups == 1
        skips = self.on.kernels.skips(self.operation.layer)
        return skips and self.mask is not None and single and self.layout.kind == Kind.CHANNELS

    def _pieces(self, phase: Tile) -> Iterator[Piece]:
        """The taps that reach a phase, by rows of weights; kernel rows one by one where their taps lie farther apart,
        or less far, than those along a row."""
        height, width = self.operation.kernel
        starts = product(range(0, height, self.chunk), range(0, width, self.columns))
        for place, (top, left) in enumerate(starts):
            bottom, right = min(top + self.chunk, height), min(left + self.columns, width)
            across = taps_of(self.operation, 1, phase.left, (left, right))
            down = taps_of(self.operation, 0, phase.top, (top, bottom))
            if min(down.count, across.count) < 2 or down.spread == across.spread:
                rows = [down]
            else:
                rows = [taps_of(self.operation, 0, phase.top, (k, k + 1)) for k in range(top, bottom)]
            yield from (Piece(place, (top, left), taps, across) for taps in rows if taps.count and across.count)

    def _groups(self, tile: Tile, fields: dict[str, Any]) -> Iterator[Instruction]:
        """Instructions for all planes of the result, as many in one as rows can serve at once."""
        span = self.depth if self.depth > 1 else len(self.made)
        for plane in self.made[::span]:
            yield self._compute(tile, fields, plane, min(span, self.made.stop - plane))

    def _compute(self, tile: Tile, fields: dict[str, Any], plane: int, count: int) -> Compute:
        shared: dict[str, Any] = self._plane(tile, plane, count)
        return Compute(**fields | shared | self._row(plane, fields))

    def _row(self, plane: int, fields: dict[str, Any]) -> dict[str, Any]:
        rows = self.chunks * self.iterations
        inner = len(self.made) // self.depth
        part = 0 if self.by_lane else self.part * self.gradients * inner * rows
        place = (plane - self.made.start) // self.depth * rows
        start = self.on.rows(self.operation.weight).row + part + place
        result: dict[str, Any] = {"row": start + fields.get("row", 0)}
        result |= {"row_outer": rows if self.depth == 1 else 0, "row_inner": inner * rows}
        if self.depth > 1:  # planes side by side in a row, one tap each: nothing to reverse
            result |= {"tap": 0, "tap_outer": 1, "rotate": int(self.layout.cut.rotated)}
        if self.by_lane:
            result |= {"source": fields["source"] + plane * self.dy.plane, "row_inner": 0}
        return result

    def _plane(self, tile: Tile, plane: int, count: int) -> dict[str, Any]:
        there = plane + self.part * self.planes
        return {
            "iterations": self.iterations,
            "outer": count,
            "inner": self.gradients,
            "reload": 1,
            "rotate": int(not self.layout.cut.rotated),
            "source_group": self.dy.plane,
            **walks.target(self.dx, tile, there),
            **walks.mask(self.mask, tile, there),
            **self.numbers,
        }

    def _windows(self, tile: Tile) -> dict[str, Any]:
        top, left = tile.top - self.window_pads[0], tile.left - self.window_pads[1]
        return {
            **mode_fields(_WINDOW[self.layout.kind]),
            "traversal": WALKS[self.on.chip.traversal],
            **walks.source(self.dy, top, left, self.part * self.gradients),
        }

    def _pixels(self, phase: Tile, tile: Tile, piece: Piece) -> dict[str, Any]:
        """Taps fall while coordinates rise, so rows come rotated: tap t of a row is in tap T-1-t."""
        down, across, last = piece.down, piece.across, self.on.chip.taps - 1
        row, column = gradient_at(phase, tile, down.origin, across.origin, self.operation)
        highest = down.first + (down.count - 1) * down.step - piece.first[0]
        farthest = across.first + (across.count - 1) * across.step - piece.first[1]
        spread = down.spread if down.count > 1 else across.spread
        return {
            **mode_fields(_PIXELS[self.layout.kind]),
            "traversal": Traversal.PIXELS,
            "row": piece.place * self.iterations,
            "dilation": spread,
            "kernel_height": down.count,
            "kernel_width": across.count,
            "tap": last - highest * self.columns - farthest,
            "tap_row": down.step * self.columns,
            "tap_column": across.step,
            **walks.source(self.dy, row, column, self.part * self.gradients),
        }


def zeros(view: MapView, tile: Tile, planes: range, on: Emitter) -> Iterator[Instruction]:
    """A walk that reads padding alone and emits what it makes of it, zeros, with the kernel file as it is."""
    yield Compute(
        **mode_fields("pixelwise_by_lane"),
        traversal=Traversal.PIXELS,
        outer=len(planes),
        **walks.padding(view) | {"source_space": Space(1 - view.space), "source": 0},
        **walks.target(view, tile, planes.start),
    )
