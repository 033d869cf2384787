"""Grouped nests that emit words: convolutions and dense products, lane by lane sums, maxima, scatters.

The positions of an outer group are worked on in chunks: their sums over all inner groups are one matrix product each
(or a sum a lane), and go through the accumulators' cells only where those are kept or held.
"""

from __future__ import annotations

from arch.isa import Base, Emission, Reduction, Stationary, Traversal
from sim.fast_emission import Places, write_words
from sim.fast_gather import gather_kernels, gather_pixels, gather_words, keep_kernels, kernel_tap, register_place
from sim.fast_product import add_lanes, add_product
from sim.fast_skip import only_made
from sim.fast_vectors import compiled

_END, _BIAS, _PIXELS = (int(item) for item in (Emission.END, Base.BIAS, Traversal.PIXELS))
_KERNEL, _PIXEL, _MATCH = (int(item) for item in (Stationary.KERNEL, Stationary.PIXEL, Stationary.MATCH))
_MAXIMUM, _INDEX = int(Reduction.MAXIMUM), int(Reduction.INDEX)


@compiled
def sum_products(op, sizes, memories, scratch):
    """Execute a nest whose sums go over channels too, or a scatter. Returns how many values did not fit."""
    saturations, gathered = 0, -1
    columns = op.steps * op.channels
    for outer in range(op.outer):
        for start in range(0, op.positions, op.chunk):
            positions = start, min(op.chunk, op.positions - start)
            _start_sums(op, sizes, memories, scratch.sums, outer, positions[1])
            for inner in range(0, op.inner, op.groups):
                groups = min(op.groups, op.inner - inner)
                # what lies in `source` is another outer group's too, unless it was replaced
                place = (outer if op.scatter else 0) * op.inner * op.positions + inner * op.positions + start
                if place != gathered:
                    _gather_groups(op, sizes, memories, scratch.source, outer, inner, groups, positions)
                    gathered = place
                for group in range(groups):
                    first = group * columns * sizes.padded
                    gather_kernels(op, sizes, memories, outer, inner + group, scratch.factors, first)
                add_product(
                    scratch.source, 0, op.groups * columns, 1, scratch.factors, 0,
                    scratch.sums, 0, positions[1], sizes.padded, groups * columns,
                )  # fmt: skip
            saturations += _finish(op, sizes, memories, scratch.sums, outer, positions)
    keep_kernels(op, sizes, memories)
    return saturations


@compiled
def _gather_groups(op, sizes, memories, source, outer, inner, groups, positions):
    columns = op.steps * op.channels
    for group in range(groups):
        memory = memories.gradient if op.source_space else memories.feature
        first = op.source + (inner + group) * op.source_group
        if op.scatter:
            memory = memories.gradient if op.pixel_space else memories.feature
            first = op.pixel + outer * op.pixel_plane
        new = group * columns
        pitch = op.groups * columns
        gather_words(op, sizes, memory, first, op.source_plane, 0.0, positions, source, new, pitch, op.channels)


@compiled
def combine_lanes(op, sizes, memories, scratch):
    """Execute a nest in which a lane is a channel of both operands. Returns how many values did not fit."""
    saturations = 0
    lanes, padded, columns = sizes.lanes, sizes.padded, op.steps * sizes.lanes
    memory = memories.gradient if op.source_space else memories.feature
    largest = op.reduction == _MAXIMUM or op.reduction == _INDEX
    padding = float(-(1 << sizes.bits - 1)) if largest else 0.0
    source, factors, sums = scratch.source, scratch.factors, scratch.sums
    for outer in range(op.outer):
        if op.stationary == _KERNEL:
            _gather_factors(op, sizes, memories, outer, factors)
        first = op.source + outer * op.source_group
        if op.emission == _END:
            _start_sums(op, sizes, memories, sums, outer, 1)
        for start in range(0, op.positions, op.chunk):
            positions = start, min(op.chunk, op.positions - start)
            gather_words(op, sizes, memory, first, op.source_plane, padding, positions, source, 0, columns, lanes)
            if op.stationary == _MATCH:
                _keep_matches(op, sizes, memories, scratch, outer, positions)
            elif op.stationary == _PIXEL:
                _gather_pixels(op, sizes, memories, scratch.pixels, outer, positions)
            if op.emission == _END:
                for position in range(positions[1]):
                    add_lanes(source, position * columns, lanes, factors, 0, lanes, sums, 0, op.steps, lanes)
                continue
            _start_sums(op, sizes, memories, sums, outer, positions[1])
            for position in range(positions[1]):
                place, new = position * columns, position * padded
                if op.stationary == _MATCH:
                    for i in range(columns):
                        sums[new + i % lanes] += source[place + i]
                elif op.stationary == _PIXEL:
                    add_lanes(source, place, lanes, scratch.pixels, new, 0, sums, new, op.steps, lanes)
                elif largest:
                    _keep_largest(op, lanes, source, place, factors, sums, new)
                else:
                    add_lanes(source, place, lanes, factors, 0, lanes, sums, new, op.steps, lanes)
            saturations += _finish(op, sizes, memories, sums, outer, positions)
        if op.emission == _END:
            saturations += _finish(op, sizes, memories, sums, outer, (0, 1))
    keep_kernels(op, sizes, memories)
    return saturations


