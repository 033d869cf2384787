"""The iterations of a unit: all of them, or with `skip` those whose deciding value says that they matter."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Stationary
from rtl.instruction import instruction_layout, skips_masked
from rtl.words import row_of, word_of


def iteration_layout(chip: Chip) -> data.StructLayout:
    """A number j of an iteration, with j div L (`tap`) and j mod L (`lane`)."""
    width = instruction_layout(Compute)["iterations"].width
    return data.StructLayout({"index": width, "tap": range(chip.taps), "lane": range(max(2, chip.lanes))})


class Iterations(wiring.Component):
    """The iteration `now`; `advance` goes to the next one, from a unit's `last` to the `first` of the next unit.

    `begin` stands before `compute`, and `beginning` is then its first. `all`: none is skipped. `pixel` is the unit's
    pixel or mask word, `vector` the vector. `ahead`: how many iterations on the next one is that is not skipped.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        iteration = iteration_layout(chip)
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "begin": In(1),
                "advance": In(1),
                "all": In(1),
                "pixel": In(word_of(chip)),
                "vector": In(row_of(chip)),
                "now": Out(iteration),
                "first": Out(1),
                "last": Out(1),
                "beginning": Out(iteration),
                "ahead": Out(iteration["index"].width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        coming = Signal.like(self.now)
        pending = Signal(self._chip.multipliers)
        next_one, rest = Signal.like(self.now), Signal.like(pending)
        by_vector = (compute.stationary == Stationary.STREAM) | (compute.stationary == Stationary.VECTOR)
        by_pixel = compute.stationary == Stationary.PIXEL
        masked = skips_masked(compute)
        skips = compute.skip & ~self.all & (by_vector | by_pixel | masked)
        m.d.comb += [self.now.eq(coming), self.ahead.eq(1)]
        with m.If(skips):
            live = self._live(m, by_vector, masked)
            current = Signal.like(pending)
            m.d.comb += [
                self.beginning.eq(self._lowest(m, live, "live")),
                current.eq(Mux(self.first, live, pending)),
                rest.eq(current & (current - 1)),
                self.last.eq(rest == 0),
                next_one.eq(self._lowest(m, rest, "rest")),
                self.ahead.eq(
                    Mux(self.last, compute.iterations + self.beginning.index, next_one.index) - self.now.index
                ),
            ]
            with m.If(self.first):
                m.d.comb += self.now.eq(self.beginning)
        with m.Else():
            last_lane = coming.lane == self._chip.lanes - 1
            m.d.comb += [
                self.last.eq(coming.index + 1 == compute.iterations),
                next_one.index.eq(coming.index + 1),
                next_one.tap.eq(coming.tap + last_lane),
                next_one.lane.eq(Mux(last_lane, 0, coming.lane + 1)),
            ]
        with m.If(self.begin):
            m.d.sync += [coming.eq(0), self.first.eq(1)]
        with m.Elif(self.advance):
            m.d.sync += [coming.eq(Mux(self.last, 0, next_one.as_value())), pending.eq(rest), self.first.eq(self.last)]
        return m

    def _live(self, m: Module, by_vector, masked) -> Signal:
        """A bit an iteration that is made; the first one if there is no other."""
        lanes = self._chip.lanes
        wanted, live = Signal(self._chip.multipliers), Signal(self._chip.multipliers)
        within = Cat(self.compute.iterations > j for j in range(self._chip.multipliers))
        with m.If(by_vector):
            elements = [self.vector[j // lanes][j % lanes] for j in range(self._chip.multipliers)]
            m.d.comb += wanted.eq(Cat(element != 0 for element in elements))
        with m.Elif(masked):
            m.d.comb += wanted.eq(Cat(self.pixel[lane] > 0 for lane in range(lanes)))
        with m.Else():
            m.d.comb += wanted.eq(Cat(self.pixel[lane] != 0 for lane in range(lanes)))
        m.d.comb += live.eq(wanted & within)
        with m.If((wanted & within) == 0):
            m.d.comb += live.eq(1)
        return live

    def _lowest(self, m: Module, bits: Signal, name: str):
        """The iteration of the lowest bit set."""
        lanes = self._chip.lanes
        found = Signal(iteration_layout(self._chip), name=f"lowest_{name}")
        word = Signal(lanes, name=f"word_{name}")
        for tap in reversed(range(self._chip.taps)):
            here = bits[tap * lanes : (tap + 1) * lanes]
            with m.If(here.any()):
                m.d.comb += [found.tap.eq(tap), word.eq(here)]
        for lane in reversed(range(lanes)):
            with m.If(word[lane]):
                m.d.comb += found.lane.eq(lane)
        m.d.comb += found.index.eq(found.tap * lanes + found.lane)
        return found
