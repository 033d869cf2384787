"""One operation and the memories: all that it reads and writes, whole, on the chip at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from arch.isa import Space
from arch.layout import Store
from compiler.graph import Graph, Operation, Operator, Role
from compiler.kernels import Kernels
from compiler.maps import MapLayout
from compiler.memory import Memory, Unfit
from compiler.needs import SUMS
from compiler.nodes import NetworkError
from compiler.places import assignments
from compiler.plan import Run
from compiler.rows import Unit, overwritten
from compiler.views import MapView, RowView

STORES = {Space.FEATURE: Store.FEATURE, Space.GRADIENT: Store.GRADIENT}
SPACES = {store: space for space, store in STORES.items()}
_SLOW_SUM = 0.3
_SAME_MEMORY = 0.05
"""What the array loses if a sum's inputs lie in different memories, or a result beside its source: a part of a map."""

Places = dict[str, Space]
"""The memory of each map."""


@dataclass(frozen=True)
class Tensors:
    """What is known of a graph's tensors on a chip: layouts of maps, units of row tensors, fraction bits; `packed` are
    the maps and units that lie as bytes outside.

    `conventional`: gradients lie in the gradient memory, all other maps in the feature memory.
    """

    graph: Graph
    kernels: Kernels
    layouts: dict[str, MapLayout]
    units: dict[str, Unit]
    fractions: dict[str, int]
    packed: frozenset[str] = frozenset()
    conventional: bool = False

    def convention(self, name: str) -> Space:
        """Where a map lies by convention."""
        return Space.GRADIENT if self.graph.tensors[name].role == Role.GRADIENT else Space.FEATURE

    def maps(self, operation: Operation) -> list[str]:
        """The maps that an operation reads, then the one that it writes."""
        names = [*operation.inputs, operation.mask, operation.output]
        return [name for name in dict.fromkeys(names) if name in self.layouts]

    def units_of(self, operation: Operation) -> list[str]:
        """The units of row tensors that an operation reads or writes."""
        return list(dict.fromkeys(self.units[name].name for name in self.kernels.used(operation)))


