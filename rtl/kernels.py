"""The kernel file (`kernel_registers` registers of T x L elements) and the bias register."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Destination, Load
from rtl.instruction import instruction_layout
from rtl.words import row_of, word_of


class KernelFile(wiring.Component):
    """Filled by LOAD: `write_row` puts row number `index` in, `write_word` word number `index` of the vector.

    `reload` replaces register `select` with the row, its taps reversed with `reload_rotate`. `kernel` is register
    `select`, `vector` is register 0; `bias` is the word `bias_tap` of the bias register.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        count = instruction_layout(Load)["count"].width
        super().__init__(
            {
                "load": In(instruction_layout(Load)),
                "write_row": In(1),
                "row": In(row_of(chip)),
                "reload": In(1),
                "reload_rotate": In(1),
                "write_word": In(1),
                "word": In(word_of(chip)),
                "index": In(count),
                "select": In(range(max(2, chip.kernel_registers))),
                "kernel": Out(row_of(chip)),
                "vector": Out(row_of(chip)),
                "bias_tap": In(range(chip.taps)),
                "bias": Out(word_of(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, load = self._chip, self.load
        kernels = [Signal(row_of(chip), name=f"kernel{j}") for j in range(chip.kernel_registers)]
        biases = Signal(row_of(chip))
        with m.Switch(self.select):
            for j, kernel in enumerate(kernels):
                with m.Case(j):
                    m.d.comb += self.kernel.eq(kernel)
        m.d.comb += [self.bias.eq(biases[self.bias_tap]), self.vector.eq(kernels[0])]
        with m.If(self.write_word):
            self._write_word(m, kernels[0])
        with m.If(self.write_row):
            with m.If(load.destination == Destination.BIAS):
                m.d.sync += biases.eq(self.row)
            with m.Elif(load.transpose):
                self._write_transposed(m, kernels)
            with m.Else():
                self._write(m, kernels, self.index, self._rotated(m, load.rotate))
        with m.If(self.reload):
            self._write(m, kernels, self.select, self._rotated(m, self.reload_rotate))
        return m

    def _write_word(self, m: Module, vector) -> None:
        """Tap `index`; with the first word, the taps from `count` on are cleared."""
        for tap in range(self._chip.taps):
            with m.If(self.index == tap):
                m.d.sync += vector[tap].eq(self.word)
            with m.Elif((self.index == 0) & (self.load.count <= tap)):
                m.d.sync += vector[tap].eq(0)

    def _rotated(self, m: Module, rotate):
        """The row, its taps reversed if `rotate`."""
        row = Signal(row_of(self._chip))
        m.d.comb += row.eq(self.row)
        with m.If(rotate):
            for tap in range(self._chip.taps):
                m.d.comb += row[tap].eq(self.row[self._chip.taps - 1 - tap])
        return row

    def _write(self, m: Module, kernels: list, number, row) -> None:
        with m.Switch(number):
            for j, kernel in enumerate(kernels):
                with m.Case(j):
                    m.d.sync += kernel.eq(row)

    def _write_transposed(self, m: Module, kernels: list) -> None:
        """Lane `index` of every register; with the first row, the lanes from `count` on are cleared."""
        row = self._rotated(m, self.load.rotate)
        for lane in range(self._chip.lanes):
            with m.If(self.index == lane):
                for j, kernel in enumerate(kernels[: self._chip.lanes]):
                    for tap in range(self._chip.taps):
                        m.d.sync += kernel[tap][lane].eq(row[tap][j])
            with m.Elif((self.index == 0) & (self.load.count <= lane)):
                for kernel in kernels:
                    for tap in range(self._chip.taps):
                        m.d.sync += kernel[tap][lane].eq(0)
