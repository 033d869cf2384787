"""Fifth pass: fraction bits of every tensor, from its largest magnitude and from what the write-back can do.

With fractions x of the input, w of the weights, y of the output, g of the gradient and a learning rate 2**-k:
a sum has x + w fraction bits and is shifted right by x + w - y >= 0; a bias of fraction b left by x + w - b >= 0;
an update's sum has x + g + k fraction bits and is shifted by x + g + k - w >= 0, the old weight left by as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp, log2

from arch.chip import Chip
from compiler.graph import Graph, Operation, Operator, Role
from compiler.network import NetworkError

_UPDATES = (
    Operator.CONV_WEIGHT_UPDATE,
    Operator.CONV_BIAS_UPDATE,
    Operator.GEMM_WEIGHT_UPDATE,
    Operator.GEMM_BIAS_UPDATE,
)
_LEAST_FRACTION = -8
"""Coarser formats hold nothing that is meant."""
_MOST_LOSS_FRACTION = 15
"""What LOSS's fields can say."""


@dataclass(frozen=True)
class Headroom:
    """Factors by which a tensor may grow beyond what calibration saw before it saturates."""

    activation: float = 2.0
    gradient: float = 2.0
    parameter: float = 2.0


def rate_exponent(learning_rate: float) -> int:
    """k of learning_rate = 2**-k, 0 <= k <= 24. Raises `NetworkError` naming the nearest such rates."""
    if not 0 < learning_rate <= 1:
        raise NetworkError(f"learning_rate must be a power of two from 2**-24 to 1, not {learning_rate}")
    mantissa, exponent = frexp(learning_rate)
    if mantissa != 0.5 or exponent < -23:
        below = 2.0 ** max(floor(log2(learning_rate)), -24)
        raise NetworkError(
            f"learning_rate must be a power of two, which a shift applies exactly, not {learning_rate}; "
            f"the nearest are {below:g} and {2 * below:g}"
        )
    return 1 - exponent


def fractions(
    graph: Graph, largest: dict[str, float], chip: Chip, rate: int, headroom: Headroom | None = None
) -> dict[str, int]:
    """Fraction bits of every tensor; `rate` is the k of the learning rate 2**-k.

    Raises `NetworkError` naming the tensor that no format fits.
    """
    headroom = headroom or Headroom()
    factors = {
        Role.INPUT: 1.0,
        Role.ACTIVATION: headroom.activation,
        Role.GRADIENT: headroom.gradient,
        Role.WEIGHT: headroom.parameter,
        Role.BIAS: headroom.parameter,
    }
    result = {
        name: 0 if tensor.role == Role.LABEL else _most_bits(name, largest[name] * factors[tensor.role], chip)
        for name, tensor in graph.tensors.items()
    }
    before: dict[str, int] = {}
    while before != result:  # each pass only lowers fractions, down to where `_lower` refuses
        before = dict(result)
        for operation in graph.operations:
            _fit(operation, result, chip, rate)
    return result


def _most_bits(name: str, magnitude: float, chip: Chip) -> int:
    """The most fraction bits with which `magnitude` fits a word; no more than a word beyond the point."""
    _, exponent = frexp(magnitude)  # magnitude < 2**exponent
    bits = min(chip.word_bits, chip.word_bits - 1 - exponent)
    if bits < _LEAST_FRACTION:
        raise NetworkError(f"{name}: reaches {magnitude:.3g}, too large for {chip.word_bits} bits; scale the data")
    return bits


def _lower(name: str, most: int, fraction: dict[str, int]) -> None:
    """Let a tensor have at most `most` fraction bits."""
    if most < _LEAST_FRACTION:
        raise NetworkError(f"{name}: would need {most} fraction bits; raise the learning rate or scale the data")
    fraction[name] = min(fraction[name], most)


def _fit(operation: Operation, fraction: dict[str, int], chip: Chip, rate: int) -> None:
    """Lower fractions until the operation's shifts exist."""
    if operation.operator == Operator.LOSS_GRADIENT:
        logits = operation.inputs[0]
        if fraction[logits] < 0:
            raise NetworkError(f"{logits}: its logits are too large for the loss; scale the data")
        _lower(logits, _MOST_LOSS_FRACTION, fraction)
        # a gradient lies in [-1, 1]: one integer bit with the sign, so that only +1 would saturate
        _lower(operation.output, min(chip.word_bits - 1, _MOST_LOSS_FRACTION), fraction)
        if fraction[operation.output] < 0:
            raise NetworkError(f"{operation.output}: has no fraction bits left; raise the learning rate")
    elif operation.operator in _UPDATES:
        _fit_update(operation, fraction, chip, rate)
    else:
        total = fraction[operation.inputs[0]] + fraction[operation.weight]
        _lower(operation.output, total, fraction)
        if operation.bias:
            _lower(operation.bias, total, fraction)


def _fit_update(operation: Operation, fraction: dict[str, int], chip: Chip, rate: int) -> None:
    _lower(operation.output, update_fraction(operation, fraction) + rate, fraction)
    # the old weight, shifted left, must leave the accumulator a bit beside the products: coarsen the gradient
    most = chip.accumulator_bits - chip.word_bits - 2
    excess = update_fraction(operation, fraction) + rate - fraction[operation.output] - most
    if excess > 0:
        gradient = operation.inputs[-1]
        _lower(gradient, fraction[gradient] - excess, fraction)


def update_fraction(operation: Operation, fraction: dict[str, int]) -> int:
    """Fraction bits of an update's products: input times gradient, or the gradient alone for a bias."""
    return sum(fraction[name] for name in operation.inputs)
