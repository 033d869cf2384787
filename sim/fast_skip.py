"""Which iterations a COMPUTE with `skip` makes: those whose deciding value is not zero, and the first if none is."""

from __future__ import annotations

from arch.isa import Moving, Stationary, Traversal
from sim.fast_vectors import compiled

_SNAKE = int(Traversal.SNAKE)
_KERNEL, _PIXEL, _STATIONARY_KERNEL = int(Moving.KERNEL), int(Stationary.PIXEL), int(Stationary.KERNEL)


@compiled
def count_made(op, sizes, memories, made):
    """made[op.made + group * positions + position] = iterations that the position makes in that group."""
    place = op.made
    for outer in range(op.outer):
        for _ in range(op.inner):
            for position in range(op.positions):
                made[place] = _made_at(op, sizes, memories, outer, position, 1)
                place += 1


@compiled
def only_made(op, sizes, memories, position, lane):
    """Whether iteration `lane` of a `convolution` is made at a position: its result is not masked, or it is the first

    of a position whose results all are.
    """
    if lane == 0 and _made_at(op, sizes, memories, 0, position, 0) == 0:
        return True
    return decides(op, sizes, memories, 0, position, lane)


@compiled
def _made_at(op, sizes, memories, outer, position, least):
    """Iterations that a position makes, or `least` if no value decides for one."""
    count = 0
    for j in range(op.iterations):
        if decides(op, sizes, memories, outer, position, j):
            count += 1
    return max(count, least)


@compiled
def decides(op, sizes, memories, outer, position, j):
    """Whether iteration j of a position is made for its own sake."""
    by_pixel = op.stationary == _PIXEL or op.stationary == _STATIONARY_KERNEL
    if not by_pixel:
        return memories.kernels[j] != 0
    row, column = position // op.width, position % op.width
    if op.traversal == _SNAKE and row & 1:
        column = op.width - 1 - column
    if op.moving == _KERNEL and (row >= op.source_height or column >= op.source_width):
        return False
    memory = memories.gradient if op.pixel_space else memories.feature
    word = op.pixel + outer * op.pixel_plane + row * op.pixel_pitch + column
    value = memory[word * sizes.lanes + j]
    return value > 0 if op.stationary == _STATIONARY_KERNEL else value != 0
