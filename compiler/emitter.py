"""What every emission knows: the graph, the chip, formats and views; numbers of write-backs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from arch.chip import Chip
from arch.isa import Base, Destination, Load, Overflow, Rounding, Storage, Traversal
from compiler.graph import Graph, Operation, Role
from compiler.kernels import Kernels, Rows
from compiler.mapping import FREE, Mapping
from compiler.octets import bits_of
from compiler.views import MapView, RowView

View = MapView | RowView
WALKS = {"snake": Traversal.SNAKE, "raster": Traversal.RASTER, "line_buffer": Traversal.RASTER}
"""How windows walk on a chip of each `traversal`."""


@dataclass(frozen=True)
class Numbers:
    """How results are rounded: maps by `rounding`, updated parameters by `update_rounding`; `rate` is k of 2**-k."""

    rate: int
    rounding: Rounding = Rounding.RND
    update_rounding: Rounding = Rounding.STOCHASTIC


@dataclass(frozen=True)
class Emitter:
    """One operation's surroundings; `views` has each tensor that it reads or writes, by name.

    `part` is, of a matrix product that is made in pieces, the range of blocks of T input words in this piece; of an
    update, the range of rows.
    """

    graph: Graph
    kernels: Kernels
    chip: Chip
    numbers: Numbers
    fractions: dict[str, int]
    views: dict[str, View]
    part: tuple[int, int] | None = None
    mapping: Mapping = FREE

    def map(self, name: str) -> MapView:
        """A map's view."""
        view = self.views[name]
        assert isinstance(view, MapView), name
        return view

    def rows(self, name: str) -> RowView:
        """A row tensor's view."""
        view = self.views[name]
        assert isinstance(view, RowView), name
        return view

    def layout(self, name: str) -> Rows:
        """A row tensor's layout."""
        return self.kernels.layout(name)

    def start(self, name: str, outer: int) -> int:
        """The weight row at which outer group `outer` of a row tensor begins now."""
        view, layout = self.rows(name), self.layout(name)
        return view.row + layout.start(outer) - layout.start(view.first)

    def map_numbers(self, operation: Operation, fraction: int) -> dict[str, Any]:
        """Fields of a write-back to a map; a sum has `fraction` fraction bits."""
        numbers: dict[str, Any] = {
            "shift": fraction - self.fractions[operation.output],
            "rounding": self.numbers.rounding,
            "overflow": Overflow.SAT,
            "target_storage": self.target_storage(operation),
            "relu": int(operation.relu),
        }
        if operation.bias:
            numbers |= {"base": Base.BIAS, "base_shift": fraction - self.fractions[operation.bias]}
        return numbers

    def row_numbers(self, operation: Operation) -> dict[str, Any]:
        """Fields of a write-back of a gradient: an update of the parameter, or the gradient itself, perhaps added."""
        fraction = sum(self.fractions[name] for name in operation.inputs)
        rate = self.numbers.rate if operation.update else 0
        shift = fraction + rate - self.fractions[operation.output]
        numbers: dict[str, Any] = {
            "negate": int(operation.update),
            "shift": shift,
            "rounding": self.row_rounding(operation),
            "overflow": Overflow.SAT,
            "target_storage": self.target_storage(operation),
        }
        if operation.update or operation.accumulate:
            numbers |= {"base": Base.ROW, "base_shift": shift}
        return numbers

    def target_storage(self, operation: Operation) -> Storage:
        """Bits that an operation's result has to fit."""
        narrower = bits_of(operation.output, self.graph.octets, self.chip) < self.chip.word_bits
        return Storage.BYTE if narrower else Storage.WORD

    def row_rounding(self, operation: Operation) -> Rounding:
        """How rows are rounded that an operation writes: what is computed anew in each run as maps are."""
        again = self.graph.tensors[operation.output].role == Role.STATISTIC
        return self.numbers.rounding if again else self.numbers.update_rounding

    def load_bias(self, operation: Operation, plane: int) -> list[Load]:
        """The bias register's load for outer group `plane`, whose word is plane mod T."""
        if not operation.bias:
            return []
        return [Load(destination=Destination.BIAS, row=self.rows(operation.bias).row + plane // self.chip.taps)]

    def chunks(self, operation: Operation, first: int, stop: int) -> list[tuple[int, int]]:
        """Outer groups first ... stop-1 as runs (first, count) that one instruction can emit."""
        most = self.chip.taps if operation.bias else MOST_OUTER
        runs = []
        while first < stop:
            count = min(stop, (first // most + 1) * most) - first
            runs.append((first, count))
            first += count
        return runs


MOST_OUTER = 1023
"""What field `outer` can say."""
