"""The row fetcher: weight rows in the order of their use, one held at most."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import Compute, Emission
from rtl.instruction import instruction_layout, streams_rows
from rtl.walker import Groups
from rtl.words import row_of, words_of


class RowFetcher(wiring.Component):
    """Reads rows from the row `first` on, a beat of B words a cycle.

    `start` with `enable` opens the first row; `consume` uses the row of this cycle, and with `more` the first beat of
    row `next` is requested at once. `blocked` holds a beat back. `row`, row number `number`, is good while `ready`; the
    last beat's data is used as it arrives. `read` requests `beat` (0 to R-1) of a row, at `place` of every bank.
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
                "next": In(ROW_BITS),
                "blocked": In(1),
                "read": Out(1),
                "beat": Out(range(max(2, chip.row_beats))),
                "place": Out(ROW_BITS),
                "data": In(words_of(chip, chip.weight_memory.banks)),
                "row": Out(row_of(chip)),
                "number": Out(ROW_BITS),
                "ready": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beats, banks = self._chip.row_beats, self._chip.weight_memory.banks
        opened, moves = Signal(), Signal()
        last_beat = Signal()
        m.d.comb += [
            moves.eq(self.consume & self.more),
            last_beat.eq(self.beat == beats - 1),
            self.read.eq((opened | moves) & ~self.blocked),
            self.place.eq(Mux(moves, self.next, self.number) * beats + self.beat),
        ]
        with m.If(self.start):
            m.d.sync += [opened.eq(self.enable), self.beat.eq(0), self.number.eq(self.first)]
        with m.Else():
            with m.If(self.read):
                m.d.sync += [self.beat.eq(Mux(last_beat, 0, self.beat + 1)), opened.eq(~last_beat)]
            with m.Elif(moves):
                m.d.sync += opened.eq(1)
            with m.If(moves):
                m.d.sync += self.number.eq(self.next)
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


class RowWalk(wiring.Component):
    """The order of a COMPUTE's rows: `next` is the row after the one that is used, and `more` that there is one.

    `start` begins; `consume` uses a row. Rows of a stream lie `ahead` apart, and with emission ROW a row an iteration,
    `last_iteration` the last one of its position; those of groups lie in blocks of `iterations`.
    """

    def __init__(self):
        compute = instruction_layout(Compute)
        bits = compute["iterations"].width
        super().__init__(
            {
                "compute": In(compute),
                "start": In(1),
                "consume": In(1),
                "number": In(ROW_BITS),
                "ahead": In(bits),
                "last_iteration": In(1),
                "final": In(1),
                "next": Out(ROW_BITS),
                "more": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        iteration = Signal.like(compute.iterations)
        outer, inner = Signal(ROW_BITS), Signal(ROW_BITS)  # of an outer group, of a group (or a position) the first row
        m.submodules.groups = groups = Groups()
        last = iteration + 1 == compute.iterations
        streams, by_position = streams_rows(compute), compute.emission == Emission.ROW
        next_inner = Signal(ROW_BITS)
        m.d.comb += [
            groups.start.eq(self.start),
            groups.advance.eq(self.consume & last),
            groups.outer.eq(compute.outer),
            groups.inner.eq(compute.inner),
            next_inner.eq(
                Mux(
                    by_position,
                    inner + 1,
                    Mux(groups.last_inner, outer + compute.row_outer, inner + compute.row_inner),
                )
            ),
        ]
        with m.If(by_position):
            m.d.comb += self.next.eq(Mux(self.last_iteration, next_inner, self.number + compute.row_inner))
        with m.Elif(streams):
            m.d.comb += self.next.eq(self.number + self.ahead)
        with m.Else():
            m.d.comb += self.next.eq(Mux(last, next_inner, self.number + 1))
        m.d.comb += self.more.eq(Mux(streams, ~self.final, ~(last & groups.last)))
        with m.If(self.start):
            m.d.sync += [iteration.eq(0), outer.eq(compute.row), inner.eq(compute.row)]
        with m.Elif(self.consume):
            m.d.sync += iteration.eq(Mux(last, 0, iteration + 1))
            with m.If(Mux(by_position, self.last_iteration, last)):
                m.d.sync += inner.eq(next_inner)
                with m.If(groups.last_inner):
                    m.d.sync += outer.eq(next_inner)
        return m
