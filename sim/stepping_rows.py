"""The row fetcher: rows of the weight memory in sequence, `beats` cycles each, one held at most."""

from __future__ import annotations

from arch.events import Event
from sim.stepping_cells import clocked, copy
from sim.stepping_state import Plane


@clocked
def prepare_rows(s, row, count):
    """Stand before `row`, with `count` rows to fetch."""
    s.rows.row = row
    s.rows.left = count
    s.rows.beat = 0


@clocked
def row_held(s):
    """Whether a row's last beat was requested in an earlier cycle."""
    return s.rows.left > 0 and s.rows.beat == s.chip.beats


@clocked
def use_row(s):
    """Let go of the row that is held; the next one may be requested in this cycle."""
    s.rows.beat = 0
    s.rows.row += 1
    s.rows.left -= 1


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
