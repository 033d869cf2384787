"""TRANSFER: lines of words copied between the external memory and an on-chip one."""

from __future__ import annotations

from arch.isa import OnChip
from sim.fast_vectors import compiled

_GRADIENT, _WEIGHT = int(OnChip.GRADIENT), int(OnChip.WEIGHT)


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
        for i in range(op.count * unit):
            if op.outward:
                memories.external[outside + i] = memory[inside + i]
            else:
                memory[inside + i] = memories.external[outside + i]
