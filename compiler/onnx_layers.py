"""ONNX operators that compute value by value or with a matrix, as nodes of a network."""

from __future__ import annotations

from math import inf, prod

import numpy as np

from compiler.nodes import NetworkError
from compiler.onnx_nodes import OnnxNode
from compiler.onnx_translation import Translation


def gemm(at: Translation, node: OnnxNode) -> None:
    """Gemm of a vector and a constant matrix."""
    if node.integer("transA", 0):
        raise NetworkError(f"{node.name}: transA must be 0, since the batch is one")
    weight = at.constants.required(node, 1, "matrix")
    if weight.ndim != 2:
        raise NetworkError(f"{node.name}: its matrix must have two dimensions, not {list(weight.shape)}")
    weight = _scaled(weight if node.integer("transB", 0) else weight.T, node.number("alpha", 1.0))
    bias = at.constants.values(node, 2)
    _dense(at, node, weight, None if bias is None else _scaled(bias, node.number("beta", 1.0)))


def matmul(at: Translation, node: OnnxNode) -> None:
    """MatMul of a vector and a constant matrix, with the bias that an Add after it holds."""
    weight = at.constants.required(node, 1, "matrix")
    if weight.ndim != 2:
        raise NetworkError(f"{node.name}: its matrix must have two dimensions, not {list(weight.shape)}")
    following, bias = _constant_after(at, node, "Add")
    _dense(at, node, weight.T, bias)
    if following is not None:
        at.alias_fused(following)


def _dense(at: Translation, node: OnnxNode, weight: np.ndarray, bias: np.ndarray | None) -> None:
    shape = at.shape(node)
    if len(shape) != 2:
        raise NetworkError(f"{node.name}: its input must be a vector (1, N), not {shape}; put Flatten before it")
    if bias is not None:
        bias = _broadcast(node, bias, weight.shape[0])
    order = at.orders.get(node.inputs[0])
    if order is not None and weight.shape[1] == len(order):
        weight = weight[:, np.argsort(order)]
    at.network.dense(weight.shape[0], bias=bias is not None, name=at.name(node), after=at.source(node))
    at.done(node, weight=weight, **({} if bias is None else {"bias": bias}))


def batch_normalization(at: Translation, node: OnnxNode) -> None:
    """BatchNormalization of inference."""
    if node.integer("training_mode", 0) or not node.integer("spatial", 1):
        raise NetworkError(f"{node.name}: must be of inference and over channels; export the model in evaluation mode")
    roles = ("weight", "bias", "running_mean", "running_var")
    parameters = {role: at.constants.required(node, position, role) for position, role in enumerate(roles, 1)}
    if parameters["running_var"].size and parameters["running_var"].min() < 0:
        raise NetworkError(f"{node.name}: its variance must not be negative; export a trained model")
    epsilon = node.number("epsilon", 1e-5)
    momentum = round(1 - node.number("momentum", 0.9), 6)  # ONNX says what is kept, in 32 bits
    at.network.batch_norm(epsilon=epsilon, momentum=momentum, name=at.name(node), after=at.source(node))
    at.done(node, **parameters)


def arithmetic(at: Translation, node: OnnxNode) -> None:
    """Add and Sum of two values; Add, Sub, Mul or Div with a constant as a batch normalisation without statistics."""
    constants = [value in at.constants for value in node.inputs]
    if node.operator in ("Add", "Sum") and len(node.inputs) == 2 and not any(constants):
        at.network.add(at.source(node, 0), at.source(node, 1), name=at.name(node))
        at.done(node)
        return
    if len(node.inputs) != 2 or sum(constants) != 1 or (node.operator in ("Sub", "Div") and constants[0]):
        raise NetworkError(f"{node.name}: must have two inputs, of them {_SECOND[node.operator]}")
    position = constants.index(True)
    shape = at.shape(node, 1 - position)
    constant = at.by_channel(node, position, shape)
    if node.operator == "Div" and not np.all(constant):
        raise NetworkError(f"{node.name}: divides by zero")
    weight = {"Mul": constant, "Div": 1 / constant if node.operator == "Div" else constant}.get(node.operator)
    offset = {"Add": constant, "Sum": constant, "Sub": -constant}.get(node.operator)
    following = None
    if weight is not None:
        following, _ = _constant_after(at, node, "Add")
        offset = at.by_channel(following, _constant_position(at, following), shape) if following else None
    zeros, ones = np.zeros(shape[1]), np.ones(shape[1])
    at.network.batch_norm(epsilon=0.0, statistics=False, name=at.name(node), after=at.source(node, 1 - position))
    at.done(
        node,
        weight=ones if weight is None else weight,
        bias=zeros if offset is None else offset,
        running_mean=zeros,
        running_var=ones,
    )
    if following:
        at.alias_fused(following)


