"""A scatter's walk: which accumulators the K x K outputs around a position have, and which output a position ends."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute
from rtl.instruction import instruction_layout, scatters
from rtl.walker import EXTENT_BITS


def scatter_layout(chip: Chip) -> data.StructLayout:
    """A position's row and column modulo K, and whether it is in the first row, in the first column."""
    side = range(chip.kernel)
    return data.StructLayout({"row": side, "column": side, "top": 1, "left": 1})


class ScatterWalk(wiring.Component):
    """Positions in raster order; `start` begins, `advance` goes on. `cells` is the position.

    Its last output is in `tap` of `bank`; `emits`: that output is emitted.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "start": In(1),
                "advance": In(1),
                "cells": Out(scatter_layout(chip)),
                "bank": Out(range(max(2, chip.accumulator_banks))),
                "tap": Out(range(chip.taps)),
                "emits": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute, cells, side = self.compute, self.cells, self._chip.kernel
        row, column = Signal(EXTENT_BITS), Signal(EXTENT_BITS)
        within_row, within_column = Signal(range(side)), Signal(range(side))
        edge = column + 1 == compute.width
        last = edge & (row + 1 == compute.height)
        m.d.comb += [
            cells.row.eq(within_row),
            cells.column.eq(within_column),
            cells.top.eq(row == 0),
            cells.left.eq(column == 0),
            self.tap.eq(cells.row * side + cells.column),
            self.emits.eq((row >= compute.pad_top) & (column >= compute.pad_left)),
        ]
        with m.If(self.start | (self.advance & last)):
            m.d.sync += [row.eq(0), column.eq(0), within_row.eq(0), within_column.eq(0), self.bank.eq(0)]
        with m.Elif(self.advance & scatters(compute)):
            with m.If(edge):
                m.d.sync += [row.eq(row + 1), column.eq(0), within_column.eq(0), self.bank.eq(0)]
                m.d.sync += within_row.eq(Mux(within_row == side - 1, 0, within_row + 1))
            with m.Else():
                m.d.sync += column.eq(column + 1)
                with m.If(within_column == side - 1):
                    m.d.sync += [within_column.eq(0), self.bank.eq(self.bank + 1)]
                with m.Else():
                    m.d.sync += within_column.eq(within_column + 1)
        return m
