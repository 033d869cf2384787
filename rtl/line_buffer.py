"""The line buffer: the last K - 1 rows of the map under the window, by column, so that each word is read once."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from rtl.words import words_of


class LineBuffer(wiring.Component):
    """Gives a column's upper K - 1 words and takes it back a row higher, in one memory of a read and a write port.

    `request`: `column` of the map, below `line_words`, is asked for, in the `first` row of positions or a later one.
    In the cycle after it `brought` are the words that come from the map's memory; `lines` are the column's K words,
    the upper ones from the buffer but in the first row, and the lower K - 1 are written. Columns follow one another,
    so what is read in the cycle of a write is another one.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        super().__init__(
            {
                "request": In(1),
                "first": In(1),
                "column": In(range(chip.line_words)),
                "brought": In(words_of(chip, side)),
                "lines": Out(words_of(chip, side)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, above = self._chip, self._chip.kernel - 1
        m.submodules.cells = cells = memory.Memory(shape=words_of(chip, above), depth=chip.line_words, init=[])
        read, write = cells.read_port(), cells.write_port()
        column = Signal.like(self.column)
        arrives, kept = Signal(name="arrives"), Signal(name="kept")
        m.d.sync += [arrives.eq(self.request), kept.eq(self.request & ~self.first)]
        with m.If(self.request):
            m.d.sync += column.eq(self.column)
        m.d.comb += [
            read.addr.eq(self.column),
            read.en.eq(self.request & ~self.first),
            self.lines.eq(self.brought),
            write.addr.eq(column),
            write.en.eq(arrives),
            write.data.eq(self._shifted()),
        ]
        with m.If(kept):
            m.d.comb += [self.lines[row].eq(read.data[row]) for row in range(above)]
        return m

    def _shifted(self) -> Value:
        """The column as it is kept, a row higher: without its uppermost word."""
        return Cat(*(self.lines[row] for row in range(1, self._chip.kernel)))
