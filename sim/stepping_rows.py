"""The row fetcher: rows of the weight memory in sequence, `beats` cycles each, one held at most."""

from __future__ import annotations

from arch.events import Event
from arch.fields import ROW_BITS
from sim.stepping_cells import called, clocked, copy
from sim.stepping_skip import first_made, next_made
from sim.stepping_state import Order, Plane

_LAST_ROW = (1 << ROW_BITS) - 1


@called
def prepare_rows(s, i, order, runs, count):
    """Stand before `runs` runs of `count` rows, the first one from row `i.row` on; `s` are the machine's registers."""
    rows = s.rows
    rows.order = order
    rows.left = runs
    rows.count = count
    rows.outer = 0
    rows.inner = 0
    rows.first = i.row
    rows.j = _first(s, i)
    rows.row = _row(s, i)
    rows.beat = 0


@clocked
def row_held(s):
    """Whether a row's last beat was requested in an earlier cycle."""
    return s.rows.left > 0 and s.rows.beat == s.chip.beats


@called
def use_row(s, i):
    """Let go of the row that is held; the next one may be requested in this cycle."""
    rows = s.rows
    rows.beat = 0
    rows.j += 1
    if rows.order == Order.CONSECUTIVE and i.skip:
        rows.j = next_made(s, i, rows.j)
    if rows.j == rows.count:
        _next_run(s, i)
        rows.j = _first(s, i)
    rows.row = _row(s, i)


@clocked
def clock_rows(s, memory):
    """Request a beat, unless the memory is being written."""
    rows = s.rows
    if rows.left == 0 or rows.beat == s.chip.beats or s.ports.row >= 0:
        return
    first = rows.beat * s.chip.weight_banks
    words = min(s.chip.weight_banks, s.chip.taps - first)
    start = first * s.chip.lanes
    place = rows.row * s.chip.multipliers + start
    copy(memory.rows, place, s.cells, Plane.ROW + start, words * s.chip.lanes)
    s.counters[0, Event.WEIGHT_READS] += words
    rows.beat += 1


@clocked
def _first(s, i):
    """Iteration of a run's first row; rows of kernels and of drains are not skipped."""
    return first_made(s, i) if s.rows.order == Order.CONSECUTIVE else 0


@clocked
def _row(s, i):
    rows = s.rows
    if rows.order == Order.STRIDED:
        return rows.first + rows.j * i.row_inner & _LAST_ROW
    return rows.first + rows.j


@clocked
def _next_run(s, i):
    rows = s.rows
    rows.left -= 1
    if rows.order == Order.CONSECUTIVE:
        rows.first += rows.count
    elif rows.order == Order.STRIDED:
        rows.first += 1
    else:
        rows.inner += 1
        if rows.inner == i.inner:
            rows.inner = 0
            rows.outer += 1
        rows.first = i.row + rows.outer * i.row_outer + rows.inner * i.row_inner