_SECOND = {
    "Add": "one or none constant, and two of one shape",
    "Sum": "one or none constant, and two of one shape",
    "Sub": "the second a constant",
    "Mul": "one a constant; products of two activations are not computed",
    "Div": "the second a constant",
}


def relu(at: Translation, node: OnnxNode) -> None:
    """Relu."""
    at.network.relu(name=at.name(node), after=at.source(node))
    at.done(node)


def leaky_relu(at: Translation, node: OnnxNode) -> None:
    """LeakyRelu, and PRelu of one slope."""
    alpha = node.number("alpha", 0.01)
    if node.operator == "PRelu":
        slopes = at.constants.required(node, 1, "slope")
        if not slopes.size or slopes.min() != slopes.max():
            raise NetworkError(f"{node.name}: must have one slope for all channels; use LeakyRelu")
        alpha = float(slopes.reshape(-1)[0])
    at.network.leaky_relu(alpha, name=at.name(node), after=at.source(node))
    at.done(node)


def clip(at: Translation, node: OnnxNode) -> None:
    """Clip to [0, maximum], or to [0, ∞) as a Relu."""
    if at.constants.opset < 11:
        least, greatest = node.number("min", -inf), node.number("max", inf)
    else:
        least, greatest = (at.scalar(node, position, default) for position, default in ((1, -inf), (2, inf)))
    if least != 0:
        raise NetworkError(f"{node.name}: must clip at 0 below, as ReLU6 does, not at {least}")
    if greatest >= np.finfo(np.float32).max:
        return relu(at, node)
    at.network.clip(greatest, name=at.name(node), after=at.source(node))
    return at.done(node)


def lrn(at: Translation, node: OnnxNode) -> None:
    """LRN."""
    alpha, beta, bias = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0)
    size = node.integer("size", 0)
    at.network.lrn(size, alpha=alpha, beta=beta, bias=bias, name=at.name(node), after=at.source(node))
    at.done(node)


def softmax(at: Translation, node: OnnxNode) -> None:
    """Softmax over the channels, at the end."""
    axis = at.axis(node, node.integer("axis", 1 if at.constants.opset < 13 else -1))
    if axis != 1:
        raise NetworkError(f"{node.name}: must be over axis 1, not {axis}")
    at.network.softmax(name=at.name(node), after=at.source(node))
    at.done(node)


def dropout(at: Translation, node: OnnxNode) -> None:
    """Dropout without its mask."""
    if len(node.outputs) > 1 and at.needed(node.outputs[1]):
        raise NetworkError(f"{node.name}: its mask is read; export the model in evaluation mode")
    ratio = node.number("ratio", 0.5) if at.constants.opset < 12 else at.scalar(node, 1, 0.5)
    at.network.dropout(ratio, name=at.name(node), after=at.source(node))
    at.done(node)


def _constant_position(at: Translation, node: OnnxNode) -> int:
    return next(position for position, value in enumerate(node.inputs) if value in at.constants)


def _constant_after(at: Translation, node: OnnxNode, operator: str) -> tuple[OnnxNode | None, np.ndarray | None]:
    """The one reader of the node's result, if it is such an operator with a constant, and that constant."""
    following = at.only_user(node.outputs[0], operator)
    if following is None or sum(value in at.constants for value in following.inputs) != 1:
        return None, None
    return following, at.constants[following.inputs[_constant_position(at, following)]]


def _scaled(values: np.ndarray, factor: float) -> np.ndarray:
    return values if factor == 1 else values * np.float64(factor)


def _broadcast(node: OnnxNode, bias: np.ndarray, outputs: int) -> np.ndarray:
    if bias.size not in (1, outputs) or prod(bias.shape[:-1]) != 1:
        raise NetworkError(f"{node.name}: its bias must be one number or {outputs}, not {list(bias.shape)}")
    return np.broadcast_to(bias.reshape(-1), (outputs,))
