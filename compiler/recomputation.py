"""Values that training makes again for the backward pass instead of keeping or spilling them, where a mapping says so.

The copy is made by the operations that made the value, from what is kept anyway, just before the backward pass first
reads it; parameters change later, so that both have the same bits. It trades transfers for steps of the array: worth it
where external memory is slow and the value cheap (Chen et al., "Training deep nets with sublinear memory cost", 2016).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from arch.isa import Rounding
from compiler.graph import INFER, Graph, Operation, Role
from compiler.nodes import NetworkError

RECOMPUTE = "recompute"
"""The phase of operations that make a value again."""
_ONWARDS = ("forward", "loss")
_MAPS = (Role.ACTIVATION, Role.INDEX)


def recomputed(graph: Graph, layers: Collection[str], rounding: Rounding) -> Graph:
    """The graph with the results of `layers` made again in every entry that trains; `copies` tells of which they are.

    `rounding` is that of maps. Raises `NetworkError` naming a layer whose result no backward pass reads or whose
    statistics would have to be made again, and if random rounding would make another value the second time.
    """
    if not layers:
        return graph
    if graph.optimiser is None:
        raise NetworkError("mapping: recompute is for training: add --train, or leave it out")
    if rounding == Rounding.STOCHASTIC:
        raise NetworkError("mapping: recompute needs maps that are not rounded at random; round them to nearest")
    new = replace(graph, tensors=dict(graph.tensors), entries=dict(graph.entries), copies=dict(graph.copies))
    found: set[str] = set()
    for name, operations in graph.entries.items():
        if name != INFER:
            again = _Again(new, operations, layers)
            new.entries[name] = again.entry()
            found |= again.found
    missing = [layer for layer in layers if layer not in found]
    if missing:
        raise NetworkError(
            f"mapping: no backward pass reads what {', '.join(missing)} makes; "
            f"recompute is for {', '.join(candidates(graph)) or 'no layer of this network'}"
        )
    return new


def candidates(graph: Graph) -> list[str]:
    """The layers whose results a backward pass reads, in order."""
    found = [layer for name, entry in graph.entries.items() if name != INFER for layer in _candidates(graph, entry)]
    return list(dict.fromkeys(found))


def _candidates(graph: Graph, operations: Collection[Operation]) -> list[str]:
    read = _read_back(operations)
    made = [operation for operation in operations if operation.phase == "forward" and operation.output in read]
    return [operation.layer for operation in made if graph.tensors[operation.output].role in _MAPS]


def _read_back(operations: Collection[Operation]) -> set[str]:
    """What the backward pass reads."""
    back = [operation for operation in operations if operation.phase not in _ONWARDS]
    return {name for operation in back for name in (*operation.inputs, operation.mask)}


class _Again:
    """One entry, its operations in a new order with new ones between."""

    def __init__(self, graph: Graph, operations: Collection[Operation], layers: Collection[str]):
        self.graph = graph
        self.operations = operations
        self.layers = layers
        self.makers = {operation.output: operation for operation in operations if operation.phase == "forward"}
        self.kept = _read_back(operations)
        self.found: set[str] = set()
        self.names: dict[str, str] = {}
        self.done: list[Operation] = []

    def entry(self) -> list[Operation]:
        """The operations, with those that make values again before their first reader."""
        for operation in self.operations:
            if operation.phase not in _ONWARDS:
                for name in (*operation.inputs, operation.mask):
                    if self._chosen(name):
                        self._make(name)
                operation = self._renamed(operation)
            self.done.append(operation)
        return self.done

    def _chosen(self, name: str) -> bool:
        return name in self.makers and self.makers[name].layer in self.layers

    def _make(self, name: str) -> None:
        """Make a value again, and before it what made it, as far as that is not kept."""
        if name in self.names:
            return
        maker = self.makers[name]
        if self.graph.tensors[name].role not in _MAPS:
            raise NetworkError(
                f"mapping: {maker.layer} takes statistics of the micro-batch, which are not made again; leave out "
                "recompute for it and for what reads it"
            )
        self.found.add(maker.layer)
        for source in maker.inputs:
            if source in self.makers and (source not in self.kept or self._chosen(source)):
                self._make(source)
        copy = f"{name}.again"
        if copy not in self.graph.copies:
            self.graph.add(copy, self.graph.tensors[name].shape, self.graph.tensors[name].role)
            self.graph.copies[copy] = name
        self.done.append(replace(self._renamed(maker), output=copy, phase=RECOMPUTE, macs=0))
        self.names[name] = copy

    def _renamed(self, operation: Operation) -> Operation:
        inputs = tuple(self.names.get(name, name) for name in operation.inputs)
        return replace(operation, inputs=inputs, mask=self.names.get(operation.mask, operation.mask))
