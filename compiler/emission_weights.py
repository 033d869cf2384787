"""Gradients of a convolution's weights and biases: sums over the positions of its output's gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from arch.isa import Compute, Instruction, Traversal
from arch.layout import Kind
from arch.modes import BY_LANE, mode_fields, mode_of
from compiler import walks
from compiler.emission_conv import windows_fit
from compiler.emitter import WALKS, Emitter
from compiler.graph import Operation
from compiler.kernels import Rows
from compiler.strides import MOST_STEP, Walk, distance, summing_walks
from compiler.views import MapView
from compiler.walks import Tile

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


def conv_weight_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Gradients of kernels, as updates or as gradients; every pair of planes ends in its own rows."""
    layout = on.layout(operation.output)
    x, dy = (on.map(name) for name in operation.inputs)
    view = on.rows(operation.output)
    shape, cut = layout.shape, layout.cut
    by_lane = layout.kind == Kind.LANES
    planes = 1 if by_lane else on.chip.words(layout.inputs)
    chunk, columns = min(cut.chunk, shape[2]), min(cut.columns, shape[3])
    chunks = cut.parts(shape[2], shape[3])
    starts = list(product(range(0, shape[2], chunk), range(0, shape[3], columns)))
    per_part = layout.outer // cut.groups
    held = shape[0] // cut.groups if layout.kind == Kind.FILTERS else layout.inputs
    iterations = 1 if by_lane else min(on.chip.lanes, held)
    window = chunks == 1 and windows_fit(operation, on, x, operation.pads)
    tile = walks.whole(dy)
    if layout.cut.rotated:
        yield _turned(operation, on, x, dy, iterations)
        return
    for part in range(cut.groups):
        first, stop = max(part * per_part, view.first), min((part + 1) * per_part, view.first + view.groups)
        for piece, (top, left) in enumerate(starts) if first < stop else ():
            plane = first if by_lane else part * planes
            if window:
                sums = [_window_walk(operation, on, layout.kind, x, tile, plane) | walks.pixels(dy, tile, first)]
            else:
                rows = range(top, min(top + chunk, shape[2]))
                across = range(left, min(left + columns, shape[3]))
                sums = [
                    _pixel_walk(operation, layout, x, walk, plane, across) | walks.pixels(dy, walk.tile, first)
                    for walk in summing_walks(operation, tile, rows)
                ]
            inner = planes // cut.depth
            written = {
                "iterations": iterations,
                "outer": stop - first,
                "inner": inner,
                "row": on.start(operation.output, first) + piece * iterations,
                "row_outer": inner * chunks * iterations,
                "row_inner": chunks * iterations,
                "skip": int(window and layout.kind == Kind.FILTERS and on.kernels.skips(operation.layer)),
                **on.row_numbers(operation),
            }
            yield from _summed([Compute(**walk | written) for walk in sums])


def _summed(sums: list[Compute]) -> Iterator[Instruction]:
    """Instructions that write the same rows, their sums together: then for each pair of an outer and an inner group by
    itself."""
    if len(sums) == 1:
        yield from sums
        return
    for o, i in product(range(sums[0].outer), range(sums[0].inner)):
        for k, item in enumerate(sums):
            by_lane = mode_of(item) in BY_LANE
            yield replace(
                item,
                outer=1,
                inner=1,
                source=item.source + (o if by_lane else i) * item.source_group,
                pixel=item.pixel + o * item.pixel_plane,
                row=item.row + o * item.row_outer + i * item.row_inner,
                keep=int(k > 0),
                hold=int(k < len(sums) - 1),
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
    operation: Operation, layout: Rows, x: MapView, walk: Walk, plane: int, columns: range
) -> dict[str, Any]:
    """A walk of pixels with some kernel rows and columns of those that lie in a row of weights."""
    (down, across), pads, cut = operation.stride, operation.pads, layout.cut
    tile, rows, depth = walk.tile, walk.rows, cut.depth
    width = min(cut.columns, operation.kernel[1])
    top = tile.top * down - pads[0] + rows.start * operation.dilation[0]
    left = tile.left * across - pads[1] + columns.start * operation.dilation[1]
    return {
        **mode_fields(_PIXEL_WEIGHTS[layout.kind]),
        "traversal": Traversal.PIXELS,
        "step": across if across <= MOST_STEP else 1,
        "dilation": distance(operation, rows, walk.down),
        "kernel_height": len(rows),
        "kernel_width": depth if depth > 1 else len(columns),
        "planes": int(depth > 1),
        "tap": rows.start % cut.chunk * width,
        "tap_row": rows.step * width,
        "tap_column": 1,
        "source_plane": x.plane if depth > 1 else 0,
        "source_group": x.plane * depth,
        **walks.source(x, top, left, plane, walk.down),
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
