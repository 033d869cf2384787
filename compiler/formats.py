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
    """Fraction bits of every tensor; `rate` is the k of the learning rate 2**-k."""
    headroom = headroom or Headroom()
    factors = {
        Role.INPUT: 1.0,
        Role.ACTIVATION: headroom.activation,
        Role.GRADIENT: headroom.gradient,
        Role.WEIGHT: headroom.parameter,
        Role.BIAS: headroom.parameter,
    }
    result = {
        name: 0 if tensor.role == Role.LABEL else _most_bits(largest[name] * factors[tensor.role], chip)
        for name, tensor in graph.tensors.items()
    }
    for operation in graph.operations:
        _fit(operation, result, chip, rate)
    return result


def _most_bits(magnitude: float, chip: Chip) -> int:
    """The most fraction bits with which `magnitude` fits a word, at most 24."""
    _, exponent = frexp(magnitude)  # magnitude < 2**exponent
    return max(-8, min(24, chip.word_bits - 1 - exponent))


def _fit(operation: Operation, fraction: dict[str, int], chip: Chip, rate: int) -> None:
    """Lower fractions until the operation's shifts exist."""
    if operation.operator == Operator.LOSS_GRADIENT:
        logits = operation.inputs[0]
        fraction[logits] = min(fraction[logits], _MOST_LOSS_FRACTION)
        # a gradient lies in [-1, 1]: one integer bit with the sign, so that only +1 would saturate
        fraction[operation.output] = min(chip.word_bits - 1, _MOST_LOSS_FRACTION)
    elif operation.operator in _UPDATES:
        _fit_update(operation, fraction, chip, rate)
    else:
        total = fraction[operation.inputs[0]] + fraction[operation.weight]
        fraction[operation.output] = min(fraction[operation.output], total)
        if operation.bias:
            fraction[operation.bias] = min(fraction[operation.bias], total)


def _fit_update(operation: Operation, fraction: dict[str, int], chip: Chip, rate: int) -> None:
    total = update_fraction(operation, fraction) + rate
    fraction[operation.output] = min(fraction[operation.output], total)
    # the old weight, shifted left, must leave the accumulator a bit beside the products
    most = chip.accumulator_bits - chip.word_bits - 2
    if total - fraction[operation.output] > most:
        raise NetworkError(
            f"{operation.layer}: an update needs a shift of {total - fraction[operation.output]}, "
            f"but accumulator_bits {chip.accumulator_bits} allows {most}; widen accumulator_bits"
        )


def update_fraction(operation: Operation, fraction: dict[str, int]) -> int:
    """Fraction bits of an update's products: input times gradient, or the gradient alone for a bias."""
    return sum(fraction[name] for name in operation.inputs)
