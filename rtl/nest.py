"""The nest: issues a COMPUTE's steps (X), one a cycle at most, in the order of (position, iteration)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Emission, Reduction, Traversal
from rtl.instruction import drains_rows, instruction_layout, loads, uses_rows
from rtl.walker import EXTENT_BITS


def step_layout(chip: Chip) -> data.StructLayout:
    """What travels with a step.

    `add`: it accumulates (`first`: old values are dropped) in `bank`, with BOTH in cell (`tap`, `lane`); `emit`: then
    `words` words (1 to T) or a row are emitted; `final`: nothing follows.
    """
    return data.StructLayout(
        {
            "add": 1,
            "first": 1,
            "bank": range(max(2, chip.accumulator_banks)),
            "tap": range(chip.taps),
            "lane": range(max(2, chip.lanes)),
            "emit": 1,
            "words": range(chip.taps + 1),
            "final": 1,
        }
    )


class Nest(wiring.Component):
    """`step` works the multipliers, `drain` only emits; `info` goes with both.

    `begin` starts `compute`. `window_ready`: the position's words stand; `row_ready`: the next weight row does.
    `position_done` is a position's last step, `uses_row` a step that takes the row, `iteration` its j.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        layout = instruction_layout(Compute)
        super().__init__(
            {
                "begin": In(1),
                "compute": In(layout),
                "window_ready": In(1),
                "row_ready": In(1),
                "step": Out(1),
                "drain": Out(1),
                "info": Out(step_layout(chip)),
                "position_done": Out(1),
                "uses_row": Out(1),
                "iteration": Out(layout["iterations"].width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute, info = self.compute, self.info
        self._active, self._draining = Signal(), Signal()
        self._remaining = Signal(2 * EXTENT_BITS)
        self._last_position, self._last_iteration = Signal(), Signal()
        size = Mux(compute.traversal == Traversal.BLOCK, self._chip.taps, 1)
        m.d.comb += [
            self._last_position.eq(self._remaining <= size),
            self._last_iteration.eq(self.iteration + 1 == compute.iterations),
        ]
        free = self._pace(m)
        row_free = ~uses_rows(compute) | drains_rows(compute) | self.row_ready
        window_free = ~loads(compute) | self.window_ready
        m.d.comb += [
            self.step.eq(self._active & ~self._draining & window_free & free & row_free),
            self.drain.eq(self._active & self._draining & self.row_ready),
            self.position_done.eq(self.step & self._last_iteration),
            self.uses_row.eq(Mux(self._draining, self.drain, self.step & uses_rows(compute) & ~drains_rows(compute))),
        ]
        self._count(m, size)
        self._describe(m)
        return m

    def _pace(self, m: Module) -> Signal:
        """Whether the words of the last completed position leave room for this step."""
        compute = self.compute
        left = Signal(range(self._chip.taps))
        free, completes = Signal(), Signal()
        several = compute.reduction == Reduction.NONE
        single_bank = self._chip.accumulator_banks == 1
        m.d.comb += [
            completes.eq((compute.emission == Emission.POSITION) & self._last_iteration),
            free.eq((left == 0) | ~(completes | (several if single_bank else 0))),
        ]
        with m.If(self.begin):
            m.d.sync += left.eq(0)
        with m.Elif(self.step & completes):
            m.d.sync += left.eq(self.info.words - 1)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return free

    def _count(self, m: Module, size) -> None:
        compute, info = self.compute, self.info
        wraps = self._last_iteration
        self._first_position, self._parity = Signal(), Signal()
        self._tap, self._lane = Signal.like(info.tap), Signal.like(info.lane)
        last_lane = self._lane == self._chip.lanes - 1
        with m.If(self.begin):
            m.d.sync += [
                self._active.eq(1),
                self._draining.eq(0),
                self._remaining.eq(compute.height * compute.width),
                self._first_position.eq(1),
                self._parity.eq(0),
                self.iteration.eq(0),
                self._tap.eq(0),
                self._lane.eq(0),
            ]
        with m.Elif(self.step | self.drain):
            m.d.sync += [
                self.iteration.eq(Mux(wraps, 0, self.iteration + 1)),
                self._tap.eq(Mux(wraps, 0, self._tap + last_lane)),
                self._lane.eq(Mux(wraps | last_lane, 0, self._lane + 1)),
            ]
            with m.If(info.final):
                m.d.sync += self._active.eq(0)
            with m.Elif(self.position_done):
                m.d.sync += [
                    self._remaining.eq(self._remaining - size),
                    self._first_position.eq(0),
                    self._parity.eq(~self._parity),
                    self._draining.eq(self._last_position),
                ]

    def _describe(self, m: Module) -> None:
        compute, info = self.compute, self.info
        none, both = compute.reduction == Reduction.NONE, compute.reduction == Reduction.BOTH
        at_end = compute.emission == Emission.END
        at_position = compute.emission == Emission.POSITION
        last = self._last_position & self._last_iteration
        block_words = Mux(self._last_position, self._remaining[: len(info.words)], self._chip.taps)
        banks = self._chip.accumulator_banks
        m.d.comb += [
            info.add.eq(self.step),
            info.tap.eq(self._tap),
            info.lane.eq(self._lane),
            info.final.eq(Mux(self._draining, self._last_iteration, last & ~drains_rows(compute))),
            info.words.eq(Mux(none & at_position, block_words, Mux(both & at_end, self._tap + 1, 1))),
        ]
        with m.If(none & at_end):
            m.d.comb += info.bank.eq(self.iteration)
        with m.Elif(none & at_position):
            m.d.comb += info.bank.eq(self._parity if banks > 1 else 0)
        with m.Switch(compute.emission):
            with m.Case(Emission.POSITION):
                m.d.comb += [info.first.eq(both | (self.iteration == 0)), info.emit.eq(self._last_iteration)]
            with m.Case(Emission.END):
                m.d.comb += [info.first.eq(self._first_position), info.emit.eq(Mux(none, self._draining, last))]
            with m.Default():
                m.d.comb += [info.first.eq(1), info.emit.eq(1)]
