"""The accumulators: banks x T x L cells, added to by steps (A) and read by emission (B)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Reduction
from arch.modes import CELL_INDEX_BITS
from rtl.instruction import drains_rows, instruction_layout, keeps_largest, scatters
from rtl.step import step_layout
from rtl.words import reduced_bits


class Accumulators(wiring.Component):
    """`add` adds `reduced` to the cells that `step` and the reduction name, or replaces them if `step.first`.

    With BOTH that is cell (`step.tap`, `step.lane`), with TAPS all lanes of that tap, with LANES that lane of all taps,
    else every cell. A cell that keeps the largest product has below it the ones' complement of the inner step's number.
    `cells` is bank `emitted_bank`, read in the same cycle, before what is added in it.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "add": In(1),
                "step": In(step_layout(chip)),
                "reduced": In(signed(reduced_bits(chip))).array(chip.taps, chip.lanes),
                "emitted_bank": In(range(max(2, chip.accumulator_banks))),
                "cells": Out(signed(chip.accumulator_bits)).array(chip.taps, chip.lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self._chip
        self._largest = Signal()
        m.d.comb += self._largest.eq(keeps_largest(self.compute))
        self._banks: list[Signal] = []
        self._firsts: list[Value] = []
        self._spread(m)
        for t in range(chip.taps):
            named, cleared = self._named(m, t)
            for lane in range(chip.lanes):
                self._cell(m, t, lane, named[lane], cleared)
        return m

    def _spread(self, m: Module) -> None:
        """Each column's bank, and each tap's `first`: a scatter's outputs lie in two banks, and few of them are new."""
        side, step = self._chip.kernel, self.step
        place = step.scatter
        scatter = scatters(self.compute)
        for column in range(side):
            bank = Signal.like(step.bank, name=f"bank{column}")
            m.d.comb += bank.eq(step.bank)
            with m.If(scatter & (place.column > column)):
                m.d.comb += bank.eq(step.bank + 1)
            self._banks.append(bank)
        new = Signal(side * side)
        with m.If(scatter):
            for tap in range(side * side):
                row, column = divmod(tap, side)
                lowest = place.top | (place.row == (row + 1) % side)
                rightmost = place.left | (place.column == (column + 1) % side)
                m.d.comb += new[tap].eq(step.first & lowest & rightmost)
        with m.Else():
            m.d.comb += new.eq(step.first.replicate(side * side))
        self._firsts = list(new)

    def _named(self, m: Module, t: int) -> tuple[Signal, Signal]:
        """The lanes of tap `t` that are written in this cycle; whether they become 0."""
        compute, step = self.compute, self.step
        named, cleared = Signal(self._chip.lanes, name=f"named{t}"), Signal(name=f"cleared{t}")
        here = step.tap == t
        with m.If(self.add):
            m.d.comb += cleared.eq(step.clear)
            with m.Switch(compute.reduction):
                with m.Case(Reduction.BOTH):
                    with m.If(here):
                        m.d.comb += named.eq(1 << step.lane)
                with m.Case(Reduction.TAPS):
                    with m.If(here):
                        m.d.comb += named.eq(-1)
                    with m.Elif(step.first & drains_rows(compute)):
                        m.d.comb += [named.eq(-1), cleared.eq(1)]
                with m.Case(Reduction.LANES):
                    m.d.comb += named.eq(1 << step.lane)
                with m.Default():
                    m.d.comb += named.eq(-1)
        return named, cleared

    def _cell(self, m: Module, t: int, lane: int, named, cleared) -> None:
        """One cell of every bank: a small memory.

        What is written is one expression, which a simulator passes over where nothing is.
        """
        depth = max(2, self._chip.accumulator_banks)
        shape = signed(self._chip.accumulator_bits)
        m.submodules[f"cell{t}_{lane}"] = cell = memory.Memory(shape=shape, depth=depth, init=[])
        old, rival, emitted = (cell.read_port(domain="comb") for _ in range(3))
        write = cell.write_port()
        bank, first = self._banks[t % self._chip.kernel], self._firsts[t]
        stays = Signal(name=f"stays{t}_{lane}")
        with m.If(self._largest & ~first):
            m.d.comb += stays.eq(rival.data > self._numbered(t, lane))
        m.d.comb += [
            old.addr.eq(bank),
            rival.addr.eq(bank),
            write.addr.eq(bank),
            write.data.eq(Mux(first | self._largest, 0, old.data) + Mux(cleared, 0, self._term(t, lane))),
            write.en.eq(named & ~stays),
            emitted.addr.eq(self.emitted_bank),
            self.cells[t][lane].eq(emitted.data),
        ]

    def _term(self, t: int, lane: int) -> Value:
        """What is added to the cell, or may replace it."""
        reduction, sums = self.compute.reduction, self.reduced
        over_taps = (reduction == Reduction.TAPS) | (reduction == Reduction.BOTH)
        over_lanes = (reduction == Reduction.LANES) | (reduction == Reduction.BOTH)
        one = Mux(over_taps, Mux(over_lanes, sums[0][0], sums[0][lane]), Mux(over_lanes, sums[t][0], sums[t][lane]))
        return Mux(self._largest, self._numbered(t, lane), one)

    def _numbered(self, t: int, lane: int) -> Value:
        """The product above the inner step's number, so that of equal products the first one is the largest."""
        product = self.reduced[t][lane]
        return Cat(~self.step.index, product[: len(product) - CELL_INDEX_BITS]).as_signed()
