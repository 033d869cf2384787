"""Where emitted words go, and where their mask words lie."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Emission, Traversal
from arch.traversal import Move
from rtl.address import PAIR, chosen, constant, distance, plus
from rtl.instruction import instruction_layout, scatters
from rtl.walker import Cursor, Walker


class Targets(wiring.Component):
    """The addresses of the next word, for each outer group in the order of the walk; `advance` goes on.

    Words at the end of a group lie one after another: `last_word` is the last of them.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "start": In(1),
                "advance": In(1),
                "last_word": In(1),
                "target": Out(PAIR),
                "mask": Out(PAIR),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute, side = self.compute, self._chip.kernel
        m.submodules.walker = walker = Walker()
        at_end, group_end, step, move = Signal(), Signal(), Signal(PAIR), Signal.like(walker.move)
        scatter = scatters(compute)
        m.d.comb += [
            at_end.eq(compute.emission == Emission.END),
            group_end.eq(self.advance & Mux(at_end, self.last_word, walker.last)),
            walker.start.eq(self.start),
            walker.advance.eq(self.advance),
            walker.snake.eq(compute.traversal == Traversal.SNAKE),
            walker.height.eq(compute.height - Mux(scatter, compute.pad_top, 0)),
            walker.width.eq(compute.width - Mux(scatter, compute.pad_left, 0)),
            step.eq(chosen(at_end, constant(1, side), distance(compute.target_step, side))),
            move.eq(Mux(at_end, Move.RIGHT, walker.move)),
        ]
        for name, address, first, pitch, outer in (
            ("targets", self.target, compute.target, compute.target_pitch, compute.target_outer),
            ("masks", self.mask, compute.mask_source, compute.mask_pitch, compute.mask_outer),
        ):
            m.submodules[name] = cursor = Cursor(self._chip)
            group = Signal(PAIR, name=f"group_{name}")  # its first word
            m.d.comb += [
                cursor.start.eq(self.start | group_end),
                cursor.first.eq(chosen(self.start, first, plus(group, outer, side))),
                cursor.pitch.eq(pitch),
                cursor.advance.eq(self.advance),
                cursor.step.eq(step),
                cursor.move.eq(move),
                address.eq(cursor.address),
            ]
            with m.If(cursor.start):
                m.d.sync += group.eq(cursor.first)
        return m
