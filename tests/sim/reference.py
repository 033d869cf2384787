"""What instructions do to values, straight from docs/machine.md and the docstrings of arch.isa: slow, with no clock."""

from __future__ import annotations

import itertools
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
    OnChip,
    Overflow,
    Reduction,
    Rounding,
    Route,
    Space,
    Stationary,
    Storage,
    Transfer,
    Traversal,
)
from arch.modes import BY_LANE, mode_of
from arch.softmax import LOG2E, TABLE


class Reference:
    """A chip's memories and registers, and the events that depend on values."""

    def __init__(self, chip: Chip, image: Image):
        self.chip = chip
        self.image = image.copy()
        self.kernel = np.zeros((chip.kernel_registers, chip.taps, chip.lanes), np.int64)
        self.bias = np.zeros((chip.taps, chip.lanes), np.int64)
        self.sums = np.zeros((chip.accumulator_banks, chip.taps, chip.lanes), np.int64)
        self.indices = np.zeros_like(self.sums)
        self.executed = np.zeros(0, np.int64)  # iterations made at each position of each group of the last COMPUTE
        self.events: Counter[Event] = Counter()
        self.stationary = np.zeros((chip.taps, chip.lanes), np.int64)  # operands of the last step
        self.turned = 0  # bits of them that were others than in the step before

    def execute(self, instruction: Instruction) -> None:
        """Carry out one instruction."""
        if isinstance(instruction, Load):
            self._load(instruction)
        elif isinstance(instruction, Loss):
            self._loss(instruction)
        elif isinstance(instruction, Compute):
            self._compute(instruction)
        elif isinstance(instruction, Transfer):
            self._transfer(instruction)

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

    def _transfer(self, transfer: Transfer) -> None:
        taps = self.chip.taps if transfer.memory == OnChip.WEIGHT else 1
        for line in range(transfer.lines):
            if transfer.memory == OnChip.WEIGHT:
                memory, first = self.image.weight.reshape(-1, self.chip.lanes), transfer.row + line * transfer.count
            else:
                memory, first = self._memory(Space(transfer.memory)), transfer.word + line * transfer.pitch
            inside = memory[first * taps : (first + transfer.count) * taps]
            first = (transfer.external + line * transfer.external_pitch) * self.chip.lanes
            self._move(inside.reshape(-1), first, transfer)

    def _move(self, inside: np.ndarray, first: int, transfer: Transfer) -> None:
        """A line of elements, one by one; element `first` outside is the first one's."""
        outside, bits = self.image.external.reshape(-1), self.chip.word_bits
        for index, element in enumerate(inside.tolist()):
            if transfer.storage == Storage.BYTE:
                cell, high = divmod(first + index, 2)
                low_byte, high_byte = int(outside[cell]) % 256, int(outside[cell]) // 256
                if not transfer.outward:
                    byte = high_byte % 256 if high else low_byte
                    inside[index] = byte - 256 if byte > 127 else byte
                elif high:
                    outside[cell] = (element + 128) % 256 * 256 - 128 * 256 + low_byte
                else:
                    outside[cell] = high_byte * 256 + element % 256
            elif transfer.outward:
                outside[first + index] = element
            else:
                inside[index] = (int(outside[first + index]) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)

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

    def _fitted(self, value: int, overflow: Overflow, storage: Storage = Storage.WORD) -> int:
        """`value` as a stored word; counts it if it does not fit."""
        low, high = (-128, 127) if storage == Storage.BYTE else (-self.chip.largest - 1, self.chip.largest)
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
        counts: list[int] = []
        emitting = not compute.hold
        rows = itertools.count(compute.row)  # of steps that take or write one each
        for o, i in itertools.product(range(compute.outer), range(compute.inner)):
            first_row = compute.row + o * compute.row_outer + i * compute.row_inner
            if compute.reload:
                kernels = self.image.weight[first_row : first_row + compute.iterations].astype(np.int64)
                self.kernel[: compute.iterations] = kernels[:, ::-1] if compute.rotate else kernels
            if compute.emission == Emission.END and not compute.keep:
                self._clear(compute)
            for p, places in enumerate(self._positions(compute)):
                made = self._made(compute, places, o)
                counts.append(len(made))
                for k, (ky, kx) in enumerate(np.ndindex(compute.kernel_height, compute.kernel_width)):
                    tap = compute.tap + ky * compute.tap_row + kx * compute.tap_column + o * compute.tap_outer
                    moving = self._moving(compute, places, (o, i), (ky, kx))
                    for j in range(compute.iterations):
                        row = (compute.row + j * compute.row_inner) % 2**16 + p
                        if compute.emission != Emission.ROW:
                            row = next(rows)
                        if j not in made:
                            continue
                        a = self.kernel[j] if moving is None else moving
                        b = self._stationary(compute, places, j, row, (o, ky, kx), tap)
                        tap_of_word = tap if compute.traversal == Traversal.PIXELS else 0
                        routed_a = _routed(a, compute.moving_route, j, tap_of_word)
                        routed_b = _routed(b, compute.stationary_route, j, tap_of_word)
                        self._count_zeros(routed_a, routed_b)
                        self._count_turned(routed_b)
                        product = routed_a * routed_b
                        product = np.broadcast_to(-product if compute.negate else product, self.sums.shape[1:])
                        opens = i == 0 and k == 0 and j == made[0] and not compute.keep
                        self._accumulate(compute, product, p, places, (i, k, j), tap, opens)
                        if compute.emission == Emission.STEP:
                            self._emit_row(compute, row, product)
                if compute.emission == Emission.ROW:
                    self._emit_row(compute, compute.target_row + p, self.sums[p % self.chip.accumulator_banks])
                if compute.emission == Emission.POSITION and emitting and i == compute.inner - 1:
                    self._emit_position(compute, p, places, o)
            if compute.emission == Emission.END and emitting:
                self._emit_end(compute, first_row, o)
        self.executed = np.array(counts, np.int64)

    def _count_zeros(self, a: np.ndarray, b: np.ndarray) -> None:
        """Pairs of operands, one for every multiplier, of which one at least is zero."""
        pairs = zip(np.broadcast_to(a, self.bias.shape).flat, np.broadcast_to(b, self.bias.shape).flat, strict=True)
        self.events[Event.ZERO_PRODUCTS] += sum(0 in pair for pair in pairs)

    def _count_turned(self, b: np.ndarray) -> None:
        """Bits of the stationary operand of every multiplier that are others than in the step before."""
        now = np.broadcast_to(b, self.bias.shape) % 2**self.chip.word_bits
        pairs = zip(now.flat, self.stationary.flat, strict=True)
        self.turned += sum((int(one) ^ int(other)).bit_count() for one, other in pairs)
        self.stationary = now

    def _clear(self, compute: Compute) -> None:
        """END: the accumulators that a group uses start at 0."""
        if compute.reduction == Reduction.BOTH:
            self.sums[0].reshape(-1)[: compute.iterations] = 0
        elif _writes_rows(compute):
            self.sums[: compute.iterations] = 0
        else:
            self.sums[0, 0] = 0

    def _made(self, compute: Compute, places: list[tuple[int, int]], o: int) -> list[int]:
        """The iterations of a position that are made."""
        every = list(range(compute.iterations))
        if not compute.skip:
            return every
        if compute.stationary == Stationary.PIXEL:
            deciding = self._pixel(compute, places[0], o)
        elif compute.stationary == Stationary.KERNEL:
            deciding = np.maximum(self._pixel(compute, places[0], o), 0)
        else:
            deciding = self.kernel[0].reshape(-1)
        return [j for j in every if deciding[j]] or [0]

    def _accumulate(self, compute: Compute, product, p: int, places, loops, tap: int, opens: bool) -> None:
        """Add a step's products to the cells that the tables of docs/machine.md name."""
        (i, k, j), chip, sums = loops, self.chip, self.sums
        fresh = i == 0 and k == 0 and not compute.keep
        blocks = compute.traversal in (Traversal.BLOCK, Traversal.PIXELS)
        bank, own = (p, 0) if blocks else (p // chip.taps, p % chip.taps)
        bank %= chip.accumulator_banks
        if compute.emission == Emission.STEP:
            sums[0] = product
        elif compute.emission == Emission.ROW:
            sums[bank] = product + (0 if opens else sums[bank])
        elif compute.moving == Moving.KERNEL:
            self._scatter(places[0], product, opens)
        elif compute.emission == Emission.POSITION:
            if compute.reduction == Reduction.BOTH:
                sums[bank, own, j] = product.sum() + (0 if fresh else sums[bank, own, j])
            elif compute.reduction == Reduction.TAPS:
                sums[bank, own] = product.sum(axis=0) + (0 if opens else sums[bank, own])
            elif compute.reduction == Reduction.LANES:
                sums[bank, :, j] = product.sum(axis=1) + (0 if fresh else sums[bank, :, j])
            elif compute.reduction == Reduction.NONE:
                sums[bank] = product + (0 if opens else sums[bank])
            else:
                self._keep_largest(product, bank, k)
        elif compute.reduction == Reduction.BOTH:
            sums[0, j // chip.lanes, j % chip.lanes] += product.sum()
        elif compute.reduction == Reduction.NONE:
            sums[j] += product
        elif _writes_rows(compute):
            sums[j, tap] += product.sum(axis=0)
        else:
            sums[0, 0] += product.sum(axis=0)

    def _keep_largest(self, product: np.ndarray, bank: int, k: int) -> None:
        if k == 0:
            self.sums[bank], self.indices[bank] = product, 0
        else:
            larger = product > self.sums[bank]
            self.indices[bank][larger] = k
            self.sums[bank][larger] = product[larger]

    def _scatter(self, place: tuple[int, int], product: np.ndarray, opens: bool) -> None:
        """Products of tap (ky, kx) to output (y + K-1 - ky, x + K-1 - kx)."""
        side = self.chip.kernel
        y, x = place
        for tap in range(side * side):
            r, c = y + side - 1 - tap // side, x + side - 1 - tap % side
            cell = self.sums[c // side, r % side * side + c % side]
            if opens and (r == y + side - 1 or y == 0) and (c == x + side - 1 or x == 0):
                cell[:] = 0
            cell += product[tap]

    def _positions(self, compute: Compute) -> list[list[tuple[int, int]]]:
        """For each position, the (row, column) of its words in a map of height x width."""
        walk = [(row, column) for row in range(compute.height) for column in range(compute.width)]
        if compute.traversal in (Traversal.BLOCK, Traversal.PIXELS):
            return [walk[first : first + self.chip.taps] for first in range(0, len(walk), self.chip.taps)]
        if compute.traversal == Traversal.SNAKE:
            walk.sort(key=lambda place: (place[0], -place[1] if place[0] % 2 else place[1]))
        return [[place] for place in walk]

    def _moving(self, compute: Compute, places, group: tuple[int, int], inner: tuple[int, int]) -> np.ndarray | None:
        """Words of the taps; None if they are the iteration's kernel."""
        chip = self.chip
        source = np.zeros((chip.taps, chip.lanes), np.int64)
        if compute.moving == Moving.KERNEL:
            return None
        if compute.moving == Moving.VECTOR:
            return self.kernel[0]
        if compute.moving == Moving.ONE:
            source[:] = 1
        elif compute.moving == Moving.UNIT:
            source[0] = 1
        elif compute.moving == Moving.BLOCK:
            for tap, place in enumerate(places):
                source[tap] = self._gathered(compute, place, group, inner)
        else:
            first = compute.source + group[0 if mode_of(compute) in BY_LANE else 1] * compute.source_group
            memory = self._memory(compute.source_space)
            for tap in range(chip.taps):
                row = places[0][0] - compute.pad_top + tap // chip.kernel
                column = places[0][1] - compute.pad_left + tap % chip.kernel
                if 0 <= row < compute.source_height and 0 <= column < compute.source_width:
                    source[tap] = memory[first + row * compute.source_pitch + column]
        return source

    def _gathered(self, compute: Compute, place: tuple[int, int], group: tuple[int, int], inner: tuple[int, int]):
        """The word of a BLOCK's or PIXELS' tap."""
        first = compute.source + group[0 if mode_of(compute) in BY_LANE else 1] * compute.source_group
        row, column = place
        if compute.traversal == Traversal.PIXELS:
            at = _coordinate(compute, place, inner)
            if at is None:
                largest = compute.reduction in (Reduction.MAXIMUM, Reduction.INDEX)
                return -self.chip.largest - 1 if largest else 0
            row, column = at
            first += inner[1] * compute.source_plane if compute.planes else 0
        return self._memory(compute.source_space)[first + row * compute.source_pitch + column]

    def _pixel(self, compute: Compute, place: tuple[int, int], further: int) -> np.ndarray:
        """The pixel word of a position, `further` planes on."""
        row, column = place
        if compute.moving == Moving.KERNEL and (row >= compute.source_height or column >= compute.source_width):
            return np.zeros(self.chip.lanes, np.int64)
        at = compute.pixel + further * compute.pixel_plane + row * compute.pixel_pitch + column
        return self._memory(compute.pixel_space)[at].astype(np.int64)

    def _stationary(self, compute: Compute, places, j: int, row: int, loops: tuple[int, int, int], tap: int):
        o, ky, kx = loops
        if compute.stationary == Stationary.KERNEL:
            return self.kernel[j]
        if compute.stationary == Stationary.STREAM:
            return self.image.weight[row].astype(np.int64)
        if compute.stationary == Stationary.VECTOR:
            return self.kernel[0]
        if compute.traversal != Traversal.PIXELS:
            return self._pixel(compute, places[0], o)[None]
        words = np.zeros((self.chip.taps, self.chip.lanes), np.int64)
        for index, place in enumerate(places):
            if compute.stationary == Stationary.PIXEL:
                words[index] = self._pixel(compute, place, o + (kx if compute.moving == Moving.ONE else 0))
            elif (at := _coordinate(compute, place, (ky, kx))) is not None:
                words[index] = self._pixel(compute, at, o) == tap
        return words

    def _emit_position(self, compute: Compute, p: int, places: list[tuple[int, int]], o: int) -> None:
        chip = self.chip
        bank = p % chip.accumulator_banks
        words = self.sums[bank]
        skipped = (0, 0)
        if compute.reduction == Reduction.INDEX:
            words = self.indices[bank]
        elif compute.moving == Moving.KERNEL:
            y, x = places[0]
            if y < compute.pad_top or x < compute.pad_left:
                return
            skipped = compute.pad_top, compute.pad_left
            words = self.sums[x // chip.kernel, y % chip.kernel * chip.kernel + x % chip.kernel][None]
        elif len(places) == 1 and compute.traversal not in (Traversal.BLOCK, Traversal.PIXELS):
            words = self.sums[p // chip.taps % chip.accumulator_banks, p % chip.taps][None]
        words = words.copy()
        if compute.reduction in (Reduction.BOTH, Reduction.LANES):
            words[:, compute.iterations :] = 0
        for index, (row, column) in enumerate(places):
            mask = None
            row, column = row - skipped[0], column - skipped[1]
            if compute.mask and compute.skip and compute.stationary == Stationary.KERNEL:
                mask = self._pixel(compute, (row, column), o)
            elif compute.mask:
                place = compute.mask_source + o * compute.mask_outer
                mask = self._memory(compute.mask_space)[place + row * compute.mask_pitch + column * compute.target_step]
            place = compute.target + o * compute.target_outer
            place += row * compute.target_pitch + column * compute.target_step
            self._emit_word(
                compute,
                place,
                words[index],
                self.bias[compute.bias_word + o] if compute.base == Base.BIAS else None,
                mask,
            )

    def _emit_end(self, compute: Compute, row: int, o: int) -> None:
        if _writes_rows(compute):
            for j in range(compute.iterations):
                self._emit_row(compute, row + j, self.sums[j])
            return
        values = self.sums[0].reshape(-1)
        count = compute.iterations if compute.reduction == Reduction.BOTH else self.chip.lanes
        for index, word in enumerate(self._words(values[:count])):
            place = compute.target + o * compute.target_outer + index
            self._emit_word(compute, place, word, self.bias[index], None)

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
            memory[place, lane] = self._fitted(value, compute.overflow, compute.target_storage)

    def _emit_row(self, compute: Compute, row: int, sums: np.ndarray) -> None:
        weights = self.image.weight[row]
        for tap in range(self.chip.taps):
            for lane in range(self.chip.lanes):
                total, old = int(sums[tap, lane]), int(weights[tap, lane])
                based = compute.base == Base.ROW
                value = self._rounded(total + (old * 2**compute.base_shift if based else 0), compute, tap, lane)
                new = self._fitted(value, compute.overflow, compute.target_storage)
                self.events[Event.LOST_UPDATES] += int(based and total != 0 and value == old == new)
                weights[tap, lane] = new


def _writes_rows(compute: Compute) -> bool:
    """Whether emission END ends with weight rows."""
    return compute.reduction == Reduction.NONE or (
        compute.reduction == Reduction.TAPS and compute.stationary == Stationary.PIXEL
    )


def _coordinate(compute: Compute, place: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int] | None:
    """Where an inner step of a PIXELS walk reads for a position; None if that is padding."""
    ky, kx = (0, 0) if compute.planes else inner
    row = place[0] * compute.step + ky * compute.dilation - compute.pad_top
    column = place[1] * compute.step + kx * compute.dilation - compute.pad_left
    inside = 0 <= row < compute.source_height and 0 <= column < compute.source_width
    return (row, column) if inside else None


def _routed(source: np.ndarray, route: Route, j: int, tap: int) -> np.ndarray:
    """What broadcasts to T x L operands; a pixel is a source of one tap."""
    if route == Route.FULL:
        return source
    if route == Route.LANE:
        return source[tap][None, :]
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
