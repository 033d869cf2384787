"""Lowering of convolutions and dense layers."""

from __future__ import annotations

from math import prod

from compiler.graph import Operation, Operator
from compiler.lowering_values import Lowering
from compiler.nodes import ConvAttributes, Node


def conv(lowering: Lowering, node: Node) -> None:
    """A convolution; a padding that it alone reads becomes its own."""
    assert isinstance(node.attributes, ConvAttributes)
    attributes = node.attributes
    source, pads = _padding(lowering, node)
    weight = lowering.parameter(node.parameters["weight"])
    operation = Operation(
        Operator.CONV,
        node.name,
        "forward",
        (source,),
        node.name,
        weight=weight,
        bias=_bias(lowering, node),
        kernel=attributes.kernel_shape,
        stride=alike(attributes.strides, node.shape[1:]),
        pads=pads,
        dilation=alike(attributes.dilations, attributes.kernel_shape),
        groups=attributes.group,
        macs=prod(lowering.graph.tensors[weight].shape) * prod(node.shape[1:]),
    )
    lowering.emit(node, operation, node.shape)


def alike(pair: tuple[int, int], extents: tuple[int, ...]) -> tuple[int, int]:
    """Strides (or dilations) with equal sides if one of the extents of the output (the kernel) is 1 and needs none."""
    if extents[0] == 1:
        return pair[1], pair[1]
    return (pair[0], pair[0]) if extents[1] == 1 else pair


def gemm(lowering: Lowering, node: Node) -> None:
    """A dense layer over a vector, or over a map in row-major order."""
    source = lowering.tensor(node.inputs[0]).name
    weight = lowering.parameter(node.parameters["weight"])
    operation = Operation(
        Operator.GEMM,
        node.name,
        "forward",
        (source,),
        node.name,
        weight=weight,
        bias=_bias(lowering, node),
        macs=prod(lowering.graph.tensors[weight].shape),
    )
    lowering.emit(node, operation, node.shape)


def _bias(lowering: Lowering, node: Node) -> str:
    return lowering.parameter(node.parameters["bias"]) if "bias" in node.parameters else ""


def _padding(lowering: Lowering, node: Node) -> tuple[str, tuple[int, int]]:
    """The tensor that the convolution reads, and the zeros above and left of it."""
    assert isinstance(node.attributes, ConvAttributes)
    top, left = node.attributes.pads[:2]
    source = lowering.natural(node, node.inputs[0]).name
    before = lowering.absorbable(node, source)
    if before and lowering.network.node(before.layer).operator == "Pad" and not before.relu:
        lowering.absorb(before)
        top, left = top - before.crop[0], left - before.crop[1]
        source = before.inputs[0]
    return source, (top, left)
