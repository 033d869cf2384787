"""What instructions do to memories, said once more for the tests of the RTL: loops over groups, positions and steps."""

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
    Storage,
    Traversal,
)
from arch.modes import BY_LANE, mode_of
from arch.softmax import TABLE, exponential

_Place = tuple[int, int]


class Reference:
    """Memories and registers of a chip; `run` executes one instruction and counts data-dependent events.

    `executed` are the iterations that each position of the last COMPUTE made.
    """

    def __init__(self, image: Image, chip: Chip):
        self.image = image.copy()
        self.chip = chip
        self.kernels = np.zeros((chip.kernel_registers, chip.taps, chip.lanes), np.int64)
        self.bias = np.zeros((chip.taps, chip.lanes), np.int64)
        self.cells = np.zeros((chip.accumulator_banks, chip.taps, chip.lanes), np.int64)
        self.events = {Event.SATURATIONS: 0, Event.LOST_UPDATES: 0, Event.ZERO_PRODUCTS: 0}
        self.executed: list[int] = []

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

    def _positions(self, c: Compute) -> list[list[_Place]]:
        """The words or pixels of all positions in order."""
        words = [(h, w) for h in range(c.height) for w in range(c.width)]
        if c.traversal in (Traversal.BLOCK, Traversal.PIXELS):
            return [words[i : i + self.chip.taps] for i in range(0, len(words), self.chip.taps)]
        if c.traversal == Traversal.SNAKE:
            words = [(h, w if h % 2 == 0 else c.width - 1 - w) for h, w in words]
        return [[word] for word in words]

    def _compute(self, c: Compute) -> None:
        self.c, self.executed = c, []
        self.lanewise = mode_of(c) in BY_LANE
        places = self._positions(c)
        for o in range(c.outer):
            for i in range(c.inner):
                if c.reload:
                    first = c.row + o * c.row_outer + i * c.row_inner
                    rows = self.image.weight[first : first + c.iterations].astype(np.int64)
                    self.kernels[: c.iterations] = rows[:, ::-1] if c.rotate else rows
                if c.emission == Emission.END and c.skip and not c.keep:
                    self.cells[:] = 0
                for p, position in enumerate(places):
                    self._position(o, i, p, position)
                if c.emission == Emission.END and not c.hold:
                    self._emit_end(o, i)

    def _position(self, o: int, i: int, p: int, position: list[_Place]) -> None:
        c = self.c
        made: list[int] = []
        for k in range(c.kernel_height * c.kernel_width):
            ky, kx = divmod(k, c.kernel_width)
            u = c.tap + ky * c.tap_row + kx * c.tap_column + o * c.tap_outer
            u = u if c.traversal == Traversal.PIXELS else 0
            moving, pixels = self._moving(o, i, position, ky, kx), self._pixels(o, position, ky, kx)
            made = self._made(pixels[0])
            for j in made:
                row = c.row + p * c.iterations + j
                if c.emission == Emission.ROW:
                    row = (c.row + j * c.row_inner) % (1 << 16) + p
                a = self._routed(self.kernels[j] if c.moving == Moving.KERNEL else moving, c.moving_route, j, 0)
                stationary = self._stationary(pixels, j, u, row)
                b = self._routed(stationary, c.stationary_route, j, u)
                products = -a * b if c.negate else a * b
                self.events[Event.ZERO_PRODUCTS] += int((products == 0).sum())
                self._accumulate(products, position[0], i, p, k, j, u, made)
                if c.emission == Emission.STEP:
                    self._emit_row(row, self.cells[0])
        self.executed.append(len(made))
        if c.emission == Emission.ROW:
            self._emit_row(c.target_row + p, self.cells[p % self.chip.accumulator_banks])
        if c.emission == Emission.POSITION and i == c.inner - 1 and not c.hold:
            self._emit_position(o, p, position)

    def _made(self, pixel: np.ndarray) -> list[int]:
        c = self.c
        every = list(range(c.iterations))
        if not c.skip or (c.moving == Moving.WINDOW and c.stationary == Stationary.KERNEL and not c.mask):
            return every
        if c.stationary == Stationary.KERNEL:
            values = pixel > 0
        elif c.stationary == Stationary.PIXEL:
            values = pixel != 0
        else:
            values = self.kernels[0].reshape(-1) != 0
        return [j for j in every if values[j]] or [0]

    def _coordinate(self, place: _Place, ky: int, kx: int) -> _Place:
        c = self.c
        kx = 0 if c.planes else kx
        return (
            place[0] * c.step + ky * c.dilation - c.pad_top,
            place[1] * c.step + kx * c.dilation - c.pad_left,
        )

    def _inside(self, place: _Place) -> bool:
        return 0 <= place[0] < self.c.source_height and 0 <= place[1] < self.c.source_width

    def _moving(self, o: int, i: int, position: list[_Place], ky: int, kx: int) -> np.ndarray:
        chip, c = self.chip, self.c
        values = np.zeros((chip.taps, chip.lanes), np.int64)
        memory = self._memory(c.source_space)
        source = c.source + (o if self.lanewise else i) * c.source_group
        if c.moving == Moving.WINDOW:
            for t in range(chip.taps):
                place = (position[0][0] + t // chip.kernel - c.pad_top, position[0][1] + t % chip.kernel - c.pad_left)
                if self._inside(place):
                    values[t] = memory[source + place[0] * c.source_pitch + place[1]]
        elif c.moving == Moving.BLOCK and c.traversal == Traversal.BLOCK:
            for t, (h, w) in enumerate(position):
                values[t] = memory[source + h * c.source_pitch + w]
        elif c.moving == Moving.BLOCK:
            largest = c.reduction in (Reduction.MAXIMUM, Reduction.INDEX)
            for t, place in enumerate(position):
                h, w = self._coordinate(place, ky, kx)
                if self._inside((h, w)):
                    values[t] = memory[source + h * c.source_pitch + w + (kx * c.source_plane if c.planes else 0)]
                elif largest:
                    values[t] = -chip.largest - 1
        elif c.moving == Moving.VECTOR:
            values = self.kernels[0]
        else:
            values[: chip.taps if c.moving == Moving.ONE else 1] = 1
        return values

    def _pixels(self, o: int, position: list[_Place], ky: int, kx: int) -> np.ndarray:
        """The words of the pixel map at a position or a block."""
        c = self.c
        pixels = np.zeros((self.chip.taps, self.chip.lanes), np.int64)
        memory = self._memory(c.pixel_space)
        first = c.pixel + o * c.pixel_plane
        for t, place in enumerate(position):
            h, w = place
            if c.stationary == Stationary.MATCH:
                h, w = self._coordinate(place, ky, kx)
                if not self._inside((h, w)):
                    continue
            elif c.moving == Moving.KERNEL and not self._inside((h, w)):
                continue
            elif c.stationary != Stationary.PIXEL and not (c.skip and c.mask):
                break
            if c.moving == Moving.ONE:
                w += kx * c.pixel_plane
            pixels[t] = memory[first + h * c.pixel_pitch + w]
        return pixels

    def _stationary(self, pixels: np.ndarray, j: int, u: int, row: int) -> np.ndarray:
        c = self.c
        if c.stationary == Stationary.KERNEL:
            return self.kernels[j]
        if c.stationary == Stationary.STREAM:
            return self.image.weight[row].astype(np.int64)
        if c.stationary == Stationary.PIXEL:
            return pixels
        if c.stationary == Stationary.MATCH:
            return (pixels == u).astype(np.int64)
        return self.kernels[0]

    def _routed(self, values: np.ndarray, route: Route, j: int, u: int) -> np.ndarray:
        taps, lanes = values.shape
        if route == Route.FULL:
            return values
        if route == Route.LANE:
            return np.tile(values[u], (taps, 1))
        if route == Route.TAP:
            return np.tile(values[:, j : j + 1], (1, lanes))
        return np.full((taps, lanes), values[j // lanes, j % lanes])

    def _accumulate(self, products, place: _Place, i: int, p: int, k: int, j: int, u: int, made: list[int]) -> None:
        c, chip = self.c, self.chip
        blocks = c.traversal in (Traversal.BLOCK, Traversal.PIXELS)
        bank = (p if blocks else p // chip.taps) % chip.accumulator_banks
        begins = j == made[0]
        if c.moving == Moving.KERNEL:
            self._scatter(products, place, begins)
        elif c.emission == Emission.STEP:
            self.cells[0] = products
        elif c.emission == Emission.ROW:
            self._add(bank, ..., products, begins)
        elif c.emission == Emission.END:
            first = p == 0 and k == 0
            if c.reduction == Reduction.BOTH:
                self._add(0, (j // chip.lanes, j % chip.lanes), products.sum(), first)
            elif c.reduction == Reduction.NONE:
                self._add(j, ..., products, first)
            elif c.stationary == Stationary.KERNEL:
                self._add(0, 0, products.sum(axis=0), first)
            else:
                if first and not c.keep:
                    self.cells[j] = 0
                self.cells[j, u] += products.sum(axis=0)
        elif c.reduction == Reduction.BOTH:
            self._add(bank, (p % chip.taps, j), products.sum(), i == 0)
        elif c.reduction == Reduction.TAPS:
            self._add(bank, p % chip.taps, products.sum(axis=0), i == 0 and begins)
        elif c.reduction == Reduction.LANES:
            self._add(bank, (slice(None), j), products.sum(axis=1), i == 0 and k == 0)
        elif c.reduction == Reduction.NONE:
            self._add(bank, ..., products, i == 0 and k == 0 and begins)
        else:
            new = products * 64 + 63 - k
            if k or c.keep:
                new = np.maximum(new, self.cells[bank])
            self.cells[bank] = new

    def _add(self, bank: int, where, values, first: bool) -> None:
        if first and not self.c.keep:
            self.cells[bank][where] = values
        else:
            self.cells[bank][where] += values

    def _scatter(self, products: np.ndarray, place: _Place, begins: bool) -> None:
        side = self.chip.kernel
        (y, x) = place
        for ky in range(side):
            for kx in range(side):
                r, c = y + side - 1 - ky, x + side - 1 - kx
                cell = self.cells[c // side, r % side * side + c % side]
                new = (r == y + side - 1 or y == 0) and (c == x + side - 1 or x == 0)
                cell[:] = products[ky * side + kx] + (0 if begins and new else cell)

    def _emit_position(self, o: int, p: int, position: list[_Place]) -> None:
        c, chip = self.c, self.chip
        blocks = c.traversal in (Traversal.BLOCK, Traversal.PIXELS)
        side = chip.kernel
        for t, (h, w) in enumerate(position):
            if c.moving == Moving.KERNEL:
                values = self.cells[w // side, h % side * side + w % side].copy()
                h, w = h - c.pad_top, w - c.pad_left
                if h < 0 or w < 0:
                    continue
            elif blocks:
                values = self.cells[p % chip.accumulator_banks, t].copy()
            else:
                values = self.cells[p // chip.taps % chip.accumulator_banks, p % chip.taps].copy()
            if c.reduction in (Reduction.BOTH, Reduction.LANES):
                values[c.iterations :] = 0
            elif c.reduction == Reduction.MAXIMUM:
                values >>= 6
            elif c.reduction == Reduction.INDEX:
                values = 63 - values % 64
            mask = None
            if c.mask and c.skip and c.stationary == Stationary.KERNEL:
                mask = self._pixels(o, position, 0, 0)[t]
            elif c.mask:
                mask = self._memory(c.mask_space)[
                    c.mask_source + o * c.mask_outer + h * c.mask_pitch + w * c.target_step
                ]
            address = c.target + o * c.target_outer + h * c.target_pitch + w * c.target_step
            self._emit_word(address, values, c.bias_word + o, mask)

    def _emit_end(self, o: int, i: int) -> None:
        c, chip = self.c, self.chip
        target = c.target + o * c.target_outer
        if c.reduction == Reduction.BOTH:
            flat = self.cells[0].reshape(-1).copy()
            flat[c.iterations :] = 0
            for word in range(chip.words(c.iterations)):
                self._emit_word(target + word, flat[word * chip.lanes : (word + 1) * chip.lanes], word, None)
        elif c.stationary == Stationary.KERNEL:
            self._emit_word(target, self.cells[0, 0], 0, None)
        else:
            for j in range(c.iterations):
                self._emit_row(c.row + o * c.row_outer + i * c.row_inner + j, self.cells[j])

    def _emit_word(self, address: int, values: np.ndarray, bias: int, mask: np.ndarray | None) -> None:
        c = self.c
        for lane in range(self.chip.lanes):
            base = int(self.bias[bias, lane]) if c.base == Base.BIAS else 0
            value = self._rounded(c, int(values[lane]) + (base << c.base_shift), 0, lane)
            if (c.relu and value < 0) or (mask is not None and mask[lane] <= 0):
                value = 0
            self._memory(c.target_space)[address, lane] = self._narrowed(value, c.overflow, c.target_storage)

    def _emit_row(self, row: int, values: np.ndarray) -> None:
        c = self.c
        for t in range(self.chip.taps):
            for lane in range(self.chip.lanes):
                old, added = int(self.image.weight[row, t, lane]), int(values[t, lane])
                value = self._rounded(c, added + (old << c.base_shift if c.base == Base.ROW else 0), t, lane)
                new = self._narrowed(value, c.overflow, c.target_storage)
                self.events[Event.LOST_UPDATES] += c.base == Base.ROW and added != 0 and value == old == new
                self.image.weight[row, t, lane] = new

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

    def _narrowed(self, value: int, overflow: Overflow, storage: Storage = Storage.WORD) -> int:
        low, high = (-128, 127) if storage == Storage.BYTE else (-self.chip.largest - 1, self.chip.largest)
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
