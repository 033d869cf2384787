"""Shadows: where the words of the next unit are put together before they are swapped in."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.traversal import Move
from rtl.walker import MOVE_BITS
from rtl.words import row_of, words_of


class Shadow(wiring.Component):
    """Takes `count` of `lines` to the taps from `tap` on, or with `column` or `row` K of them to a line of the window.

    `arrives`: there are lines; `first`: those of a unit's first access, so that all other taps become 0. `incoming` is
    the unit as far as it is there, this cycle's words included.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        super().__init__(
            {
                "arrives": In(1),
                "first": In(1),
                "blocks": In(1),
                "tap": In(range(chip.taps)),
                "count": In(range(side + 1)),
                "move": In(MOVE_BITS),
                "slot": In(range(side)),
                "lines": In(words_of(chip, side)),
                "incoming": Out(row_of(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        side, taps = self._chip.kernel, self._chip.taps
        shadow = Signal(row_of(self._chip), reset_less=True)
        incoming, lines = self.incoming, self.lines
        m.d.comb += incoming.eq(shadow)
        with m.If(self.arrives):
            with m.If(self.first):
                m.d.comb += incoming.eq(0)
            with m.If(self.blocks):
                with m.Switch(self.tap):
                    for tap in range(taps):
                        with m.Case(tap):
                            for i in range(min(side, taps - tap)):
                                with m.If(self.count > i):
                                    m.d.comb += incoming[tap + i].eq(lines[i])
            with m.Elif(self.move == Move.DOWN):
                m.d.comb += [incoming[(side - 1) * side + i].eq(lines[i]) for i in range(side)]
            with m.Else():
                column = Signal(range(side))
                m.d.comb += column.eq(Mux(self.move == Move.RIGHT, side - 1, self.slot))
                with m.Switch(column):
                    for c in range(side):
                        with m.Case(c):
                            m.d.comb += [incoming[r * side + c].eq(lines[r]) for r in range(side)]
            m.d.sync += shadow.eq(incoming)
        return m


class Window(wiring.Component):
    """The window: at `swap` it moves by `move` (a block: it is replaced) and takes the new words of `incoming`."""

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "swap": In(1),
                "move": In(MOVE_BITS),
                "incoming": In(row_of(chip)),
                "window": Out(row_of(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        side = self._chip.kernel
        window = Signal(row_of(self._chip), reset_less=True)
        m.d.comb += self.window.eq(window)
        with m.If(self.swap):
            with m.Switch(self.move):
                for move, distance in {Move.RIGHT: 1, Move.LEFT: -1, Move.DOWN: side}.items():
                    with m.Case(move):
                        for tap in range(self._chip.taps):
                            kept = _kept(*divmod(tap, side), move, side)
                            m.d.sync += window[tap].eq(window[tap + distance] if kept else self.incoming[tap])
                with m.Default():
                    m.d.sync += window.eq(self.incoming)
        return m


def _kept(row: int, column: int, move: Move, side: int) -> bool:
    return {Move.RIGHT: column < side - 1, Move.LEFT: column > 0, Move.DOWN: row < side - 1}[move]
