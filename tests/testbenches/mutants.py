"""Bugs planted in the RTL, all in one build: a bus write to `SELECT` says which one is there.

Each replaces a piece of a component by one that is wrong while the selection holds its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal

import rtl.array_engine
import rtl.counters
import rtl.line_buffer
import rtl.multipliers
import rtl.sequencer
import rtl.window_walk
import rtl.writeback
from arch.chip import Chip
from arch.events import Event
from rtl.chip import TinyCL
from rtl.verilog import to_verilog
from testbenches.bench import CHIP_TOP

SELECT = 0xFF << 24
"""A byte address that nothing else answers to."""
ROUNDING, PADDING, TOKEN, COUNTER, ABORT, ZERO, LINES = range(1, 8)


class Mutant(TinyCL):
    """The chip with a register that selects a bug."""

    def __init__(self, chip: Chip, selected: Signal):
        self._selected = selected
        super().__init__(chip)

    def elaborate(self, platform):
        m: Module = super().elaborate(platform)
        bus = self.bus
        with m.If(bus.cyc & bus.stb & bus.we & (bus.adr[22:] == SELECT >> 24)):
            m.d.sync += self._selected.eq(bus.dat_w)
        return m


@contextmanager
def _planted(selected: Signal) -> Iterator[None]:
    """The components with their bugs."""

    def on(number: int):
        return selected == number

    rounded, inside = rtl.writeback.rounded, rtl.window_walk.WindowWalk._inside
    waiting, elaborate = rtl.sequencer.Sequencer._waiting, rtl.counters.Counters.elaborate
    count_zeros = rtl.multipliers.Multipliers._count_zeros
    shifted = rtl.line_buffer.LineBuffer._shifted

    def wrong_rounding(m, chip, value, *rest):
        """Negative sums are rounded one up."""
        result = rounded(m, chip, value, *rest)
        return (result + (on(ROUNDING) & result[-1])).as_signed()

    def wrong_padding(self, m):
        """The first word of a window's access is read where it is padding too."""
        return inside(self, m) | on(PADDING)

    def wrong_waiting(self, m, takes, header):
        """No token is waited for."""
        return Mux(on(TOKEN), 0, waiting(self, m, takes, header))

    def wrong_counter(self, platform):
        """A row's lost updates are counted as saturations."""
        m = elaborate(self, platform)
        lost, count = self.amounts[Event.LOST_UPDATES.name], self.counts[Event.SATURATIONS]
        with m.If(on(COUNTER) & (lost != 0) & ~self.clear):
            m.d.sync += count.eq(count + lost)
        return m

    def wrong_zeros(self, m, moving, stationary):
        """Only the stationary operand is looked at."""
        looked_at = Signal.like(moving)
        m.d.comb += looked_at.eq(moving)
        with m.If(on(ZERO)):
            m.d.comb += looked_at.eq(stationary)
        count_zeros(self, m, looked_at, stationary)

    def wrong_lines(self):
        """A column stays in the lines that it came from."""
        return Mux(on(LINES), Cat(self.lines)[: len(shifted(self))], shifted(self))

    with (
        patch.object(rtl.writeback, "rounded", wrong_rounding),
        patch.object(rtl.window_walk.WindowWalk, "_inside", wrong_padding),
        patch.object(rtl.sequencer.Sequencer, "_waiting", wrong_waiting),
        patch.object(rtl.counters.Counters, "elaborate", wrong_counter),
        patch.object(rtl.multipliers.Multipliers, "_count_zeros", wrong_zeros),
        patch.object(rtl.line_buffer.LineBuffer, "_shifted", wrong_lines),
        # an abort leaves suppliers and nest as they are
        patch.object(rtl.array_engine, "ResetInserter", lambda abort: ResetInserter(abort & ~on(ABORT))),
    ):
        yield


def mutant_verilog(chip: Chip) -> str:
    """The Verilog of the chip with all bugs in it, none selected at first; a reset selects no other."""
    selected = Signal(4, reset_less=True)
    with _planted(selected):
        return to_verilog(Mutant(chip, selected), name=CHIP_TOP)
