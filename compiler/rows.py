"""Row tensors as units of the weight memory: what an update reads together lies together."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.graph import Operation, Operator
from compiler.kernels import Kernels


@dataclass(frozen=True)
class Unit:
    """Row tensors that come and go together: `offsets` of each, `count` rows in all."""

    name: str
    offsets: dict[str, int]
    count: int


def units(kernels: Kernels) -> dict[str, Unit]:
    """The unit of every row tensor; the three of an update at equal distances, everything else by itself."""
    groups = [
        operation.inputs
        for operation in kernels.graph.operations
        if operation.operator == Operator.UPDATE and len(operation.inputs) > 2
    ]
    groups += [(name,) for name in kernels.names]
    result: dict[str, Unit] = {}
    for names in groups:
        if any(name in result for name in names):
            continue
        offsets, count = {}, 0
        for name in names:
            offsets[name] = count
            count += kernels.layout(name).count
        result |= dict.fromkeys(names, Unit(names[0], offsets, count))
    return result


def overwritten(operation: Operation, name: str) -> bool:
    """Whether an operation replaces a row tensor without reading it."""
    return name == operation.output and name not in operation.reads
