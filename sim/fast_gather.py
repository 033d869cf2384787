"""The operands of grouped nests as matrices: source words a position, pixel words, and kernels."""

from __future__ import annotations

from arch.isa import Traversal
from sim.fast_vectors import WIDTH, compiled, load, store

_SNAKE, _PIXELS = int(Traversal.SNAKE), int(Traversal.PIXELS)


@compiled
def copy_word(memory, source, copy, place, count):
    """copy[place ...] = memory[source ...], `count` values."""
    if count % WIDTH == 0:
        for i in range(0, count, WIDTH):
            store(copy, place + i, load(memory, source + i))
    else:
        for i in range(count):
            copy[place + i] = memory[source + i]


@compiled
def gather_words(op, sizes, memory, first, plane, padding, positions, copy, copy_first, copy_pitch, channels):
    """The words that `positions` (first, count) of the walk read at each of their kernel taps, from word `first` on:

    copy[copy_first + position * copy_pitch + k * channels + channel]; planes lie `plane` words apart. A window has
    K x K taps; a scatter's is one of pixels, that looks back K - 1 rows and columns. Outside the map is `padding`.
    """
    side, lanes = sizes.side, sizes.lanes
    rows, columns, step, apart = side, side, 1, 1
    top, left, pitch = op.pad_top, op.pad_left, op.source_pitch
    if op.scatter:
        top, left, pitch = side - 1, side - 1, op.pixel_pitch
    if op.traversal == _PIXELS:
        rows, columns, step, apart = op.kernel_height, op.kernel_width, op.step, op.dilation
    across, plane = (0, plane) if op.planes else (apart, 0)
    start, count = positions
    row, column = start // op.width, start % op.width
    for position in range(count):
        x = op.width - 1 - column if op.traversal == _SNAKE and row & 1 else column
        place = copy_first + position * copy_pitch
        for ky in range(rows):
            y = row * step + ky * apart - top
            above = y < 0 or y >= op.source_height
            line = first + y * pitch
            for kx in range(columns):
                at = x * step + kx * across - left
                if above or at < 0 or at >= op.source_width:
                    for channel in range(channels):
                        copy[place + channel] = padding
                else:
                    copy_word(memory, (line + kx * plane + at) * lanes, copy, place, channels)
                place += channels
        column += 1
        if column == op.width:
            column = 0
            row += 1


@compiled
def gather_pixels(op, sizes, memory, first, positions, copy):
    """The pixel words of `positions` (first, count) of the walk: copy[position * padded + lane]."""
    start, count = positions
    row, column = start // op.width, start % op.width
    for position in range(count):
        x = op.width - 1 - column if op.traversal == _SNAKE and row & 1 else column
        copy_word(memory, (first + row * op.pixel_pitch + x) * sizes.lanes, copy, position * sizes.padded, sizes.lanes)
        column += 1
        if column == op.width:
            column = 0
            row += 1


@compiled
def kernel_tap(op, step, outer):
    """The kernel tap of an inner step: the step itself but in a PIXELS walk."""
    if op.traversal != _PIXELS:
        return step
    rows, columns = step // op.kernel_width, step % op.kernel_width
    return op.tap + rows * op.tap_row + columns * op.tap_column + outer * op.tap_outer


@compiled
def register_place(op, sizes, iteration, tap, outer, inner):
    """Where a tap of kernel register `iteration` is found: in the kernel file, or in the rows that are reloaded."""
    if not op.reload:
        return iteration * sizes.row + tap * sizes.lanes
    row = op.row + outer * op.row_outer + inner * op.row_inner + iteration
    word = sizes.taps - 1 - tap if op.rotate else tap
    return row * sizes.row + word * sizes.lanes


@compiled
def gather_kernels(op, sizes, memories, outer, inner, factors, first):
    """A group's kernels with their sign, 0 in the columns without a filter:

    by filter   factors[first + (k * lanes + lane) * padded + iteration]
    by channel  factors[first + (k * iterations + iteration) * padded + lane]
    """
    lanes, padded = sizes.lanes, sizes.padded
    kernels = memories.weight if op.reload else memories.kernels
    sign = -1.0 if op.negate else 1.0
    if op.features < padded:
        factors[first : first + op.steps * op.channels * padded] = 0.0
    for iteration in range(op.iterations):
        for step in range(op.steps):
            place = register_place(op, sizes, iteration, kernel_tap(op, step, outer), outer, inner)
            if op.by_channel:
                new = first + (step * op.channels + iteration) * padded
                for lane in range(lanes):
                    factors[new + lane] = sign * kernels[place + lane]
            else:
                new = first + step * lanes * padded + iteration
                for lane in range(lanes):
                    factors[new + lane * padded] = sign * kernels[place + lane]


@compiled
def keep_kernels(op, sizes, memories):
    """Leave the last group's kernels in the registers, as reloading does."""
    if not op.reload:
        return
    for iteration in range(op.iterations):
        for tap in range(sizes.taps):
            place = register_place(op, sizes, iteration, tap, op.outer - 1, op.inner - 1)
            for lane in range(sizes.lanes):
                memories.kernels[iteration * sizes.row + tap * sizes.lanes + lane] = memories.weight[place + lane]
