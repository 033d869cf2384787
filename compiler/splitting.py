"""A global average over a map too large for the chip: over columns, as bands of rows can do, and then over rows."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from arch.chip import Chip
from compiler.graph import INFER, Graph, Operation, Operator, Role, Tensor
from compiler.walks import WIDEST


def split_averages(graph: Graph, chip: Chip) -> Graph:
    """The graph of inference, with such averages in two: the means of rows are rounded to a format of their own."""
    large = [operation for operation in graph.operations if _is_large(operation, graph, chip)]
    if not large:
        return graph
    changed = replace(graph, tensors=dict(graph.tensors), values=dict(graph.values))
    changed.entries = {INFER: [part for item in graph.entries[INFER] for part in _parts(item, item in large, changed)]}
    return changed


def _is_large(operation: Operation, graph: Graph, chip: Chip) -> bool:
    shape = graph.tensors[operation.inputs[0]].shape if operation.inputs else ()
    if operation.operator != Operator.GLOBAL_AVERAGE_POOL or len(shape) != 3:
        return False
    words = chip.words(shape[0]) * prod(shape[1:])
    return words * 8 > max(chip.feature_words, chip.gradient_words) * 7 and 1 < shape[2] <= WIDEST and shape[1] > 1


def _parts(operation: Operation, large: bool, graph: Graph) -> list[Operation]:
    if not large:
        return [operation]
    channels, height, width = graph.tensors[operation.inputs[0]].shape
    rows, share = f"{operation.output}.rows", f"{operation.output}.rows.share"
    graph.tensors[rows] = Tensor(rows, (channels, height, 1), Role.ACTIVATION)
    graph.tensors[share] = Tensor(share, (1,), Role.CONSTANT)
    graph.values[share] = np.full(1, 1 / width)
    graph.values[operation.factors[0]] = graph.values[operation.factors[0]] * width
    first = Operation(
        Operator.AVERAGE_POOL,
        operation.layer,
        operation.phase,
        operation.inputs,
        rows,
        factors=(share,),
        kernel=(1, width),
        groups=channels,
    )
    return [first, replace(operation, inputs=(rows,))]
