"""The words of a block walk's access in one map: addresses that follow the walk, and which words are padding."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from rtl.address import PAIR, chosen, plus
from rtl.block_walk import block_move
from rtl.walker import EXTENT_BITS

STEP_BITS = 3
_COORDINATE = signed(EXTENT_BITS + STEP_BITS + 2)


def grid(chip: Chip) -> data.StructLayout:
    """How a walk's positions and taps lie in a map, as distances: all stay from the cycle after `start` on.

    `step`: words from a position to the next; `row`: to the next row's; `tap_row`, `tap_column`: to the next tap's.
    """
    return data.StructLayout({"step": STEP_BITS, "row": PAIR, "tap_row": PAIR, "tap_column": PAIR})


class Gather(wiring.Component):
    """With `advance`, pair `address` is the access's first word; `start` takes `corner`, as a group's last access does.

    Word m lies `extra[m]` places and m * `stride` banks behind it.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "move": In(block_move(chip)),
                "corner": In(PAIR),
                "grid": In(grid(chip)),
                "address": Out(PAIR),
                "stride": Out(range(side)),
                "extra": Out(data.ArrayLayout(ROW_BITS, side)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        side, move, grid = self._chip.kernel, self.move, self.grid
        ahead = self._multiples(m)
        # Of inner step 0: the access, the start of its row, and both for the block's first access.
        here, row, block, block_row = (Signal(PAIR, name=name) for name in ("here", "row", "block", "block_row"))
        following, following_row = Signal(PAIR), Signal(PAIR)
        tap, tap_row, next_tap_row = Signal(PAIR), Signal(PAIR), Signal(PAIR)
        with m.If(self.advance):
            m.d.comb += [
                self.address.eq(plus(here, tap, side)),
                following_row.eq(chosen(move.row_end, plus(row, grid.row, side), row)),
                following.eq(chosen(move.row_end, following_row, plus(here, ahead, side))),
                next_tap_row.eq(plus(tap_row, grid.tap_row, side)),
            ]
        with m.If(self.start | (self.advance & move.walk_end)):
            m.d.sync += [register.eq(self.corner) for register in (here, row, block, block_row)]
        with m.Elif(self.advance):
            with m.If(move.unit_end & ~move.block_end):
                m.d.sync += [here.eq(block), row.eq(block_row)]
            with m.Else():
                m.d.sync += [here.eq(following), row.eq(following_row)]
            with m.If(move.block_end):
                m.d.sync += [block.eq(following), block_row.eq(following_row)]
        with m.If(self.start | (self.advance & move.block_end)):
            m.d.sync += [tap.eq(0), tap_row.eq(0)]
        with m.Elif(self.advance & move.unit_end):
            with m.If(move.tap_row):
                m.d.sync += [tap.eq(next_tap_row), tap_row.eq(next_tap_row)]
            with m.Else():
                m.d.sync += tap.eq(plus(tap, grid.tap_column, side))
        return m

    def _multiples(self, m: Module):
        """The access's words behind its first; the distance of `move.count` positions."""
        side = self._chip.kernel
        ahead = Signal(PAIR)
        with m.Switch(self.grid.step):
            for step in range(1 << STEP_BITS):
                with m.Case(step):
                    m.d.comb += self.stride.eq(step % side)
                    m.d.comb += [self.extra[i].eq(i * step // side) for i in range(side)]
                    with m.Switch(self.move.count):
                        for count in range(side + 1):
                            with m.Case(count):
                                place, bank = divmod(count * step, side)
                                m.d.comb += [ahead.place.eq(place), ahead.bank.eq(bank)]
        return ahead


class Padding(wiring.Component):
    """With `advance`, which words of an access lie in a map of `height` x `width`.

    `top`, `left`: the coordinate of the first position's first tap; `step`, `dilation` as in a COMPUTE, both positive.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "move": In(block_move(chip)),
                "pad_top": In(4),
                "pad_left": In(4),
                "step": In(STEP_BITS),
                "dilation": In(4),
                "planes": In(1),
                "height": In(EXTENT_BITS),
                "width": In(EXTENT_BITS),
                "inside": Out(chip.kernel),
            }
        )

    def elaborate(self, platform):
        m = Module()
        move = self.move
        row, column, block_row, block_column = (
            Signal(_COORDINATE, name=name) for name in ("row", "column", "block_row", "block_column")
        )
        tap_row, tap_column = Signal(8), Signal(8)
        next_row, next_column = Signal(_COORDINATE), Signal(_COORDINATE)
        with m.If(self.advance):
            m.d.comb += [
                next_row.eq(Mux(move.row_end, row + self.step, row)),
                next_column.eq(Mux(move.row_end, -self.pad_left, column + self.step * move.count)),
            ]
        with m.If(self.start | (self.advance & move.walk_end)):
            m.d.sync += [register.eq(-self.pad_top) for register in (row, block_row)]
            m.d.sync += [register.eq(-self.pad_left) for register in (column, block_column)]
        with m.Elif(self.advance):
            with m.If(move.unit_end & ~move.block_end):
                m.d.sync += [row.eq(block_row), column.eq(block_column)]
            with m.Else():
                m.d.sync += [row.eq(next_row), column.eq(next_column)]
            with m.If(move.block_end):
                m.d.sync += [block_row.eq(next_row), block_column.eq(next_column)]
        with m.If(self.start | (self.advance & move.block_end)):
            m.d.sync += [tap_row.eq(0), tap_column.eq(0)]
        with m.Elif(self.advance & move.unit_end):
            with m.If(move.tap_row):
                m.d.sync += [tap_row.eq(tap_row + self.dilation), tap_column.eq(0)]
            with m.Elif(~self.planes):
                m.d.sync += tap_column.eq(tap_column + self.dilation)
        self._compare(m, row + tap_row, column + tap_column)
        return m

    def _compare(self, m: Module, row, column) -> None:
        y, x = Signal(_COORDINATE), Signal(_COORDINATE)
        with m.If(self.advance):
            m.d.comb += [y.eq(row), x.eq(column)]
        with m.If(self.advance & (y >= 0) & (y < self.height)):
            for i in range(self._chip.kernel):
                across = x + self.step * i
                m.d.comb += self.inside[i].eq((across >= 0) & (across < self.width))
