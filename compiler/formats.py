"""Fifth pass: fraction bits of every tensor, from its largest magnitude and from what the write-back can do.

An operation's exact sum has t fraction bits; its result, of y, is the sum shifted right by t - y >= 0, and what is
added to the sum before that (a bias, an old weight), of b, is shifted left by t - b, few enough for the accumulator:

- a convolution, a matrix, a product or a gradient: t = x + w, of input and weight, or of two inputs; plus k in an
  update with the learning rate 2**-k;
- a sum of scaled inputs (Combine, ChannelMap, GlobalAveragePool, Broadcast, NeighbourSum, Update): t = x_i + f_i for
  every input, f_i being the fraction of its factor, as large as a word can hold for all of them;
- a pooling keeps its input's fraction; so does a ChannelMap that moves whole words.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, ldexp

import numpy as np

from arch.chip import Chip, largest_of
from arch.isa import BYTE_BITS
from compiler.calibration import LEAST
from compiler.graph import PARAMETER_GRADIENTS, Graph, Operation, Operator, Role, Tensor
from compiler.nodes import NetworkError
from compiler.octets import bits_of
from compiler.updates import rate_exponent

LEAST_FRACTION = -8
"""Coarser formats hold nothing that is meant."""
MOST_CONSTANT_FRACTION = 30
"""Of factors and constant weights, which may be small."""
_BEYOND = 8
"""Fraction bits that a tensor of small values may have beyond a word's bits; one that was always zero has none."""
_MOST_LOSS_FRACTION = 15
"""What LOSS's fields can say."""
_FACTOR_ERROR = 2.0**-9
"""The largest rounding of a factor, of its largest channel's magnitude."""
_SCALED = (
    Operator.COMBINE,
    Operator.CHANNEL_MAP,
    Operator.GLOBAL_AVERAGE_POOL,
    Operator.AVERAGE_POOL,
    Operator.AVERAGE_SHARES,
    Operator.BROADCAST,
    Operator.NEIGHBOUR_SUM,
    Operator.UPDATE,
)


@dataclass(frozen=True)
class Headroom:
    """Factors by which a tensor may grow beyond what calibration saw before it saturates."""

    activation: float = 2.0
    gradient: float = 2.0
    parameter: float = 2.0

    def of(self, role: Role) -> float:
        """The factor of a role: 1 for what is given and does not grow."""
        if role == Role.ACTIVATION:
            return self.activation
        if role in (Role.GRADIENT, Role.PARAMETER_GRADIENT, Role.STATE):
            return self.gradient
        if role == Role.STATISTIC:
            return max(self.activation, self.gradient)
        return self.parameter if role in (Role.WEIGHT, Role.BIAS) else 1.0


@dataclass(frozen=True)
class TensorFormat:
    """`fraction` bits of all `bits`; the `largest` magnitude that calibration saw; the largest that fits; whether
    values saturate."""

    fraction: int
    bits: int
    largest: float
    limit: float

    @property
    def saturates(self) -> bool:
        """Whether calibration saw values that the format cannot hold, nor round to its end."""
        return self.largest > self.limit + 2.0 ** -(self.fraction + 1)


def fractions(graph: Graph, largest: dict[str, float], chip: Chip, headroom: Headroom | None = None) -> dict[str, int]:
    """Fraction bits of every tensor, those of `graph.fractions` as they are.

    `largest` is what `calibration.observe` returned. Raises `NetworkError` naming the tensor that no format fits.
    """
    formats = _Formats(graph, largest, chip, headroom or Headroom())
    operations = graph.operations
    before: dict[str, int] = {}
    while before != formats.fraction:  # each pass only lowers fractions, down to where `lower` refuses
        before = dict(formats.fraction)
        for operation in operations:
            formats.fit(operation)
        for copy, first in graph.copies.items():
            formats.equal(copy, first)
    for operation in operations:
        formats.fit_factors(operation)
    return formats.fraction


def described(graph: Graph, fraction: dict[str, int], largest: dict[str, float], chip: Chip) -> dict[str, TensorFormat]:
    """The format of every tensor, for a report."""
    bits = {name: bits_of(name, graph.octets, chip) for name in fraction}
    return {
        name: TensorFormat(point, bits[name], largest[name], largest_of(bits[name]) * 2.0**-point)
        for name, point in fraction.items()
    }


