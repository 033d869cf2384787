"""For inference: clips whose maximum is the end of a number format, so that saturation does their work.

A clip by itself is two sums. If a convolution or matrix makes its input, and only others, sums, averages and poolings
read its result, the result is stored in parts of the maximum instead: weights and bias before it are divided by it, the
weights or factors after it multiplied, and all bits but the sign are fraction bits, so that the largest word is the
maximum but for one step. If calibration's values, with headroom, stay below half of the maximum, a power of two takes
its place, as in any other tensor's format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import frexp, ldexp
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from arch.isa import BYTE_BITS
from compiler.graph import INFER, Graph, Operation, Operator
from compiler.octets import bits_of

_WEIGHTED = (Operator.CONV, Operator.GEMM)


def has_clips(graph: Graph, chip: Chip) -> bool:
    """Whether there is anything that could be capped."""
    work = _Capping(graph, chip, {}, frozenset())
    return any(work.clip(operation) for operation in graph.entries[INFER])


def capped(graph: Graph, chip: Chip, largest: Mapping[str, float], octets: frozenset[str]) -> Graph:
    """The graph of inference with every clip that can be the end of a format; notes tell of which.

    `largest` has the largest magnitude, headroom included, that is expected in each tensor; what is missing may reach
    its maximum. `octets` are the tensors of 8 bits.
    """
    changed = replace(
        graph,
        tensors=dict(graph.tensors),
        values=dict(graph.values),
        entries={INFER: list(graph.entries[INFER])},
        fractions=dict(graph.fractions),
        notes=list(graph.notes),
    )
    work = _Capping(changed, chip, largest, octets)
    for operation in graph.entries[INFER]:
        if found := work.clip(operation):
            work.cap(found)
    return changed


class _Clip(NamedTuple):
    """What makes the clipped values, and the two sums: m - x above zero, m minus that."""

    maker: Operation
    below: Operation
    last: Operation
    maximum: float


class _Capping:
    """A graph that is changed clip by clip."""

    def __init__(self, graph: Graph, chip: Chip, largest: Mapping[str, float], octets: frozenset[str]):
        self.graph = graph
        self.chip = chip
        self.largest = largest
        self.octets = octets

    @property
    def operations(self) -> list[Operation]:
        return self.graph.entries[INFER]

    def clip(self, last: Operation) -> _Clip | None:
        """The clip that ends with `last`, if that is one and can be capped."""
        below = self._before(last)
        maker = self._before(below) if below else None
        if not below or not maker or not self._mirrors(below, True) or not self._mirrors(last, False):
            return None
        maximum = float(self.graph.values[last.bias][0])
        if maximum <= 0 or self.graph.values[below.bias][0] != maximum or not maker.relu:
            return None
        fits = self._own_weight(maker) and self._scalable(last.output)
        return _Clip(maker, below, last, maximum) if fits else None

    def _before(self, operation: Operation) -> Operation | None:
        """What makes an operation's only input, if nothing else reads that."""
        if len(operation.inputs) != 1 or len(self._readers(operation.inputs[0])) != 1:
            return None
        return next((item for item in self.operations if item.output == operation.inputs[0]), None)

    def _readers(self, name: str) -> list[Operation]:
        return [operation for operation in self.operations if name in operation.inputs]

    def _mirrors(self, operation: Operation, relu: bool) -> bool:
        """Whether it is m - x, or relu(m - x), by one m for all channels, in formats that are not yet decided."""
        if operation.operator != Operator.COMBINE or operation.relu != relu or not operation.bias:
            return False
        values, shift = self.graph.values[operation.factors[0]], self.graph.values[operation.bias]
        free = self.graph.fractions.keys().isdisjoint((operation.output, *operation.inputs))
        return free and operation.crop == (0, 0) and bool(np.all(values == -1.0)) and bool(np.all(shift == shift[0]))

    def _own_weight(self, operation: Operation) -> bool:
        """Whether it has a weight that nothing else reads and whose format is not yet decided."""
        if operation.operator not in _WEIGHTED or operation.weight in self.graph.fractions:
            return False
        return sum(operation.weight == other.weight for other in self.operations) == 1

    def _scalable(self, name: str) -> bool:
        """Whether every reader of a tensor can take it by another scale."""
        readers = self._readers(name)
        return bool(readers) and name != self.graph.logits and all(self._takes(reader) for reader in readers)

    def _takes(self, reader: Operation) -> bool:
        if reader.operator == Operator.MAX_POOL:
            return reader.output not in self.graph.fractions and self._scalable(reader.output)
        if reader.operator == Operator.COMBINE:
            return len(set(reader.inputs)) == len(reader.inputs)
        return reader.operator == Operator.GLOBAL_AVERAGE_POOL or self._own_weight(reader)

    def cap(self, clip: _Clip) -> None:
        """Take the two sums out; the maker saturates."""
        maker, last = clip.maker, clip.last
        scale = self._scale(clip)
        self._multiply(maker.weight, 1 / scale)
        if maker.bias:
            self._multiply(maker.bias, 1 / scale)
        fraction = bits_of(last.output, self.octets, self.chip) - 1
        ceiling = max(clip.maximum / scale - ldexp(1, -fraction), 1 - ldexp(1, -fraction))
        operations = self.operations
        operations[operations.index(maker)] = replace(maker, output=last.output, ceiling=ceiling)
        for gone in (clip.below, last):
            operations.remove(gone)
            for name in (gone.inputs[0], *gone.factors, gone.bias):
                self.graph.tensors.pop(name)
                self.graph.values.pop(name, None)
        self._rescale(last.output, scale, fraction)
        self.graph.notes.append(
            f"{last.layer}: is the end of the format of {maker.layer}, which is in parts of {scale:g}; what saturates "
            "there is meant"
        )

    def _scale(self, clip: _Clip) -> float:
        """The maximum, or the power of two that the tensor's format would end at if that is below it."""
        _, exponent = frexp(self.largest.get(clip.maker.output, clip.maximum))
        return min(clip.maximum, ldexp(1, exponent))

    def _rescale(self, name: str, scale: float, fraction: int) -> None:
        """Let the readers of a tensor in parts of `scale`, whose bits but the sign are all `fraction` bits, give what
        they gave."""
        self.graph.fractions[name] = fraction
        if fraction == BYTE_BITS - 1:
            self.graph.octets |= {name}
        for reader in self._readers(name):
            if reader.operator == Operator.MAX_POOL:
                self._rescale(reader.output, scale, fraction)
            else:
                self._multiply(reader.weight or reader.factors[reader.inputs.index(name)], scale)

    def _multiply(self, name: str, factor: float) -> None:
        self.graph.values[name] = self.graph.values[name] * factor
