"""Gradients of convolutions and maximum poolings: of the input by phases of the stride, of weights, of biases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any

from arch.isa import Compute, Instruction, Space, Traversal, mode_fields
from arch.layout import Kind
from compiler import walks
from compiler.emission_conv import square, windows_fit
from compiler.emitter import WALKS, Emitter
from compiler.graph import Operation
from compiler.views import MapView
from compiler.walks import Tile

_WINDOW = {Kind.FILTERS: "convolution_by_channel", Kind.CHANNELS: "convolution", Kind.LANES: "depthwise"}
_PIXELS = {Kind.FILTERS: "pixelwise_by_channel", Kind.CHANNELS: "pixelwise", Kind.LANES: "pixelwise_by_lane"}
_WINDOW_WEIGHTS = {
    Kind.FILTERS: "convolution_weights",
    Kind.CHANNELS: "convolution_weights_by_channel",
    Kind.LANES: "depthwise_weights",
}
_PIXEL_WEIGHTS = {
    Kind.FILTERS: "pixelwise_weights",
    Kind.CHANNELS: "pixelwise_weights_by_channel",
    Kind.LANES: "pixelwise_weights_by_lane",
}


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


def taps_of(phase: int, extent: tuple[int, int], stride: int, pad: int, dilation: int) -> Taps:
    """Taps among extent[0] ... extent[1]-1 that reach positions phase, phase + stride, …; count 0 if none does."""
    reaching = [k for k in range(*extent) if (phase + pad - k * dilation) % stride == 0]
    if not reaching:
        return Taps(0, 1, 0, 0, 1)
    step = stride // gcd(stride, dilation)
    return Taps(
        reaching[0], step, len(reaching), (phase + pad - reaching[-1] * dilation) // stride, step * dilation // stride
    )


def phase_tiles(view: MapView, stride: int) -> Iterator[tuple[int, int, Tile]]:
    """For each phase, its first row and column and how many positions, as a tile that begins there."""
    for down in range(stride):
        top = view.first + (down - view.first) % stride
        for across in range(stride):
            left = view.first_column + (across - view.first_column) % stride
            height = -(-(view.first + view.height - top) // stride)
            width = -(-(view.first_column + view.width - left) // stride)
            if height > 0 and width > 0:
                yield top, left, Tile(top, left, height, width)


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
        words = on.chip.words
        self.by_lane = self.layout.kind == Kind.LANES
        self.depth = self.layout.cut.depth
        self.gradients = 1 if self.by_lane else words(outputs)
        self.planes = self.layout.outer if self.by_lane else words(inputs)
        held = outputs if self.layout.kind == Kind.FILTERS else inputs
        self.iterations = 1 if self.by_lane else min(on.chip.lanes, held)
        self.chunk = min(self.layout.cut.chunk, self.layout.shape[2])
        self.chunks = -(-self.layout.shape[2] // self.chunk)
        fraction = on.fractions[operation.inputs[0]] + on.fractions[operation.weight]
        self.numbers = on.map_numbers(operation, fraction)
        self.stride = square("stride", operation.stride, operation)
        self.dilation = square("dilation", operation.dilation, operation)
        pads = tuple(side - 1 - pad for side, pad in zip(operation.kernel, operation.pads, strict=True))
        self.window_pads = (pads[0], pads[1])
        self.window = self.chunks == 1 and windows_fit(operation, on, self.dy, self.window_pads)

    def run(self) -> Iterator[Instruction]:
        if self.window:
            whole = walks.whole(self.dx)
            if self._skips():
                mask = self.mask
                assert mask
                fields = self._windows(whole) | walks.pixels(mask, whole) | {"skip": 1}
                yield from self._groups(whole, 1, fields)
                return
            tiles = [whole] if self.gradients == 1 else walks.window_tiles(whole, self.on.chip)
            for tile in tiles:
                yield from self._groups(tile, 1, self._windows(tile))
            return
        for top, left, phase in phase_tiles(self.dx, self.stride):
            across = taps_of(left, (0, self.operation.kernel[1]), self.stride, self.operation.pads[1], self.dilation)
            down = [self._down(top, chunk) for chunk in range(self.chunks)]
            chunks = [chunk for chunk in range(self.chunks) if down[chunk].count and across.count]
            if not chunks:
                yield from self._zeros(phase)
                continue
            steps = self.gradients * self.iterations * across.count * max(item.count for item in down)
            single = self.gradients * len(chunks) == 1
            for small in [phase] if single else self._small(phase, steps):
                fields = [self._pixels(phase, small, down[chunk], across, chunk) for chunk in chunks]
                if len(chunks) == 1:
                    yield from self._groups(small, self.stride, fields[0])
                    continue
                for plane in range(self.planes):
                    for index, piece in enumerate(fields):
                        partial = {"keep": int(index > 0), "hold": int(index < len(chunks) - 1)}
                        yield self._compute(small, self.stride, piece | partial, plane, 1)

    def _skips(self) -> bool:
        """Whether results that the mask clears are not computed: one group of kernels, a result an iteration."""
        single = self.gradients * self.planes * self.layout.cut.groups == 1
        skips = self.on.kernels.skips(self.operation.layer)
        return skips and self.mask is not None and single and self.layout.kind == Kind.CHANNELS

    def _small(self, phase: Tile, steps: int) -> Iterator[Tile]:
        """Tiles of a phase, counted in its positions; they begin where they lie in the map."""
        for small in walks.block_tiles(Tile(0, 0, phase.height, phase.width), self.on.chip, steps):
            top, left = phase.top + small.top * self.stride, phase.left + small.left * self.stride
            yield Tile(top, left, small.height, small.width)

    def _down(self, top: int, chunk: int) -> Taps:
        extent = chunk * self.chunk, min((chunk + 1) * self.chunk, self.operation.kernel[0])
        return taps_of(top, extent, self.stride, self.operation.pads[0], self.dilation)

    def _groups(self, tile: Tile, step: int, fields: dict[str, Any]) -> Iterator[Instruction]:
        """Instructions for all planes of the result, as many in one as rows can serve at once."""
        span = self.depth if self.depth > 1 else self.planes
        for plane in range(0, self.planes, span):
            yield self._compute(tile, step, fields, plane, min(span, self.planes - plane))

    def _compute(self, tile: Tile, step: int, fields: dict[str, Any], plane: int, count: int) -> Compute:
        shared: dict[str, Any] = self._plane(tile, step, plane, count)
        return Compute(**fields | shared | self._row(plane, fields))

    def _row(self, plane: int, fields: dict[str, Any]) -> dict[str, Any]:
        rows = self.chunks * self.iterations
        start = self.on.start(self.operation.weight, 0 if self.by_lane else self.part * self.gradients)
        inner = self.planes // self.depth
        result: dict[str, Any] = {"row": start + fields.get("row", 0) + plane // self.depth * rows}
        result |= {"row_outer": rows if self.depth == 1 else 0, "row_inner": inner * rows}
        if self.depth > 1:  # planes side by side in a row, one tap each: nothing to reverse
            result |= {"tap": 0, "tap_outer": 1, "rotate": int(self.layout.cut.rotated)}
        if self.by_lane:
            result |= {"source": fields["source"] + plane * self.dy.plane, "row_inner": 0}
        return result

    def _plane(self, tile: Tile, step: int, plane: int, count: int) -> dict[str, Any]:
        there = plane + self.part * self.planes
        return {
            "iterations": self.iterations,
            "outer": count,
            "inner": self.gradients,
            "reload": 1,
            "rotate": int(not self.layout.cut.rotated),
            "source_group": self.dy.plane,
            **walks.target(self.dx, tile, there, step),
            **walks.mask(self.mask, tile, there, step),
            **self.numbers,
        }

    def _windows(self, tile: Tile) -> dict[str, Any]:
        top, left = tile.top - self.window_pads[0], tile.left - self.window_pads[1]
        return {
            **mode_fields(_WINDOW[self.layout.kind]),
            "traversal": WALKS[self.on.chip.traversal],
            **walks.source(self.dy, top, left, self.part * self.gradients),
        }

    def _pixels(self, phase: Tile, tile: Tile, down: Taps, across: Taps, chunk: int) -> dict[str, Any]:
        """Taps fall while coordinates rise, so rows come rotated: tap t of a row is in tap T-1-t."""
        columns, last = self.operation.kernel[1], self.on.chip.taps - 1
        row, column = (tile.top - phase.top) // self.stride, (tile.left - phase.left) // self.stride
        highest = down.first + (down.count - 1) * down.step - chunk * self.chunk
        farthest = across.first + (across.count - 1) * across.step
        spread = down.spread if down.count > 1 else across.spread
        return {
            **mode_fields(_PIXELS[self.layout.kind]),
            "traversal": Traversal.PIXELS,
            "row": chunk * self.iterations,
            "dilation": spread,
            "kernel_height": down.count,
            "kernel_width": across.count,
            "tap": last - highest * columns - farthest,
            "tap_row": down.step * columns,
            "tap_column": across.step,
            **walks.source(self.dy, row + down.origin, column + across.origin, self.part * self.gradients),
        }

    def _zeros(self, phase: Tile) -> Iterator[Instruction]:
        """Words that no tap reaches."""
        yield from zeros(self.dx, phase, self.stride, range(self.planes), self.on)


def zeros(view: MapView, phase: Tile, step: int, planes: range, on: Emitter) -> Iterator[Instruction]:
    """A walk that reads padding alone and emits what it makes of it, zeros, with the kernel file as it is."""
    yield Compute(
        **mode_fields("pixelwise_by_lane"),
        traversal=Traversal.PIXELS,
        outer=len(planes),
        **walks.padding(view) | {"source_space": Space(1 - view.space), "source": 0},
        **walks.target(view, phase, planes.start, step),
    )


def conv_weight_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Gradients of kernels, as updates or as gradients; every pair of planes ends in its own rows."""
    layout = on.layout(operation.output)
    x, dy = (on.map(name) for name in operation.inputs)
    view = on.rows(operation.output)
    shape, cut = layout.shape, layout.cut
    by_lane = layout.kind == Kind.LANES
    planes = 1 if by_lane else on.chip.words(layout.inputs)
    chunk = min(cut.chunk, shape[2])
    chunks = -(-shape[2] // chunk)
    per_part = layout.outer // cut.groups
    held = shape[0] // cut.groups if layout.kind == Kind.FILTERS else layout.inputs
    iterations = 1 if by_lane else min(on.chip.lanes, held)
    window = chunks == 1 and windows_fit(operation, on, x, operation.pads)
    tile = walks.whole(dy)
    if operation.output in on.kernels.scattering:
        yield _turned(operation, on, x, dy, iterations)
        return
    for part in range(cut.groups):
        first, stop = max(part * per_part, view.first), min((part + 1) * per_part, view.first + view.groups)
        for piece in range(chunks) if first < stop else ():
            plane = first if by_lane else part * planes
            if window:
                walk = _window_walk(operation, on, layout.kind, x, tile, plane)
            else:
                walk = _pixel_walk(operation, layout.kind, cut.depth, x, tile, plane, piece * chunk)
                walk["kernel_height"] = min(chunk, shape[2] - piece * chunk)
            inner = planes // cut.depth
            yield Compute(
                **walk,
                **walks.pixels(dy, tile, first),
                iterations=iterations,
                outer=stop - first,
                inner=inner,
                row=on.start(operation.output, first) + piece * iterations,
                row_outer=inner * chunks * iterations,
                row_inner=chunks * iterations,
                skip=int(window and layout.kind == Kind.FILTERS and on.kernels.skips(operation.layer)),
                **on.row_numbers(operation),
            )


def _turned(operation: Operation, on: Emitter, x: MapView, dy: MapView, iterations: int) -> Compute:
    """The gradient's windows times one value of x: rows of rotated kernels by channel, zeros of x left out."""
    tile, side = walks.whole(x), on.chip.kernel
    top, left = (side - 1 - pad for pad in operation.pads)
    numbers = on.row_numbers(operation)
    return Compute(
        **mode_fields("convolution_weights"),
        traversal=WALKS[on.chip.traversal],
        iterations=iterations,
        row=on.start(operation.output, 0),
        skip=1,
        **walks.source(dy, tile.top - top, tile.left - left),
        **walks.pixels(x, tile),
        **numbers,
    )


def _window_walk(operation: Operation, on: Emitter, kind: Kind, x: MapView, tile: Tile, plane: int) -> dict[str, Any]:
    top, left = tile.top - operation.pads[0], tile.left - operation.pads[1]
    return {
        **mode_fields(_WINDOW_WEIGHTS[kind]),
        "traversal": WALKS[on.chip.traversal],
        "source_group": x.plane,
        **walks.source(x, top, left, plane),
    }


def _pixel_walk(
    operation: Operation, kind: Kind, depth: int, x: MapView, tile: Tile, plane: int, below: int
) -> dict[str, Any]:
    stride, dilation = square("stride", operation.stride, operation), square("dilation", operation.dilation, operation)
    top = tile.top * stride - operation.pads[0] + below * dilation
    columns = operation.kernel[1]
    return {
        **mode_fields(_PIXEL_WEIGHTS[kind]),
        "traversal": Traversal.PIXELS,
        "step": stride,
        "dilation": dilation,
        "kernel_width": depth if depth > 1 else columns,
        "planes": int(depth > 1),
        "tap_row": columns,
        "tap_column": 1,
        "source_plane": x.plane if depth > 1 else 0,
        "source_group": x.plane * depth,
        **walks.source(x, top, tile.left * stride - operation.pads[1], plane),
    }


def conv_bias_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Sums of gradients: T planes end in one row of biases."""
    dy, taps = on.map(operation.inputs[0]), on.chip.taps
    planes = on.chip.words(dy.channels)
    for first in range(0, planes, taps):
        yield Compute(
            **mode_fields("pixelwise_bias"),
            traversal=Traversal.PIXELS,
            planes=1,
            kernel_width=min(taps, planes - first),
            tap_column=1,
            row=on.rows(operation.output).row + first // taps,
            **walks.pixels(dy, walks.whole(dy), first),
            **on.row_numbers(operation),
        )
