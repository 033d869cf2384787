"""COMPUTE: the nest's cycle, and stage X's control: which step, drain or load is taken, and where it goes."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Base, Emission, Moving, Reduction, Stationary, Traversal
from sim.stepping_accumulators import accumulate, emitted_cell, first_cell, old_values
from sim.stepping_cells import called, clocked, copy
from sim.stepping_emission import clock_rounding, clock_saturation, clock_writer, prepare_emission
from sim.stepping_loader import clock_loader, prepare_loader
from sim.stepping_multipliers import multiply
from sim.stepping_pieces import next_group
from sim.stepping_registers import write_register
from sim.stepping_rows import clock_rows, prepare_rows, row_held, use_row
from sim.stepping_skip import first_made, masks_by_pixels, next_made
from sim.stepping_state import MAX_LANES, PLANE, STAGES, Order, Plane


@called
def prepare_nest(s, i):
    """Stand before cycle 0 of COMPUTE `i`; `s` are the machine's registers."""
    step = s.step
    words = i.height * i.width
    step.blocks = i.traversal == Traversal.BLOCK or i.traversal == Traversal.PIXELS
    step.positions = -(-words // s.chip.taps) if step.blocks else words
    step.groups = i.outer * i.inner
    step.outer = 0
    step.inner = 0
    step.kernel_row = 0
    step.kernel_column = 0
    step.j = 0
    step.begun = 0
    step.reloads = i.iterations if i.reload else 0
    step.drains = 0
    step.drain = 0
    step.drained = 0
    read = i.moving == Moving.WINDOW or i.moving == Moving.BLOCK
    step.loads = read or i.stationary == Stationary.PIXEL or i.stationary == Stationary.MATCH
    step.streams = i.stationary == Stationary.STREAM or (i.base == Base.ROW and i.emission != Emission.END)
    step.updated = i.target_row if i.emission == Emission.ROW else i.row
    for stage in range(STAGES):
        step.valid[stage] = 0
        step.emits[stage] = 0
    _begin_group(s, i)
    prepare_emission(s, i)
    prepare_loader(s, i)
    _prepare_rows(s, i)


@clocked
def _prepare_rows(s, i):
    order = Order.GROUPED + 0
    runs = 0
    if s.step.streams:
        order = Order.STRIDED + 0 if i.emission == Emission.ROW else Order.CONSECUTIVE + 0
        runs = s.step.positions
    elif i.reload or _drains(s, i):
        runs = s.step.groups
    prepare_rows(s, i, order, runs, i.iterations)


@clocked
def clock_nest(s, i, memory):
    """One cycle of COMPUTE, the last stage first, so that each reads what the one before held; True in the last one."""
    stage = s.cycle % STAGES
    clock_writer(s, memory, i)
    clock_saturation(s, i)
    clock_rounding(s, i, memory, (stage + 1) % STAGES)
    accumulate(s, i, (stage + 2) % STAGES)
    _clock_step(s, i, stage)
    clock_loader(s, i, memory)
    clock_rows(s, memory)
    step = s.step
    if s.emission.pending or step.groups or step.drains:
        return False
    return step.valid[stage] == 0 and step.valid[(stage + 3) % STAGES] == 0


@clocked
def _clock_step(s, i, stage):
    """X: take the next load event, drain step or step of the nest, if what it needs is there."""
    step = s.step
    step.valid[stage] = 0
    step.emits[stage] = 0
    step.drain = max(step.drain - 1, 0)
    if step.reloads:
        if row_held(s):
            write_register(s, i, i.iterations - step.reloads)
            use_row(s, i)
            step.reloads -= 1
    elif step.drains:
        if row_held(s):
            _take_drain(s, i, stage)
    elif step.groups:
        _clock_unit(s, i, stage)


@clocked
def _clock_unit(s, i, stage):
    step = s.step
    takes_row = step.streams or (i.reload and step.groups > 1 and _in_last_unit(s, i))
    if (step.loads and not s.loader.held) or (takes_row and not row_held(s)):
        return
    if not step.begun:
        step.j = first_made(s, i)
    following = next_made(s, i, step.j + 1)
    last = following == i.iterations
    emits = _emitted(s, i, last)
    if step.drain and i.emission == Emission.POSITION and (emits or (step.blocks and step.bank == step.drained)):
        return
    _take_step(s, i, stage, emits)
    if step.streams:
        use_row(s, i)
    elif takes_row:
        write_register(s, i, step.j)
        use_row(s, i)
    step.j = following
    step.begun = 1
    if last:
        step.begun = 0
        s.loader.held = 0
        _end_unit(s, i)


@clocked
def _take_step(s, i, stage, emits):
    step = s.step
    multiply(s, i, stage)
    step.valid[stage] = 1
    step.first[stage] = old_values(s, i)
    step.cell[stage] = first_cell(s, i)
    step.number[stage] = step.kernel_row * i.kernel_width + step.kernel_column
    step.row_of[stage] = step.row
    step.column_of[stage] = step.column
    s.counters[0, Event.STEPS] += 1
    step.emits[stage] = emits
    if not emits:
        return
    s.emission.pending += emits
    step.emitted[stage] = emitted_cell(s, i)
    if i.emission == Emission.POSITION:
        step.drain = emits
        step.drained = step.bank
        if masks_by_pixels(i):
            copy(s.cells, Plane.PIXEL, step.mask, stage * MAX_LANES, s.chip.lanes)
    elif s.emission.rows:
        step.target[stage] = step.updated + (step.j if i.emission == Emission.STEP else 0)
        _carry_row(s, stage)


@called
def _take_drain(s, i, stage):
    step = s.step
    step.emits[stage] = 1
    step.emitted[stage] = (i.iterations - step.drains) * s.chip.multipliers
    step.target[stage] = s.rows.row
    s.emission.pending += 1
    _carry_row(s, stage)
    use_row(s, i)
    step.drains -= 1


@clocked
def _carry_row(s, stage):
    copy(s.cells, Plane.ROW, s.step.base, stage * PLANE, s.chip.multipliers)


@clocked
def _drains(s, i):
    """Whether each group ends with rows that its accumulators are emitted to."""
    return i.emission == Emission.END and s.emission.rows and not i.hold


@clocked
def _emitted(s, i, last):
    """Words that the next step completes, or 1 for a row; `last`: it is its unit's last one."""
    step = s.step
    if i.emission == Emission.STEP:
        return 1
    if i.hold or not last or not _in_last_inner_step(s, i):
        return 0
    if i.emission == Emission.ROW:
        return 1
    if i.emission == Emission.POSITION:
        if step.inner != i.inner - 1:
            return 0
        if i.moving == Moving.KERNEL:
            return step.row >= i.pad_top and step.column >= i.pad_left
        return min(s.chip.taps, step.words) if step.blocks else 1
    if s.emission.rows or step.position != step.positions - 1:
        return 0
    return -(-i.iterations // s.chip.lanes) if i.reduction == Reduction.BOTH else 1


@clocked
def _in_last_inner_step(s, i):
    return s.step.kernel_row == i.kernel_height - 1 and s.step.kernel_column == i.kernel_width - 1


@clocked
def _in_last_unit(s, i):
    """Whether the group's last unit is under way."""
    return s.step.position == s.step.positions - 1 and _in_last_inner_step(s, i)


@called
def _end_unit(s, i):
    """Go to the next inner step, position or group."""
    step = s.step
    step.kernel_column += 1
    if step.kernel_column < i.kernel_width:
        return
    step.kernel_column = 0
    step.kernel_row += 1
    if step.kernel_row < i.kernel_height:
        return
    step.kernel_row = 0
    step.updated += 1 if i.emission == Emission.ROW else i.iterations
    if step.position < step.positions - 1:
        _next_position(s, i)
        return
    if _drains(s, i):
        step.drains = i.iterations
    step.groups -= 1
    next_group(step, i)
    _begin_group(s, i)


@clocked
def _begin_group(s, i):
    step = s.step
    step.position = 0
    step.words = i.height * i.width
    step.row = 0
    step.column = 0
    step.bank = 0
    step.tap = 0


@clocked
def _next_position(s, i):
    step = s.step
    step.position += 1
    step.words -= s.chip.taps
    step.column += 1
    if step.column == i.width:
        step.column = 0
        step.row += 1
    step.tap += 1
    if step.blocks or step.tap == s.chip.taps:
        step.tap = 0
        step.bank += 1
        if step.bank == s.chip.banks:
            step.bank = 0
