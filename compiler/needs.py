"""What an operation needs on the chip: rows and columns of its inputs for those of its output, groups of weights."""

from __future__ import annotations

from compiler.graph import Graph, Operation, Operator
from compiler.kernels import Kernels, Kind

_POOLINGS = (Operator.AVERAGE_POOL, Operator.MAX_POOL, Operator.MAX_POOL_INDEX)
_WINDOWED = (Operator.CONV, *_POOLINGS, Operator.CONV_WEIGHT_GRADIENT)
_ALIKE = (
    Operator.COMBINE,
    Operator.CHANNEL_MAP,
    Operator.NEIGHBOUR_SUM,
    Operator.PRODUCT,
    Operator.AVERAGE_SHARES,
)
_TRANSPOSED = (Operator.CONV_INPUT_GRADIENT, Operator.MAX_POOL_GRADIENT)
_GRADIENTS = (Operator.CONV_WEIGHT_GRADIENT, Operator.GEMM_WEIGHT_GRADIENT)
SUMS = (Operator.CONV_WEIGHT_GRADIENT, Operator.CONV_BIAS_GRADIENT)
"""Operators whose result is a sum over the positions of a map."""


def extents(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a map, or of a vector, which is a map of 1 x 1."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)


def cut_map(operation: Operation) -> str:
    """The map that bands cut: the output, or what a gradient of a parameter is summed over."""
    return operation.inputs[-1] if operation.operator in SUMS else operation.output


def source_side(operation: Operation, graph: Graph, axis: int, first: int, count: int) -> tuple[int, int]:
    """Rows (axis 0) or columns (1), (first, count), of the inputs' maps that those `first` ... of the map need that
    bands cut; those beyond the map are not.

    An operation whose every output needs all of its input says so.
    """
    extent = extents(graph.tensors[operation.inputs[0]].shape)[1 + axis]
    low, high = 0, extent - 1
    reach = (operation.kernel[axis] - 1) * operation.dilation[axis]
    stride, pad = operation.stride[axis], operation.pads[axis]
    if operation.operator in _WINDOWED:
        low = first * stride - pad
        high = (first + count - 1) * stride - pad + reach
    elif operation.operator in _TRANSPOSED:
        low = -(-(first + pad - reach) // stride)
        high = (first + count - 1 + pad) // stride
    elif operation.operator in _ALIKE:
        low, high = first + operation.crop[axis], first + count - 1 + operation.crop[axis]
    low, high = max(low, 0), min(high, extent - 1)
    if high < low:  # only padding: any row or column will do
        low = high = min(max(low, 0), extent - 1)
    return low, high - low + 1


def can_band(operation: Operation) -> bool:
    """Whether the output can be made one band after the other, each as if it were alone."""
    whole = (Operator.GLOBAL_AVERAGE_POOL, Operator.BROADCAST, Operator.LOSS_GRADIENT, Operator.UPDATE)
    gemms = (Operator.GEMM, Operator.GEMM_INPUT_GRADIENT, Operator.GEMM_WEIGHT_GRADIENT, Operator.GEMM_BIAS_GRADIENT)
    return operation.operator not in (*whole, *gemms, *SUMS)


def outer_groups(operation: Operation, kernels: Kernels) -> int:
    """Outer groups of an operation's weights, whose rows can come and go one after the other; 1 if all are needed."""
    if operation.operator in (Operator.CONV, Operator.GEMM, *_GRADIENTS):
        return kernels.layout(operation.weight or operation.output).outer
    if operation.operator == Operator.CONV_INPUT_GRADIENT and kernels.layout(operation.weight).kind == Kind.LANES:
        return kernels.layout(operation.weight).outer
    return 1


def inner_groups(operation: Operation, kernels: Kernels) -> int:
    """Inner groups of an operation's weights, each with all outer ones a part of the result; 1 if there are none."""
    if operation.operator != Operator.CONV_INPUT_GRADIENT or kernels.layout(operation.weight).kind == Kind.LANES:
        return 1
    layout = kernels.layout(operation.weight)
    return kernels.chip.words(layout.inputs) // layout.cut.depth
