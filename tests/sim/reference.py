"""What instructions do to values, straight from docs/machine.md and the docstrings of arch.isa: slow, with no clock."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import floor

import numpy as np

from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import (
    Base,
    Compute,
    Destination,
    Emission,
    Instruction,
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
from arch.softmax import LOG2E, TABLE


class Reference:
    """A chip's memories and registers, and the events that depend on values."""

    def __init__(self, chip: Chip, image: Image):
        self.chip = chip
        self.image = image.copy()
        self.kernel = np.zeros((chip.kernel_registers, chip.taps, chip.lanes), np.int64)
        self.bias = np.zeros((chip.taps, chip.lanes), np.int64)
        self.events: Counter[Event] = Counter()

    def execute(self, instruction: Instruction) -> None:
        """Carry out one instruction."""
        if isinstance(instruction, Load):
            self._load(instruction)
        elif isinstance(instruction, Loss):
            self._loss(instruction)
        elif isinstance(instruction, Compute):
            self._compute(instruction)

    def _memory(self, space: Space) -> np.ndarray:
        return self.image.feature if space == Space.FEATURE else self.image.gradient

    def _load(self, load: Load) -> None:
        if load.destination == Destination.VECTOR:
            self.kernel[0] = 0
            self.kernel[0, : load.count] = self._memory(load.space)[load.source : load.source + load.count]
            return
        rows = self.image.weight[load.row : load.row + load.count].astype(np.int64)
        if load.destination == Destination.BIAS:
            self.bias[:] = rows[0]
            return
        rows = rows[:, ::-1] if load.rotate else rows
        if not load.transpose:
            self.kernel[: load.count] = rows
            return
        self.kernel[:, :, load.count :] = 0
        for register in range(min(self.chip.lanes, self.chip.kernel_registers)):
            for lane in range(load.count):
                self.kernel[register, :, lane] = rows[lane, :, register]

    def _loss(self, loss: Loss) -> None:
        lanes = self.chip.lanes
        words = -(-loss.count // lanes)
        memory = self._memory(loss.space)
        logits = memory[loss.source : loss.source + words].reshape(-1)[: loss.count].tolist()
        label = int(memory[loss.label, 0])
        powers = [_exponential(max(logits) - logit, loss.source_fraction) for logit in logits]
        inverse = 2**40 // sum(powers)
        target = np.zeros(words * lanes, np.int64)
        for index, power in enumerate(powers):
            exact = Fraction(power * inverse, 2 ** (40 - loss.target_fraction))
            value = floor(exact + Fraction(1, 2)) - (2**loss.target_fraction if index == label else 0)
            target[index] = self._fitted(value, Overflow.SAT)
        self._memory(Space(1 - loss.space))[loss.target : loss.target + words] = target.reshape(words, lanes)

    def _fitted(self, value: int, overflow: Overflow) -> int:
        """`value` as a stored word; counts it if it does not fit."""
        low, high = -self.chip.largest - 1, self.chip.largest
        if low <= value <= high:
            return value
        self.events[Event.SATURATIONS] += 1
        if overflow == Overflow.WRAP:
            return (value - low) % (high - low + 1) + low
        return low if value < low else high

    def _rounded(self, value: int, compute: Compute, tap: int, lane: int) -> int:
        exact = Fraction(value, 2**compute.shift)
        if compute.rounding == Rounding.TRN:
            return floor(exact)
        if compute.rounding == Rounding.RND:
            return floor(exact + Fraction(1, 2))
        if compute.rounding == Rounding.RND_CONV:
            return round(exact)
        state = int(self.image.random[tap, lane])
        self.image.random[tap, lane] = _xorshift(state)
        # as many random bits as are dropped, and never more than the state has
        bits = min(compute.shift, 32)
        return floor(exact + Fraction(state >> (32 - bits), 2**bits))

    def _compute(self, compute: Compute) -> None:
        chip = self.chip
        shape = (compute.iterations, chip.taps, chip.lanes)
        sums = np.zeros(shape, np.int64)
        row = compute.row
        positions = self._positions(compute)
        for places in positions:
            moving = self._moving(compute, places)
            if compute.emission != Emission.END:
                sums = np.zeros(shape, np.int64)
            for j in range(compute.iterations):
                stationary = self._stationary(compute, places, j, row)
                product = _routed(moving, compute.moving_route, j) * _routed(stationary, compute.stationary_route, j)
                sums[j] += -product if compute.negate else product
                if compute.emission == Emission.STEP:
                    self._emit_row(compute, row, sums[j])
                row += compute.stationary == Stationary.STREAM or compute.emission == Emission.STEP
            if compute.emission == Emission.POSITION:
                self._emit_position(compute, places, sums)
        if compute.emission == Emission.END:
            self._emit_end(compute, sums)

    def _positions(self, compute: Compute) -> list[list[tuple[int, int]]]:
        """For each position, the (row, column) of its words in a map of height x width."""
        walk = [(row, column) for row in range(compute.height) for column in range(compute.width)]
        if compute.traversal == Traversal.BLOCK:
            return [walk[first : first + self.chip.taps] for first in range(0, len(walk), self.chip.taps)]
        if compute.traversal == Traversal.SNAKE:
            walk.sort(key=lambda place: (place[0], -place[1] if place[0] % 2 else place[1]))
        return [[place] for place in walk]

    def _moving(self, compute: Compute, places: list[tuple[int, int]]) -> np.ndarray:
        chip = self.chip
        source = np.zeros((chip.taps, chip.lanes), np.int64)
        memory = self._memory(compute.source_space)
        if compute.moving == Moving.VECTOR:
            return self.kernel[0]
        if compute.moving == Moving.ONE:
            source[:] = 1
        elif compute.moving == Moving.UNIT:
            source[0] = 1
        elif compute.moving == Moving.BLOCK:
            for tap, (row, column) in enumerate(places):
                source[tap] = memory[compute.source + row * compute.source_pitch + column]
        else:
            for tap in range(chip.taps):
                row = places[0][0] - compute.pad_top + tap // chip.kernel
                column = places[0][1] - compute.pad_left + tap % chip.kernel
                if 0 <= row < compute.source_height and 0 <= column < compute.source_width:
                    source[tap] = memory[compute.source + row * compute.source_pitch + column]
        return source

    def _stationary(self, compute: Compute, places: list[tuple[int, int]], j: int, row: int) -> np.ndarray:
        if compute.stationary == Stationary.KERNEL:
            return self.kernel[j]
        if compute.stationary == Stationary.STREAM:
            return self.image.weight[row].astype(np.int64)
        if compute.stationary == Stationary.VECTOR:
            return self.kernel[0]
        place = compute.pixel + places[0][0] * compute.pixel_pitch + places[0][1]
        return self._memory(compute.pixel_space)[place].astype(np.int64)[None]

    def _emit_position(self, compute: Compute, places: list[tuple[int, int]], sums: np.ndarray) -> None:
        if compute.reduction == Reduction.NONE:
            words = sums.sum(axis=0)
        elif compute.reduction == Reduction.TAPS:
            words = sums.sum(axis=(0, 1))[None]
        else:
            words = self._words(sums.sum(axis=(1, 2)))
        for index, (row, column) in enumerate(places):
            mask = None
            if compute.mask:
                place = compute.mask_source + row * compute.mask_pitch + column
                mask = self._memory(compute.mask_space)[place]
            place = compute.target + row * compute.target_pitch + column
            self._emit_word(compute, place, words[index], self.bias[index], mask)

    def _emit_end(self, compute: Compute, sums: np.ndarray) -> None:
        if compute.reduction == Reduction.NONE:
            for j in range(compute.iterations):
                self._emit_row(compute, compute.row + j, sums[j])
            return
        for index, word in enumerate(self._words(sums.sum(axis=(1, 2)))):
            self._emit_word(compute, compute.target + index, word, self.bias[index], None)

    def _words(self, values: np.ndarray) -> np.ndarray:
        """Values as words, zeros behind the last."""
        words = np.zeros((-(-values.size // self.chip.lanes), self.chip.lanes), np.int64)
        words.reshape(-1)[: values.size] = values
        return words

    def _emit_word(self, compute: Compute, place: int, sums, bias, mask) -> None:
        memory = self._memory(compute.target_space)
        for lane in range(self.chip.lanes):
            value = int(sums[lane])
            if compute.base == Base.BIAS:
                value += int(bias[lane]) * 2**compute.base_shift
            value = self._rounded(value, compute, 0, lane)
            if (compute.relu and value < 0) or (mask is not None and mask[lane] <= 0):
                value = 0
            memory[place, lane] = self._fitted(value, compute.overflow)

    def _emit_row(self, compute: Compute, row: int, sums: np.ndarray) -> None:
        weights = self.image.weight[row]
        for tap in range(self.chip.taps):
            for lane in range(self.chip.lanes):
                total, old = int(sums[tap, lane]), int(weights[tap, lane])
                value = self._rounded(total + old * 2**compute.base_shift, compute, tap, lane)
                self.events[Event.LOST_UPDATES] += int(total != 0 and value == old)
                weights[tap, lane] = self._fitted(value, compute.overflow)


def _routed(source: np.ndarray, route: Route, j: int) -> np.ndarray:
    """What broadcasts to T x L operands; a pixel is a source of one tap."""
    if route == Route.FULL:
        return source
    if route == Route.LANE:
        return source[0][None, :]
    if route == Route.TAP:
        return source[:, j][:, None]
    return source.reshape(-1)[j].reshape(1, 1)


def _xorshift(state: int) -> int:
    state = (state ^ state << 13) % 2**32
    state ^= state >> 17
    return (state ^ state << 5) % 2**32


def _exponential(distance: int, fraction: int) -> int:
    """e**(-distance / 2**fraction) in 16 fraction bits, by the table of `arch.softmax`."""
    power = Fraction(distance * LOG2E, 2 ** (fraction + 14))
    whole = floor(power)
    part = floor((power - whole) * 4096)
    index, between = divmod(part, 64)
    low, high = int(TABLE[index]), int(TABLE[index + 1])
    return (low - (low - high) * between // 64) >> min(whole, 17)
