"""The modes that move a window over a map: convolutions, their weights' and their biases' gradients.

Both by-filter and by-channel modes are the same correlation. With C channels of the window in use, its K*K*C values
are K runs of K*C neighbours in a padded copy of the map, and filters lie side by side in vectors:

    convolution             C = lanes,      filter = iteration, weight = register[filter][tap, channel]
    convolution_by_channel  C = iterations, filter = lane,      weight = register[channel][tap, filter]
"""

from __future__ import annotations

from sim.fast_emission import Places, write_rows, write_words
from sim.fast_gather import keep_kernels, register_place
from sim.fast_vectors import WIDTH, compiled, inlined, load, scale_add, store, zeros


@compiled
def convolve(op, sizes, memories, scratch, by_channel):
    """Execute a `convolution` or `convolution_by_channel`. Returns how many values did not fit."""
    channels = op.iterations if by_channel else sizes.lanes
    _gather(op, sizes, memories, scratch.source, channels)
    _fill_factors(op, sizes, memories, scratch.factors, channels, by_channel)
    for lane in range(sizes.padded):
        scratch.sums[lane] = 0.0
    if op.base:
        for lane in range(sizes.lanes):
            scratch.sums[lane] = float(memories.bias[op.bias_word * sizes.lanes + lane] << op.base_shift)
    _correlate(op, sizes, scratch, channels)
    places = Places(0, 0, op.height * op.width, op.width, op.target, op.mask_source, False)
    saturations = write_words(op, sizes, memories, scratch.sums, sizes.padded, sizes.padded, places)
    keep_kernels(op, sizes, memories)
    return saturations


@compiled
def update_kernels(op, sizes, memories, scratch, by_channel):
    """Execute `convolution_weights` or its by-channel form. Returns values that did not fit, updates lost."""
    lanes = sizes.lanes
    channels = op.iterations if by_channel else lanes
    _gather(op, sizes, memories, scratch.source, channels)
    _gather_pixels(op, sizes, memories, scratch.pixels)
    _correlate_pixels(op, sizes, scratch, channels, lanes if by_channel else op.iterations)
    row_step, lane_step = (sizes.padded, 1) if by_channel else (1, sizes.padded)
    for j in range(op.iterations):
        for tap in range(sizes.taps):
            place = tap * channels * sizes.padded + j * row_step
            for lane in range(lanes):
                scratch.products[j * sizes.row + tap * lanes + lane] = int(scratch.sums[place])
                place += lane_step
        scratch.multipliers[j] = -1 if op.negate else 1
    factors = scratch.multipliers
    return write_rows(op, sizes, memories, scratch.products, 0, sizes.row, factors, 1, op.iterations, op.row)


@compiled
def update_biases(op, sizes, memories, scratch):
    """Execute a `convolution_bias`. Returns values that did not fit, updates lost."""
    _gather_pixels(op, sizes, memories, scratch.pixels)
    for first in range(0, sizes.padded, WIDTH):
        sums = zeros()
        scratch.factors[0] = 1.0
        for word in range(op.height * op.width):
            sums = scale_add(sums, scratch.factors, 0, load(scratch.pixels, word * sizes.padded + first))
        store(scratch.sums, first, sums)
    for i in range(sizes.row):
        scratch.products[i] = int(scratch.sums[i]) if i < sizes.lanes else 0
    scratch.multipliers[0] = -1 if op.negate else 1
    return write_rows(op, sizes, memories, scratch.products, 0, 0, scratch.multipliers, 1, 1, op.row)


@compiled
def _gather(op, sizes, memories, copy, channels):
    """The map with its padding: copy[(row * (width + K - 1) + column) * channels + channel]."""
    memory = memories.gradient if op.source_space else memories.feature
    lanes = sizes.lanes
    columns = op.width + sizes.side - 1
    inside = min(op.source_width, columns - op.pad_left)
    for row in range(op.height + sizes.side - 1):
        line = copy[row * columns * channels : (row + 1) * columns * channels]
        above = row - op.pad_top
        if above < 0 or above >= op.source_height:
            line[:] = 0.0
            continue
        line[: op.pad_left * channels] = 0.0
        line[(op.pad_left + inside) * channels :] = 0.0
        kept = line[op.pad_left * channels : (op.pad_left + inside) * channels]
        first = (op.source + above * op.source_pitch) * lanes
        words = memory[first : first + inside * lanes]
        if channels == lanes:
            for i in range(kept.size):
                kept[i] = float(words[i])
        else:
            for column in range(inside):
                for channel in range(channels):
                    kept[column * channels + channel] = float(words[column * lanes + channel])


@compiled
def _gather_pixels(op, sizes, memories, pixels):
    """The pixel words: pixels[position * padded + lane]."""
    memory = memories.gradient if op.pixel_space else memories.feature
    lanes, padded = sizes.lanes, sizes.padded
    for row in range(op.height):
        first = (op.pixel + row * op.pixel_pitch) * lanes
        words = memory[first : first + op.width * lanes]
        copy = pixels[row * op.width * padded : (row + 1) * op.width * padded]
        if lanes == padded:
            for i in range(copy.size):
                copy[i] = float(words[i])
        else:
            for column in range(op.width):
                for lane in range(lanes):
                    copy[column * padded + lane] = float(words[column * lanes + lane])
                copy[column * padded + lanes : (column + 1) * padded] = 0.0


