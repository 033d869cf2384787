"""The modes that walk over blocks of words beside weight rows: dense layers and their gradients."""

from __future__ import annotations

from sim.fast_emission import write_rows, write_words
from sim.fast_vectors import WIDTH, compiled, load, multiply_add, scale_add, store, total, zeros


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
    for j in range(cells):
        value = sign * total(load(sums, j * WIDTH)) if j < op.iterations else 0.0
        sums[j] = value + float(memories.bias[j] << op.base_shift) if op.base else value
    return write_words(op, sizes, memories, scratch, 0, sizes.lanes, 1, cells // sizes.lanes)


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
    return write_words(op, sizes, memories, scratch, 0, sizes.lanes, op.height, op.width)


@compiled
def update_weights(op, sizes, memories, scratch):
    """Execute a `dense_weights`. Returns values that did not fit, updates lost."""
    for j in range(op.iterations):
        scratch.multipliers[j] = (-1 if op.negate else 1) * memories.kernels[j]
    _gather(op, sizes, memories, scratch.words)
    blocks = _blocks(op, sizes)
    return write_rows(op, sizes, memories, scratch.words, sizes.row, 0, scratch.multipliers, blocks, op.iterations)


@compiled
def update_biases(op, sizes, memories, scratch):
    """Execute a `dense_bias`. Returns values that did not fit, updates lost."""
    scratch.multipliers[0] = -1 if op.negate else 1
    return write_rows(op, sizes, memories, memories.kernels, 0, 0, scratch.multipliers, _blocks(op, sizes), 1)