def sum_fraction(operation: Operation, fraction: dict[str, int], rate: int = 0) -> int:
    """Fraction bits of an operation's exact sum; `rate` is the k of the learning rate 2**-k, if it updates."""
    if operation.operator in PARAMETER_GRADIENTS or operation.operator == Operator.PRODUCT:
        return sum(fraction[name] for name in operation.inputs) + (rate if operation.update else 0)
    if operation.factors:
        return fraction[operation.inputs[0]] + fraction[operation.factors[0]]
    return fraction[operation.inputs[0]] + (fraction[operation.weight] if operation.weight else 0)


class _Formats:
    def __init__(self, graph: Graph, largest: dict[str, float], chip: Chip, headroom: Headroom):
        self.graph = graph
        self.chip = chip
        self.rate = rate_exponent(graph.optimiser.learning_rate) if graph.optimiser else 0
        self.most_shift = chip.accumulator_bits - chip.word_bits - 2
        self.made = {operation.output for operation in graph.operations}
        self.fraction: dict[str, int] = {}
        for name, tensor in graph.tensors.items():
            if tensor.role in (Role.LABEL, Role.INDEX):
                self.fraction[name] = 0
            else:
                settled = self._settled(tensor)
                bits = self._first(tensor, largest[name] * (1 if settled else headroom.of(tensor.role)))
                self.fraction[name] = bits + (settled and self._rounds_into(name, bits + 1))
        self._decide()
        self.needed = {name: self._needed(name) for operation in graph.operations for name in operation.factors}

    def bits(self, name: str) -> int:
        """Bits of a tensor's elements."""
        return bits_of(name, self.graph.octets, self.chip)

    def _settled(self, tensor: Tensor) -> bool:
        """Whether it is a weight that is not trained, of so few bits that headroom would be dear."""
        return self.bits(tensor.name) == BYTE_BITS and tensor.role == Role.WEIGHT and tensor.name not in self.made

    def _rounds_into(self, name: str, fraction: int) -> bool:
        """Whether a weight's values, rounded, fit its bits with so many fraction bits: -128 does, and 127.4."""
        values = np.floor(np.ldexp(self.graph.values[name], fraction) + 0.5)
        end = largest_of(self.bits(name))
        return bool(values.max() <= end and values.min() >= -end - 1)

    def _first(self, tensor: Tensor, magnitude: float) -> int:
        """The fraction bits of a tensor that no operation restricts."""
        if tensor.role == Role.CONSTANT:
            return self._most_of(tensor.name)
        beyond = _BEYOND if magnitude > 2 * LEAST else 0
        return self.most_bits(tensor.name, magnitude, self.chip.word_bits + beyond)

    def most_bits(self, name: str, magnitude: float, most: int) -> int:
        """The most fraction bits with which `magnitude` fits a word, at most `most`."""
        _, exponent = frexp(magnitude)  # magnitude < 2**exponent
        width = self.bits(name)
        bits = min(most, width - 1 - exponent)
        if bits < LEAST_FRACTION:
            raise NetworkError(f"{name}: reaches {magnitude:.3g}, too large for {width} bits; scale the data")
        return bits

    def lower(self, name: str, most: int) -> None:
        """Let a tensor have at most `most` fraction bits."""
        if most >= self.fraction[name]:
            return
        if name in self.graph.fractions:
            raise NetworkError(f"{name}: has {self.fraction[name]} fraction bits, but may have {most} at most here")
        if most < LEAST_FRACTION:
            raise NetworkError(f"{name}: would need {most} fraction bits; raise the learning rate or scale the data")
        self.fraction[name] = most

    def fit(self, operation: Operation) -> None:
        """Lower fractions until the operation's shifts exist."""
        if operation.operator == Operator.LOSS_GRADIENT:
            self._fit_loss(operation)
        elif operation.operator in PARAMETER_GRADIENTS:
            self._fit_parameter_gradient(operation)
        elif operation.operator == Operator.MAX_POOL:
            self.equal(operation.inputs[0], operation.output)
        elif operation.operator == Operator.MAX_POOL_GRADIENT:
            self.lower(operation.output, self.fraction[operation.inputs[0]])
        elif operation.operator in _SCALED:
            self._fit_scaled(operation)
        elif operation.operator != Operator.MAX_POOL_INDEX:
            total = sum_fraction(operation, self.fraction)
            decided = operation.inputs[0] in self.graph.fractions and operation.weight
            coarsened = operation.weight if decided else operation.inputs[0]
            self._fit_below(operation.output, total, self.chip.accumulator_bits - 1, coarsened)
            if operation.bias:
                self._fit_below(operation.bias, total, self.most_shift, coarsened)

    def fit_factors(self, operation: Operation) -> None:
        """Set the fractions of an operation's factors from those of its inputs."""
        if operation.operator not in _SCALED:
            return
        total = self._total(operation)
        for name, factor in zip(operation.inputs, operation.factors, strict=True):
            self.fraction[factor] = total - self.fraction[name]
            values = self.graph.values[factor]
            if values.any() and not np.floor(np.ldexp(np.abs(values), self.fraction[factor]) + 0.5).any():
                raise NetworkError(
                    f"{operation.output}: its factor {float(values.max()):.3g} of {name} vanishes beside the others' "
                    f"formats; use a larger one or none"
                )

    def _decide(self) -> None:
        for name, bits in self.graph.fractions.items():
            if not LEAST_FRACTION <= bits <= self.chip.word_bits:
                raise NetworkError(
                    f"{name}: fraction bits must be {LEAST_FRACTION} to {self.chip.word_bits}, not {bits}"
                )
            self.fraction[name] = bits
        for copy, first in self.graph.copies.items():
            if first in self.graph.fractions:
                self.fraction[copy] = self.fraction[first]

    def _needed(self, factor: str) -> int:
        """The fewest fraction bits that say a factor well enough: exactly, if it is a power of two."""
        values = np.abs(self.graph.values[factor])
        largest = float(values.max())
        for bits in range(self.fraction[factor]):
            scaled = np.ldexp(values, bits)
            if np.abs(scaled - np.rint(scaled)).max() <= _FACTOR_ERROR * np.ldexp(largest, bits):
                return bits
        return self.fraction[factor]

    def _fit_below(self, name: str, total: int, most: int, coarsened: str) -> None:
        """Let a tensor have at most the `total` fraction bits of a sum, and at most `most` fewer than that.

        What is added to the sum must leave the accumulator a bit beside the products; what is read must be in it.
        """
        self.lower(name, total)
        excess = total - self.fraction[name] - most
        if excess > 0:
            self.lower(coarsened, self.fraction[coarsened] - excess)

    def _fit_parameter_gradient(self, operation: Operation) -> None:
        total = sum_fraction(operation, self.fraction, self.rate)
        adds = operation.update or operation.accumulate
        most = self.most_shift if adds else self.chip.accumulator_bits - 1
        self._fit_below(operation.output, total, most, operation.inputs[-1])

    def _fit_loss(self, operation: Operation) -> None:
        logits = operation.inputs[0]
        if self.fraction[logits] < 0:
            raise NetworkError(f"{logits}: its logits are too large for the loss; scale the data")
        self.lower(logits, _MOST_LOSS_FRACTION)
        # a gradient lies in [-1, 1]: one integer bit with the sign, so that only +1 would saturate
        self.lower(operation.output, min(self.chip.word_bits - 1, _MOST_LOSS_FRACTION))
        if self.fraction[operation.output] < 0:
            raise NetworkError(f"{operation.output}: has no fraction bits left; raise the learning rate")

    def _fit_scaled(self, operation: Operation) -> None:
        if operation.operator == Operator.CHANNEL_MAP and _moves_words(operation, self.chip.lanes):
            self.equal(*operation.inputs, operation.output)
        total = self._total(operation)
        for name, factor in zip(operation.inputs, operation.factors, strict=True):
            if self.graph.tensors[name].role not in (Role.WEIGHT, Role.BIAS):
                self.lower(name, total - self.needed[factor])
        self.lower(operation.output, total)
        if operation.bias:
            self.lower(operation.bias, total)

    def _total(self, operation: Operation) -> int:
        """Fraction bits of the sum: as many as the factors' words and the accumulator allow."""
        bases = [operation.output, *([operation.bias] if operation.bias else [])]
        words = zip(operation.inputs, operation.factors, strict=True)
        most = min(self.fraction[name] + self._most_of(factor) for name, factor in words)
        return min(most, *(self.fraction[name] + self.most_shift for name in bases))

    def _most_of(self, factor: str) -> int:
        """The most fraction bits of a constant with which it fits a word, also rounded."""
        largest = max(float(np.abs(self.graph.values[factor]).max()), LEAST)
        bits = self.most_bits(factor, largest, MOST_CONSTANT_FRACTION)
        return bits if round(ldexp(largest, bits)) <= self.chip.largest else bits - 1

    def equal(self, *names: str) -> None:
        """Lower all to the fewest that one of them has."""
        fewest = min(self.fraction[name] for name in names)
        for name in names:
            self.lower(name, fewest)


def _moves_words(operation: Operation, lanes: int) -> bool:
    """Whether every channel keeps its lane, so that whole words, or planes, stay as they are."""
    return all(target % lanes == source % lanes for routes in operation.routes for target, source in routes)