@compiled
def _gather_factors(op, sizes, memories, outer, factors):
    """factors[k * lanes + lane]: the kernel's words at the inner steps' taps, with their sign."""
    kernels = memories.weight if op.reload else memories.kernels
    for step in range(op.steps):
        place = register_place(op, sizes, 0, kernel_tap(op, step, outer), outer, 0)
        for lane in range(sizes.lanes):
            value = float(kernels[place + lane])
            factors[step * sizes.lanes + lane] = -value if op.negate else value


@compiled
def _gather_pixels(op, sizes, memories, pixels, outer, positions):
    """pixels[position * padded + lane]: the pixel words with their sign."""
    memory = memories.gradient if op.pixel_space else memories.feature
    gather_pixels(op, sizes, memory, op.pixel + outer * op.pixel_plane, positions, pixels)
    if op.negate:
        for i in range(positions[1] * sizes.padded):
            pixels[i] = -pixels[i]


@compiled
def _keep_matches(op, sizes, memories, scratch, outer, positions):
    """Clear the gathered words whose pixel word is not the number of their kernel tap; give the others their sign."""
    pixels, source, lanes = scratch.pixels, scratch.source, sizes.lanes
    memory = memories.gradient if op.pixel_space else memories.feature
    columns = op.steps * lanes
    first = op.pixel + outer * op.pixel_plane
    gather_words(op, sizes, memory, first, 0, 0.0, positions, pixels, 0, columns, lanes)
    sign = -1.0 if op.negate else 1.0
    for step in range(op.steps):
        tap = float(kernel_tap(op, step, outer))
        for position in range(positions[1]):
            place = position * columns + step * lanes
            for i in range(place, place + lanes):
                source[i] = sign * source[i] if pixels[i] == tap else 0.0


@compiled
def _keep_largest(op, lanes, source, place, factors, sums, new):
    """The largest product of each lane, or the number of the first inner step that has it."""
    for lane in range(lanes):
        best, index = source[place + lane] * factors[lane], 0
        for step in range(1, op.steps):
            value = source[place + step * lanes + lane] * factors[step * lanes + lane]
            if value > best:
                best, index = value, step
        sums[new + lane] = float(index) if op.reduction == _INDEX else best


@compiled
def _start_sums(op, sizes, memories, sums, outer, count):
    """Sums start from the base where no accumulator is kept or held."""
    for lane in range(sizes.padded):
        base = 0.0
        if op.base == _BIAS and not (op.keep or op.hold) and lane < sizes.lanes:
            base = float(memories.bias[(op.bias_word + outer) * sizes.lanes + lane] << op.base_shift)
        for position in range(count):
            sums[position * sizes.padded + lane] = base


@compiled
def _finish(op, sizes, memories, sums, outer, positions):
    """Emit a chunk's words, or leave its sums in the accumulators. Returns how many values did not fit."""
    if op.keep or op.hold:
        _pass_cells(op, sizes, memories, sums, positions)
    if op.hold:
        return 0
    start, count = positions
    target, mask = op.target + outer * op.target_outer, op.mask_source + outer * op.mask_outer
    if not op.scatter:
        places = Places(start // op.width, start % op.width, count, op.width, target, mask, True)
        return write_words(op, sizes, memories, sums, 0, sizes.padded, places)
    saturations = 0
    for row in range(count // op.width):
        above = start // op.width + row - op.pad_top
        if above >= 0:
            width = op.width - op.pad_left
            first = (row * op.width + op.pad_left) * sizes.padded
            places = Places(above, 0, width, width, target, mask, True)
            saturations += write_words(op, sizes, memories, sums, first, sizes.padded, places)
    return saturations


@compiled
def _pass_cells(op, sizes, memories, sums, positions):
    """Add what the accumulators keep, and the base; leave the sums in the accumulators if they are held.

    The cell of position p is tap p mod T of bank p div T. Of a last block that is not full, the other taps become 0.
    """
    start, count = positions
    cells, lanes = memories.cells, sizes.lanes
    touched = op.features if op.emission != _END else lanes
    for position in range(count):
        place = (start + position) * lanes
        for lane in range(touched):
            value = sums[position * sizes.padded + lane]
            if op.keep:
                value += cells[place + lane]
            if op.hold and (not op.skip or only_made(op, sizes, memories, start + position, lane)):
                cells[place + lane] = value
            if op.base == _BIAS:
                value += float(memories.bias[op.bias_word * sizes.lanes + lane] << op.base_shift)
            sums[position * sizes.padded + lane] = value
        if op.base == _BIAS:
            for lane in range(touched, lanes):
                sums[position * sizes.padded + lane] = float(
                    memories.bias[op.bias_word * sizes.lanes + lane] << op.base_shift
                )
    if op.hold and not op.keep and op.traversal == _PIXELS and op.emission != _END:
        last = start + count
        if last == op.positions:
            for position in range(last, (last + sizes.taps - 1) // sizes.taps * sizes.taps):
                cells[position * lanes : position * lanes + touched] = 0.0
