"""LOSS: the gradient of softmax cross-entropy, by the functions of `arch.softmax`."""

from __future__ import annotations

from arch.isa import Overflow
from arch.numerics import fits, narrowed
from arch.softmax import TABLE, exponential, probability, reciprocal
from sim.fast_vectors import compiled

_SAT = int(Overflow.SAT)


@compiled
def write_loss(op, sizes, memories, scratch):
    """Execute a LOSS. Returns how many gradients did not fit."""
    source, target = memories.feature, memories.gradient
    if op.space:
        source, target = target, source
    lanes = sizes.lanes
    logits = source[op.source * lanes : op.source * lanes + op.count]
    gradients = target[op.target * lanes : op.target * lanes + (op.count + lanes - 1) // lanes * lanes]
    powers = scratch.powers
    largest = int(logits[0])
    for i in range(op.count):
        largest = max(largest, int(logits[i]))
    sum = 0
    for i in range(op.count):
        powers[i] = exponential(largest - int(logits[i]), op.source_fraction, TABLE)
        sum += powers[i]
    inverse = reciprocal(sum)
    label = source[op.label * lanes]
    saturations = 0
    for i in range(op.count):
        value = probability(powers[i], inverse, op.target_fraction)
        if i == label:
            value -= 1 << op.target_fraction
        saturations += not fits(value, sizes.bits)
        gradients[i] = narrowed(value, sizes.bits, _SAT)
    gradients[op.count :] = 0
    return saturations
