"""Operations on one value for each channel: maps of one position, and rows of memory that are computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from compiler.graph import Graph, Operation, Operator, Role


@dataclass
class ChannelValues:
    """Writes operations of a layer on values of its channels.

    A *value* is a map of one position, of the channels of the map or vector `like`; a *row* a STATISTIC: (C, 1, 1, 1),
    which a depthwise convolution takes as weight, or (C,), which it takes as bias. Values that are to be multiplied
    must lie in different memories: those `aside` have the role of gradients, which lie apart from activations.
    """

    graph: Graph
    layer: str
    like: str
    phase: str = "forward"
    operations: list[Operation] = field(default_factory=list)

    @property
    def channels(self) -> int:
        """How many there are."""
        return self.graph.tensors[self.like].shape[0]

    def begin(self, phase: str) -> None:
        """Write what follows for a phase."""
        self.phase, self.operations = phase, []

    def append(self, operator: Operator, inputs: tuple[str, ...], output: str, **fields) -> str:
        """Append an operation; returns its output."""
        self.operations.append(Operation(operator, self.layer, self.phase, inputs, output, **fields))
        return output

    def value(self, name: str, fraction: int | None = None, aside: bool = False) -> str:
        """Enter a map of one position, perhaps of a decided format."""
        sides = (1,) * (len(self.graph.tensors[self.like].shape) - 1)
        role = Role.GRADIENT if aside else Role.ACTIVATION
        return self._decided(self.graph.add(name, (self.channels, *sides), role), fraction)

    def factors(self, name: str, fraction: int | None = None, role: Role = Role.STATISTIC) -> str:
        """Enter a row (C, 1, 1, 1)."""
        return self._decided(self.graph.add_row(name, np.zeros((self.channels, 1, 1, 1)), role), fraction)

    def shifts(self, name: str) -> str:
        """Enter a row (C,)."""
        return self.graph.add_row(name, np.zeros(self.channels), Role.STATISTIC)

    def constant_factors(self, name: str, values: float | np.ndarray) -> str:
        """Enter a constant row (C, 1, 1, 1) of one number, or of [C]."""
        return self.graph.add_row(name, self._each(values).reshape(-1, 1, 1, 1), Role.CONSTANT)

    def constant(self, name: str, source: str, values: float | np.ndarray, fraction: int | None = None) -> str:
        """A value that is the same in every run, one number or [C]: made of a map, and no part of that."""
        return self.combine(self.value(name, fraction), source, 0.0, values)

    def of_row(self, name: str, source: str, row: str) -> str:
        """A row (C,) as a value, made of a map, and no part of that."""
        return self.combine(self.value(name), source, 0.0, row)

    def combine(
        self, output: str, source: str, factor: float, shift: str | float | np.ndarray | None = None, **fields
    ) -> str:
        """output = factor · source + shift, which is a row (C,), a number or constants [C]."""
        factors = (self.graph.add_row(f"{output}.factor0", np.full(1, factor), Role.CONSTANT),)
        bias = self._shift(output, shift)
        return self.append(Operator.COMBINE, (source,), output, factors=factors, bias=bias, **fields)

    def add(self, output: str, one: str, other: str) -> str:
        """output = one + other, maps of any size."""
        factors = tuple(self.graph.add_row(f"{output}.factor{i}", np.ones(1), Role.CONSTANT) for i in range(2))
        return self.append(Operator.COMBINE, (one, other), output, factors=factors)

    def product(self, output: str, one: str, other: str, shift: float | None = None) -> str:
        """output = one · other + shift, of which one must be `aside`."""
        return self.append(Operator.PRODUCT, (one, other), output, bias=self._shift(output, shift))

    def scaled(self, output: str, source: str, row: str, shift: str | np.ndarray | None = None, **fields) -> str:
        """output = row · source + shift, of any map of the channels; the shift is a row (C,), or constants [C]."""
        bias = self._shift(output, shift)
        return self.append(Operator.CONV, (source,), output, weight=row, bias=bias, groups=self.channels, **fields)

    def sum_products(self, row: str, one: str, other: str, accumulate: bool = False) -> str:
        """row (C, 1, 1, 1) = Σ one · other over the positions of two maps, of which one must be `aside`."""
        fields = {"weight": row, "groups": self.channels, "accumulate": accumulate}
        return self.append(Operator.CONV_WEIGHT_GRADIENT, (one, other), row, **fields)

    def sum(self, row: str, one: str, accumulate: bool = False) -> str:
        """row (C,) = Σ one over the positions of a map."""
        return self.append(Operator.CONV_BIAS_GRADIENT, (one,), row, bias=row, accumulate=accumulate)

    def update(self, row: str, terms: dict[str, float]) -> str:
        """row = Σ number · row, of rows of one shape."""
        factors = tuple(
            self.graph.add_row(f"{row}.factor{i}", np.full(1, factor), Role.CONSTANT)
            for i, factor in enumerate(terms.values())
        )
        return self.append(Operator.UPDATE, tuple(terms), row, factors=factors)

    def _shift(self, output: str, shift: str | float | np.ndarray | None) -> str:
        if isinstance(shift, str):
            return shift
        return "" if shift is None else self.graph.add_row(f"{output}.shift", self._each(shift), Role.CONSTANT)

    def _each(self, values: float | np.ndarray) -> np.ndarray:
        return np.array(np.broadcast_to(values, self.channels), np.float64)

    def _decided(self, name: str, fraction: int | None) -> str:
        if fraction is not None:
            self.graph.fractions[name] = fraction
        return name
