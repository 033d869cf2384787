"""Poolings and their gradients: pixels lane by lane, with constants from their own rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from arch.isa import Compute, Instruction, Traversal
from arch.modes import mode_fields
from compiler import walks
from compiler.averages import parts
from compiler.emission_backward import gradient_at, taps_of, zeros
from compiler.emission_maps import by_lane, sum_fraction
from compiler.emitter import Emitter
from compiler.graph import Operation, Operator
from compiler.kernels import rows_name
from compiler.nodes import NetworkError
from compiler.strides import even_ways, phases, shortest, step_of
from compiler.views import MapView
from compiler.walks import Tile


def global_average_pool(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """The sum of every plane's pixels times a constant."""
    x, y = on.map(operation.inputs[0]), on.map(operation.output)
    whole = walks.whole(x)
    yield Compute(
        **by_lane("pixelwise_sum"),
        outer=on.chip.words(x.channels),
        row=on.rows(rows_name(operation)).row,
        source_group=x.plane,
        **walks.source(x, 0, 0),
        **walks.target(y, Tile(0, 0, 1, 1)) | {"height": whole.height, "width": whole.width},
        **on.map_numbers(operation, sum_fraction(operation, on)),
    )


def average_pool(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Sums of windows times a constant, for each part of the map that has its own."""
    yield from _in_parts(operation, operation, on)


def average_shares(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Each value times the constant of its part."""
    yield from _in_parts(operation, replace(operation, kernel=(1, 1), stride=(1, 1), pads=(0, 0)), on)


def _in_parts(operation: Operation, window: Operation, on: Emitter) -> Iterator[Instruction]:
    """Sums over the windows of `window`, times the constants of the parts of a pooling."""
    y = on.map(operation.output)
    numbers = on.map_numbers(operation, sum_fraction(operation, on))
    for number, (part, _) in enumerate(parts(operation, on.graph.tensors[operation.output].shape)):
        common, row = _common(part, walks.whole(y)), on.rows(rows_name(operation)).row + number
        if min(common.height, common.width) > 0:
            fields = by_lane() | numbers | {"row": row}
            yield from _over(common, window, on.map(operation.inputs[0]), y, fields, on)


def _over(
    whole: Tile, window: Operation, x: MapView, y: MapView, fields: dict[str, Any], on: Emitter
) -> list[Instruction]:
    """Walks over the windows of a tile of the output."""
    ways = (
        [
            Compute(
                outer=on.chip.words(y.channels),
                step=step_of(tile, window.stride),
                kernel_height=window.kernel[0],
                kernel_width=window.kernel[1],
                source_group=x.plane,
                **walks.source(x, *_first(window, tile)),
                **walks.target(y, tile),
                **fields,
            )
            for tile in way
        ]
        for way in even_ways(whole, window.stride)
    )
    return shortest(ways, on.chip)


def _first(operation: Operation, tile: Tile) -> tuple[int, int]:
    """The source coordinate that the first tap of a tile's first window reads."""
    (top, left), (down, across) = operation.pads, operation.stride
    return tile.top * down - top, tile.left * across - left


def _common(one: Tile, other: Tile) -> Tile:
    """What two tiles share; if they share nothing, a tile without positions."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.height, other.top + other.height)
    right = min(one.left + one.width, other.left + other.width)
    return Tile(top, left, bottom - top, right - left)


def max_pool(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """The largest value of each window, or the number of the tap that has it."""
    x, y = on.map(operation.inputs[0]), on.map(operation.output)
    indices = operation.operator == Operator.MAX_POOL_INDEX
    numbers = on.map_numbers(operation, on.fractions[operation.inputs[0]])
    if indices:
        numbers["shift"] = 0
    fields = by_lane("maximum_index" if indices else "maximum") | numbers | {"row": on.rows(rows_name(operation)).row}
    yield from _over(walks.whole(y), operation, x, y, fields, on)


def max_pool_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """For each phase of the stride and each tap that reaches it, gradients whose index is that tap."""
    dy, index = (on.map(name) for name in operation.inputs)
    dx, chip = on.map(operation.output), on.chip
    if operation.mask:
        raise NetworkError(f"{operation.layer}: a maximum's gradient cannot be masked; mask what it is added to")
    if operation.kernel[0] * operation.kernel[1] > chip.taps:
        raise NetworkError(f"{operation.layer}: training needs a window of at most {chip.taps} rows and columns")
    numbers = on.map_numbers(operation, on.fractions[operation.inputs[0]])
    planes = chip.words(dx.channels)
    for phase in phases(walks.whole(dx), operation.stride):
        down = _single_taps(operation, 0, phase.top)
        across = _single_taps(operation, 1, phase.left)
        pairs = [(a, b) for a in down for b in across]
        if not pairs:
            yield from zeros(dx, phase, range(planes), on)
        alone = len(pairs) == 1
        for plane in range(1 if alone else planes):
            for tile in [phase] if alone else walks.block_tiles(phase, chip, len(pairs)):
                for k, ((tap_y, row), (tap_x, column)) in enumerate(pairs):
                    first = *gradient_at(phase, tile, row, column, operation), plane
                    yield Compute(
                        **mode_fields("match"),
                        traversal=Traversal.PIXELS,
                        outer=planes if alone else 1,
                        tap=tap_y * operation.kernel[1] + tap_x,
                        keep=int(k > 0),
                        hold=int(k < len(pairs) - 1),
                        source_group=dy.plane,
                        pixel_space=index.space,
                        pixel=walks.source(index, *first)["source"],
                        pixel_pitch=index.pitch,
                        pixel_plane=index.plane,
                        **walks.source(dy, *first),
                        **walks.target(dx, tile, plane),
                        **numbers,
                    )


def _single_taps(operation: Operation, axis: int, phase: int) -> list[tuple[int, int]]:
    """Taps along one side that reach a phase, and the gradient coordinate at which its position 0 meets each."""
    taps = (taps_of(operation, axis, phase, (k, k + 1)) for k in range(operation.kernel[axis]))
    return [(tap.first, tap.origin) for tap in taps if tap.count]