class WorkingSet:
    """Operations `first` ... of an entry, `count` of them, ready to be tried in a `Memory`.

    `ways` lists how; each changes the memory it is given, or raises `Unfit`.
    """

    def __init__(self, tensors: Tensors, entry: Sequence[Operation], first: int, count: int = 1):
        self.tensors = tensors
        self.entry = entry
        self.operations = entry[first : first + count]
        self.operation = self.operations[-1]
        self.last = first + count - 1
        names = [name for operation in self.operations for name in tensors.maps(operation)]
        self.maps = list(dict.fromkeys(names))
        self.inner = [operation.output for operation in self.operations[:-1]]
        """Maps that only these operations use, and never whole."""
        self.reads = {name for operation in self.operations for name in operation.reads}
        self.output = self.operation.output if self.operation.output in tensors.layouts else ""
        self.sums = self.operation.operator in SUMS
        """Whether the result is a sum over the positions of a map."""
        self.banded = self.operation.inputs[-1] if self.sums else self.output
        """The map that can be cut into bands: the output, or what is summed over."""
        self.height = tensors.layouts[self.banded].height if self.banded else 1
        self.width = tensors.layouts[self.banded].width if self.banded else 1
        self.units = list(dict.fromkeys(name for operation in self.operations for name in tensors.units_of(operation)))
        self.locked = frozenset((*self.maps, *self.units))

    def places(self) -> list[Places]:
        """Every way to lay the maps into the two memories, or the one of convention."""
        ways = list(assignments(self.operations, self.maps))
        if not self.tensors.conventional:
            return ways
        usual = [way for way in ways if all(way[name] == self.tensors.convention(name) for name in way)]
        return usual or ways  # products have none

    def best(self, memory: Memory) -> Memory:
        """The memory after the operations by the way that moves least. Raises `Unfit` if there is none."""
        failure: Unfit | None = None
        done: list[Memory] = []
        for chosen in self.places():
            trial = memory.copy()
            trial.operation, trial.now = self.operation, self.last
            try:
                self.run(trial, chosen)
            except Unfit as unfit:
                failure = failure or unfit
            else:
                trial.cost += self._dislike(trial, chosen)
                done.append(trial)
        if done:
            return min(done, key=lambda trial: trial.cost)
        if failure is None:
            raise NetworkError(f"{self.operation.layer}: no memories suit the {self.operation.operator} that it needs")
        raise failure

    def run(self, memory: Memory, places: Places) -> None:
        """Run with everything whole. Raises `Unfit`."""
        self.settle(memory, places, ())
        self.bring_rows(memory, ())
        views = self.map_views(memory) | self.row_views(memory, self.operation)
        memory.steps.append([Run(self.operation, views)])
        self.finish(memory)

    def settle(self, memory: Memory, places: Places, streamed: Sequence[str]) -> None:
        """Bring every map but the streamed and the inner ones whole to its memory; streamed ones leave the chip."""
        for name in self.maps:
            store = STORES[places[name]]
            if name in memory.at and (name in streamed or memory.at[name] != store):
                if name in memory.fixed or not memory.moves:
                    raise Unfit(name, store, memory.sizes[name])
                memory.write(name)
                memory.drop(name)
        apart = {*streamed, *self.inner, *memory.at}
        missing = [name for name in self.maps if name not in apart]
        for name in sorted(missing, key=lambda name: -memory.sizes[name]):
            if name in self.reads:
                memory.load(name, STORES[places[name]], self.locked)
            else:
                memory.place(name, STORES[places[name]], memory.sizes[name], self.locked)

    def bring_rows(self, memory: Memory, streamed: Sequence[str]) -> None:
        """Bring all units of row tensors but the streamed ones, which leave; what an operation writes changes."""
        for name in self.units:
            if name in streamed:
                if name in memory.at:
                    memory.write(name)
                    memory.drop(name)
                continue
            members = self.tensors.units[name].offsets
            if name not in memory.at:
                if all(overwritten(self.operation, member) for member in members):
                    memory.place(name, Store.WEIGHT, memory.sizes[name], self.locked)
                else:
                    memory.load(name, Store.WEIGHT, self.locked)
            if self.operation.output in members:
                memory.valid.discard(name)

    def map_views(self, memory: Memory) -> dict[str, MapView | RowView]:
        """Views of all maps that are on the chip."""
        layouts = self.tensors.layouts
        present = [name for name in self.maps if name in memory.at]
        return {name: layouts[name].view(SPACES[memory.at[name]], memory.base(name)) for name in present}

    def row_views(self, memory: Memory, operation: Operation) -> dict[str, MapView | RowView]:
        """Views of an operation's row tensors that are on the chip."""
        views: dict[str, MapView | RowView] = {}
        for name in self.tensors.kernels.used(operation):
            unit = self.tensors.units[name]
            if unit.name in memory.at:
                groups = self.tensors.kernels.layout(name).outer
                views[name] = RowView(memory.base(unit.name) + unit.offsets[name], 0, groups, self.fraction(name))
        return views

    def fraction(self, name: str) -> int:
        """Fraction bits of a row tensor; constants of the compiler's own are whole numbers."""
        return self.tensors.fractions.get(name, 0)

    def finish(self, memory: Memory) -> None:
        """Give up what nothing needs any more."""
        for name in self.locked:
            if name in memory.at and name not in memory.fixed and memory.next_use(name) is None:
                memory.drop(name)

    def _dislike(self, memory: Memory, places: Places) -> float:
        """What speaks against places, in words: a result where its readers cannot have it, slow pairs of memories."""
        cost = 0.0
        for operation in self.operations:
            sums = operation.operator == Operator.COMBINE and len({places[name] for name in operation.inputs}) > 1
            cost += _SLOW_SUM * memory.sizes[operation.inputs[0]] if sums else 0
        if not self.output:
            return cost
        size, use = memory.sizes[self.output], memory.next_use(self.output)
        source = next((name for name in self.operation.inputs if name in places), self.output)
        cost += _SAME_MEMORY * size * (places[source] == places[self.output])
        cost += 2 * size * self._beside_partner(memory, places, use)
        gradient = self.tensors.graph.tensors[self.output].role == Role.GRADIENT
        later = use is not None and use < len(self.entry) and self.entry[use].phase not in ("forward", "loss")
        wrong = Space.FEATURE if gradient else Space.GRADIENT
        return cost + 2 * size * ((gradient or later) and places[self.output] == wrong)

    def _beside_partner(self, memory: Memory, places: Places, use: int | None) -> bool:
        """Whether the next to read the result multiplies it by a map in the same memory."""
        if use is None or use >= len(self.entry) or self.entry[use].operator != Operator.PRODUCT:
            return False
        stores = memory.at | {name: STORES[space] for name, space in places.items()}
        others = [name for name in self.entry[use].inputs if name != self.output]
        return any(stores.get(name) == STORES[places[self.output]] for name in others)


def counted(operation: Operation, last: bool) -> Operation:
    """A part of an operation: the last one counts for all."""
    return operation if last else _uncounted(operation)


@lru_cache
def _uncounted(operation: Operation) -> Operation:
    return replace(operation, macs=0)
