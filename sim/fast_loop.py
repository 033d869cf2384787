"""The one compiled call: all instructions of an entry, over and over, on one image of the memories."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from arch.isa import Opcode
from sim import fast_dense, fast_gradients, fast_nest, fast_window
from sim.fast_dma import transfer
from sim.fast_load import load_registers
from sim.fast_loss import write_loss
from sim.fast_operands import count_products
from sim.fast_skip import count_made
from sim.fast_table import KINDS
from sim.fast_vectors import OPTIONS, compiled, word_at
from sim.sources import version

_LOAD, _LOSS, _TRANSFER = KINDS.index("load"), KINDS.index("loss"), KINDS.index("transfer")
_COMPUTE = int(Opcode.COMPUTE)
_EXTERNAL, _EXTERNAL_BYTES = 3, 4
_CONVOLUTION = KINDS.index("convolution")
_CONVOLUTION_BY_CHANNEL = KINDS.index("convolution_by_channel")
_CONVOLUTION_WEIGHTS = KINDS.index("convolution_weights")
_CONVOLUTION_WEIGHTS_BY_CHANNEL = KINDS.index("convolution_weights_by_channel")
_CONVOLUTION_BIAS = KINDS.index("convolution_bias")
_DENSE = KINDS.index("dense")
_DENSE_INPUT = KINDS.index("dense_input")
_DENSE_WEIGHTS = KINDS.index("dense_weights")
_DENSE_BIAS = KINDS.index("dense_bias")
_ROWS = KINDS.index("rows")
_PRODUCTS, _LANES = KINDS.index("products"), KINDS.index("lanes")
_GRADIENTS, _LANE_GRADIENTS = KINDS.index("gradients"), KINDS.index("lane_gradients")


class Regions(NamedTuple):
    """Regions that are copied to or from the memories at each step, one after another.

    `segments` int64[regions, 3]: memory (0 feature, 1 gradient, 2 weight, 3 external, 4 its
    bytes), elements, address of int16 data;
    `places` int64: for each element of each region its place in the memory's flat array.
    """

    segments: np.ndarray
    places: np.ndarray


@compiled
def _give(inputs, memories, sample):
    """Copy a sample of each input into its memory."""
    first = 0
    for i in range(inputs.segments.shape[0]):
        store, count, address = inputs.segments[i]
        memory = memories.external if store == _EXTERNAL else memories.weight if store == 2 else memories.feature
        memory = memories.gradient if store == 1 else memory
        if store == _EXTERNAL_BYTES:
            for k in range(count):
                memories.external_bytes[inputs.places[first + k]] = word_at(address, sample * count + k)
        else:
            for k in range(count):
                memory[inputs.places[first + k]] = word_at(address, sample * count + k)
        first += count


@compiled
def _take(outputs, memories, collected):
    """Copy all outputs from their memories."""
    first = 0
    for i in range(outputs.segments.shape[0]):
        store, count, _ = outputs.segments[i]
        memory = memories.external if store == _EXTERNAL else memories.weight if store == 2 else memories.feature
        memory = memories.gradient if store == 1 else memory
        if store == _EXTERNAL_BYTES:
            for k in range(count):
                collected[first + k] = memories.external_bytes[outputs.places[first + k]]
        else:
            for k in range(count):
                collected[first + k] = memory[outputs.places[first + k]]
        first += count


# written out in the loop: a function of its own, it would be optimised twice with all that it calls
@njit(**OPTIONS, inline="always")
def _execute(op, sizes, memories, scratch):
    """Execute one instruction. Returns values that did not fit, updates lost."""
    kind = op.kind
    if kind == _CONVOLUTION:
        return fast_window.convolve(op, sizes, memories, scratch, False), 0
    if kind == _CONVOLUTION_BY_CHANNEL:
        return fast_window.convolve(op, sizes, memories, scratch, True), 0
    if kind == _CONVOLUTION_WEIGHTS:
        return fast_window.update_kernels(op, sizes, memories, scratch, False)
    if kind == _CONVOLUTION_WEIGHTS_BY_CHANNEL:
        return fast_window.update_kernels(op, sizes, memories, scratch, True)
    if kind == _CONVOLUTION_BIAS:
        return fast_window.update_biases(op, sizes, memories, scratch)
    if kind == _DENSE:
        return fast_dense.multiply(op, sizes, memories, scratch), 0
    if kind == _DENSE_INPUT:
        return fast_dense.multiply_transposed(op, sizes, memories, scratch), 0
    if kind == _DENSE_WEIGHTS:
        return fast_dense.update_weights(op, sizes, memories, scratch)
    if kind == _DENSE_BIAS:
        return fast_dense.update_biases(op, sizes, memories, scratch)
    if kind == _ROWS:
        return fast_dense.sum_rows(op, sizes, memories, scratch)
    if kind == _PRODUCTS:
        return fast_nest.sum_products(op, sizes, memories, scratch), 0
    if kind == _LANES:
        return fast_nest.combine_lanes(op, sizes, memories, scratch), 0
    if kind == _GRADIENTS:
        return fast_gradients.update_groups(op, sizes, memories, scratch)
    if kind == _LANE_GRADIENTS:
        return fast_gradients.update_lanes(op, sizes, memories, scratch)
    if kind == _LOSS:
        return write_loss(op, sizes, memories, scratch), 0
    if kind == _LOAD:
        load_registers(op, sizes, memories)
    if kind == _TRANSFER:
        transfer(op, sizes, memories)
    return 0, 0


@cache
def loop() -> Callable:
    """The compiled loop: (sizes, table, memories, scratch, inputs, order, outputs, collected, counted, made, zeros).

    Runs the `ROW`s of `table` once for each sample in `order` (int64), copying the inputs before and the outputs after,
    into collected[step] (int16; no outputs: empty); adds `DATA_DEPENDENT` events and bits that turn to counted,
    int64[rows, 4], the last two if `zeros`; puts into made (int64) the iterations that COMPUTEs with `skip` make, each
    from its `made` on.
    """
    mark = version("fast")

    @njit(**OPTIONS, cache=True, nogil=True)
    def run(sizes, table, memories, scratch, inputs, order, outputs, collected, counted, made, zeros):
        for step in range(order.size):
            _give(inputs, memories, order[step])
            for i in range(table.size):
                if table[i].skip:
                    count_made(table[i], sizes, memories, made)
                if zeros and table[i].opcode == _COMPUTE:
                    found = count_products(table[i], sizes, memories, scratch.operands)
                    counted[i, 2] += found[0]
                    counted[i, 3] += found[1]
                saturations, lost = _execute(table[i], sizes, memories, scratch)
                counted[i, 0] += saturations
                counted[i, 1] += lost
            if outputs.segments.shape[0]:
                _take(outputs, memories, collected[step])
        return mark

    return run
