"""What the operands of a COMPUTE's steps are: ZERO_PRODUCTS, and bits that turn; found before it is executed.

A bit turns where a multiplier's stationary operand has another there than in the step before, of this COMPUTE or the
one before it. Multipliers switch as much as these bits do. No counter of the chip has them; they are for estimates of
energy. (The chip's operand of a match is 1 on padding and tap 0, where the moving one is 0; here it is 0.)

No step of a COMPUTE reads what an earlier one writes (`arch.nest_rules`), so the memories hold all its operands. This
is as much work as the products themselves, with nothing shared between steps: it is done where it is asked for.
"""

from __future__ import annotations

import numpy as np

from arch.fields import ROW_BITS
from arch.isa import Emission, Moving, Reduction, Route, Stationary, Traversal
from sim.fast_gather import kernel_tap, register_place
from sim.fast_skip import decides
from sim.fast_vectors import compiled

_WINDOW, _BLOCK, _VECTOR, _ONE, _UNIT, _KERNEL = (int(item) for item in Moving)
_BY_KERNEL, _STREAM, _PIXEL, _BY_VECTOR, _MATCH = (int(item) for item in Stationary)
_FULL, _LANE, _TAP, _SCALAR = (int(item) for item in Route)
_SNAKE, _RASTER, _BLOCKS, _PIXELS = (int(item) for item in Traversal)
_ROW, _MAXIMUM = int(Emission.ROW), int(Reduction.MAXIMUM)
_LAST_ROW = (1 << ROW_BITS) - 1


@compiled
def count_products(op, sizes, memories, operands):
    """Products of a COMPUTE, over all its steps, that have an operand of zero, and bits of stationary ones that turn.

    `operands`, int16[3 + registers, taps, lanes] flat, is scratch: values of the moving operand, of the stationary one
    if it is a row or pixels, and of the kernel registers; then the stationary ones of the last step, which stay there.
    """
    blocks = op.traversal == _BLOCKS or op.traversal == _PIXELS
    words = op.height * op.width
    positions = (words + sizes.taps - 1) // sizes.taps if blocks else words
    _put_constants(op, sizes, operands)
    zeros = turned = 0
    for outer in range(op.outer):
        for inner in range(op.inner):
            _put_kernels(op, sizes, memories, outer, inner, operands)
            for position in range(positions):
                for step in range(op.kernel_height * op.kernel_width):
                    unit = outer, inner, position, step
                    _put_moving(op, sizes, memories, unit, operands)
                    _put_pixels(op, sizes, memories, unit, operands)
                    found = _count_unit(op, sizes, memories, unit, operands)
                    zeros += found[0]
                    turned += found[1]
    return zeros, turned


@compiled
def _count_unit(op, sizes, memories, unit, operands):
    """Products with a zero, and bits that turn, in the steps of a position's inner step."""
    outer, _, position, step = unit
    nothing = op.skip != 0
    if op.skip:
        for j in range(op.iterations):
            nothing = nothing and not decides(op, sizes, memories, outer, position, j)
    tap = kernel_tap(op, step, outer) if op.traversal == _PIXELS else 0
    zeros = turned = 0
    for j in range(op.iterations):
        if op.skip and not decides(op, sizes, memories, outer, position, j) and not (nothing and j == 0):
            continue
        if op.stationary == _STREAM:
            row = op.row + position * op.iterations + j
            if op.emission == _ROW:
                row = (op.row + j * op.row_inner & _LAST_ROW) + position
            _put(memories.weight, row * sizes.row, operands, sizes.row, sizes.row)
        moving = (2 + j if op.moving == _KERNEL else 2 if op.moving == _VECTOR else 0) * sizes.row
        stationary = (2 + j if op.stationary == _BY_KERNEL else 2 if op.stationary == _BY_VECTOR else 1) * sizes.row
        a = _routed(sizes, moving, op.moving_route, j, tap)
        b = _routed(sizes, stationary, op.stationary_route, j, tap)
        found = _count_pairs(sizes, operands, a, b)
        zeros += found[0]
        turned += found[1]
    return zeros, turned


@compiled
def _routed(sizes, first, route, j, tap):
    """Where an operand's values lie: that of tap 0 and lane 0, and how far the next tap's and the next lane's are."""
    if route == _FULL:
        return first, sizes.lanes, 1
    if route == _LANE:
        return first + tap * sizes.lanes, 0, 1
    if route == _TAP:
        return first + j, sizes.lanes, 0
    return first + j, 0, 0


@compiled
def _count_pairs(sizes, operands, a, b):
    """Products of which an operand is zero, and bits that turn; this step's stationary operands become the last."""
    zeros = turned = 0
    last = (2 + sizes.registers) * sizes.row
    for tap in range(sizes.taps):
        x, y = a[0] + tap * a[1], b[0] + tap * b[1]
        for _ in range(sizes.lanes):
            moving, stationary = operands[x], operands[y]
            zeros += moving == 0 or stationary == 0
            turned += _differing(sizes, stationary, operands[last])
            operands[last] = stationary
            last += 1
            x += a[2]
            y += b[2]
    return zeros, turned


