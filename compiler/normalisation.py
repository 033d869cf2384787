"""Local response normalisation as what the array does: squares, a sum over channels, a polynomial, a product.

y = x · f(S) with S = Σ x² over neighbouring channels and f(S) = (bias + alpha / size · S)**−beta. With x' = x · 2**−e
below 1 and the largest S that is to be met as 2**m steps of x · x':

    q = x · x'
    u = 2**(1 − m) · Σ q − 1, from −1 to 1
    p = f as a polynomial of u, by Horner's rule
    y = x · p

The scale is a power of two, exact in every format. A sum beyond the largest saturates u at 1, so that the polynomial is
never evaluated outside of where it fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, frexp, ldexp, log2
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from compiler.calibration import LEAST, Calibration, runs
from compiler.float_operators import neighbour_sum
from compiler.float_twin import FloatTwin
from compiler.formats import Headroom
from compiler.graph import INFER, Graph, Normalisation, Operation, Operator, Role
from compiler.nodes import NetworkError
from compiler.powers import LARGEST_ERROR, Power, expected_error, fitted, fraction_of, horner_error


def normalised(graph: Graph, calibration: Calibration, chip: Chip, headroom: Headroom) -> Graph:
    """The graph of inference with every LRN in parts, fitted to what calibration's samples show.

    Raises `NetworkError` naming a normalisation whose sums vary too much for `LARGEST_ERROR`.
    """
    found = [operation for operation in graph.entries[INFER] if operation.operator == Operator.LRN]
    if not found:
        return graph
    seen = _seen(graph, found, calibration)
    changed = replace(graph, tensors=dict(graph.tensors), values=dict(graph.values))
    changed.fractions, changed.powers = dict(graph.fractions), {}
    parts = _Parts(changed, chip, headroom.activation, seen)
    changed.entries = {
        INFER: [part for item in graph.entries[INFER] for part in (parts.of(item) if item in found else [item])]
    }
    return changed


def _seen(graph: Graph, found: list[Operation], calibration: Calibration) -> dict[str, tuple[float, float]]:
    """For each normalisation the largest magnitude of its input, and the largest sum of squares."""
    seen = dict.fromkeys((operation.output for operation in found), (LEAST, LEAST))
    for values in runs(FloatTwin(graph), calibration):
        for operation in found:
            if operation.inputs[0] in values:
                x, norm = values[operation.inputs[0]], _norm(operation)
                largest, sums = seen[operation.output]
                here = float(neighbour_sum(norm, x * x).max())
                seen[operation.output] = max(largest, float(np.abs(x).max())), max(sums, here)
    return seen


def _norm(operation: Operation) -> Normalisation:
    assert operation.normalisation
    return operation.normalisation


def power_error(graph: Graph, fractions: dict[str, int], y: str) -> float:
    """By how much the factor of x in a normalisation's result `y` differs from f(S) at most, S within its range.

    The square is rounded once, and so is the sum, which ends a step short of 1; the polynomial's slope tells what
    becomes of both. A result so differs by |x| times as much, and half a step.
    """
    power, parts = graph.powers[y], _names(graph, y)
    if not parts.powers:
        return horner_error(power, [_step(fractions, f"{y}.factor0")], [])
    sums = next(item for item in graph.entries[INFER] if item.output == parts.sum)
    assert sums.normalisation
    squares = graph.values[sums.factors[0]][0] * sums.normalisation.size * _step(fractions, parts.square) / 2
    constants = [*reversed([f"{name}.shift" for name in parts.powers]), f"{parts.powers[0]}.factor0"]
    rounding = [[_step(fractions, name) for name in names] for names in (constants, parts.powers)]
    return horner_error(power, *rounding) + power.slope * (squares + _step(fractions, parts.sum))


def accuracies(graph: Graph, fractions: dict[str, int], largest: dict[str, float]) -> list[str]:
    """For each normalisation how far its result is from real numbers' at most, for inputs as large as calibration's."""
    notes = []
    for y in graph.powers:
        product = next(item for item in graph.entries[INFER] if item.output == y)
        error = largest[product.inputs[0]] * power_error(graph, fractions, y) / _step(fractions, y) + 0.5
        degree = len(graph.powers[y].coefficients) - 1
        notes.append(f"{product.layer}: within {error:.1f} steps of its format, by a polynomial of degree {degree}")
    return notes


def _step(fractions: dict[str, int], name: str) -> float:
    return 2.0 ** -fractions[name]


class _Names(NamedTuple):
    """The maps between a normalisation's input and its result."""

    scaled: str
    square: str
    sum: str
    powers: list[str]


