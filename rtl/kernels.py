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

    `kernel` is register `select` (the vector is register 0); `bias` is the word `bias_tap` of the bias register.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        count = instruction_layout(Load)["count"].width
        super().__init__(
            {
                "load": In(instruction_layout(Load)),
                "write_row": In(1),
                "row": In(row_of(chip)),
                "write_word": In(1),
                "word": In(word_of(chip)),
                "index": In(count),
                "select": In(range(max(2, chip.kernel_registers))),
                "kernel": Out(row_of(chip)),
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
        m.d.comb += self.bias.eq(biases[self.bias_tap])
        with m.If(self.write_word):
            self._write_word(m, kernels[0])
        with m.If(self.write_row):
            with m.If(load.destination == Destination.BIAS):
                m.d.sync += biases.eq(self.row)
            with m.Elif(load.transpose):
                self._write_transposed(m, kernels)
            with m.Else():
                self._write_plain(m, kernels)
        return m

    def _write_word(self, m: Module, vector) -> None:
        """Tap `index`; with the first word, the taps from `count` on are cleared."""
        for tap in range(self._chip.taps):
            with m.If(self.index == tap):
                m.d.sync += vector[tap].eq(self.word)
            with m.Elif((self.index == 0) & (self.load.count <= tap)):
                m.d.sync += vector[tap].eq(0)

    def _rotated(self, m: Module):
        """The row, its taps reversed if the LOAD says so."""
        row = Signal(row_of(self._chip))
        m.d.comb += row.eq(self.row)
        with m.If(self.load.rotate):
            for tap in range(self._chip.taps):
                m.d.comb += row[tap].eq(self.row[self._chip.taps - 1 - tap])
        return row

    def _write_plain(self, m: Module, kernels: list) -> None:
        row = self._rotated(m)
        with m.Switch(self.index):
            for j, kernel in enumerate(kernels):
                with m.Case(j):
                    m.d.sync += kernel.eq(row)

    def _write_transposed(self, m: Module, kernels: list) -> None:
        """Lane `index` of every register; with the first row, the lanes from `count` on are cleared."""
        row = self._rotated(m)
        for lane in range(self._chip.lanes):
            with m.If(self.index == lane):
                for j, kernel in enumerate(kernels[: self._chip.lanes]):
                    for tap in range(self._chip.taps):
                        m.d.sync += kernel[tap][lane].eq(row[tap][j])
            with m.Elif((self.index == 0) & (self.load.count <= lane)):
                for kernel in kernels:
                    for tap in range(self._chip.taps):
                        m.d.sync += kernel[tap][lane].eq(0)