@compiled
def _differing(sizes, one, other):
    """Bits in which two words differ, counted in pairs, fours and eights."""
    bits = (np.int64(one) ^ np.int64(other)) & (1 << sizes.bits) - 1
    bits -= bits >> 1 & 0x5555
    bits = (bits & 0x3333) + (bits >> 2 & 0x3333)
    bits = bits + (bits >> 4) & 0x0F0F
    return bits + (bits >> 8) & 0x1F


@compiled
def _put(memory, source, operands, place, count):
    for i in range(count):
        operands[place + i] = memory[source + i]


@compiled
def _put_constants(op, sizes, operands):
    ones = sizes.row if op.moving == _ONE else sizes.lanes if op.moving == _UNIT else 0
    operands[:ones] = 1
    operands[ones : sizes.row] = 0


@compiled
def _put_kernels(op, sizes, memories, outer, inner, operands):
    """The registers that the group uses; those of one that loads them lie in weight rows."""
    by_iteration = op.moving == _KERNEL or op.stationary == _BY_KERNEL
    kernels = memories.weight if op.reload else memories.kernels
    for register in range(op.iterations if by_iteration else 1):
        for tap in range(sizes.taps):
            place = register_place(op, sizes, register, tap, outer, inner)
            _put(kernels, place, operands, (2 + register) * sizes.row + tap * sizes.lanes, sizes.lanes)


@compiled
def _put_moving(op, sizes, memories, unit, operands):
    """The words of a map that a unit's taps hold."""
    if op.moving != _WINDOW and op.moving != _BLOCK:
        return
    outer, inner, _, step = unit
    memory = memories.gradient if op.source_space else memories.feature
    first = op.source + (outer if op.by_lane else inner) * op.source_group
    if op.planes:
        first += step % op.kernel_width * op.source_plane
    padding = op.reduction >= _MAXIMUM  # it is the smallest word
    for tap in range(sizes.taps):
        there, inside, row, column = _coordinate(op, sizes, unit, tap)
        place = tap * sizes.lanes
        if inside:
            _put(memory, (first + row * op.source_pitch + column) * sizes.lanes, operands, place, sizes.lanes)
        else:
            operands[place : place + sizes.lanes] = -(1 << sizes.bits - 1) if there and padding else 0


@compiled
def _coordinate(op, sizes, unit, tap):
    """Whether a unit's tap holds a word, whether it lies inside the moving map, and where."""
    _, _, position, step = unit
    if op.traversal == _SNAKE or op.traversal == _RASTER:
        row, column = _place(op, position)
        row += tap // sizes.side - op.pad_top
        column += tap % sizes.side - op.pad_left
    else:
        word = position * sizes.taps + tap
        if word >= op.height * op.width:
            return False, False, 0, 0
        row, column = _place(op, word)
        if op.traversal == _BLOCKS:
            return True, True, row, column
        row = row * op.step - op.pad_top
        column = column * op.step - op.pad_left
        if not op.planes:
            row += step // op.kernel_width * op.dilation
            column += step % op.kernel_width * op.dilation
    return True, 0 <= row < op.source_height and 0 <= column < op.source_width, row, column


@compiled
def _place(op, word):
    """Row and column of a word of the walk."""
    row, column = word // op.width, word % op.width
    return row, op.width - 1 - column if op.traversal == _SNAKE and row & 1 else column


@compiled
def _put_pixels(op, sizes, memories, unit, operands):
    """The pixel words of a unit: one in tap 0, or a block's; or which of them hold the kernel tap's number."""
    if op.stationary == _MATCH:
        _put_matches(op, sizes, memories, unit, operands)
    if op.stationary != _PIXEL:
        return
    outer, _, position, step = unit
    memory = memories.gradient if op.pixel_space else memories.feature
    plane = outer + (step % op.kernel_width if op.moving == _ONE else 0)
    words = op.height * op.width
    first, count = (position * sizes.taps, sizes.taps) if op.traversal == _PIXELS else (position, 1)
    for tap in range(count):
        row, column = _place(op, first + tap)
        place = sizes.row + tap * sizes.lanes
        outside = op.moving == _KERNEL and (row >= op.source_height or column >= op.source_width)
        if outside or first + tap >= words:
            operands[place : place + sizes.lanes] = 0
        else:
            word = op.pixel + plane * op.pixel_plane + row * op.pixel_pitch + column
            _put(memory, word * sizes.lanes, operands, place, sizes.lanes)


@compiled
def _put_matches(op, sizes, memories, unit, operands):
    outer, _, _, step = unit
    memory = memories.gradient if op.pixel_space else memories.feature
    wanted = kernel_tap(op, step, outer)
    for tap in range(sizes.taps):
        _, inside, row, column = _coordinate(op, sizes, unit, tap)
        place = sizes.row + tap * sizes.lanes
        word = op.pixel + outer * op.pixel_plane + row * op.source_pitch + column
        for lane in range(sizes.lanes):
            operands[place + lane] = inside and memory[word * sizes.lanes + lane] == wanted
