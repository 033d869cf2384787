"""Poolings that the chip makes in two: over columns, then over rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from arch.chip import Chip
from compiler.graph import INFER, Graph, Operation, Operator, Role, Tensor
from compiler.walks import WIDEST


def split_averages(graph: Graph, chip: Chip) -> Graph:
    """The graph of a forward pass, with global averages over maps too large for the chip in two, so that bands of rows
    can make the first: the means of rows are rounded to a format of their own."""
    return _split(graph, lambda operation: _is_large(operation, graph, chip), _averages)


def split_maxima(graph: Graph, chip: Chip) -> Graph:
    """The graph of what is to be trained, with maxima over more positions than a gradient can tell apart in two.

    The first of equal values in the first row that has one stays the one chosen: the first in row-major order.
    """
    return _split(graph, lambda operation: _is_wide(operation, chip), _maxima)


def _split(
    graph: Graph, wanted: Callable[[Operation], bool], parts: Callable[[Operation, Graph], list[Operation]]
) -> Graph:
    """The graph with the operations that are `wanted` in `parts`, whose tensors they enter."""
    large = [operation for operation in graph.operations if wanted(operation)]
    if not large:
        return graph
    changed = replace(graph, tensors=dict(graph.tensors), values=dict(graph.values))
    changed.entries = {
        INFER: [part for item in graph.entries[INFER] for part in (parts(item, changed) if item in large else [item])]
    }
    return changed


def _is_wide(operation: Operation, chip: Chip) -> bool:
    return operation.operator == Operator.MAX_POOL and prod(operation.kernel) > chip.taps and 1 not in operation.kernel


def _maxima(operation: Operation, graph: Graph) -> list[Operation]:
    (height, width), (down, across), (top, left) = operation.kernel, operation.stride, operation.pads
    source, target = graph.tensors[operation.inputs[0]].shape, graph.tensors[operation.output].shape
    rows = graph.add(f"{operation.output}.rows", (*source[:2], target[2]), Role.ACTIVATION)
    first = replace(operation, output=rows, kernel=(1, width), stride=(1, across), pads=(0, left), relu=False)
    return [first, replace(operation, inputs=(rows,), kernel=(height, 1), stride=(down, 1), pads=(top, 0))]


def _is_large(operation: Operation, graph: Graph, chip: Chip) -> bool:
    shape = graph.tensors[operation.inputs[0]].shape if operation.inputs else ()
    if operation.operator != Operator.GLOBAL_AVERAGE_POOL or len(shape) != 3:
        return False
    words = chip.words(shape[0]) * prod(shape[1:])
    return words * 8 > max(chip.feature_words, chip.gradient_words) * 7 and 1 < shape[2] <= WIDEST and shape[1] > 1


def _averages(operation: Operation, graph: Graph) -> list[Operation]:
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
        extents=(height, width),
    )
    return [first, replace(operation, inputs=(rows,))]
