"""Groups of a convolution whose channels are no multiple of the lanes: neighbours merged until they are.

Their kernels lie as those of one group, with zeros between. Forward and for the input's gradient that is all; the
gradient of the weights would fill the zeros, so it is made for one of the merged groups after the other, from maps
in which the others' channels are zero: what it adds to the other kernels is zero then, and rounds to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from arch.chip import Chip
from compiler.graph import INFER, Graph, Operation, Operator, Role


def merged_groups(groups: int, inputs: int, outputs: int, lanes: int) -> int:
    """How many neighbouring groups, of `inputs` to `outputs` channels each, to execute as one with zeros between.

    The fewest whose channels are multiples of `lanes` on both sides; all of them if there is no other way.
    """
    fitting = (
        count for count in range(1, groups) if not (groups % count or count * inputs % lanes or count * outputs % lanes)
    )
    return next(fitting, groups)


def separated(graph: Graph, chip: Chip) -> Graph:
    """The graph with the weight gradients of merged groups made group by group."""
    merged = {item: _merged(item, graph, chip) for item in graph.operations}
    if all(count == 1 for count in merged.values()):
        return graph
    new = replace(graph, tensors=dict(graph.tensors), values=dict(graph.values), entries=dict(graph.entries))
    for name, operations in graph.entries.items():
        if name != INFER:
            new.entries[name] = [part for item in operations for part in _parts(item, merged[item], new)]
    return new


def _merged(operation: Operation, graph: Graph, chip: Chip) -> int:
    """How many groups are merged in an operation's kernels, if it is a gradient of theirs."""
    if operation.operator != Operator.CONV_WEIGHT_GRADIENT:
        return 1
    outputs, inputs = graph.tensors[operation.weight].shape[:2]
    if inputs == 1 and operation.groups == outputs:
        return 1
    return merged_groups(operation.groups, inputs, outputs // operation.groups, chip.lanes)


def _parts(operation: Operation, merged: int, graph: Graph) -> Iterator[Operation]:
    if merged == 1:
        yield operation
        return
    for number in range(merged):
        names = []
        for source, role in zip(operation.inputs, (Role.ACTIVATION, Role.GRADIENT), strict=True):
            alone = _alone(operation, source, role, (number, merged), graph)
            names.append(alone.output)
            yield alone
        yield replace(
            operation,
            inputs=tuple(names),
            accumulate=operation.accumulate or (number > 0 and not operation.update),
            macs=operation.macs if number == merged - 1 else 0,
        )


def _alone(operation: Operation, source: str, role: Role, part: tuple[int, int], graph: Graph) -> Operation:
    """A copy of a map in which of every `merged` groups all channels but those of group `number` are zero."""
    number, merged = part
    shape = graph.tensors[source].shape
    name = f"{operation.weight}.{role}.{number}"
    if name not in graph.tensors:
        graph.add_row(f"{name}.factor", np.ones(1), Role.CONSTANT)
        graph.add(name, shape, role)
    each = shape[0] // operation.groups
    routes = tuple((c, c) for c in range(shape[0]) if c // each % merged == number)
    return Operation(
        Operator.CHANNEL_MAP,
        operation.layer,
        operation.phase,
        (source,),
        name,
        factors=(f"{name}.factor",),
        routes=(routes,),
    )
