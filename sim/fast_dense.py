"""The modes that walk over blocks of words beside weight rows: dense layers and their gradients."""

from __future__ import annotations

from arch.fields import ROW_BITS
from sim.fast_emission import Places, write_rows, write_words
from sim.fast_vectors import WIDTH, compiled, load, multiply_add, scale_add, store, total, zeros

_LAST_ROW = (1 << ROW_BITS) - 1


@compiled
def _blocks(op, sizes):
    return (op.height * op.width + sizes.taps - 1) // sizes.taps


@compiled
def _gather(op, sizes, memories, values):
    """The words of all blocks one after another, zeros for those that the last block lacks."""
    memory = memories.gradient if op.source_space else memories.feature
    count = op.width * sizes.lanes
    for row in range(op.height):
        first = (op.source + row * op.source_pitch) * sizes.lanes
        words = memory[first : first + count]
        copy = values[row * count : (row + 1) * count]
        for i in range(count):
            copy[i] = words[i]
    values[op.height * count : _blocks(op, sizes) * sizes.row] = 0


@compiled
def multiply(op, sizes, memories, scratch):
    """Execute a `dense`. Returns how many values did not fit."""
    sums, values = scratch.sums, scratch.source
    vectors = sizes.row // WIDTH * WIDTH
    cells = (op.iterations + sizes.lanes - 1) // sizes.lanes * sizes.lanes
    sums[: op.iterations * WIDTH] = 0.0
    row = op.row * sizes.row
    _gather(op, sizes, memories, values)
    for block in range(_blocks(op, sizes)):
        first = block * sizes.row
        for j in range(op.iterations):
            partial = load(sums, j * WIDTH)
            for i in range(0, vectors, WIDTH):
                partial = multiply_add(partial, load(values, first + i), load(memories.weight, row + i))
            store(sums, j * WIDTH, partial)
            for i in range(vectors, sizes.row):
                sums[j * WIDTH] += values[first + i] * memories.weight[row + i]
            row += sizes.row
    sign = -1.0 if op.negate else 1.0
    for j in range(op.iterations):
        value = sign * total(load(sums, j * WIDTH))
        sums[j] = value + memories.cells[j] if op.keep else value
    if op.hold:
        for j in range(op.iterations):
            memories.cells[j] = sums[j]
        return 0
    for j in range(cells):
        value = sums[j] if j < op.iterations else 0.0
        sums[j] = value + float(memories.bias[j] << op.base_shift) if op.base else value
    words = cells // sizes.lanes
    return write_words(op, sizes, memories, sums, 0, sizes.lanes, Places(0, 0, words, words, op.target, 0, True))


@compiled
def multiply_transposed(op, sizes, memories, scratch):
    """Execute a `dense_input`. Returns how many values did not fit."""
    sums, factors = scratch.sums, scratch.factors
    for j in range(op.iterations):
        factors[j] = -float(memories.kernels[j]) if op.negate else float(memories.kernels[j])
    vectors = sizes.row // WIDTH * WIDTH
    first = op.row * sizes.row
    for block in range(_blocks(op, sizes)):
        new = block * sizes.row
        for i in range(0, vectors, WIDTH):
            value = zeros()
            for j in range(op.iterations):
                value = scale_add(value, factors, j, load(memories.weight, first + j * sizes.row + i))
            store(sums, new + i, value)
        for i in range(vectors, sizes.row):
            rest = 0.0
            for j in range(op.iterations):
                rest += factors[j] * memories.weight[first + j * sizes.row + i]
            sums[new + i] = rest
        first += op.iterations * sizes.row
    if op.keep or op.hold or op.base:
        _finish(op, sizes, memories, sums)
    if op.hold:
        return 0
    places = Places(0, 0, op.height * op.width, op.width, op.target, op.mask_source, True)
    return write_words(op, sizes, memories, sums, 0, sizes.lanes, places)


@compiled
def _finish(op, sizes, memories, sums):
    """Add what the accumulators hold, or leave the sums in them; add the base."""
    for i in range(_blocks(op, sizes) * sizes.row):
        if op.keep:
            sums[i] += memories.cells[i]
        if op.hold:
            memories.cells[i] = sums[i]
        if op.base:
            sums[i] += float(memories.bias[op.bias_word * sizes.lanes + i % sizes.lanes] << op.base_shift)


@compiled
def update_weights(op, sizes, memories, scratch):
    """Execute a `dense_weights`. Returns values that did not fit, updates lost."""
    for j in range(op.iterations):
        scratch.multipliers[j] = (-1 if op.negate else 1) * memories.kernels[j]
    _gather(op, sizes, memories, scratch.words)
    blocks = _blocks(op, sizes)
    if op.skip:
        return _update_some(op, sizes, memories, scratch, blocks)
    factors = scratch.multipliers
    return write_rows(op, sizes, memories, scratch.words, sizes.row, 0, factors, blocks, op.iterations, op.row)


@compiled
def _update_some(op, sizes, memories, scratch, blocks):
    """The rows of a `dense_weights` whose gradient is not zero; the first of them all, if every gradient is zero."""
    saturations, lost = 0, 0
    nothing = True
    for j in range(op.iterations):
        nothing = nothing and memories.kernels[j] == 0
    for block in range(blocks):
        for j in range(op.iterations):
            if memories.kernels[j] != 0 or (j == 0 and nothing):
                row = op.row + block * op.iterations + j
                words, factors = scratch.words[block * sizes.row :], scratch.multipliers[j:]
                found, missed = write_rows(op, sizes, memories, words, 0, 0, factors, 1, 1, row)
                saturations += found
                lost += missed
    return saturations, lost


@compiled
def sum_rows(op, sizes, memories, scratch):
    """Execute a `rows`. Returns values that did not fit, updates lost."""
    sums = scratch.products
    scratch.multipliers[0] = -1 if op.negate else 1
    saturations, lost = 0, 0
    for position in range(_blocks(op, sizes)):
        sums[: sizes.row] = 0
        for j in range(op.iterations):
            first = ((op.row + j * op.row_inner & _LAST_ROW) + position) * sizes.row
            for i in range(sizes.row):
                sums[i] += int(memories.kernels[j]) * memories.weight[first + i]
        row = op.target_row + position
        found, missed = write_rows(op, sizes, memories, sums, 0, 0, scratch.multipliers, 1, 1, row)
        saturations += found
        lost += missed
    return saturations, lost


@compiled
def update_biases(op, sizes, memories, scratch):
    """Execute a `dense_bias`. Returns values that did not fit, updates lost."""
    scratch.multipliers[0] = -1 if op.negate else 1
    return write_rows(op, sizes, memories, memories.kernels, 0, 0, scratch.multipliers, _blocks(op, sizes), 1, op.row)
