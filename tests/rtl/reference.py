"""What instructions do to memories, said once more for the tests of the RTL: loops over positions and iterations."""

import numpy as np

from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import (
    Base,
    Compute,
    Destination,
    Emission,
    Load,
    Loss,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Route,
    Space,
    Stationary,
    Traversal,
)
from arch.softmax import TABLE, exponential

_Block = list[tuple[int, int]]
"""The rows and columns of a position's words."""


class Reference:
    """Memories and registers of a chip; `run` executes one instruction and counts data-dependent events."""

    def __init__(self, image: Image, chip: Chip):
        self.image = image.copy()
        self.chip = chip
        self.kernels = np.zeros((chip.kernel_registers, chip.taps, chip.lanes), np.int64)
        self.bias = np.zeros((chip.taps, chip.lanes), np.int64)
        self.events = {Event.SATURATIONS: 0, Event.LOST_UPDATES: 0}

    def run(self, instruction) -> None:
        if isinstance(instruction, Load):
            self._load(instruction)
        elif isinstance(instruction, Compute):
            self._compute(instruction)
        elif isinstance(instruction, Loss):
            self._loss(instruction)

    def _memory(self, space: Space) -> np.ndarray:
        return self.image.feature if space == Space.FEATURE else self.image.gradient

    def _load(self, load: Load) -> None:
        rows = self.image.weight[load.row : load.row + load.count].astype(np.int64)
        if load.rotate:
            rows = rows[:, ::-1]
        if load.destination == Destination.BIAS:
            self.bias = rows[0]
        elif load.destination == Destination.VECTOR:
            self.kernels[0] = 0
            self.kernels[0, : load.count] = self._memory(load.space)[load.source : load.source + load.count]
        elif load.transpose:
            self.kernels[:, :, load.count :] = 0
            for j in range(min(self.chip.lanes, self.chip.kernel_registers)):
                self.kernels[j, :, : load.count] = rows[:, :, j].T
        else:
            self.kernels[: load.count] = rows

    def _positions(self, c: Compute) -> list[_Block]:
        """All positions in order."""
        words = [(h, w) for h in range(c.height) for w in range(c.width)]
        if c.traversal == Traversal.BLOCK:
            return [words[i : i + self.chip.taps] for i in range(0, len(words), self.chip.taps)]
        if c.traversal == Traversal.SNAKE:
            words = [(h, w if h % 2 == 0 else c.width - 1 - w) for h, w in words]
        return [[word] for word in words]

    def _moving(self, c: Compute, position: _Block) -> np.ndarray:
        chip = self.chip
        values = np.zeros((chip.taps, chip.lanes), np.int64)
        memory = self._memory(c.source_space)
        if c.moving == Moving.WINDOW:
            for t in range(chip.taps):
                row, column = (
                    position[0][0] + t // chip.kernel - c.pad_top,
                    position[0][1] + t % chip.kernel - c.pad_left,
                )
                if 0 <= row < c.source_height and 0 <= column < c.source_width:
                    values[t] = memory[c.source + row * c.source_pitch + column]
        elif c.moving == Moving.BLOCK:
            for t, (h, w) in enumerate(position):
                values[t] = memory[c.source + h * c.source_pitch + w]
        elif c.moving == Moving.VECTOR:
            values = self.kernels[0]
        else:
            values[: chip.taps if c.moving == Moving.ONE else 1] = 1
        return values

    def _stationary(self, c: Compute, position: _Block, j: int, step: int) -> np.ndarray:
        if c.stationary == Stationary.KERNEL:
            return self.kernels[j]
        if c.stationary == Stationary.STREAM:
            return self.image.weight[c.row + step].astype(np.int64)
        if c.stationary == Stationary.PIXEL:
            (h, w), *_ = position
            return np.tile(
                self._memory(c.pixel_space)[c.pixel + h * c.pixel_pitch + w].astype(np.int64), (self.chip.taps, 1)
            )
        return self.kernels[0]

    def _routed(self, values: np.ndarray, route: Route, j: int) -> np.ndarray:
        taps, lanes = values.shape
        if route == Route.FULL:
            return values
        if route == Route.LANE:
            return np.tile(values[0], (taps, 1))
        if route == Route.TAP:
            return np.tile(values[:, j : j + 1], (1, lanes))
        return np.full((taps, lanes), values[j // lanes, j % lanes])

    def _compute(self, c: Compute) -> None:
        chip = self.chip
        positions = self._positions(c)
        at_end: dict[int, np.ndarray] = {}
        step = 0
        words = []
        for position in positions:
            sums = np.zeros((chip.taps, chip.lanes), np.int64)
            for j in range(c.iterations):
                a = self._routed(self._moving(c, position), c.moving_route, j)
                b = self._routed(self._stationary(c, position, j, step), c.stationary_route, j)
                products = -a * b if c.negate else a * b
                if c.emission == Emission.STEP:
                    self._emit_row(c, c.row + step, products)
                elif c.emission == Emission.END:
                    at_end[j] = at_end.get(j, 0) + (products.sum() if c.reduction == Reduction.BOTH else products)
                elif c.reduction == Reduction.BOTH:
                    sums[0, j] = products.sum()
                elif c.reduction == Reduction.TAPS:
                    sums[0] += products.sum(axis=0)
                else:
                    sums += products
                step += 1
            if c.emission == Emission.POSITION:
                words += [(place, sums[i], i) for i, place in enumerate(position)]
        for place, values, i in words:
            self._emit_word(c, place, values, i)
        if c.emission == Emission.END and c.reduction == Reduction.BOTH:
            flat = np.zeros(chip.multipliers, np.int64)
            flat[: c.iterations] = [at_end[j] for j in range(c.iterations)]
            for i in range(-(-c.iterations // chip.lanes)):
                self._emit_word(c, (0, i), flat[i * chip.lanes : (i + 1) * chip.lanes], i)
        elif c.emission == Emission.END:
            for j in range(c.iterations):
                self._emit_row(c, c.row + j, at_end[j])

    def _emit_word(self, c: Compute, place: tuple[int, int], values: np.ndarray, i: int) -> None:
        offset = place[0] * c.target_pitch + place[1]
        for lane in range(self.chip.lanes):
            base = int(self.bias[i, lane]) if c.base == Base.BIAS else 0
            value = self._rounded(c, int(values[lane]) + (base << c.base_shift), 0, lane)
            masks = (
                self._memory(c.mask_space)[c.mask_source + place[0] * c.mask_pitch + place[1]] if c.mask else [1] * 99
            )
            if (c.relu and value < 0) or masks[lane] <= 0:
                value = 0
            self._memory(c.target_space)[c.target + offset, lane] = self._narrowed(value, c.overflow)

    def _emit_row(self, c: Compute, row: int, values: np.ndarray) -> None:
        for t in range(self.chip.taps):
            for lane in range(self.chip.lanes):
                old, added = int(self.image.weight[row, t, lane]), int(values[t, lane])
                value = self._rounded(c, added + (old << c.base_shift), t, lane)
                self.events[Event.LOST_UPDATES] += added != 0 and value == old
                self.image.weight[row, t, lane] = self._narrowed(value, c.overflow)

    def _rounded(self, c: Compute, value: int, t: int, lane: int) -> int:
        one = 1 << c.shift
        if c.rounding == Rounding.RND:
            return (2 * value + one) // (2 * one)
        if c.rounding == Rounding.RND_CONV:
            return value // one + (2 * (value % one) > one or (2 * (value % one) == one and value // one % 2 == 1))
        if c.rounding == Rounding.TRN:
            return value // one
        state = int(self.image.random[t, lane])
        following = state ^ state << 13 & 0xFFFFFFFF
        following ^= following >> 17
        self.image.random[t, lane] = following ^ following << 5 & 0xFFFFFFFF
        return (value + (state * one >> 32)) // one

    def _narrowed(self, value: int, overflow: Overflow) -> int:
        low, high = -self.chip.largest - 1, self.chip.largest
        self.events[Event.SATURATIONS] += not low <= value <= high
        if overflow == Overflow.WRAP:
            return (value - low) % (high - low + 1) + low
        return min(max(value, low), high)

    def _loss(self, loss: Loss) -> None:
        chip = self.chip
        words = -(-loss.count // chip.lanes)
        source, target = self._memory(loss.space), self._memory(Space(1 - loss.space))
        logits = [int(v) for v in source[loss.source : loss.source + words].reshape(-1)[: loss.count]]
        label = int(source[loss.label, 0])
        exponents = [int(exponential(max(logits) - y, loss.source_fraction, TABLE)) for y in logits]
        inverse = (1 << 40) // sum(exponents)
        result = np.zeros(words * chip.lanes, np.int64)
        for i, e in enumerate(exponents):
            shift = 40 - loss.target_fraction
            value = (e * inverse + (1 << shift - 1) >> shift) - (int(i == label) << loss.target_fraction)
            result[i] = self._narrowed(value, Overflow.SAT)
        target[loss.target : loss.target + words] = result.reshape(words, chip.lanes)