@compiled
def _fill_factors(op, sizes, memories, factors, channels, by_channel):
    """The kernels with their sign: factors[(tap * channels + channel) * padded + filter], 0 without such a filter."""
    sign = -1.0 if op.negate else 1.0
    kernels = memories.weight if op.reload else memories.kernels
    filters = sizes.lanes if by_channel else op.iterations
    factors[: sizes.taps * channels * sizes.padded] = 0.0
    channel_step, filter_step = (sizes.row, 1) if by_channel else (1, sizes.row)
    for tap in range(sizes.taps):
        source = register_place(op, sizes, 0, tap, 0, 0)
        for channel in range(channels):
            first = (tap * channels + channel) * sizes.padded
            place = source + channel * channel_step
            for filter in range(filters):
                factors[first + filter] = sign * kernels[place]
                place += filter_step


@compiled
def _correlate(op, sizes, scratch, channels):
    """sums[(1 + position) * padded + filter] = sums[filter] + sum of window * factors."""
    source, factors, sums, padded = scratch.source, scratch.factors, scratch.sums, sizes.padded
    line = (op.width + sizes.side - 1) * channels
    run = sizes.side * channels
    for filter in range(0, padded, WIDTH):
        for window_row in range(sizes.side):
            i = 0
            while i < run:
                # the first terms start from the base, the others from what is there
                old, step = (filter, 0) if window_row == 0 and i == 0 else (padded + filter, padded)
                factor = (window_row * run + i) * padded + filter
                place = window_row * line + i
                if i + 8 <= run:
                    _add_eight(source, place, line, channels, factors, factor, sums, old, step, filter, op, padded)
                    i += 8
                else:
                    _add_one(source, place, line, channels, factors, factor, sums, old, step, filter, op, padded)
                    i += 1


@inlined
def _add_eight(source, place, line, channels, factors, factor, sums, old, step, filter, op, padded):
    """Add eight neighbouring terms of the window to all positions, their factors kept in registers."""
    f0, f1 = load(factors, factor), load(factors, factor + padded)
    f2, f3 = load(factors, factor + 2 * padded), load(factors, factor + 3 * padded)
    f4, f5 = load(factors, factor + 4 * padded), load(factors, factor + 5 * padded)
    f6, f7 = load(factors, factor + 6 * padded), load(factors, factor + 7 * padded)
    new = padded + filter
    for row in range(op.height):
        at = place + row * line
        for _ in range(op.width):
            value = load(sums, old)
            value = scale_add(value, source, at, f0)
            value = scale_add(value, source, at + 1, f1)
            value = scale_add(value, source, at + 2, f2)
            value = scale_add(value, source, at + 3, f3)
            value = scale_add(value, source, at + 4, f4)
            value = scale_add(value, source, at + 5, f5)
            value = scale_add(value, source, at + 6, f6)
            value = scale_add(value, source, at + 7, f7)
            store(sums, new, value)
            at += channels
            old += step
            new += padded


@inlined
def _add_one(source, place, line, channels, factors, factor, sums, old, step, filter, op, padded):
    """Add one term of the window to all positions."""
    f0 = load(factors, factor)
    new = padded + filter
    for row in range(op.height):
        at = place + row * line
        for _ in range(op.width):
            store(sums, new, scale_add(load(sums, old), source, at, f0))
            at += channels
            old += step
            new += padded


@compiled
def _correlate_pixels(op, sizes, scratch, channels, filters):
    """sums[(tap * channels + channel) * padded + filter] = sum over positions of window * pixel, six terms at once.

    Six sums of eight filters are what the registers of every CPU hold. The last terms of a run may reach beyond it:
    their sums are replaced by the next run's, or lie behind the last.
    """
    source, pixels, sums, padded = scratch.source, scratch.pixels, scratch.sums, sizes.padded
    line = (op.width + sizes.side - 1) * channels
    run = sizes.side * channels
    for filter in range(0, filters, WIDTH):
        for window_row in range(sizes.side):
            for i in range(0, run, 6):
                s0, s1, s2 = zeros(), zeros(), zeros()
                s3, s4, s5 = zeros(), zeros(), zeros()
                pixel = filter
                for row in range(op.height):
                    at = (window_row + row) * line + i
                    for _ in range(op.width):
                        word = load(pixels, pixel)
                        s0 = scale_add(s0, source, at, word)
                        s1 = scale_add(s1, source, at + 1, word)
                        s2 = scale_add(s2, source, at + 2, word)
                        s3 = scale_add(s3, source, at + 3, word)
                        s4 = scale_add(s4, source, at + 4, word)
                        s5 = scale_add(s5, source, at + 5, word)
                        at += channels
                        pixel += padded
                sum = (window_row * run + i) * padded + filter
                store(sums, sum, s0)
                store(sums, sum + padded, s1)
                store(sums, sum + 2 * padded, s2)
                store(sums, sum + 3 * padded, s3)
                store(sums, sum + 4 * padded, s4)
                store(sums, sum + 5 * padded, s5)