def _names(graph: Graph, y: str) -> _Names:
    steps = range(len(graph.powers[y].coefficients) - 1)
    return _Names(f"{y}.scaled", f"{y}.square", f"{y}.sum", [f"{y}.power{step}" for step in steps])


class _Parts:
    def __init__(self, graph: Graph, chip: Chip, headroom: float, seen: dict[str, tuple[float, float]]):
        self.graph = graph
        self.chip = chip
        self.headroom = headroom
        self.seen = seen

    def of(self, operation: Operation) -> list[Operation]:
        """The operations that make a normalisation's result."""
        return list(self._parts(operation, _norm(operation)))

    def _parts(self, operation: Operation, norm: Normalisation) -> Iterator[Operation]:
        x, y = operation.inputs[0], operation.output
        largest, sums = self.seen[y]
        exponent = frexp(largest * self.headroom)[1]
        most = ceil(log2(sums * self.headroom) - exponent)  # the range of the scaled sums is 2**most
        power = self._power(operation, norm, sums, ldexp(1.0, most + exponent))
        self.graph.powers[y] = power
        *lower, last = power.coefficients
        if not lower:
            scaled = self._operation(operation, Operator.COMBINE, (x,), y, factors=(last,))
            yield replace(scaled, relu=operation.relu)
            return
        names = _names(self.graph, y)
        copy = self._made(names.scaled, x)
        yield self._operation(operation, Operator.COMBINE, (x,), copy, factors=(2.0**-exponent,))
        square = self._made(names.square, x)
        yield self._operation(operation, Operator.PRODUCT, (x, copy), square)
        place = self._made(names.sum, x, self.chip.word_bits - 1)
        yield self._operation(
            operation, Operator.NEIGHBOUR_SUM, (square,), place, bias=-1.0, factors=(2.0 ** (1 - most),)
        )
        value = place
        for number, coefficient in enumerate(reversed(lower)):
            step = self._made(names.powers[number], x, fraction_of(power.reach[number], self.chip.word_bits))
            fields = {"operator": Operator.PRODUCT, "inputs": (value, place)}
            if not number:
                fields = {"operator": Operator.COMBINE, "inputs": (place,), "factors": (last,)}
            yield self._operation(operation, output=step, bias=coefficient, **fields)
            value = step
        yield replace(operation, operator=Operator.PRODUCT, inputs=(x, value), normalisation=None)

    def _power(self, operation: Operation, norm: Normalisation, seen: float, most: float) -> Power:
        """The polynomial over sums up to `most`."""
        extent = norm.alpha / norm.size * most
        power = fitted(norm.bias, extent, norm.beta, self.chip.word_bits)
        error = expected_error(power, self.chip.word_bits)
        if error > LARGEST_ERROR * power.top:
            raise NetworkError(
                f"{operation.layer}: squares sum up to {seen:.3g}, over which a polynomial of words of "
                f"{self.chip.word_bits} bits misses the power by {error / power.top:.2%}, more than "
                f"{LARGEST_ERROR:.2%}; scale the data down, lower alpha, or use batch normalisation"
            )
        return power

    def _made(self, name: str, like: str, fraction: int | None = None) -> str:
        """A new map, perhaps of a decided format."""
        self.graph.add(name, self.graph.tensors[like].shape, Role.ACTIVATION)
        if fraction is not None:
            self.graph.fractions[name] = fraction
        return name

    def _operation(
        self,
        whole: Operation,
        operator: Operator,
        inputs: tuple[str, ...],
        output: str,
        bias: float | None = None,
        factors: tuple[float, ...] = (),
    ) -> Operation:
        graph, channels = self.graph, self.graph.tensors[output].shape[0]
        names = [
            graph.add_row(f"{output}.factor{i}", np.array([factor]), Role.CONSTANT) for i, factor in enumerate(factors)
        ]
        shift = "" if bias is None else graph.add_row(f"{output}.shift", np.full(channels, bias), Role.CONSTANT)
        normalisation = whole.normalisation if operator == Operator.NEIGHBOUR_SUM else None
        return Operation(
            operator,
            whole.layer,
            whole.phase,
            inputs,
            output,
            bias=shift,
            factors=tuple(names),
            normalisation=normalisation,
        )
