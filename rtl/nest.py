"""The nest: issues a COMPUTE's steps (X), one a cycle at most: groups, positions, inner steps, iterations."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import Compute, Emission, Reduction
from rtl.instruction import (
    drains_rows,
    instruction_layout,
    keeps_largest,
    loads,
    scatters,
    skips_masked,
    streams_rows,
    walks_blocks,
    writes_rows,
)
from rtl.iterations import Iterations
from rtl.kernel_taps import KernelTaps
from rtl.scatter import ScatterWalk
from rtl.step import step_layout
from rtl.walker import EXTENT_BITS, Groups
from rtl.words import row_of, word_of


class Nest(wiring.Component):
    """`step` works the multipliers, `drain` only emits, `fill` loads a kernel register; `info` goes with the first two.

    `begin` starts `compute`. `unit_ready`: the unit's words stand; `row_ready`: the next weight row does, number `row`.
    `unit_done` is a unit's last step, `uses_row` a step that takes the row, `reloads` one that takes it into register
    `iteration` (as `fill` does), which is its j; `tap` is the kernel tap u of its inner step, `tap_of_iteration` and
    `lane` are j div L and j mod L. `rows_on` is the distance from this step's streamed row to the next step's;
    `first_iteration`, in the cycle of `begin`, that from the first row to the first step's.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        layout = instruction_layout(Compute)
        super().__init__(
            {
                "begin": In(1),
                "compute": In(layout),
                "unit_ready": In(1),
                "pixel": In(word_of(chip)),
                "vector": In(row_of(chip)),
                "row_ready": In(1),
                "row": In(ROW_BITS),
                "step": Out(1),
                "drain": Out(1),
                "fill": Out(1),
                "info": Out(step_layout(chip)),
                "unit_done": Out(1),
                "uses_row": Out(1),
                "reloads": Out(1),
                "iteration": Out(layout["iterations"].width),
                "first_iteration": Out(layout["iterations"].width),
                "last_iteration": Out(1),
                "rows_on": Out(layout["iterations"].width),
                "tap": Out(range(chip.taps)),
                "tap_of_iteration": Out(range(chip.taps)),
                "lane": Out(range(max(2, chip.lanes))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        self._active, self._filling, self._draining = Signal(), Signal(), Signal()
        self._last_position, self._last_step = Signal(), Signal()
        self._first_position, self._first_step, self._first_iteration = Signal(), Signal(), Signal()
        m.submodules.groups = self._groups = Groups()
        m.submodules.iterations = iterations = Iterations(self._chip)
        m.submodules.taps = taps = KernelTaps()
        m.submodules.scatter = self._scatter = ScatterWalk(self._chip)
        self._last_iteration = self.last_iteration
        self._last_group = self._groups.last
        self._unit_end, self._position_end, self._group_end = Signal(), Signal(), Signal()
        self._taken = Signal()
        m.d.comb += [
            self._unit_end.eq(self.step & self._last_iteration),
            self._position_end.eq(self._unit_end & self._last_step),
            self._group_end.eq(self._position_end & self._last_position),
            self._taken.eq(self.step | self.drain | self.fill),
            self.unit_done.eq(self._unit_end),
            iterations.begin.eq(self.begin),
            iterations.compute.eq(compute),
            iterations.advance.eq(self._taken),
            iterations.all.eq(self._filling | self._draining),
            iterations.pixel.eq(self.pixel),
            iterations.vector.eq(self.vector),
            self.iteration.eq(iterations.now.index),
            self.first_iteration.eq(iterations.beginning.index),
            self._first_iteration.eq(iterations.first),
            self._last_iteration.eq(iterations.last),
            self.rows_on.eq(iterations.ahead),
            self.tap_of_iteration.eq(iterations.now.tap),
            self.lane.eq(iterations.now.lane),
            self._groups.start.eq(self.begin),
            self._groups.advance.eq(self._group_end),
            self._groups.outer.eq(compute.outer),
            self._groups.inner.eq(compute.inner),
            taps.compute.eq(compute),
            taps.start.eq(self.begin),
            taps.advance.eq(self._unit_end),
            taps.group_end.eq(self._group_end),
            taps.outer_end.eq(self._groups.last_inner),
            self._first_step.eq(taps.first),
            self._last_step.eq(taps.last),
            self.info.index.eq(taps.index),
            self.tap.eq(taps.tap),
            self._scatter.compute.eq(compute),
            self._scatter.start.eq(self.begin),
            self._scatter.advance.eq(self._position_end),
        ]
        free = self._pace(m)
        self._supply(m, free)
        self._count(m)
        self._describe(m)
        return m

    def _supply(self, m: Module, free: Signal) -> None:
        """What a step needs, and whether it is there."""
        compute = self.compute
        streams, takes_row = Signal(), Signal()
        m.d.comb += [
            streams.eq(streams_rows(compute)),
            self.reloads.eq(compute.reload & self._last_position & self._last_step & ~self._last_group),
            takes_row.eq(streams | self.reloads),
            self.fill.eq(self._active & self._filling & self.row_ready),
            self.step.eq(
                self._active
                & ~self._filling
                & ~self._draining
                & (~loads(compute) | self.unit_ready)
                & free
                & (~takes_row | self.row_ready)
            ),
            self.drain.eq(self._active & self._draining & self.row_ready),
            self.uses_row.eq((self.step & takes_row) | self.drain | self.fill),
        ]

    def _pace(self, m: Module) -> Signal:
        """Whether the words of the last completed position leave room for this step."""
        compute = self.compute
        left = Signal(range(self._chip.taps))
        bank, self._cell_bank = Signal(range(max(2, self._chip.accumulator_banks))), Signal.like(self.info.bank)
        free, emits, shared = Signal(), Signal(), Signal()
        at_position = compute.emission == Emission.POSITION
        m.d.comb += [
            emits.eq(
                at_position
                & self._last_step
                & self._last_iteration
                & self._groups.last_inner
                & ~compute.hold
                & (~scatters(compute) | self._scatter.emits)
            ),
            shared.eq(at_position & walks_blocks(compute) & (bank == self._cell_bank)),
            free.eq((left == 0) | ~(emits | shared)),
        ]
        self._emits = emits
        with m.If(self.begin):
            m.d.sync += left.eq(0)
        with m.Elif(self.step & emits):
            m.d.sync += [left.eq(self.info.words - 1), bank.eq(self._cell_bank)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return free

    def _count(self, m: Module) -> None:
        """What is going on; positions and their accumulator cells; what the flags of first and last say."""
        compute, chip = self.compute, self._chip
        remaining, all_positions = Signal(2 * EXTENT_BITS), Signal(2 * EXTENT_BITS)
        position = Signal(2 * EXTENT_BITS)
        self._remaining, self._position = remaining, position
        self._cell_tap = Signal(range(chip.taps))
        self._ended_group = Signal()  # a drain's group is the last one
        size = Mux(walks_blocks(compute), chip.taps, 1)
        bank, tap = self._cell_bank, self._cell_tap
        last_bank, last_tap = bank == chip.accumulator_banks - 1, tap == chip.taps - 1
        m.d.comb += [self._last_position.eq(remaining <= size), self._first_position.eq(position == 0)]
        area = compute.height * compute.width
        with m.If(self.begin):
            m.d.sync += [
                self._active.eq(1),
                self._filling.eq(compute.reload),
                self._draining.eq(0),
                all_positions.eq(area),
                remaining.eq(area),
                position.eq(0),
                bank.eq(0),
                tap.eq(0),
            ]
        with m.Elif(self._taken):
            with m.If(self.info.final & ~self.fill):
                m.d.sync += self._active.eq(0)
            with m.If(self._last_iteration & ~self.step):
                m.d.sync += [self._filling.eq(0), self._draining.eq(0)]
            with m.If(self._group_end):
                m.d.sync += [remaining.eq(all_positions), position.eq(0), bank.eq(0), tap.eq(0)]
                m.d.sync += [self._draining.eq(drains_rows(compute) & ~compute.hold)]
                m.d.sync += self._ended_group.eq(self._last_group)
            with m.Elif(self._position_end):
                m.d.sync += [remaining.eq(remaining - size), position.eq(position + 1)]
                with m.If(walks_blocks(compute) | last_tap):
                    m.d.sync += [bank.eq(Mux(last_bank, 0, bank + 1)), tap.eq(0)]
                with m.Else():
                    m.d.sync += tap.eq(tap + 1)

    def _untouched(self, m: Module) -> Signal:
        """Whether a group has not yet added to the iteration's bank, as its first positions may have skipped it."""
        added = Signal(max(2, self._chip.accumulator_banks))
        number = self.info.bank
        with m.If(self.begin | (self.drain & self._last_iteration)):
            m.d.sync += added.eq(0)
        with m.Elif(self.step & self.compute.skip):
            m.d.sync += added.eq(added | (1 << number))
        untouched = Signal()
        m.d.comb += untouched.eq(~added.bit_select(number, 1))
        return untouched

    def _describe(self, m: Module) -> None:
        compute, info = self.compute, self.info
        both, lanes = compute.reduction == Reduction.BOTH, compute.reduction == Reduction.LANES
        at_end = compute.emission == Emission.END
        blocks, scatter = walks_blocks(compute), scatters(compute)
        last = self._last_position & self._last_step & self._last_iteration
        block_words = Mux(self._last_position, self._remaining[: len(info.words)], self._chip.taps)
        fresh, rows = Signal(), Signal()
        m.d.comb += [
            rows.eq(writes_rows(compute)),
            info.add.eq(self.step | info.clear),
            info.lane.eq(self.lane),
            info.scatter.eq(self._scatter.cells),
            info.row.eq(Mux(compute.emission == Emission.ROW, compute.target_row + self._position, self.row)),
            info.group.eq(self._groups.index),
            info.final.eq(
                Mux(self._draining, self._ended_group, self._last_group & ~(drains_rows(compute) & ~compute.hold))
                & Mux(self._draining, self._last_iteration, last)
            ),
            info.first.eq((fresh | info.clear) & ~compute.keep),
            info.words.eq(1),
        ]
        with m.If(skips_masked(compute)):
            m.d.comb += info.kept.eq(Cat(self.pixel[lane] > 0 for lane in range(self._chip.lanes)))
        untouched = self._untouched(m)
        with m.Switch(compute.emission):
            with m.Case(Emission.POSITION):
                m.d.comb += [
                    info.emit.eq(self._emits),
                    info.bank.eq(Mux(scatter, self._scatter.bank, self._cell_bank)),
                    info.from_tap.eq(Mux(scatter, self._scatter.tap, Mux(blocks, 0, self._cell_tap))),
                    info.tap.eq(self._cell_tap),
                    fresh.eq(
                        (self._groups.first_inner | keeps_largest(compute))
                        & self._first_step
                        & (self._first_iteration | both | lanes)
                    ),
                ]
                with m.If(blocks):
                    m.d.comb += info.words.eq(block_words)
            with m.Case(Emission.END):
                m.d.comb += [
                    info.emit.eq(Mux(rows, self._draining, last) & ~compute.hold),
                    info.bank.eq(Mux(both, 0, self.iteration)),
                    info.tap.eq(Mux(both, self.tap_of_iteration, Mux(rows, self.tap, 0))),
                    fresh.eq(Mux(compute.skip, untouched, self._first_position & self._first_step)),
                    info.clear.eq(self.drain & compute.skip & untouched & ~compute.keep),
                ]
                with m.If(both):
                    m.d.comb += info.words.eq(self.tap_of_iteration + 1)
            with m.Case(Emission.ROW):
                m.d.comb += [
                    info.emit.eq(self._last_iteration & self._last_step),
                    info.bank.eq(self._cell_bank),
                    fresh.eq(self._first_iteration),
                ]
            with m.Default():
                m.d.comb += [info.emit.eq(1), fresh.eq(1)]
