"""Write-back: sums are rounded, made to fit and written, words of a map or weight rows.

A rounder is a lane of a map's words or a cell of a row; eight of them work at once, then the rest one by one, each with
its state at hand from its first word to its last.
"""

from __future__ import annotations

import numpy as np

from arch.isa import Rounding, Traversal
from arch.numerics import advance, narrowed, rounded
from sim.fast_integers import differing, kept, load_integers, store_integers, total_integers, zero_integers
from sim.fast_vectors import WIDTH, compiled

_STOCHASTIC = int(Rounding.STOCHASTIC)
_SNAKE = int(Traversal.SNAKE)


@compiled
def write_words(op, sizes, memories, scratch, first, pitch, rows, words):
    """Write `rows` x `words` words of a map, in the order of the walk, from sums[first + word * pitch + lane].

    The sums include the base. Returns how many values did not fit.
    """
    lanes, bits, shift, rounding, overflow = sizes.lanes, sizes.bits, op.shift, op.rounding, op.overflow
    target, mask, target_pitch, mask_pitch = op.target, op.mask_source, op.target_pitch, op.mask_pitch
    masked, lowest, snake = op.mask, 0 if op.relu else -(1 << 62), op.traversal == _SNAKE
    written = memories.gradient if op.target_space else memories.feature
    masks = memories.gradient if op.mask_space else memories.feature
    random, sums = memories.random, scratch.sums
    vectors = lanes // WIDTH * WIDTH
    missed = zero_integers()
    for lane in range(0, vectors, WIDTH):
        state = load_integers(random, lane)
        for row in range(rows):
            step = -1 if snake and row & 1 else 1
            word = words - 1 if step < 0 else 0
            for _ in range(words):
                value = load_integers(sums, first + (row * words + word) * pitch + lane)
                value = max(rounded(value, shift, rounding, state), lowest)
                if masked:
                    value = kept(value, load_integers(masks, (mask + row * mask_pitch + word) * lanes + lane))
                new = narrowed(value, bits, overflow)
                store_integers(written, (target + row * target_pitch + word) * lanes + lane, new)
                missed = missed + differing(value, new)
                if rounding == _STOCHASTIC:
                    state = advance(state)
                word += step
        store_integers(random, lane, state)
    saturations = total_integers(missed)
    for lane in range(vectors, lanes):
        state = np.int64(random[lane])
        for row in range(rows):
            step = -1 if snake and row & 1 else 1
            word = words - 1 if step < 0 else 0
            for _ in range(words):
                value = int(sums[first + (row * words + word) * pitch + lane])
                value = max(rounded(value, shift, rounding, state), lowest)
                if masked:
                    value = kept(value, masks[(mask + row * mask_pitch + word) * lanes + lane])
                new = narrowed(value, bits, overflow)
                written[(target + row * target_pitch + word) * lanes + lane] = new
                saturations += differing(value, new)
                if rounding == _STOCHASTIC:
                    state = advance(state)
                word += step
        random[lane] = state
    return saturations


@compiled
def write_rows(op, sizes, memories, values, block_pitch, row_pitch, factors, blocks, rows):
    """Update blocks x rows weight rows with values[block * block_pitch + row * row_pitch + cell] * factors[row].

    Returns how many results did not fit and how many updates were lost.
    """
    cells, bits, shift, rounding, overflow = sizes.row, sizes.bits, op.shift, op.rounding, op.overflow
    base_shift = op.base_shift
    weights, random = memories.weight, memories.random
    vectors = cells // WIDTH * WIDTH
    missed, unlike, none = zero_integers(), zero_integers(), zero_integers()
    saturations, lost = 0, 0
    first = op.row * cells
    for block in range(blocks):
        for cell in range(0, vectors, WIDTH):
            state = load_integers(random, cell)
            value_place = block * block_pitch + cell
            place = first + cell
            for row in range(rows):
                product = load_integers(values, value_place + row * row_pitch) * factors[row]
                old = load_integers(weights, place)
                value = rounded(product + (old << base_shift), shift, rounding, state)
                new = narrowed(value, bits, overflow)
                store_integers(weights, place, new)
                missed = missed + differing(value, new)
                unlike = unlike + (differing(product, none) & (1 - differing(value, old)))
                if rounding == _STOCHASTIC:
                    state = advance(state)
                place += cells
            store_integers(random, cell, state)
        for cell in range(vectors, cells):
            state = np.int64(random[cell])
            value_place = block * block_pitch + cell
            place = first + cell
            for row in range(rows):
                product = int(values[value_place + row * row_pitch]) * factors[row]
                old = int(weights[place])
                value = rounded(product + (old << base_shift), shift, rounding, state)
                new = narrowed(value, bits, overflow)
                weights[place] = new
                saturations += differing(value, new)
                lost += differing(product, 0) & (1 - differing(value, old))
                if rounding == _STOCHASTIC:
                    state = advance(state)
                place += cells
            random[cell] = state
        first += rows * cells
    return saturations + total_integers(missed), lost + total_integers(unlike)
