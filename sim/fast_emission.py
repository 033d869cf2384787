"""Write-back: sums are rounded, made to fit and written, words of a map or weight rows.

A rounder is a lane of a map's words or a cell of a row; eight of them work at once, then the rest one by one, each with
its state at hand from its first word to its last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from arch.isa import BYTE_BITS, Base, Rounding, Traversal
from arch.numerics import advance, narrowed, rounded
from sim.fast_integers import differing, kept, load_integers, store_integers, total_integers, zero_integers
from sim.fast_vectors import WIDTH, compiled

_STOCHASTIC = int(Rounding.STOCHASTIC)
_SNAKE = int(Traversal.SNAKE)
_ROW = int(Base.ROW)


class Places(NamedTuple):
    """Where words go: `words` of a walk over a map of `columns` columns, from (row, column) on.

    The word of (y, x) goes to target + y * target_pitch + x * target_step, its mask is at mask + y * mask_pitch + x *
    mask_step.
    """

    row: int
    column: int
    words: int
    columns: int
    target: int
    mask: int
    ordered: bool  # sums lie in the order of the walk, not row by row from the left


@compiled
def _bits(op, sizes):
    """Bits that results have to fit."""
    return BYTE_BITS if op.target_storage else sizes.bits


@compiled
def write_words(op, sizes, memories, sums, first, pitch, places):
    """Write words in the order of the walk, each from sums[first + i * pitch + lane], i its number in the walk, or in

    the map, from `first` on.
    The sums include the base. Returns how many values did not fit.
    """
    lanes, bits, shift, rounding, overflow = sizes.lanes, _bits(op, sizes), op.shift, op.rounding, op.overflow
    masked, lowest, snake = op.mask, 0 if op.relu else -(1 << 62), op.traversal == _SNAKE
    written = memories.gradient if op.target_space else memories.feature
    masks = memories.gradient if op.mask_space else memories.feature
    random, columns = memories.random, places.columns
    vectors = lanes // WIDTH * WIDTH
    missed = zero_integers()
    for lane in range(0, vectors, WIDTH):
        state = load_integers(random, lane)
        row, column, ordered = places.row, places.column, places.ordered
        for i in range(places.words):
            x = columns - 1 - column if snake and row & 1 else column
            place = first + (i if ordered else row * columns + x) * pitch + lane
            value = max(rounded(load_integers(sums, place), shift, rounding, state), lowest)
            if masked:
                mask = places.mask + row * op.mask_pitch + x * op.mask_step
                value = kept(value, load_integers(masks, mask * lanes + lane))
            new = narrowed(value, bits, overflow)
            target = places.target + row * op.target_pitch + x * op.target_step
            store_integers(written, target * lanes + lane, new)
            missed = missed + differing(value, new)
            if rounding == _STOCHASTIC:
                state = advance(state)
            column += 1
            if column == columns:
                column = 0
                row += 1
        store_integers(random, lane, state)
    saturations = total_integers(missed)
    for lane in range(vectors, lanes):
        state = np.int64(random[lane])
        row, column, ordered = places.row, places.column, places.ordered
        for i in range(places.words):
            x = columns - 1 - column if snake and row & 1 else column
            place = first + (i if ordered else row * columns + x) * pitch + lane
            value = max(rounded(int(sums[place]), shift, rounding, state), lowest)
            if masked:
                mask = places.mask + row * op.mask_pitch + x * op.mask_step
                value = kept(value, masks[mask * lanes + lane])
            new = narrowed(value, bits, overflow)
            target = places.target + row * op.target_pitch + x * op.target_step
            written[target * lanes + lane] = new
            saturations += differing(value, new)
            if rounding == _STOCHASTIC:
                state = advance(state)
            column += 1
            if column == columns:
                column = 0
                row += 1
        random[lane] = state
    return saturations


@compiled
def write_rows(op, sizes, memories, values, block_pitch, row_pitch, factors, blocks, rows, first_row):
    """Write blocks x rows weight rows, from `first_row` on, with base ROW onto what they hold:

    values[block * block_pitch + row * row_pitch + cell] * factors[row]. Returns how many results did not fit and how
    many updates were lost.
    """
    cells, bits, shift, rounding, overflow = sizes.row, _bits(op, sizes), op.shift, op.rounding, op.overflow
    base_shift, based = op.base_shift, 1 if op.base == _ROW else 0
    weights, random = memories.weight, memories.random
    vectors = cells // WIDTH * WIDTH
    missed, unlike, none = zero_integers(), zero_integers(), zero_integers()
    saturations, lost = 0, 0
    first = first_row * cells
    for block in range(blocks):
        for cell in range(0, vectors, WIDTH):
            state = load_integers(random, cell)
            value_place = block * block_pitch + cell
            place = first + cell
            for row in range(rows):
                product = load_integers(values, value_place + row * row_pitch) * factors[row]
                old = load_integers(weights, place)
                value = rounded(product + (old << base_shift & -based), shift, rounding, state)
                new = narrowed(value, bits, overflow)
                store_integers(weights, place, new)
                unfit = differing(value, new)
                missed = missed + unfit
                unlike = unlike + (differing(product, none) & (1 - (differing(value, old) | unfit)) & based)
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
                value = rounded(product + (old << base_shift & -based), shift, rounding, state)
                new = narrowed(value, bits, overflow)
                weights[place] = new
                unfit = differing(value, new)
                saturations += unfit
                lost += differing(product, 0) & (1 - (differing(value, old) | unfit)) & based
                if rounding == _STOCHASTIC:
                    state = advance(state)
                place += cells
            random[cell] = state
        first += rows * cells
    return saturations + total_integers(missed), lost + total_integers(unlike)
