"""TRANSFER: lines of words copied between the external memory and an on-chip one."""

from __future__ import annotations

from arch.isa import OnChip, Overflow, Storage
from arch.numerics import narrowed
from sim.fast_vectors import compiled

_GRADIENT, _WEIGHT = int(OnChip.GRADIENT), int(OnChip.WEIGHT)
_BYTE, _WRAP = int(Storage.BYTE), int(Overflow.WRAP)


@compiled
def transfer(op, sizes, memories):
    """Execute a TRANSFER."""
    memory, first, unit = memories.feature, op.word, sizes.lanes
    pitch = op.pitch
    if op.memory == _GRADIENT:
        memory = memories.gradient
    elif op.memory == _WEIGHT:
        memory, first, unit = memories.weight, op.row, sizes.row
        pitch = op.count
    for line in range(op.lines):
        inside = (first + line * pitch) * unit
        outside = (op.external + line * op.external_pitch) * sizes.lanes
        count = op.count * unit
        if op.storage == _BYTE:
            _line(memory, inside, memories.external_bytes, outside, count, op.outward, sizes.bits)
        else:
            _line(memory, inside, memories.external, outside, count, op.outward, sizes.bits)


@compiled
def _line(memory, inside, external, outside, count, outward, bits):
    """Copy a line; what comes in is cut to the chip's words, what goes out to the elements outside."""
    if outward:
        for i in range(count):
            external[outside + i] = memory[inside + i]
    else:
        for i in range(count):
            memory[inside + i] = narrowed(int(external[outside + i]), bits, _WRAP)
