"""Batch normalisation: by running statistics a scaling and shift of each channel, or part of the weights before it; by
those of a micro-batch a Normalise, and a depthwise convolution by its weight and bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.graph import Operation, Operator, Role, Statistics, Tensor
from compiler.lowering_values import Lowering
from compiler.nodes import BatchNormalizationAttributes, NetworkError, Node

FOLDED = "folded"
FROZEN = "frozen"
BATCH = "batch"


def batch_normalization(lowering: Lowering, node: Node, mode: str) -> None:
    """Fold a batch normalisation into the weights before it, make it a Combine, or normalise by a micro-batch.

    `mode` is "folded" (if before it comes a convolution or dense layer that nothing else reads), "frozen" or "batch".
    Raises `NetworkError` on a flattened map, whose elements share no channel, and on "batch" without training.
    """
    assert isinstance(node.attributes, BatchNormalizationAttributes)
    source = lowering.natural(node, node.inputs[0])
    scale, shift = affine(lowering, node)
    if mode == BATCH and node.attributes.statistics:
        _by_batch(lowering, node, source, node.attributes)
        return
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


def _by_batch(lowering: Lowering, node: Node, source: Tensor, attributes: BatchNormalizationAttributes) -> None:
    if not lowering.train:
        raise NetworkError(
            f"{node.name}: statistics of a batch are of training; for inference compile with batch_norm {FROZEN} "
            f"(running statistics) or {FOLDED} (into the weights)"
        )
    graph, names = lowering.graph, node.parameters
    roles = {"running_mean": Role.STATE, "running_var": Role.STATE, "bias": Role.BIAS}
    mean, variance, bias = (graph.add_row(names[key], lowering.parameters[names[key]], roles[key]) for key in roles)
    weight = lowering.parameters[names["weight"]]
    graph.add_row(names["weight"], weight.reshape(-1, 1, 1, 1), Role.WEIGHT)
    graph.given[names["weight"]] = weight.shape
    statistics = Statistics(mean, variance, attributes.epsilon, attributes.momentum)
    normal = Operation(
        Operator.NORMALISE, node.name, "forward", (source.name,), f"{node.name}.normal", statistics=statistics
    )
    lowering.append(normal, source.shape)
    scaled = replace(
        normal,
        operator=Operator.CONV,
        inputs=(normal.output,),
        output=node.name,
        weight=names["weight"],
        bias=bias,
        groups=len(weight),
        statistics=None,
    )
    lowering.emit(node, scaled, source.shape)


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
