"""The accumulators: which cells a step adds to and what becomes of their old values; stage A."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Emission, Moving, Reduction
from arch.modes import CELL_INDEX_BITS
from sim.stepping_cells import called, clocked, fill
from sim.stepping_multipliers import kernel_tap
from sim.stepping_state import PLANE, First

_LARGEST_INDEX = (1 << CELL_INDEX_BITS) - 1


@called
def old_values(s, i):
    """What the step does to the old values of its cells, one of `First`."""
    step = s.step
    if i.keep:
        return First.ADD + 0
    replaces = False
    unit = step.kernel_row == 0 and step.kernel_column == 0  # a position's first one
    if i.emission == Emission.STEP:
        replaces = True
    elif i.emission == Emission.ROW or i.moving == Moving.KERNEL:
        replaces = step.begun == 0
    elif i.emission == Emission.POSITION:
        all_steps = i.reduction == Reduction.BOTH or i.reduction == Reduction.LANES
        replaces = step.inner == 0 and unit and (all_steps or step.begun == 0)
    elif step.position == 0 and unit:
        if i.reduction == Reduction.TAPS and s.emission.rows:
            return First.CLEAR_TAPS + 0
        if i.reduction == Reduction.NONE and i.skip:
            return First.ADD + 0 if step.begun else First.CLEAR_BANKS + 0
        replaces = True
    return First.REPLACE + 0 if replaces else First.ADD + 0


@called
def first_cell(s, i):
    """The first accumulator of the step; a scatter's lie around its position."""
    step = s.step
    if i.emission == Emission.STEP or i.moving == Moving.KERNEL:
        return 0
    bank = step.bank * s.chip.multipliers
    if i.emission == Emission.ROW:
        return bank
    if i.emission == Emission.POSITION:
        bank += step.tap * s.chip.lanes
        return bank + step.j if i.reduction == Reduction.BOTH or i.reduction == Reduction.LANES else bank
    if i.reduction == Reduction.BOTH:
        return step.j
    if i.reduction == Reduction.NONE:
        return step.j * s.chip.multipliers
    return step.j * s.chip.multipliers + kernel_tap(s, i) * s.chip.lanes if s.emission.rows else 0


@clocked
def emitted_cell(s, i):
    """The accumulator of lane 0 of the first word that the step completes."""
    step = s.step
    if i.emission == Emission.END or i.emission == Emission.STEP:
        return 0
    if i.moving == Moving.KERNEL:
        return _scattered_cell(s, step.row, step.column)
    return step.bank * s.chip.multipliers + step.tap * s.chip.lanes


@clocked
def accumulate(s, i, stage):
    """A: add the sums of the step that is there to its accumulators; count its products with a zero."""
    step = s.step
    if not step.valid[stage]:
        return
    s.counters[0, Event.ZERO_PRODUCTS] += step.zeros[stage]
    first = step.cell[stage]
    replaces = step.first[stage] == First.REPLACE
    count = s.chip.multipliers
    if i.reduction == Reduction.MAXIMUM or i.reduction == Reduction.INDEX:
        _keep_largest(s, stage)
    elif i.reduction == Reduction.LANES:
        _add_lanes(s, stage)
    elif i.moving == Moving.KERNEL:
        _scatter(s, stage)
    elif i.reduction == Reduction.BOTH:
        _add(s, first, 1, stage, 0, replaces)
    elif i.reduction == Reduction.TAPS:
        if step.first[stage] == First.CLEAR_TAPS:
            fill(s.accumulators, first - first % count, count, 0)
        _add(s, first, s.chip.lanes, stage, 0, replaces)
    else:
        if step.first[stage] == First.CLEAR_BANKS:
            fill(s.accumulators, 0, i.iterations * count, 0)
        _add(s, first, count, stage, 0, replaces)


@clocked
def _add(s, cell, count, stage, place, replaces):
    """Reduced sums from `place` on to `count` accumulators from `cell` on."""
    sums = s.accumulators[cell : cell + count]
    place += stage * PLANE
    reduced = s.step.reduced[place : place + count]
    if replaces:
        for k in range(count):
            sums[k] = reduced[k]
    else:
        for k in range(count):
            sums[k] += reduced[k]


@called
def _add_lanes(s, stage):
    """A sum a tap, to one lane of every tap."""
    step = s.step
    cell = step.cell[stage]
    replaces = step.first[stage] == First.REPLACE
    for tap in range(s.chip.taps):
        old = 0 if replaces else s.accumulators[cell]
        s.accumulators[cell] = old + step.reduced[stage * PLANE + tap]
        cell += s.chip.lanes


@called
def _keep_largest(s, stage):
    """A cell is a product above CELL_INDEX_BITS bits that are the larger, the earlier the inner step."""
    step = s.step
    count = s.chip.multipliers
    first = step.cell[stage]
    sums = s.accumulators[first : first + count]
    reduced = step.reduced[stage * PLANE : stage * PLANE + count]
    rank = (_LARGEST_INDEX - step.number[stage]) & _LARGEST_INDEX
    replaces = step.first[stage] == First.REPLACE
    for k in range(count):
        value = (reduced[k] << CELL_INDEX_BITS) | rank
        if replaces or value > sums[k]:
            sums[k] = value


@called
def _scatter(s, stage):
    """Every tap's products to the word of its output; outputs that no position met before begin."""
    step = s.step
    side = s.chip.side
    row = step.row_of[stage]
    column = step.column_of[stage]
    opens = step.first[stage] == First.REPLACE
    for tap in range(s.chip.taps):
        above = tap // side
        left = tap % side
        cell = _scattered_cell(s, row + side - 1 - above, column + side - 1 - left)
        replaces = opens and (above == 0 or row == 0) and (left == 0 or column == 0)
        _add(s, cell, s.chip.lanes, stage, tap * s.chip.lanes, replaces)


@clocked
def _scattered_cell(s, row, column):
    """Lane 0 of a scatter's output."""
    side = s.chip.side
    tap = row % side * side + column % side
    return column // side * s.chip.multipliers + tap * s.chip.lanes
