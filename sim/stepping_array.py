"""COMPUTE: stages X (operands routed and multiplied, products reduced) and A (accumulated), and the nest's cycle."""

from __future__ import annotations

import numpy as np

from arch.events import Event
from arch.isa import Base, Emission, Moving, Reduction, Route, Stationary, Traversal
from sim.stepping_cells import clocked, copy, fill
from sim.stepping_emission import clock_rounding, clock_saturation, clock_writer, prepare_emission
from sim.stepping_loader import clock_loader, prepare_loader
from sim.stepping_rows import clock_rows, prepare_rows, row_held, use_row
from sim.stepping_state import PLANE, STAGES, Plane


@clocked
def prepare_nest(s, i):
    """Stand before cycle 0 of COMPUTE `i`; `s` are the machine's registers."""
    step = s.step
    words = i.height * i.width
    step.positions = -(-words // s.chip.taps) if i.traversal == Traversal.BLOCK else words
    step.position = 0
    step.words = words
    step.j = 0
    step.drain = 0
    step.loads = i.moving == Moving.WINDOW or i.moving == Moving.BLOCK or i.stationary == Stationary.PIXEL
    drains = i.emission == Emission.END and i.reduction == Reduction.NONE
    step.drains = i.iterations if drains else 0
    step.streams = (i.stationary == Stationary.STREAM or i.base == Base.ROW) and not drains
    for stage in range(STAGES):
        step.valid[stage] = 0
        step.emits[stage] = 0
    prepare_emission(s, i)
    prepare_loader(s, i)
    prepare_rows(s, i.row, step.drains + step.streams * step.positions * i.iterations)


@clocked
def clock_nest(s, i, memory):
    """One cycle of COMPUTE, the last stage first, so that each reads what the one before held; True in the last one."""
    stage = s.cycle % STAGES
    clock_writer(s, memory, i)
    clock_saturation(s, i)
    clock_rounding(s, i, memory, (stage + 1) % STAGES)
    _clock_accumulation(s, i, (stage + 2) % STAGES)
    _clock_step(s, i, stage)
    clock_loader(s, i, memory)
    clock_rows(s, memory)
    step = s.step
    return s.emission.pending == 0 and step.position == step.positions and step.drains == 0


@clocked
def _clock_step(s, i, stage):
    """X: take the next step of the nest or of its drain, if what it needs is there."""
    step = s.step
    step.valid[stage] = 0
    step.emits[stage] = 0
    step.drain = max(step.drain - 1, 0)
    if step.position == step.positions:
        if step.drains and row_held(s):
            _take_drain(s, i, stage)
        return
    if (step.loads and not s.loader.held) or (step.streams and not row_held(s)):
        return
    if step.drain and i.emission == Emission.POSITION:
        one_bank = i.reduction == Reduction.NONE and s.chip.banks == 1
        if step.j == i.iterations - 1 or one_bank:
            return
    _take_step(s, i, stage)


@clocked
def _take_step(s, i, stage):
    step = s.step
    _multiply(s, i, stage)
    step.valid[stage] = 1
    step.first[stage] = _is_first(s, i)
    step.cell[stage] = _cell(s, i)
    s.counters[0, Event.STEPS] += 1
    if i.base == Base.ROW and step.streams:
        _carry_row(s, stage)
    if step.streams:
        use_row(s)
    last = step.j == i.iterations - 1
    step.emits[stage] = _emitted(s, i, last)
    s.emission.pending += step.emits[stage]
    if i.emission == Emission.POSITION:
        step.drain += step.emits[stage]
    step.j += 1
    if last:
        step.j = 0
        step.position += 1
        step.words -= s.chip.taps
        s.loader.held = 0


@clocked
def _take_drain(s, i, stage):
    step = s.step
    step.cell[stage] = step.j * s.chip.multipliers
    step.emits[stage] = 1
    s.emission.pending += 1
    _carry_row(s, stage)
    use_row(s)
    step.j += 1
    step.drains -= 1


@clocked
def _is_first(s, i):
    """Whether the step's sum replaces what its accumulators hold."""
    if i.emission == Emission.END:
        return s.step.position == 0
    if i.emission == Emission.STEP or i.reduction == Reduction.BOTH:
        return True
    return s.step.j == 0


@clocked
def _cell(s, i):
    """The first accumulator of the step."""
    if i.reduction == Reduction.BOTH:
        return s.step.j
    if i.reduction == Reduction.TAPS or i.emission == Emission.STEP:
        return 0
    if i.emission == Emission.END:
        return s.step.j * s.chip.multipliers
    return s.step.position % min(s.chip.banks, 2) * s.chip.multipliers


@clocked
def _emitted(s, i, last):
    """Words that the step completes, or 1 for a row."""
    if i.emission == Emission.STEP:
        return 1
    if i.emission == Emission.POSITION:
        if not last:
            return 0
        return min(s.chip.taps, s.step.words) if i.reduction == Reduction.NONE else 1
    if i.reduction == Reduction.NONE or not last or s.step.position != s.step.positions - 1:
        return 0
    return -(-i.iterations // s.chip.lanes)


@clocked
def _carry_row(s, stage):
    copy(s.cells, Plane.ROW, s.step.base, stage * PLANE, s.chip.multipliers)


@clocked
def _multiply(s, i, stage):
    """T x L products of the routed operands, reduced, into the stage's slot."""
    count = s.chip.multipliers
    moving = _route(s, _moving_plane(i), i.moving_route, Plane.ROUTED_MOVING + 0)
    stationary = _route(s, _stationary_plane(s, i), i.stationary_route, Plane.ROUTED_STATIONARY + 0)
    a = s.cells[moving : moving + count]
    b = s.cells[stationary : stationary + count]
    reduced = s.step.reduced[stage * PLANE : (stage + 1) * PLANE]
    sign = -1 if i.negate else 1
    if i.reduction == Reduction.BOTH:
        total = 0
        for cell in range(count):
            total += np.int64(a[cell]) * np.int64(b[cell])
        reduced[0] = sign * total
    elif i.reduction == Reduction.NONE:
        for cell in range(count):
            reduced[cell] = sign * np.int64(a[cell]) * np.int64(b[cell])
    else:
        _reduce_taps(s, a, b, reduced, sign)


@clocked
def _reduce_taps(s, a, b, reduced, sign):
    lanes = s.chip.lanes
    for lane in range(lanes):
        reduced[lane] = 0
    for tap in range(s.chip.taps):
        x = a[tap * lanes : (tap + 1) * lanes]
        y = b[tap * lanes : (tap + 1) * lanes]
        for lane in range(lanes):
            reduced[lane] += sign * np.int64(x[lane]) * np.int64(y[lane])


@clocked
def _moving_plane(i):
    if i.moving == Moving.VECTOR:
        return Plane.KERNEL + 0
    if i.moving == Moving.ONE:
        return Plane.ONE + 0
    if i.moving == Moving.UNIT:
        return Plane.UNIT + 0
    return Plane.WINDOW + 0


@clocked
def _stationary_plane(s, i):
    if i.stationary == Stationary.KERNEL:
        return Plane.KERNEL + s.step.j * s.chip.multipliers
    if i.stationary == Stationary.STREAM:
        return Plane.ROW + 0
    if i.stationary == Stationary.PIXEL:
        return Plane.PIXEL + 0
    return Plane.KERNEL + 0


@clocked
def _route(s, source, route, routed):
    """Where the operand's T x L values begin in `cells`: at `source` itself if FULL, else written to `routed`."""
    if route == Route.FULL:
        return source
    lanes = s.chip.lanes
    j = s.step.j
    if route == Route.SCALAR:
        fill(s.cells, routed, s.chip.multipliers, s.cells[source + j])
        return routed
    for tap in range(s.chip.taps):
        if route == Route.TAP:
            fill(s.cells, routed + tap * lanes, lanes, s.cells[source + tap * lanes + j])
        else:
            copy(s.cells, source, s.cells, routed + tap * lanes, lanes)
    return routed


@clocked
def _clock_accumulation(s, i, stage):
    """A: add the sums of the step that is there to its accumulators."""
    step = s.step
    if not step.valid[stage]:
        return
    first = step.cell[stage]
    count = s.chip.multipliers
    if i.reduction == Reduction.BOTH:
        count = 1
    elif i.reduction == Reduction.TAPS:
        count = s.chip.lanes
    sums = s.accumulators[first : first + count]
    reduced = step.reduced[stage * PLANE : stage * PLANE + count]
    if step.first[stage]:
        for cell in range(count):
            sums[cell] = reduced[cell]
    else:
        for cell in range(count):
            sums[cell] += reduced[cell]
