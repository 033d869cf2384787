"""The inner steps of a position, and the kernel tap of each."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.isa import Compute
from arch.modes import CELL_INDEX_BITS
from rtl.block_walk import TAP_BITS
from rtl.instruction import instruction_layout

_TAP = instruction_layout(Compute)["tap"].width


class KernelTaps(wiring.Component):
    """Inner step number `index` and its kernel tap u; `start` begins, `advance` goes on, from `last` to `first`.

    `group_end`: the advance begins another group, with `outer_end` another outer one.
    """

    def __init__(self):
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "start": In(1),
                "advance": In(1),
                "group_end": In(1),
                "outer_end": In(1),
                "index": Out(CELL_INDEX_BITS),
                "tap": Out(_TAP),
                "first": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        row, column = Signal(TAP_BITS), Signal(TAP_BITS)
        tap_row, tap_outer = Signal(_TAP), Signal(_TAP)  # the taps of the row's, the group's first inner step
        next_outer, next_row = Signal(_TAP), Signal(_TAP)
        last_column = column + 1 == compute.kernel_width
        m.d.comb += [
            self.first.eq((row == 0) & (column == 0)),
            self.last.eq(last_column & (row + 1 == compute.kernel_height)),
            next_outer.eq(tap_outer + Mux(self.group_end & self.outer_end, compute.tap_outer, 0)),
            next_row.eq(tap_row + compute.tap_row),
        ]
        with m.If(self.start):
            m.d.sync += [row.eq(0), column.eq(0), self.index.eq(0)]
            m.d.sync += [register.eq(compute.tap) for register in (self.tap, tap_row, tap_outer)]
        with m.Elif(self.advance):
            with m.If(self.last):
                m.d.sync += [row.eq(0), column.eq(0), self.index.eq(0)]
                m.d.sync += [register.eq(next_outer) for register in (self.tap, tap_row, tap_outer)]
            with m.Else():
                m.d.sync += self.index.eq(self.index + 1)
                with m.If(last_column):
                    m.d.sync += [row.eq(row + 1), column.eq(0), self.tap.eq(next_row), tap_row.eq(next_row)]
                with m.Else():
                    m.d.sync += [column.eq(column + 1), self.tap.eq(self.tap + compute.tap_column)]
        return m
