"""The T x L multipliers: operands routed (X), products reduced (P)."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Compute, Moving, Reduction, Route, Stationary, Traversal
from arch.modes import MODES
from rtl.instruction import instruction_layout
from rtl.memory import count_ones
from rtl.scatter import scatter_layout
from rtl.words import product_bits, reduced_bits, row_of, total, word_of


class Multipliers(wiring.Component):
    """`enable` is a step: its products are there in the next cycle, and `reduce` makes `reduced` of them a cycle later.

    It holds them, perhaps negated, each by itself, or the sums over taps in tap 0, over lanes in lane 0, over both in
    tap 0 and lane 0. `zeros`, there at the same time, is how many of them had an operand that is zero.

    `tap`, `lane` are the step's iteration, j div L and j mod L, `kernel_tap` the tap u of its inner step; `scatter` is
    a scatter's position.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "compute": In(instruction_layout(Compute)),
                "enable": In(1),
                "reduce": In(1),
                "tap": In(range(chip.taps)),
                "lane": In(range(max(2, chip.lanes))),
                "kernel_tap": In(range(chip.taps)),
                "scatter": In(scatter_layout(chip)),
                "window": In(row_of(chip)),
                "kernel": In(row_of(chip)),
                "row": In(row_of(chip)),
                "pixels": In(row_of(chip)),
                "reduced": Out(signed(reduced_bits(chip))).array(chip.taps, chip.lanes),
                "zeros": Out(range(chip.multipliers + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        taps, lanes = self._chip.taps, self._chip.lanes
        moving, stationary = self._sources(m)
        compute = self.compute
        moving = self._routed(m, moving, compute.moving_route, {mode.moving_route for mode in MODES.values()})
        routes = {mode.stationary_route for mode in MODES.values()}
        stationary = self._routed(m, stationary, compute.stationary_route, routes)
        shape = signed(product_bits(self._chip))
        products = [
            [Signal(shape, name=f"product{t}_{lane}", reset_less=True) for lane in range(lanes)] for t in range(taps)
        ]
        with m.If(self.enable):
            m.d.sync += [
                products[t][lane].eq(moving[t][lane] * stationary[t][lane])
                for t in range(taps)
                for lane in range(lanes)
            ]
        self._reduce(m, products)
        self._count_zeros(m, moving, stationary)
        return m

    def _sources(self, m: Module):
        """The T x L values that each operand is routed from."""
        moving, stationary = Signal(row_of(self._chip)), Signal(row_of(self._chip))
        with m.Switch(self.compute.moving):
            with m.Case(Moving.WINDOW, Moving.BLOCK):
                m.d.comb += moving.eq(self.window)
            with m.Case(Moving.VECTOR):
                m.d.comb += moving.eq(self.kernel)
            with m.Case(Moving.ONE):
                m.d.comb += [moving[t][lane].eq(1) for t in range(self._chip.taps) for lane in range(self._chip.lanes)]
            with m.Case(Moving.UNIT):
                m.d.comb += [moving[0][lane].eq(1) for lane in range(self._chip.lanes)]
            with m.Case(Moving.KERNEL):
                m.d.comb += moving.eq(self._scattered(m))
        with m.Switch(self.compute.stationary):
            with m.Case(Stationary.STREAM):
                m.d.comb += stationary.eq(self.row)
            with m.Case(Stationary.PIXEL):
                m.d.comb += stationary.eq(self.pixels)
            with m.Case(Stationary.MATCH):
                for t in range(self._chip.taps):
                    for lane in range(self._chip.lanes):
                        m.d.comb += stationary[t][lane].eq(self.pixels[t][lane] == self.kernel_tap)
            with m.Default():
                m.d.comb += stationary.eq(self.kernel)
        return moving, stationary

    def _scattered(self, m: Module):
        """The kernel's taps where the cells are that they are added to: tap (y + K-1 - ky, x + K-1 - kx) modulo K."""
        side = self._chip.kernel
        rows, cells = Signal(row_of(self._chip)), Signal(row_of(self._chip))
        with m.Switch(self.scatter.row):
            for row in range(side):
                with m.Case(row):
                    for tap in range(side * side):
                        source = (row + side - 1 - tap // side) % side * side + tap % side
                        m.d.comb += rows[tap].eq(self.kernel[source])
        with m.Switch(self.scatter.column):
            for column in range(side):
                with m.Case(column):
                    for tap in range(side * side):
                        source = tap // side * side + (column + side - 1 - tap % side) % side
                        m.d.comb += cells[tap].eq(rows[source])
        return cells

    def _routed(self, m: Module, source, route, routes: set[Route]):
        """The T x L operands that `route`, one of `routes`, makes of `source`."""
        taps, lanes = self._chip.taps, self._chip.lanes
        routed = Signal(row_of(self._chip))
        with m.Switch(route):
            if Route.LANE in routes:
                with m.Case(Route.LANE):
                    word = Signal(word_of(self._chip))
                    m.d.comb += word.eq(source[0])
                    with m.If(self.compute.traversal == Traversal.PIXELS):
                        m.d.comb += word.eq(source[self.kernel_tap])
                    m.d.comb += [routed[t].eq(word) for t in range(taps)]
            if Route.TAP in routes:
                with m.Case(Route.TAP):
                    for t in range(taps):
                        chosen = Signal(signed(self._chip.word_bits))
                        m.d.comb += chosen.eq(source[t][self.lane])
                        m.d.comb += [routed[t][lane].eq(chosen) for lane in range(lanes)]
            with m.Case(Route.SCALAR):
                scalar = Signal(signed(self._chip.word_bits))
                m.d.comb += scalar.eq(source[self.tap][self.lane])
                m.d.comb += [routed[t][lane].eq(scalar) for t in range(taps) for lane in range(lanes)]
            with m.Default():
                m.d.comb += routed.eq(source)
        return routed

    def _reduce(self, m: Module, products: list[list[Signal]]) -> None:
        """Sums are only made where they are asked for: elsewhere nothing toggles."""
        taps, lanes = range(self._chip.taps), range(self._chip.lanes)
        cells = {(t, lane): products[t][lane] for t in taps for lane in lanes}
        with m.If(self.reduce):
            with m.Switch(self.compute.reduction):
                with m.Case(Reduction.BOTH):
                    self._put(m, {(0, 0): total([product for row in products for product in row])})
                with m.Case(Reduction.TAPS):
                    self._put(m, {(0, lane): total([products[t][lane] for t in taps]) for lane in lanes})
                with m.Case(Reduction.LANES):
                    self._put(m, {(t, 0): total(products[t]) for t in taps})
                with m.Default():
                    for (t, lane), product in cells.items():
                        m.d.sync += self.reduced[t][lane].eq(Mux(self.compute.negate, -product, product))

    def _count_zeros(self, m: Module, moving, stationary) -> None:
        """Beside the products: found with them in X, counted while they are reduced."""
        zero = Signal(self._chip.multipliers, reset_less=True)
        cells = [(t, lane) for t in range(self._chip.taps) for lane in range(self._chip.lanes)]
        with m.If(self.enable):
            m.d.sync += zero.eq(Cat((moving[t][lane] == 0) | (stationary[t][lane] == 0) for t, lane in cells))
        with m.If(self.reduce):
            m.d.sync += self.zeros.eq(count_ones(zero))

    def _put(self, m: Module, sums: Mapping[tuple[int, int], Value]) -> None:
        for (t, lane), value in sums.items():
            term = Signal.like(self.reduced[t][lane], name=f"term{t}_{lane}")
            m.d.comb += term.eq(value)
            m.d.sync += self.reduced[t][lane].eq(Mux(self.compute.negate, -term, term))
