"""Batch normalisation by running statistics: a scaling and shift of each channel, or part of the weights before it."""

from __future__ import annotations

import numpy as np

from compiler.graph import Operation, Operator, Role
from compiler.lowering_values import Lowering
from compiler.nodes import BatchNormalizationAttributes, NetworkError, Node

FOLDED = "folded"
FROZEN = "frozen"


def batch_normalization(lowering: Lowering, node: Node, mode: str) -> None:
    """Fold a batch normalisation into the weights before it, or make it a Combine.

    `mode` is "folded" (if before it comes a convolution or dense layer that nothing else reads), "frozen" or "batch".
    Raises `NetworkError` on the last, and on a flattened map, whose elements share no channel.
    """
    if mode not in (FOLDED, FROZEN):
        raise NetworkError(
            f"{node.name}: statistics of a batch are not computed on the chip; compile with batch_norm {FROZEN} "
            f"(running statistics) or {FOLDED} (into the weights)"
        )
    source = lowering.natural(node, node.inputs[0])
    scale, shift = affine(lowering, node)
    before = lowering.absorbable(node, source.name)
    if mode == FOLDED and before and _has_weights(lowering, before):
        _fold(lowering, before, scale, shift)
        lowering.become(node, source.name)
        lowering.graph.notes.append(f"{node.name}: folded into the weights of {before.layer}")
        return
    operation = lowering.combine(node.name, node.name, [(source.name, scale)], shift)
    lowering.emit(node, operation, source.shape)
    if lowering.train:
        lowering.graph.notes.append(f"{node.name}: its statistics, weight and bias are constants")


def affine(lowering: Lowering, node: Node) -> tuple[np.ndarray, np.ndarray]:
    """s and t, float64 [C], of y = s x + t. Raises `NetworkError` if a variance is zero and epsilon too."""
    assert isinstance(node.attributes, BatchNormalizationAttributes)
    weight, bias, mean, variance = (
        lowering.parameters[node.parameters[role]] for role in ("weight", "bias", "running_mean", "running_var")
    )
    spread = variance + node.attributes.epsilon
    if spread.min() <= 0:
        raise NetworkError(f"{node.parameters['running_var']}: a variance plus epsilon must be positive")
    scale = weight / np.sqrt(spread)
    return scale, bias - scale * mean


def _has_weights(lowering: Lowering, operation: Operation) -> bool:
    """Whether it is a convolution or dense layer with weights of its own and nothing behind them yet."""
    linear = operation.operator in (Operator.CONV, Operator.GEMM) and not operation.relu
    return linear and lowering.graph.tensors[operation.weight].role == Role.WEIGHT


def _fold(lowering: Lowering, operation: Operation, scale: np.ndarray, shift: np.ndarray) -> None:
    values = lowering.graph.values
    weight = values[operation.weight]
    values[operation.weight] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    if operation.bias:
        values[operation.bias] = values[operation.bias] * scale + shift
        return
    bias = lowering.graph.add_row(f"{operation.layer}.bias", shift, Role.BIAS)
    lowering.replace(operation, bias=bias)
