"""The row fetcher: weight rows in sequence, one held at most."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from rtl.words import row_of, words_of


class RowFetcher(wiring.Component):
    """Reads rows from the row `first` on, a beat of B words a cycle.

    `start` with `enable` opens the first row; `consume` uses the row of this cycle, and with `more` its successor's
    first beat is requested at once. `blocked` holds a beat back. `row` is good while `ready`; the last beat's data is
    used as it arrives. `read` requests `beat` (0 to R-1) of a row, at `place` of every bank.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "first": In(ROW_BITS),
                "consume": In(1),
                "more": In(1),
                "blocked": In(1),
                "read": Out(1),
                "beat": Out(range(max(2, chip.row_beats))),
                "place": Out(ROW_BITS),
                "data": In(words_of(chip, chip.weight_memory.banks)),
                "row": Out(row_of(chip)),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beats, banks = self._chip.row_beats, self._chip.weight_memory.banks
        opened = Signal()
        last_beat = Signal()
        m.d.comb += [
            last_beat.eq(self.beat == beats - 1),
            self.read.eq((opened | (self.consume & self.more)) & ~self.blocked),
        ]
        with m.If(self.start):
            m.d.sync += [opened.eq(self.enable), self.beat.eq(0), self.place.eq(self.first * beats)]
        with m.Elif(self.read):
            m.d.sync += [
                self.place.eq(self.place + 1),
                self.beat.eq(Mux(last_beat, 0, self.beat + 1)),
                opened.eq(~last_beat),
            ]
        with m.Elif(self.consume & self.more):
            m.d.sync += opened.eq(1)
        arrives, held = Signal(), Signal()
        arriving_beat = Signal.like(self.beat)
        store = Signal(row_of(self._chip), reset_less=True)
        m.d.sync += arrives.eq(self.read & ~self.start)
        with m.If(self.read):
            m.d.sync += arriving_beat.eq(self.beat)
        m.d.comb += self.row.eq(store)
        with m.If(arrives):
            m.d.sync += store.eq(self.row)
            with m.Switch(arriving_beat):
                for beat in range(beats):
                    with m.Case(beat):
                        for tap in range(beat * banks, min((beat + 1) * banks, self._chip.taps)):
                            m.d.comb += self.row[tap].eq(self.data[tap % banks])
        m.d.comb += self.ready.eq(held | (arrives & (arriving_beat == beats - 1)))
        m.d.sync += held.eq(self.ready & ~self.consume & ~self.start)
        return m
