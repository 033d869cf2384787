"""The accumulators: banks x T x L cells, added to by steps (A) and read by emission (B)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Reduction
from rtl.multipliers import reduced_signature


class Accumulators(wiring.Component):
    """`add` adds `reduced` to the cells that `reduction` names in `bank`, or replaces them if `first`.

    With BOTH that is cell (`tap`, `lane`), with TAPS all lanes of tap 0, with NONE every cell. `cells` is bank
    `emitted_bank`, read in the same cycle, before what is added in it.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        bank = range(max(2, chip.accumulator_banks))
        super().__init__(
            {
                "add": In(1),
                "first": In(1),
                "reduction": In(2),
                "bank": In(bank),
                "tap": In(range(chip.taps)),
                "lane": In(range(max(2, chip.lanes))),
                "reduced": In(reduced_signature(chip)),
                "emitted_bank": In(bank),
                "cells": Out(signed(chip.accumulator_bits)).array(chip.taps, chip.lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self._chip
        for t in range(chip.taps):
            named = self._named(m, t)
            for lane in range(chip.lanes):
                self._cell(m, t, lane, named[lane])
        return m

    def _named(self, m: Module, t: int) -> Signal:
        """The lanes of tap `t` that are written in this cycle."""
        named = Signal(self._chip.lanes, name=f"named{t}")
        with m.If(self.add):
            with m.Switch(self.reduction):
                with m.Case(Reduction.NONE):
                    m.d.comb += named.eq(-1)
                with m.Case(Reduction.BOTH):
                    with m.If(self.tap == t):
                        m.d.comb += named.eq(1 << self.lane)
                if t == 0:
                    with m.Case(Reduction.TAPS):
                        m.d.comb += named.eq(-1)
        return named

    def _cell(self, m: Module, t: int, lane: int, named) -> None:
        """One cell of every bank: a small memory."""
        depth = max(2, self._chip.accumulator_banks)
        shape = signed(self._chip.accumulator_bits)
        m.submodules[f"cell{t}_{lane}"] = cell = memory.Memory(shape=shape, depth=depth, init=[])
        old, emitted, write = cell.read_port(domain="comb"), cell.read_port(domain="comb"), cell.write_port()
        reduced = self.reduced
        value = Mux(self.reduction == Reduction.NONE, reduced.cells[t][lane], reduced.both)
        if t == 0:
            value = Mux(self.reduction == Reduction.TAPS, reduced.lanes[lane], value)
        term = Signal(shape, name=f"term{t}_{lane}")
        m.d.comb += [
            old.addr.eq(self.bank),
            term.eq(value),
            write.addr.eq(self.bank),
            write.data.eq(Mux(self.first, 0, old.data) + term),
            write.en.eq(named),
            emitted.addr.eq(self.emitted_bank),
            self.cells[t][lane].eq(emitted.data),
        ]
