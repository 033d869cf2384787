"""LOAD: rows to the kernel file or the bias register, words to the vector."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Destination, Load
from rtl.address import PAIR, incremented
from rtl.instruction import instruction_layout


class Fill(wiring.Component):
    """Paces a LOAD: `begin` starts `load`, `done` is its last write.

    Rows are consumed from the row fetcher as they are ready; words are requested one a cycle and written as they
    arrive. `index` counts what is written.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        layout = instruction_layout(Load)
        super().__init__(
            {
                "begin": In(1),
                "load": In(layout),
                "row_ready": In(1),
                "write_row": Out(1),
                "more": Out(1),
                "read": Out(1),
                "address": Out(PAIR),
                "write_word": Out(1),
                "arriving_bank": Out(range(chip.kernel)),
                "index": Out(layout["count"].width),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        active, vector, last = Signal(), Signal(), Signal()
        requested = Signal.like(self.index)
        m.d.comb += [
            vector.eq(self.load.destination == Destination.VECTOR),
            last.eq(self.index + 1 == self.load.count),
            self.more.eq(~last),
            self.write_row.eq(active & ~vector & self.row_ready),
            self.read.eq(active & vector & (requested != self.load.count)),
            self.done.eq((self.write_row | self.write_word) & last),
        ]
        m.d.sync += self.write_word.eq(self.read)
        with m.If(self.begin):
            m.d.sync += [active.eq(1), self.index.eq(0), requested.eq(0), self.address.eq(self.load.source)]
        with m.Else():
            with m.If(self.write_row | self.write_word):
                m.d.sync += self.index.eq(self.index + 1)
            with m.If(self.done):
                m.d.sync += active.eq(0)
            with m.If(self.read):
                m.d.sync += [
                    requested.eq(requested + 1),
                    self.arriving_bank.eq(self.address.bank),
                    self.address.eq(incremented(self.address, self._chip.kernel)),
                ]
        return m
