"""Products of maps, and sums over neighbouring channels: what a local response normalisation is made of."""

from __future__ import annotations

from collections.abc import Iterator

from arch.isa import Compute, Instruction, Traversal
from arch.modes import mode_fields
from compiler import walks
from compiler.emitter import Emitter
from compiler.formats import sum_fraction
from compiler.graph import Operation
from compiler.kernels import rows_name


def product(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """Two maps in different memories; the one beside the result moves."""
    y = on.map(operation.output)
    moving, pixels = sorted(map(on.map, operation.inputs), key=lambda view: view.space != y.space)
    numbers = on.map_numbers(operation, sum_fraction(operation, on.fractions))
    whole = walks.whole(y)
    for plane, count in on.chunks(operation, 0, on.chip.words(y.channels)):
        yield from on.load_bias(operation, plane)
        yield Compute(
            **mode_fields("pixelwise_product"),
            traversal=Traversal.PIXELS,
            outer=count,
            bias_word=plane % on.chip.taps if operation.bias else 0,
            source_group=moving.plane,
            **walks.source(moving, whole.top, whole.left, plane),
            **walks.pixels(pixels, whole, plane) | walks.target(y, whole, plane),
            **numbers,
        )


def neighbour_sum(operation: Operation, on: Emitter) -> Iterator[Instruction]:
    """For each plane a 1 x 1 convolution of the planes around it, by a kernel of ones in a band."""
    assert operation.normalisation
    x, y, chip, norm = on.map(operation.inputs[0]), on.map(operation.output), on.chip, operation.normalisation
    row, planes, whole = on.rows(rows_name(operation)).row, chip.words(y.channels), walks.whole(y)
    below, above = -(-norm.before // chip.lanes), -(-(norm.size - 1 - norm.before) // chip.lanes)
    numbers = on.map_numbers(operation, sum_fraction(operation, on.fractions))
    for first, count in on.chunks(operation, 0, planes):
        yield from on.load_bias(operation, first)
        for plane in range(first, first + count):
            lowest, highest = max(plane - below, 0), min(plane + above, planes - 1)
            partial = plane == planes - 1 and y.channels % chip.lanes
            yield Compute(
                **mode_fields("pixelwise"),
                traversal=Traversal.PIXELS,
                reload=1,
                iterations=chip.lanes,
                row=row + (chip.lanes if partial else 0),
                planes=1,
                kernel_width=highest - lowest + 1,
                tap=lowest - (plane - below),
                tap_column=1,
                source_plane=x.plane,
                bias_word=plane % chip.taps if operation.bias else 0,
                **walks.source(x, whole.top, whole.left, lowest),
                **walks.target(y, whole, plane),
                **numbers,
            )
