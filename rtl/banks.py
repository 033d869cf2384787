"""Up to K words at equal distances, from as many banks: the places to request, and the words as they arrive."""

from __future__ import annotations

from math import gcd

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from rtl.address import PAIR
from rtl.words import word_of, words_of


class Banks(wiring.Component):
    """Word m lies `extra[m]` places and m * `stride` (0 to K-1) banks behind `first`; a bit of `wanted` asks for it.

    `request` reads the wanted words; in the cycle after it `lines` are those words, and `fill` where none was wanted.
    Words that can lie in one bank may not be wanted together.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        super().__init__(
            {
                "request": In(1),
                "first": In(PAIR),
                "stride": In(range(side)),
                "extra": In(data.ArrayLayout(ROW_BITS, side)),
                "wanted": In(side),
                "fill": In(word_of(chip)),
                "read": Out(side),
                "places": Out(data.ArrayLayout(ROW_BITS, side)),
                "data": In(words_of(chip, side)),
                "lines": Out(words_of(chip, side)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        side = self._chip.kernel
        bank, wanted, arrives = Signal(range(side)), Signal(side), Signal()
        m.d.sync += arrives.eq(self.request)
        with m.If(self.request):
            m.d.sync += [bank.eq(self.first.bank), wanted.eq(self.wanted)]
            with m.Switch(self.stride):
                for stride in range(side):
                    with m.Case(stride):
                        self._ask(m, stride)
        with m.If(arrives):
            m.d.comb += [line.eq(self.fill) for line in self._each(self.lines)]
            with m.Switch(self.stride):
                for stride in range(side):
                    with m.Case(stride):
                        self._take(m, stride, bank, wanted)
        return m

    def _each(self, words):
        return [words[i] for i in range(self._chip.kernel)]

    def _ask(self, m: Module, stride: int) -> None:
        side = self._chip.kernel
        with m.Switch(self.first.bank):
            for first in range(side):
                with m.Case(first):
                    for i in range(side // gcd(stride, side)):
                        bank, carry = (first + i * stride) % side, first + i * stride % side >= side
                        with m.If(self.wanted[i]):
                            m.d.comb += [
                                self.read[bank].eq(1),
                                self.places[bank].eq(self.first.place + self.extra[i] + int(carry)),
                            ]

    def _take(self, m: Module, stride: int, bank: Signal, wanted: Signal) -> None:
        side = self._chip.kernel
        with m.Switch(bank):
            for first in range(side):
                with m.Case(first):
                    for i in range(side // gcd(stride, side)):
                        with m.If(wanted[i]):
                            m.d.comb += self.lines[i].eq(self.data[(first + i * stride) % side])
