"""Sums of maps, channel routes and broadcasts: pixels lane by lane, with constants from their own rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from arch.isa import Compute, Instruction, Traversal
from arch.modes import mode_fields
from compiler import walks
from compiler.emission_backward import zeros
from compiler.emitter import MOST_OUTER, Emitter
from compiler.graph import Operation
from compiler.kernels import rows_name
from compiler.routed_blocks import RoutedBlock, routed_blocks
from compiler.views import MapView


def by_lane(mode: str = "pixelwise_by_lane") -> dict[str, Any]:
    """Fields of a walk of pixels with kernels from rows."""
    return {**mode_fields(mode), "traversal": Traversal.PIXELS, "reload": 1}


def combine(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """A weighted sum of maps: two that lie alike in one instruction, others one after the other."""
    y = on.map(operation.output)
    views = [on.map(name) for name in operation.inputs]
    mask = on.map(operation.mask) if operation.mask else None
    numbers = on.map_numbers(operation, sum_fraction(operation, on))
    layout, row = on.layout(rows_name(operation)), on.rows(rows_name(operation)).row
    per_plane = int(layout.count > 1)
    planes = on.chip.words(y.channels)
    together = len(views) == 1 or (len(views) == 2 and _alike(*views))
    if together and not per_plane and not operation.bias:
        flat = _flattened([*views, y] + ([mask] if mask else []), on)
        if flat:
            views, y, mask, planes = flat[: len(views)], flat[len(views)], flat[-1] if mask else None, 1
    top, left = operation.crop
    for plane, count in on.chunks(operation, 0, planes):
        yield from on.load_bias(operation, plane)
        shared = {
            **by_lane(),
            "row_outer": per_plane,
            "bias_word": plane % on.chip.taps if operation.bias else 0,
            **numbers,
        }
        whole = walks.whole(y)
        if together:
            pair = sorted(views, key=lambda view: view.base)
            source = pair[0]
            yield Compute(
                **shared,
                row=row + plane * per_plane,
                outer=count,
                kernel_width=len(views),
                planes=int(len(views) > 1),
                tap=int(source is not views[0]),
                tap_column=1,
                source_plane=pair[-1].base - source.base,
                source_group=source.plane,
                **walks.source(source, whole.top + top, whole.left + left, plane),
                **walks.target(y, whole, plane),
                **walks.mask(mask, whole, plane),
            )
            continue
        for one in range(plane, plane + count):
            shared["bias_word"] = one % on.chip.taps if operation.bias else 0
            for tile in walks.block_tiles(whole, on.chip, 1):
                for k, view in enumerate(views):
                    yield Compute(
                        **shared,
                        row=row + one * per_plane,
                        tap=k,
                        keep=int(k > 0),
                        hold=int(k < len(views) - 1),
                        **walks.source(view, tile.top + top, tile.left + left, one),
                        **walks.target(y, tile, one),
                        **walks.mask(mask, tile, one),
                    )


def sum_fraction(operation: Operation, on: Emitter) -> int:
    """Fraction bits of a scaled sum."""
    return on.fractions[operation.inputs[0]] + on.fractions[operation.factors[0]]


def _alike(one: MapView, other: MapView) -> bool:
    """Whether two maps lie in one memory with the same rows, columns, pitch and planes."""
    fields = "space", "pitch", "plane", "first", "height", "first_column", "width", "first_plane"
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _flattened(views: list[MapView], on: Emitter) -> list[MapView] | None:
    """Vectors as maps of one plane, whose words are its columns; None for maps."""
    if any(view.full_height * view.width * view.plane != 1 for view in views):
        return None
    words = on.chip.words(views[0].channels)
    flat = {"width": words, "pitch": words, "plane": words, "channels": on.chip.lanes, "first_column": 0}
    return [replace(view, **flat) for view in views]


def channel_map(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Channels from here to there: planes lane by lane, or by a 1 x 1 convolution with constants 0 and 1."""
    y = on.map(operation.output)
    terms: list[list[_Route]] = [[] for _ in range(on.chip.words(y.channels))]
    for name, blocks in zip(operation.inputs, routed_blocks(operation, on.graph, on.chip), strict=True):
        for block in blocks:
            terms[block.target].append(_Route(name, block))
    plane = 0
    while plane < len(terms):
        count = 1
        while plane + count < len(terms) and count < MOST_OUTER and _follows(terms[plane], terms[plane + count], count):
            count += 1
        if terms[plane]:
            yield from _routed(operation, on, plane, count, terms[plane])
        else:
            yield from zeros(y, walks.whole(y), range(plane, plane + count), on)
        plane += count


class _Route(NamedTuple):
    """A block of routes of one input."""

    name: str
    block: RoutedBlock


def _follows(first: list[_Route], later: list[_Route], distance: int) -> bool:
    """Whether the planes that make a plane and another one, `distance` planes on, are copied in one instruction."""
    if len(first) != 1 or len(later) != 1:
        return not first and not later
    (name, block), (other, after) = first[0], later[0]
    near = after.source - block.source == distance and after.row == block.row
    return name == other and near and block.straight and after.straight


def _routed(operation: Operation, on: Emitter, plane: int, count: int, routes: list[_Route]) -> Iterator[Instruction]:
    """Planes `plane` ... of the output, each the sum of its routes."""
    y, chip = on.map(operation.output), on.chip
    mask = on.map(operation.mask) if operation.mask else None
    numbers = on.map_numbers(operation, sum_fraction(operation, on))
    straight = routes[0].block.straight
    mode = by_lane() if straight else {**by_lane("pixelwise"), "iterations": chip.lanes}
    whole = walks.whole(y)
    steps = 1 if straight else chip.lanes
    for tile in [whole] if len(routes) == 1 else walks.block_tiles(whole, chip, steps):
        for k, (name, block) in enumerate(routes):
            view = on.map(name)
            yield Compute(
                **mode,
                outer=count,
                row=on.rows(rows_name(operation)).row + block.row,
                keep=int(k > 0),
                hold=int(k < len(routes) - 1),
                source_group=view.plane,
                **walks.source(view, tile.top, tile.left, block.source),
                **walks.target(y, tile, plane),
                **walks.mask(mask, tile, plane),
                **numbers,
            )


def broadcast(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """One word to every position of a plane."""
    x, y = on.map(operation.inputs[0]), on.map(operation.output)
    mask = on.map(operation.mask) if operation.mask else None
    whole = walks.whole(y)
    yield Compute(
        **by_lane(),
        outer=on.chip.words(y.channels),
        row=on.rows(rows_name(operation)).row,
        step=0,
        source_group=x.plane,
        **walks.source(x, 0, 0),
        **walks.target(y, whole),
        **walks.mask(mask, whole),
        **on.map_numbers(operation, sum_fraction(operation, on)),
    )
