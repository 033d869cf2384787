"""The window's walk: the accesses that bring each position's new words, a column or a row of K words each."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import BANK_BITS, ROW_BITS
from arch.isa import Compute, Moving, Traversal
from arch.traversal import Move
from rtl.address import PAIR, decremented, incremented, pair, plus
from rtl.instruction import instruction_layout
from rtl.walker import EXTENT_BITS, MOVE_BITS, Walker


class WindowWalk(wiring.Component):
    """The next access of a SNAKE or RASTER walk; one a position where no window moves.

    `start` begins, `advance` says that the access is made. `corner` is the first word of the map's upper left window,
    from `start` on that of the group that begins next. `first`, `last`: the access is the first, the last of its
    position; `last_position`: the walk begins again after it. The access is column `slot` of a START, or `move` says
    what the window gains; its words lie `extra` places and a bank apart from `base`, those `inside` are not padding.
    `row`, `column` are the position, `next_move` what follows it. With a line buffer, `met` says that the access is a
    window's column `line` of the map, not padding.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "start": In(1),
                "advance": In(1),
                "corner": In(PAIR),
                "first": Out(1),
                "last": Out(1),
                "last_position": Out(1),
                "slot": Out(range(side)),
                "move": Out(MOVE_BITS),
                "base": Out(PAIR),
                "extra": Out(data.ArrayLayout(ROW_BITS, side)),
                "inside": Out(side),
                "row": Out(EXTENT_BITS),
                "column": Out(EXTENT_BITS),
                "next_move": Out(MOVE_BITS),
                **({"met": Out(1), "line": Out(range(chip.line_words))} if chip.line_words else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute, side = self.compute, self._chip.kernel
        m.submodules.walker = walker = Walker()
        windows = compute.moving == Moving.WINDOW
        m.d.comb += [
            self.first.eq(self.slot == 0),
            self.last.eq(~windows | (self.move != Move.START) | (self.slot == side - 1)),
            self.last_position.eq(walker.last),
            walker.start.eq(self.start),
            walker.advance.eq(self.advance & self.last),
            walker.snake.eq(compute.traversal == Traversal.SNAKE),
            walker.height.eq(compute.height),
            walker.width.eq(compute.width),
            self.row.eq(walker.row),
            self.column.eq(walker.column),
            self.next_move.eq(walker.move),
        ]
        with m.If(windows & self.advance):
            m.d.comb += self.inside.eq(self._inside(m))
            with m.If(self.move != Move.DOWN):
                m.d.comb += [self.extra[i].eq(compute.source_pitch.place * i) for i in range(side)]
        self._address(m, walker)
        return m

    def _address(self, m: Module, walker: Walker) -> None:
        """Where the accesses start. The windows' pitch has bank 1; a map of one row may have any, and never uses it."""
        side = self._chip.kernel
        pitch = pair(Const(1, BANK_BITS), self.compute.source_pitch.place)
        anchor, row_start, below, next_anchor, next_base = (Signal(PAIR, name=f"address{i}") for i in range(5))
        with m.If(self.advance):
            m.d.comb += [below.eq(plus(row_start, pitch, side)), next_base.eq(next_anchor)]
            with m.Switch(walker.move):
                with m.Case(Move.RIGHT):  # the new column is K words on: the same bank, the next place
                    m.d.comb += next_anchor.eq(incremented(anchor, side))
                    m.d.comb += next_base.eq(pair(anchor.bank, anchor.place + 1))
                with m.Case(Move.LEFT):
                    m.d.comb += next_anchor.eq(decremented(anchor, side))
                with m.Case(Move.DOWN):  # K rows on: the same bank, since the pitch's bank is 1
                    m.d.comb += next_anchor.eq(plus(anchor, pitch, side))
                    m.d.comb += next_base.eq(pair(anchor.bank, anchor.place + pitch.place * side + 1))
                with m.Default():
                    m.d.comb += next_anchor.eq(below)
        with m.If(self.start | (self.advance & self.last & walker.last)):
            m.d.sync += [self.move.eq(Move.START), self.slot.eq(0)]
            m.d.sync += [self.base.eq(self.corner), anchor.eq(self.corner), row_start.eq(self.corner)]
        with m.Elif(self.advance):
            with m.If(self.last):
                m.d.sync += [
                    self.slot.eq(0),
                    self.move.eq(walker.move),
                    self.base.eq(next_base),
                    anchor.eq(next_anchor),
                ]
                with m.If(walker.move == Move.START):
                    m.d.sync += row_start.eq(below)
            with m.Else():
                m.d.sync += [self.slot.eq(self.slot + 1), self.base.eq(incremented(self.base, side))]

    def _inside(self, m: Module) -> Value:
        """A bit for each of an access's K words: it is in the map, not padding."""
        compute, side = self.compute, self._chip.kernel
        down = self.move == Move.DOWN
        coordinate = signed(EXTENT_BITS + 2)
        top, left, along, across = (Signal(coordinate, name=name) for name in ("top", "left", "along", "across"))
        along_limit, across_limit = Signal(EXTENT_BITS), Signal(EXTENT_BITS)
        new_column = Mux(self.move == Move.START, self.slot, Mux(self.move == Move.RIGHT, side - 1, 0))
        m.d.comb += [
            top.eq(self.row - compute.pad_top),
            left.eq(self.column - compute.pad_left),
            along.eq(Mux(down, left, top)),
            along_limit.eq(Mux(down, compute.source_width, compute.source_height)),
            across.eq(Mux(down, top + (side - 1), left + new_column)),
            across_limit.eq(Mux(down, compute.source_height, compute.source_width)),
        ]
        mask = Signal(side)
        if self._chip.line_words:  # windows walk right alone, so that an access is a column
            m.d.comb += self.line.eq(across[: len(self.line)])
        with m.If((across >= 0) & (across < across_limit)):
            if self._chip.line_words:
                m.d.comb += self.met.eq(1)
            for i in range(side):
                m.d.comb += mask[i].eq((along + i >= 0) & (along + i < along_limit))
        return mask
