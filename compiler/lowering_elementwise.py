"""Lowering of what treats elements one by one: activations, sums, paddings."""

from __future__ import annotations

import numpy as np

from compiler.graph import MOST_TERMS, Normalisation, Operation, Operator
from compiler.lowering_values import Lowering
from compiler.nodes import ClipAttributes, LeakyReluAttributes, LRNAttributes, NetworkError, Node, PadAttributes


def relu(lowering: Lowering, node: Node) -> None:
    """A ReLU, in the operation before it if that has no other reader."""
    source = lowering.tensor(node.inputs[0])
    before = lowering.producer(source.name)
    same = lowering.same_format(node, source.name)
    if before and before.relu and same:
        lowering.alias(node, source.name)
    elif (private := lowering.private(node, source.name)) and same:
        lowering.replace(private, relu=True)
        lowering.become(node, source.name)
    else:
        lowering.emit(node, lowering.combine(node.name, node.name, [(source.name, 1.0)], relu=True), source.shape)


def clip(lowering: Lowering, node: Node) -> None:
    """min(relu(x), m) = m - relu(m - relu(x))."""
    assert isinstance(node.attributes, ClipAttributes)
    source = lowering.tensor(node.inputs[0])
    maximum = np.broadcast_to(np.float64(node.attributes.maximum), source.shape[:1])
    positive, below = f"{node.name}.positive", f"{node.name}.below"
    if private := lowering.private(node, source.name):
        lowering.replace(private, relu=True)
        positive = source.name
    else:
        lowering.append(lowering.combine(node.name, positive, [(source.name, 1.0)], relu=True), source.shape)
    lowering.append(lowering.combine(node.name, below, [(positive, -1.0)], maximum, relu=True), source.shape)
    lowering.emit(node, lowering.combine(node.name, node.name, [(below, -1.0)], maximum), source.shape)


def leaky_relu(lowering: Lowering, node: Node) -> None:
    """a x + (1 - a) relu(x)."""
    assert isinstance(node.attributes, LeakyReluAttributes)
    alpha = node.attributes.alpha
    if alpha == 0:
        relu(lowering, node)
        return
    source = lowering.tensor(node.inputs[0])
    positive = f"{node.name}.positive"
    lowering.append(lowering.combine(node.name, positive, [(source.name, 1.0)], relu=True), source.shape)
    terms = [(source.name, alpha), (positive, 1 - alpha)]
    lowering.emit(node, lowering.combine(node.name, node.name, terms), source.shape)


def add(lowering: Lowering, node: Node) -> None:
    """A sum; a scaling that it alone reads becomes factors of the sum."""
    sources = [lowering.tensor(value) for value in node.inputs]
    if len({source.shape for source in sources}) > 1:
        shapes = " and ".join(str(list(source.shape)) for source in sources)
        raise NetworkError(f"{node.name}: adds {shapes}; flatten both or none of them")
    terms: list[tuple[str, float | np.ndarray]] = []
    shift: np.ndarray | None = None
    for index, source in enumerate(sources):
        before = lowering.absorbable(node, source.name) if sources[0] is not sources[1] else None
        if before and _plain_sum(lowering, before) and len(terms) + len(before.inputs) + 1 - index <= MOST_TERMS:
            values = lowering.graph.values
            terms += [(name, values[factor]) for name, factor in zip(before.inputs, before.factors, strict=True)]
            if before.bias:
                shift = values[before.bias] + (0.0 if shift is None else shift)
            lowering.absorb(before)
        else:
            terms.append((source.name, 1.0))
    lowering.emit(node, lowering.combine(node.name, node.name, terms, shift), sources[0].shape)


def pad(lowering: Lowering, node: Node) -> None:
    """Zeros around a map."""
    assert isinstance(node.attributes, PadAttributes)
    source = lowering.natural(node, node.inputs[0]).name
    top, left, _, _ = node.attributes.pads
    lowering.emit(node, lowering.combine(node.name, node.name, [(source, 1.0)], crop=(-top, -left)), node.shape)


def lrn(lowering: Lowering, node: Node) -> None:
    """Local response normalisation, for inference."""
    assert isinstance(node.attributes, LRNAttributes)
    if lowering.train:
        raise NetworkError(f"{node.name}: LRN has no gradient here; replace it by batch normalisation, or remove it")
    attributes = node.attributes
    normalisation = Normalisation(attributes.size, attributes.alpha, attributes.beta, attributes.bias)
    source = lowering.natural(node, node.inputs[0]).name
    operation = Operation(Operator.LRN, node.name, "forward", (source,), node.name, normalisation=normalisation)
    lowering.emit(node, operation, node.shape)


def _plain_sum(lowering: Lowering, operation: Operation) -> bool:
    """Whether it is a sum of scaled values as they lie, uncropped, without ReLU."""
    tensors = lowering.graph.tensors
    same = operation.crop == (0, 0) and tensors[operation.inputs[0]].shape == tensors[operation.output].shape
    return operation.operator == Operator.COMBINE and not operation.relu and same
