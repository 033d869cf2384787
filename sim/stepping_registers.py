"""LOAD: rows of the weight memory into the kernel file or the bias register, or words of a map into the vector."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Destination
from sim.stepping_cells import called, clocked, copy, fill
from sim.stepping_rows import clock_rows, prepare_rows, row_held, use_row
from sim.stepping_state import Order, Plane


@called
def prepare_load(s, i):
    """Stand before cycle 0 of LOAD `i`; `s` are the machine's registers."""
    if i.destination == Destination.VECTOR:
        s.loader.access = 0
    else:
        prepare_rows(s, i, Order.CONSECUTIVE, i.count, 1)


@called
def clock_load(s, i, memory):
    """One cycle of LOAD; True in the last one."""
    if i.destination == Destination.VECTOR:
        return _clock_vector(s, i, memory)
    if row_held(s):
        if i.destination == Destination.BIAS:
            copy(s.cells, Plane.ROW, s.bias, 0, s.chip.multipliers)
            s.counters[0, Event.REGISTER_WORDS] += s.chip.taps
        elif i.transpose:
            _write_lane(s, i)
        else:
            write_register(s, i, i.count - s.rows.left)
        use_row(s, i)
    clock_rows(s, memory)
    return s.rows.left == 0


@clocked
def _clock_vector(s, i, memory):
    """Write the word that stands on the port, request the next one."""
    loader = s.loader
    lanes = s.chip.lanes
    if loader.access:
        word = loader.access - 1
        copy(loader.shadow, 0, s.cells, Plane.KERNEL + word * lanes, lanes)
        if word == 0:
            fill(s.cells, Plane.KERNEL + i.count * lanes, s.chip.multipliers - i.count * lanes, 0)
        s.counters[0, Event.REGISTER_WORDS] += 1
    if loader.access == i.count:
        return True
    place = i.space * s.chip.feature_words + i.source + loader.access
    copy(memory.words, place * lanes, loader.shadow, 0, lanes)
    s.counters[0, Event.GRADIENT_READS if i.space else Event.FEATURE_READS] += 1
    loader.access += 1
    return False


@called
def write_register(s, i, register):
    """The row that is held into a kernel register, its taps reversed if `i.rotate`."""
    lanes = s.chip.lanes
    place = Plane.KERNEL + register * s.chip.multipliers
    for tap in range(s.chip.taps):
        copy(s.cells, Plane.ROW + _word_of(s, i, tap) * lanes, s.cells, place + tap * lanes, lanes)
    s.counters[0, Event.REGISTER_WORDS] += s.chip.taps


@clocked
def _word_of(s, i, tap):
    return s.chip.taps - 1 - tap if i.rotate else tap


@called
def _write_lane(s, i):
    lanes = s.chip.lanes
    number = i.count - s.rows.left
    for register in range(s.chip.registers):
        for tap in range(s.chip.taps):
            cell = Plane.KERNEL + register * s.chip.multipliers + tap * lanes
            if register < lanes:
                s.cells[cell + number] = s.cells[Plane.ROW + _word_of(s, i, tap) * lanes + register]
            if number == 0:
                fill(s.cells, cell + i.count, lanes - i.count, 0)
    s.counters[0, Event.REGISTER_WORDS] += s.chip.taps
