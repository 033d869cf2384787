"""The walk over blocks: T words or T positions a unit, in accesses of a few neighbours, for each kernel tap."""

from __future__ import annotations

from math import gcd

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Traversal
from rtl.instruction import instruction_layout
from rtl.walker import EXTENT_BITS

TAP_BITS = 4
"""Bits of the number of a row or column of kernel taps."""


def block_move(chip: Chip) -> data.StructLayout:
    """What an access leads to, for those that follow with addresses.

    `count` positions on, or with `row_end` at the next row's start; `unit_end`: to the block's start, for the next
    inner step, with `tap_row` in the next row of taps; with `block_end` to the next block, with `walk_end` to the next
    group.
    """
    return data.StructLayout(
        {
            "count": range(chip.kernel + 1),
            "row_end": 1,
            "unit_end": 1,
            "tap_row": 1,
            "block_end": 1,
            "walk_end": 1,
        }
    )


class BlockWalk(wiring.Component):
    """The next access of a BLOCK or PIXELS walk: `count` positions of a row, for the taps from `tap` on.

    `start` begins, `advance` says that the access is made; `first`: it is the first of its unit, `first_tap`: of inner
    step 0. `move` is what it leads to.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "start": In(1),
                "advance": In(1),
                "tap": Out(range(chip.taps)),
                "count": Out(range(chip.kernel + 1)),
                "first": Out(1),
                "first_tap": Out(1),
                "move": Out(block_move(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute, move, taps = self.compute, self.move, self._chip.taps
        left, block_left = Signal(EXTENT_BITS), Signal(EXTENT_BITS)  # columns to the row's end
        row, block_row = Signal(EXTENT_BITS), Signal(EXTENT_BITS)
        room = Signal(range(taps + 1))
        most = Signal.like(self.count)
        m.d.comb += [
            room.eq(taps - self.tap),
            most.eq(Mux(room < self._reach(m), room, self._reach_now)),
            self.count.eq(Mux(left < most, left, most)),
            self.first.eq(self.tap == 0),
        ]
        last_row = row + 1 == compute.height
        m.d.comb += [
            move.count.eq(self.count),
            move.row_end.eq(self.count == left),
            move.unit_end.eq((self.count == room) | (move.row_end & last_row)),
        ]
        self._step_taps(m)
        m.d.comb += move.walk_end.eq(move.block_end & move.row_end & last_row)
        next_left, next_row = Signal(EXTENT_BITS), Signal(EXTENT_BITS)
        m.d.comb += [
            next_left.eq(Mux(move.row_end, compute.width, left - self.count)),
            next_row.eq(row + move.row_end),
        ]
        with m.If(self.start | (self.advance & move.walk_end)):
            m.d.sync += [left.eq(compute.width), row.eq(0), self.tap.eq(0)]
            m.d.sync += [block_left.eq(compute.width), block_row.eq(0)]
        with m.Elif(self.advance):
            with m.If(move.unit_end & ~move.block_end):
                m.d.sync += [left.eq(block_left), row.eq(block_row), self.tap.eq(0)]
            with m.Else():
                m.d.sync += [left.eq(next_left), row.eq(next_row), self.tap.eq(self.tap + self.count)]
                with m.If(move.unit_end):
                    m.d.sync += [block_left.eq(next_left), block_row.eq(next_row), self.tap.eq(0)]
        return m

    def _reach(self, m: Module) -> Signal:
        """Positions that an access can bring: those whose words lie in different banks."""
        side = self._chip.kernel
        self._reach_now = Signal.like(self.count)
        with m.If(self.compute.traversal == Traversal.BLOCK):
            m.d.comb += self._reach_now.eq(1)
        with m.Else():
            with m.Switch(self.compute.step):
                for step in range(1 << len(self.compute.step)):
                    with m.Case(step):
                        m.d.comb += self._reach_now.eq(side // gcd(step, side))
        return self._reach_now

    def _step_taps(self, m: Module) -> None:
        """The inner step: row and column of the kernel tap."""
        compute, move = self.compute, self.move
        row, column = Signal(TAP_BITS), Signal(TAP_BITS)
        last_column = column + 1 == compute.kernel_width
        m.d.comb += [
            self.first_tap.eq((row == 0) & (column == 0)),
            move.tap_row.eq(last_column),
            move.block_end.eq(move.unit_end & last_column & (row + 1 == compute.kernel_height)),
        ]
        with m.If(self.start | (self.advance & move.block_end)):
            m.d.sync += [row.eq(0), column.eq(0)]
        with m.Elif(self.advance & move.unit_end):
            m.d.sync += [column.eq(Mux(last_column, 0, column + 1)), row.eq(row + last_column)]
