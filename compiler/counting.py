"""What a network costs before any chip is chosen: multiplications and parameters."""

from __future__ import annotations

from math import prod

from compiler.dag import Dag


def multiply_accumulates(network: Dag) -> int:
    """Multiply-accumulates of one inference: each weight of a convolution or Gemm once an output position.

    Padding is counted, as is usual; biases, pooling, normalisation and element-wise operators are not.
    """
    return sum(
        prod(network.shapes[node.parameters["weight"]]) * prod(node.shape[1:])
        for node in network.nodes
        if node.operator in ("Conv", "Gemm")
    )


def parameter_count(network: Dag) -> int:
    """Elements of what training changes: weights and biases, of batch normalisations too; no running statistics."""
    return sum(
        prod(network.shapes[name])
        for node in network.nodes
        for role, name in node.parameters.items()
        if role in ("weight", "bias")
    )
