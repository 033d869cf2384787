"""Grouped nests that write weight rows when all positions are done: gradients of kernels and biases.

A group's rows are one matrix product over all positions, or a sum a lane.
"""

from __future__ import annotations

from arch.isa import Moving
from sim.fast_emission import write_rows
from sim.fast_gather import gather_pixels, gather_words, kernel_tap
from sim.fast_product import add_lanes, add_product
from sim.fast_vectors import compiled

_ONE, _UNIT = int(Moving.ONE), int(Moving.UNIT)


@compiled
def update_groups(op, sizes, memories, scratch):
    """Execute a nest that sums source words times pixel values. Returns values that did not fit, updates lost."""
    saturations, lost = 0, 0
    columns, padded = op.steps * op.channels, sizes.padded
    whole = op.groups == op.inner and op.chunk == op.positions
    pitch = op.groups * columns
    for outer in range(op.outer):
        for inner in range(op.inner):
            scratch.sums[: columns * padded] = 0.0
            first = inner * columns if whole else 0
            for start in range(0, op.positions, op.chunk):
                positions = start, min(op.chunk, op.positions - start)
                # a source that is held whole is gathered once
                if not whole or outer == 0:
                    _gather_source(op, sizes, memories, scratch.source, inner, first, pitch, positions)
                if not whole or inner == 0:
                    _gather_pixels(op, sizes, memories, scratch.pixels, outer, 0, positions)
                add_product(
                    scratch.source, first, 1, pitch, scratch.pixels, 0, scratch.sums, 0, columns, padded, positions[1]
                )  # fmt: skip
            _place_rows(op, sizes, scratch, outer)
            found, missed = _write(op, sizes, memories, scratch, outer, inner)
            saturations += found
            lost += missed
    return saturations, lost


@compiled
def update_lanes(op, sizes, memories, scratch):
    """Execute a nest that sums source words, or ones, times pixel words lane by lane. Returns as `update_groups`."""
    saturations, lost = 0, 0
    lanes, padded = sizes.lanes, sizes.padded
    columns, moves = op.steps * lanes, op.moving != _ONE and op.moving != _UNIT
    source, pixels, sums = scratch.source, scratch.pixels, scratch.sums
    if not moves:
        source[:lanes] = 1.0
    for outer in range(op.outer):
        sums[:columns] = 0.0
        for start in range(0, op.positions, op.chunk):
            count = min(op.chunk, op.positions - start)
            if moves:
                _gather_source(op, sizes, memories, source, outer, 0, columns, (start, count))
            for step in range(op.steps):
                if step == 0 or not moves:
                    plane = 0 if moves else step % op.kernel_width
                    _gather_pixels(op, sizes, memories, pixels, outer, plane, (start, count))
                first, pitch = (step * lanes, columns) if moves else (0, 0)
                add_lanes(source, first, pitch, pixels, 0, padded, sums, step * lanes, count, lanes)
        scratch.products[: sizes.row] = 0
        for step in range(op.steps):
            tap = 0 if op.moving == _UNIT else kernel_tap(op, step, outer)
            for lane in range(lanes):
                scratch.products[tap * lanes + lane] += int(sums[step * lanes + lane])
        found, missed = _write(op, sizes, memories, scratch, outer, 0)
        saturations += found
        lost += missed
    return saturations, lost


@compiled
def _gather_source(op, sizes, memories, source, group, first, pitch, positions):
    memory = memories.gradient if op.source_space else memories.feature
    word = op.source + group * op.source_group
    gather_words(op, sizes, memory, word, op.source_plane, 0.0, positions, source, first, pitch, op.channels)


@compiled
def _gather_pixels(op, sizes, memories, pixels, outer, plane, positions):
    memory = memories.gradient if op.pixel_space else memories.feature
    gather_pixels(op, sizes, memory, op.pixel + (outer + plane) * op.pixel_plane, positions, pixels)


@compiled
def _place_rows(op, sizes, scratch, outer):
    """The sums as rows, products[iteration * row + tap * lanes + lane]; taps that no inner step names are 0."""
    lanes, padded, products = sizes.lanes, sizes.padded, scratch.products
    products[: op.iterations * sizes.row] = 0
    for step in range(op.steps):
        tap = kernel_tap(op, step, outer)
        for iteration in range(op.iterations):
            place = iteration * sizes.row + tap * lanes
            if op.by_channel:
                first, apart = (step * op.channels + iteration) * padded, 1
            else:
                first, apart = step * lanes * padded + iteration, padded
            for lane in range(lanes):
                products[place + lane] += int(scratch.sums[first + lane * apart])


@compiled
def _write(op, sizes, memories, scratch, outer, inner):
    """Write a group's rows, or leave them in the accumulators, a bank an iteration."""
    products, count = scratch.products, op.iterations * sizes.row
    if op.keep or op.hold:
        for i in range(count):
            value = float(-products[i] if op.negate else products[i])
            if op.keep:
                value += memories.cells[i]
            if op.hold:
                memories.cells[i] = value
            products[i] = int(value)
    if op.hold:
        return 0, 0
    for iteration in range(op.iterations):
        scratch.multipliers[iteration] = -1 if op.negate and not op.keep else 1
    row = op.row + outer * op.row_outer + inner * op.row_inner
    return write_rows(op, sizes, memories, products, 0, sizes.row, scratch.multipliers, 1, op.iterations, row)
