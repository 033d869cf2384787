"""Matrix products, their gradients, the loss gradient, and weighted sums of rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from arch.fields import ROW_BITS
from arch.isa import Base, Compute, Destination, Instruction, Load, Loss, Overflow, Rounding, Traversal
from arch.modes import mode_fields
from compiler import walks
from compiler.emitter import Emitter
from compiler.graph import Operation
from compiler.kernels import rows_name
from compiler.nodes import NetworkError
from compiler.views import MapView
from compiler.walks import Tile


def _extents(view: MapView, on: Emitter) -> tuple[int, int]:
    """Rows and columns of a map's words, all planes after one another; one row if there are no gaps."""
    planes = on.chip.words(view.channels)
    if view.full_height * view.width == 1:
        return 1, planes
    if planes > 1 and view.plane != view.height * view.pitch:
        raise NetworkError("a matrix takes a map whose planes lie one after the other")
    if view.pitch == view.width and planes * view.height * view.width <= walks.LONGEST_ROW:
        return 1, planes * view.height * view.width
    return planes * view.height, view.width


def _blocks(view: MapView, on: Emitter) -> int:
    height, width = _extents(view, on)
    return -(-height * width // on.chip.taps)


def _walk(view: MapView, on: Emitter) -> dict[str, Any]:
    """All words of a map, or of a piece of a matrix product those of its blocks."""
    height, width = _extents(view, on)
    return {"traversal": Traversal.BLOCK, "height": height, "width": width}


def _pieces(operation: Operation, on: Emitter) -> Iterator[tuple[int, int, int]]:
    """For each part of at most T x L outputs: its number, its first output, how many."""
    outputs = on.graph.tensors[operation.weight or operation.output].shape[0]
    name = operation.weight if operation.weight in on.views else operation.output
    view, most = on.rows(name), on.chip.multipliers
    for part in range(view.first, view.first + view.groups):
        yield part, part * most, min(most, outputs - part * most)


def _source(view: MapView) -> dict[str, Any]:
    return {"source_space": view.space, "source": view.base, "source_pitch": view.pitch}


def gemm(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """y = W x, T x L outputs at a time."""
    x, y = on.map(operation.inputs[0]), on.map(operation.output)
    blocks = on.part or (0, _blocks(x, on))
    numbers = on.map_numbers(operation, on.fractions[operation.inputs[0]] + on.fractions[operation.weight])
    for part, first, count in _pieces(operation, on):
        if operation.bias:
            yield Load(destination=Destination.BIAS, row=on.rows(operation.bias).row + part)
        yield Compute(
            **mode_fields("dense"),
            **_part(on, _walk(x, on), _source(x)),
            iterations=count,
            row=on.start(operation.weight, part),
            keep=int(blocks[0] > 0),
            hold=int(blocks[1] < _blocks(x, on)),
            target_space=y.space,
            target=y.base + first // on.chip.lanes,
            **numbers,
        )


def _part(on: Emitter, walk: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The walk of a piece: blocks part[0] ... part[1]-1 of a vector, or of a map without gaps between its rows."""
    if on.part is None:
        return {**walk, **source}
    first, stop = on.part
    words = walk["height"] * walk["width"]
    if walk["height"] != 1 and source["source_pitch"] != walk["width"]:
        raise NetworkError("a matrix product in pieces takes words that lie in one line")
    width = min(words, stop * on.chip.taps) - first * on.chip.taps
    source = source | {"source": source["source"] + first * on.chip.taps}
    return {**walk, **source, "height": 1, "width": width}


def gemm_input_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """dx = transposed W times dy; with more than T x L outputs, partial sums of as many blocks as there are banks."""
    dy, dx = on.map(operation.inputs[0]), on.map(operation.output)
    mask = on.map(operation.mask) if operation.mask else None
    numbers = on.map_numbers(operation, on.fractions[operation.inputs[0]] + on.fractions[operation.weight])
    taps, blocks, groups = on.chip.taps, _blocks(dx, on), on.layout(operation.weight).outer
    height, width = _extents(dx, on)
    cut = groups > 1 or on.part is not None
    if cut and height > 1 and dx.pitch != width:
        raise NetworkError(
            f"{operation.layer}: training takes at most {on.chip.multipliers} outputs after a map, not "
            f"{dy.channels}, on chip {on.chip.name}"
        )
    size = on.chip.accumulator_banks if groups > 1 else blocks
    parts = [on.part] if on.part else [(first, min(first + size, blocks)) for first in range(0, blocks, size)]
    for first, stop in parts:
        words = min(stop * taps, height * width) - first * taps
        tile = Tile(0, first * taps, 1, words) if cut else Tile(0, 0, height, width)
        for part, output, count in _pieces(operation, on):
            yield Load(
                destination=Destination.VECTOR,
                count=on.chip.words(count),
                space=dy.space,
                source=dy.base + output // on.chip.lanes,
            )
            yield Compute(
                **mode_fields("dense_input"),
                traversal=Traversal.BLOCK,
                iterations=count,
                row=on.start(operation.weight, part) + (0 if on.part else first * count),
                keep=int(part > 0),
                hold=int(part < groups - 1),
                skip=int(on.kernels.skips(operation.layer)),
                **walks.target(dx, tile),
                **walks.mask(mask, tile),
                **numbers,
            )


def gemm_weight_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Every row of W changed by one output's gradient times T words of x."""
    x, dy = (on.map(name) for name in operation.inputs)
    overwrites = not (operation.update or operation.accumulate)
    numbers = on.row_numbers(operation)
    numbers |= {"base": Base.ROW, "base_shift": numbers["shift"]}
    blocks = on.part or (0, _blocks(x, on))
    for part, first, count in _pieces(operation, on):
        row = on.start(operation.output, part)
        if overwrites:
            yield from _cleared(row, (blocks[1] - blocks[0]) * count, on)
        yield Load(
            destination=Destination.VECTOR,
            count=on.chip.words(count),
            space=dy.space,
            source=dy.base + first // on.chip.lanes,
        )
        yield Compute(
            **mode_fields("dense_weights"),
            **_part(on, _walk(x, on), _source(x)),
            iterations=count,
            row=row,
            skip=int(on.kernels.skips(operation.layer)),
            **numbers,
        )


def gemm_bias_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """A row of biases, T x L at a time."""
    dy, most = on.map(operation.inputs[0]), on.chip.multipliers
    overwrites = not (operation.update or operation.accumulate)
    numbers = on.row_numbers(operation)
    numbers |= {"base": Base.ROW, "base_shift": numbers["shift"]}
    for part in range(-(-dy.channels // most)):
        row = on.rows(operation.output).row + part
        if overwrites:
            yield from _cleared(row, 1, on)
        yield Load(
            destination=Destination.VECTOR,
            count=on.chip.words(min(most, dy.channels - part * most)),
            space=dy.space,
            source=dy.base + part * on.chip.taps,
        )
        yield Compute(**mode_fields("dense_bias"), traversal=Traversal.BLOCK, row=row, **numbers)


def _cleared(row: int, count: int, on: Emitter) -> Iterator[Instruction]:
    """Rows set to zero: whatever the vector's first element times a row is, it rounds to 0 after this shift."""
    for first in range(row, row + count, walks.LONGEST_ROW):
        yield Compute(
            **mode_fields("rows"),
            traversal=Traversal.BLOCK,
            height=min(row + count - first, walks.LONGEST_ROW),
            width=on.chip.taps,
            row=first,
            target_row=first,
            shift=2 * on.chip.word_bits,
            rounding=Rounding.RND,
        )


def loss_gradient(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Softmax cross-entropy's gradient, by the vector engine."""
    logits, label = (on.map(name) for name in operation.inputs)
    gradient = on.map(operation.output)
    if logits.channels > on.chip.multipliers:
        raise NetworkError(f"{operation.layer}: at most {on.chip.multipliers} classes, not {logits.channels}")
    yield Loss(
        space=logits.space,
        source=logits.base,
        label=label.base,
        target=gradient.base,
        count=logits.channels,
        source_fraction=on.fractions[operation.inputs[0]],
        target_fraction=on.fractions[operation.output],
    )


def update(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """A weighted sum of row tensors, to which the old output may be added; they lie at equal distances modulo 2**16."""
    names = [*operation.inputs, *([operation.output] if operation.accumulate else [])]
    rows = [on.rows(name).row for name in names]
    distances = {(b - a) % _ROWS for a, b in pairwise(rows)}
    if len(distances) > 1:
        raise NetworkError(f"{operation.layer}: the rows of an update must lie at equal distances")
    fraction = on.fractions[operation.inputs[0]] + on.fractions[operation.factors[0]]
    numbers: dict[str, Any] = {"shift": fraction - on.fractions[operation.output]}
    if operation.accumulate:
        numbers |= {"base": Base.ROW, "base_shift": numbers["shift"]}
    yield Load(destination=Destination.KERNEL, row=on.rows(rows_name(operation)).row)
    first, stop = on.part or (0, on.layout(operation.output).count)
    for done in range(0, stop - first, walks.LONGEST_ROW):
        yield Compute(
            **mode_fields("rows"),
            traversal=Traversal.BLOCK,
            height=min(stop - first - done, walks.LONGEST_ROW),
            width=on.chip.taps,
            iterations=len(rows),
            row=rows[0] + done,
            row_inner=next(iter(distances), 0),
            target_row=on.rows(operation.output).row + done,
            rounding=on.row_rounding(operation),
            overflow=Overflow.SAT,
            target_storage=on.target_storage(operation),
            **numbers,
        )


_ROWS = 1 << ROW_BITS
"""Row numbers are counted modulo this."""
