"""Stochastic gradient descent as operations: fused into gradients, or on accumulated ones with momentum and decay."""

from __future__ import annotations

from dataclasses import replace
from math import floor, frexp, log2

import numpy as np

from compiler.graph import (
    ACCUMULATE,
    ACCUMULATE_FIRST,
    PARAMETER_GRADIENTS,
    TRAIN,
    UPDATE,
    Graph,
    Operation,
    Operator,
    Optimiser,
    Role,
)
from compiler.nodes import NetworkError

LARGEST_BATCH = 1024
"""Samples of a micro-batch."""


def rate_exponent(learning_rate: float) -> int:
    """k of learning_rate = 2**-k, 0 <= k <= 24. Raises `NetworkError` naming the nearest such rates."""
    if not 0 < learning_rate <= 1:
        raise NetworkError(f"learning_rate must be a power of two from 2**-24 to 1, not {learning_rate}")
    mantissa, exponent = frexp(learning_rate)
    if mantissa != 0.5 or exponent < -23:
        below = 2.0 ** max(floor(log2(learning_rate)), -24)
        raise NetworkError(
            f"learning_rate must be a power of two, which a shift applies exactly, not {learning_rate}; "
            f"the nearest are {below:g} and {2 * below:g}"
        )
    return 1 - exponent


def check(optimiser: Optimiser) -> None:
    """Raises `NetworkError` naming the field that cannot be."""
    rate_exponent(optimiser.learning_rate)
    if not 0 <= optimiser.momentum < 1:
        raise NetworkError(f"momentum must be at least 0 and below 1, not {optimiser.momentum}")
    if not 0 <= optimiser.weight_decay < 1:
        raise NetworkError(f"weight_decay must be at least 0 and below 1, not {optimiser.weight_decay}")
    if not 1 <= optimiser.micro_batch <= LARGEST_BATCH or optimiser.micro_batch != int(optimiser.micro_batch):
        raise NetworkError(f"micro_batch must be an integer from 1 to {LARGEST_BATCH}, not {optimiser.micro_batch}")


def gradient_of(name: str) -> str:
    """The name of a tensor's gradient."""
    return f"{name}.gradient"


def momentum_of(name: str) -> str:
    """The name of a parameter's momentum."""
    return f"{name}.momentum"


def parameter_gradient(graph: Graph, operation: Operation, parameter: str, optimiser: Optimiser) -> Operation:
    """A parameter's gradient that updates the parameter, or writes the gradient's own tensor, which is entered."""
    if optimiser.plain:
        return replace(operation, output=parameter, update=True)
    zeros = np.broadcast_to(0.0, graph.tensors[parameter].shape)
    gradient = graph.add_row(gradient_of(parameter), zeros, Role.PARAMETER_GRADIENT, parameter)
    return replace(operation, output=gradient)


def training_entries(graph: Graph, optimiser: Optimiser, operations: list[Operation]) -> dict[str, list[Operation]]:
    """The entries of training; `operations` are forward and backward pass. Enters momenta and constants.

    Where a batch is normalised, there is one: `operations` are then of every sample of the micro-batch.
    """
    gradients = [operation for operation in operations if operation.operator in PARAMETER_GRADIENTS]
    if optimiser.plain:
        return {TRAIN: operations}
    updates = [update for gradient in gradients for update in _updates(graph, gradient, optimiser)]
    if optimiser.micro_batch == 1 or graph.samples > 1:
        return {TRAIN: operations + updates}
    adding = [
        replace(operation, accumulate=True) if operation.operator in PARAMETER_GRADIENTS else operation
        for operation in operations
    ]
    return {ACCUMULATE_FIRST: operations, ACCUMULATE: adding, UPDATE: updates}


def _updates(graph: Graph, gradient: Operation, optimiser: Optimiser) -> list[Operation]:
    """With momentum v = momentum v + g / n, v = v + decay w, w = w - rate v; otherwise g = g + n decay w and
    w = w - rate g / n.

    The decay is added by itself, since beside the gradient its small factor would have few bits; and two row tensors
    always lie at equal distances, three that change in turn do not.
    """
    parameter = graph.tensors[gradient.output].parameter
    share, rate, decay = 1 / optimiser.micro_batch, optimiser.learning_rate, optimiser.weight_decay
    if not optimiser.momentum:
        terms = {parameter: decay * optimiser.micro_batch}
        name = f"{gradient.output}.decay"
        decayed = [_update(graph, gradient.layer, gradient.output, terms, name=name)] if decay else []
        return [*decayed, _update(graph, gradient.layer, parameter, {gradient.output: -rate * share})]
    zeros = np.broadcast_to(0.0, graph.tensors[parameter].shape)
    momentum = graph.add_row(momentum_of(parameter), zeros, Role.STATE, parameter)
    kept = {momentum: optimiser.momentum, gradient.output: share}
    return [
        _update(graph, gradient.layer, momentum, kept, accumulate=False),
        *([_update(graph, gradient.layer, momentum, {parameter: decay}, name=f"{momentum}.decay")] if decay else []),
        _update(graph, gradient.layer, parameter, {momentum: -rate}),
    ]


def _update(
    graph: Graph, layer: str, output: str, terms: dict[str, float], accumulate: bool = True, name: str = ""
) -> Operation:
    """The Update of `output` by scaled tensors; `name` begins the names of its factors, `output` by default."""
    factors = tuple(
        graph.add_row(f"{name or output}.factor{i}", np.full(1, factor), Role.CONSTANT)
        for i, factor in enumerate(terms.values())
    )
    return Operation(Operator.UPDATE, layer, "update", tuple(terms), output, factors=factors, accumulate=accumulate)
