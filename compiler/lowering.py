"""First pass: the network's nodes as forward operations that the array executes.

A ReLU becomes part of the operation before it if nothing else reads that one's result; so do a padding of the
convolution after it, a batch normalisation (if folded) of the one before it, and scalings of the addition after them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from compiler.batch_norm import batch_normalization
from compiler.graph import Graph
from compiler.lowering_channels import channel_shuffle, concat, slice_
from compiler.lowering_elementwise import add, clip, leaky_relu, lrn, pad, relu
from compiler.lowering_linear import conv, gemm
from compiler.lowering_pooling import average_pool, global_average_pool, max_pool
from compiler.lowering_values import Lowering
from compiler.network import Network
from compiler.nodes import INPUT, LOSSES, DropoutAttributes, NetworkError, Node, TransposeAttributes

BATCH_NORM = ("folded", "frozen", "batch")
"""What becomes of batch normalisations: part of the weights before them; a scaling by running statistics; a
normalisation by the statistics of a micro-batch, in training."""


def lower(network: Network, parameters: dict[str, np.ndarray], *, train: bool = False, batch_norm: str = "") -> Graph:
    """The graph of the inference entry; `parameters` are checked ones, as `network.shapes` names them.

    `train` says that the graph will be differentiated: what has no gradient here is refused. `batch_norm` is one of
    `BATCH_NORM`; by default "frozen" for training and "folded" otherwise. Raises `NetworkError` naming every node that
    cannot be executed, and what would work.
    """
    mode = batch_norm or ("frozen" if train else "folded")
    if mode not in BATCH_NORM:
        raise NetworkError(f"batch_norm must be {', '.join(BATCH_NORM[:-1])} or {BATCH_NORM[-1]}, not {mode}")
    network.validate()
    lowering = Lowering(network, parameters, train)
    problems = []
    for node in network.nodes:
        try:
            _one(lowering, node, mode)
        except NetworkError as error:
            problems.append(str(error))
            lowering.unknown(node)
    if problems:
        raise NetworkError("; ".join(problems))
    graph = lowering.graph
    graph.logits = lowering.tensor(network.last).name
    if not lowering.operations:
        raise NetworkError(f"{network.name}: must have at least one layer that computes")
    _decided_formats(lowering)
    return graph


def _one(lowering: Lowering, node: Node, batch_norm: str) -> None:
    if node.operator == "BatchNormalization":
        batch_normalization(lowering, node, batch_norm)
    elif node.operator in LOSSES:
        lowering.graph.loss = node.operator
        lowering.alias(node, lowering.tensor(node.inputs[0]).name)
    elif node.operator in _LOWER:
        _LOWER[node.operator](lowering, node)
    else:
        raise NetworkError(f"{node.name}: operator {node.operator} is not executed; {_known()} are")


def _known() -> str:
    return ", ".join(sorted({*_LOWER, "BatchNormalization", *LOSSES} - {"Transpose"}))


def _decided_formats(lowering: Lowering) -> None:
    """Formats of the network's values. Raises `NetworkError` where one tensor would need two."""
    network, graph = lowering.network, lowering.graph
    found: dict[str, tuple[int, bool]] = {}
    for value in (value for value in network.values if value in network.fractions):
        name, form = lowering.tensor(value).name, (network.fractions[value], value in network.octets)
        if found.setdefault(name, form) != form:
            raise NetworkError(f"{value}: is quantised again with another scale or type; use those of what it reads")
    graph.fractions |= {name: fraction for name, (fraction, _) in found.items()}
    graph.octets = frozenset(name for name, (_, narrow) in found.items() if narrow)


def _same(lowering: Lowering, node: Node) -> None:
    lowering.alias(node, lowering.tensor(node.inputs[0]).name)


def _reshape(lowering: Lowering, node: Node) -> None:
    tensor = lowering.tensor(node.inputs[0])
    if len(node.shape) != 1 and node.shape != tensor.shape:
        raise NetworkError(
            f"{node.name}: a reshape of {list(tensor.shape)} to the map {list(node.shape)} is not executed; one to a "
            "vector is"
        )
    lowering.alias(node, tensor.name)


def _dropout(lowering: Lowering, node: Node) -> None:
    assert isinstance(node.attributes, DropoutAttributes)
    if lowering.train and node.attributes.ratio > 0:
        raise NetworkError(f"{node.name}: dropout is not executed in training; set its ratio to 0 or remove it")
    _same(lowering, node)


def _softmax(lowering: Lowering, node: Node) -> None:
    lowering.graph.notes.append(f"{node.name}: left out; the result is its input, the logits")
    _same(lowering, node)


def _transpose(lowering: Lowering, node: Node) -> None:
    """Nothing, if it and those before it cancel or move sides of 1 alone, or if only transposes read it."""
    source, perm = _transposed(lowering.network, node)
    shape = lowering.network.values[source]
    moved = [axis for axis in perm if shape[axis] > 1]
    in_order = moved == sorted(moved) and (node.shape == shape or lowering.leads_to_vector(node.name))
    users = lowering.network.users()[node.name]
    if not in_order and not (users and all(user.operator == "Transpose" for user in users)):
        raise NetworkError(
            f"{node.name}: a transpose of {list(shape)} to {list(node.shape)} moves numbers, which is executed only as "
            "a channel shuffle; give and export the model with channels first, or remove it"
        )
    lowering.alias(node, lowering.tensor(source).name)


def _transposed(network: Network, node: Node) -> tuple[str, tuple[int, ...]]:
    """The value before a transpose and those right before it, and what they do to its dimensions together."""
    assert isinstance(node.attributes, TransposeAttributes)
    before = node.inputs[0]
    if before == INPUT or network.node(before).operator != "Transpose":
        return before, node.attributes.perm
    source, perm = _transposed(network, network.node(before))
    return source, tuple(perm[axis] for axis in node.attributes.perm)


_LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    "Conv": conv,
    "Gemm": gemm,
    "Relu": relu,
    "Clip": clip,
    "LeakyRelu": leaky_relu,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "Add": add,
    "Concat": concat,
    "Slice": slice_,
    "ChannelShuffle": channel_shuffle,
    "Pad": pad,
    "LRN": lrn,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Identity": _same,
    "Dropout": _dropout,
    "Softmax": _softmax,
    "Transpose": _transpose,
}
