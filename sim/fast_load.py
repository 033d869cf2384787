"""LOAD: the kernel registers, the vector in register 0, and the bias register."""

from __future__ import annotations

from arch.isa import Destination
from sim.fast_vectors import compiled

_VECTOR, _BIAS = int(Destination.VECTOR), int(Destination.BIAS)


@compiled
def load_registers(op, sizes, memories):
    """Execute a LOAD."""
    if op.destination == _VECTOR:
        _load_vector(op, sizes, memories)
    elif op.destination == _BIAS:
        for i in range(sizes.row):
            memories.bias[i] = memories.weight[op.row * sizes.row + i]
    elif op.transpose:
        _load_transposed(op, sizes, memories)
    else:
        _load_kernels(op, sizes, memories)


@compiled
def _load_vector(op, sizes, memories):
    memory = memories.gradient if op.space else memories.feature
    first = op.source * sizes.lanes
    for i in range(sizes.row):
        memories.kernels[i] = memory[first + i] if i < op.count * sizes.lanes else 0


@compiled
def _load_kernels(op, sizes, memories):
    for i in range(op.count):
        first = (op.row + i) * sizes.row
        for tap in range(sizes.taps):
            word = sizes.taps - 1 - tap if op.rotate else tap
            for lane in range(sizes.lanes):
                value = memories.weight[first + word * sizes.lanes + lane]
                memories.kernels[i * sizes.row + tap * sizes.lanes + lane] = value


@compiled
def _load_transposed(op, sizes, memories):
    """Lane i of register j is lane j of row i; further lanes of every register are cleared."""
    for register in range(sizes.registers):
        for tap in range(sizes.taps):
            word = sizes.taps - 1 - tap if op.rotate else tap
            place = register * sizes.row + tap * sizes.lanes
            for lane in range(sizes.lanes):
                if lane >= op.count:
                    memories.kernels[place + lane] = 0
                elif register < sizes.lanes:
                    row = op.row + lane
                    value = memories.weight[row * sizes.row + word * sizes.lanes + register]
                    memories.kernels[place + lane] = value
