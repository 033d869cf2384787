"""Walks over height x width positions (`arch.traversal`): position, next move, addresses that follow; groups."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import layout
from arch.isa import Compute
from arch.traversal import Move
from rtl.address import PAIR, minus, plus

EXTENT_BITS = next(field.bits for field in layout(Compute) if field.name == "height")
"""Bits of a row or column number."""
GROUP_BITS = next(field.bits for field in layout(Compute) if field.name == "outer")
"""Bits of a group's number."""
MOVE_BITS = max(Move).bit_length()


class Walker(wiring.Component):
    """The current position and the move to the one after it.

    `start` puts it on (0, 0), `advance` moves it, from the `last` position to the first; `snake` 0 walks every row from
    the left.
    """

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "snake": In(1),
                "height": In(EXTENT_BITS),
                "width": In(EXTENT_BITS),
                "row": Out(EXTENT_BITS),
                "column": Out(EXTENT_BITS),
                "move": Out(MOVE_BITS),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left, edge = Signal(), Signal()
        m.d.comb += [
            left.eq(self.snake & self.row[0]),
            edge.eq(Mux(left, self.column == 0, self.column + 1 == self.width)),
            self.last.eq(edge & (self.row + 1 == self.height)),
            self.move.eq(
                Mux(
                    edge,
                    Mux(self.snake & ~self.last, Move.DOWN, Move.START),
                    Mux(left, Move.LEFT, Move.RIGHT),
                )
            ),
        ]
        with m.If(self.start | (self.advance & self.last)):
            m.d.sync += [self.row.eq(0), self.column.eq(0)]
        with m.Elif(self.advance):
            with m.Switch(self.move):
                with m.Case(Move.RIGHT):
                    m.d.sync += self.column.eq(self.column + 1)
                with m.Case(Move.LEFT):
                    m.d.sync += self.column.eq(self.column - 1)
                with m.Case(Move.DOWN):
                    m.d.sync += self.row.eq(self.row + 1)
                with m.Default():
                    m.d.sync += [self.row.eq(self.row + 1), self.column.eq(0)]
        return m


class Cursor(wiring.Component):
    """The address of the current position's word in a map with `pitch`; `first` is the word of position (0, 0).

    `start` puts it there, `advance` makes `move`; columns are `step` words apart.
    """

    def __init__(self, chip: Chip):
        self._side = chip.kernel
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "move": In(MOVE_BITS),
                "first": In(PAIR),
                "pitch": In(PAIR),
                "step": In(PAIR),
                "address": Out(PAIR),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row_start = Signal(PAIR)
        below = Signal(PAIR)
        with m.If(self.advance):
            m.d.comb += below.eq(plus(row_start, self.pitch, self._side))
        with m.If(self.start):
            m.d.sync += [self.address.eq(self.first), row_start.eq(self.first)]
        with m.Elif(self.advance):
            with m.Switch(self.move):
                with m.Case(Move.RIGHT):
                    m.d.sync += self.address.eq(plus(self.address, self.step, self._side))
                with m.Case(Move.LEFT):
                    m.d.sync += self.address.eq(minus(self.address, self.step, self._side))
                with m.Case(Move.DOWN):
                    m.d.sync += self.address.eq(plus(self.address, self.pitch, self._side))
                with m.Default():
                    m.d.sync += [self.address.eq(below), row_start.eq(below)]
        return m


class Groups(wiring.Component):
    """The current group of a COMPUTE, inner ones fastest; `start` begins with the first, `advance` goes on."""

    def __init__(self):
        super().__init__(
            {
                "start": In(1),
                "advance": In(1),
                "outer": In(GROUP_BITS),
                "inner": In(GROUP_BITS),
                "index": Out(GROUP_BITS),
                "first_inner": Out(1),
                "last_inner": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inner = Signal(GROUP_BITS)
        m.d.comb += [
            self.first_inner.eq(inner == 0),
            self.last_inner.eq(inner + 1 == self.inner),
            self.last.eq(self.last_inner & (self.index + 1 == self.outer)),
        ]
        with m.If(self.start):
            m.d.sync += [inner.eq(0), self.index.eq(0)]
        with m.Elif(self.advance):
            m.d.sync += [inner.eq(Mux(self.last_inner, 0, inner + 1)), self.index.eq(self.index + self.last_inner)]
        return m
