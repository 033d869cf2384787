"""Lowering of poolings: an average is a depthwise convolution with constant weights."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from compiler.averages import parts
from compiler.graph import Operation, Operator
from compiler.lowering_linear import alike
from compiler.lowering_values import Lowering
from compiler.nodes import NetworkError, Node, PoolAttributes
from compiler.walks import WIDEST


def max_pool(lowering: Lowering, node: Node) -> None:
    """The largest value of each window; what joins maps that it alone reads, for inference, joins the pooled ones."""
    assert isinstance(node.attributes, PoolAttributes)
    if max(node.attributes.kernel_shape) > WIDEST:
        rows, columns = node.attributes.kernel_shape
        raise NetworkError(
            f"{node.name}: a maximum over {rows} x {columns} must have at most {WIDEST} rows and columns; pool twice"
        )
    source = lowering.natural(node, node.inputs[0])
    before = lowering.private(node, source.name)
    if lowering.train or lowering.network.fractions or not (before and _joins(before)):
        lowering.emit(node, _max_pool(lowering, node, source.name, node.name), node.shape)
        return
    lowering.absorb(before)
    pooled = []
    for number, name in enumerate(before.inputs):
        operation = _max_pool(lowering, node, name, f"{node.name}.part{number}")
        shape = (lowering.graph.tensors[name].shape[0], *node.shape[1:])
        pooled.append(lowering.append(operation, shape))
    factors = tuple(lowering.constant(f"{node.name}.factor{number}", 1.0) for number in range(len(pooled)))
    joined = replace(before, layer=node.name, inputs=tuple(pooled), output=node.name, factors=factors)
    lowering.emit(node, joined, node.shape)


def _joins(operation: Operation) -> bool:
    """Whether channels of several maps come to lie side by side, none of them summed."""
    if operation.operator != Operator.CHANNEL_MAP or operation.relu or len(operation.inputs) < 2:
        return False
    targets = [target for routes in operation.routes for target, _ in routes]
    return len(set(targets)) == len(targets)


def _max_pool(lowering: Lowering, node: Node, source: str, output: str) -> Operation:
    assert isinstance(node.attributes, PoolAttributes)
    return Operation(
        Operator.MAX_POOL,
        node.name,
        "forward",
        (source,),
        output,
        kernel=node.attributes.kernel_shape,
        stride=alike(node.attributes.strides, node.shape[1:]),
        pads=node.attributes.pads[:2],
        groups=lowering.graph.tensors[source].shape[0],
    )


def average_pool(lowering: Lowering, node: Node) -> None:
    """The mean of each window; one window over the whole map is a global average pool."""
    assert isinstance(node.attributes, PoolAttributes)
    attributes = node.attributes
    source = lowering.natural(node, node.inputs[0])
    padded = attributes.count_include_pad and any(attributes.pads)
    if node.shape[1:] == (1, 1) and not padded and _spans(attributes, source.shape):
        global_average_pool(lowering, node)
        return
    if not attributes.count_include_pad and _touches_padding(attributes, source.shape, node.shape):
        _of_what_is_there(lowering, node)
        return
    channels = source.shape[0]
    share = np.float64(1 / prod(attributes.kernel_shape))
    weight = lowering.constant(f"{node.name}.share", np.broadcast_to(share, (channels, 1, *attributes.kernel_shape)))
    operation = Operation(
        Operator.CONV,
        node.name,
        "forward",
        (source.name,),
        node.name,
        weight=weight,
        kernel=attributes.kernel_shape,
        stride=alike(attributes.strides, node.shape[1:]),
        pads=attributes.pads[:2],
        groups=channels,
    )
    lowering.emit(node, operation, node.shape)


def _of_what_is_there(lowering: Lowering, node: Node) -> None:
    """The mean of what each window has in the map."""
    assert isinstance(node.attributes, PoolAttributes)
    attributes, source = node.attributes, lowering.natural(node, node.inputs[0])
    operation = Operation(
        Operator.AVERAGE_POOL,
        node.name,
        "forward",
        (source.name,),
        node.name,
        kernel=attributes.kernel_shape,
        stride=alike(attributes.strides, node.shape[1:]),
        pads=attributes.pads[:2],
        groups=source.shape[0],
        extents=(source.shape[1], source.shape[2]),
    )
    counts = np.array([inside for _, inside in parts(operation, node.shape)])
    if counts.min() < 1:
        raise NetworkError(f"{node.name}: a window lies in the padding alone; lower the pads")
    share = lowering.constant(f"{node.name}.share", 1 / counts)
    lowering.emit(node, replace(operation, factors=(share,)), node.shape)


def global_average_pool(lowering: Lowering, node: Node) -> None:
    """The mean of each channel: a vector where one is needed, else a map of 1 x 1."""
    source = lowering.natural(node, node.inputs[0])
    share = lowering.constant(f"{node.name}.share", 1 / prod(source.shape[1:]))
    shape = source.shape[:1] if lowering.leads_to_vector(node.name) else node.shape
    operation = Operation(
        Operator.GLOBAL_AVERAGE_POOL, node.name, "forward", (source.name,), node.name, factors=(share,)
    )
    lowering.emit(node, operation, shape)


def _spans(attributes: PoolAttributes, source: tuple[int, ...]) -> bool:
    """Whether the first window has all of the map."""
    sides = zip(source[1:], attributes.kernel_shape, attributes.pads[:2], strict=True)
    return all(kernel - pad >= extent for extent, kernel, pad in sides)


def _touches_padding(attributes: PoolAttributes, source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    top, left = attributes.pads[:2]
    across = zip(source[1:], target[1:], attributes.kernel_shape, attributes.strides, (top, left), strict=True)
    return any(pad > 0 or (count - 1) * stride + kernel - pad > extent for extent, count, kernel, stride, pad in across)
