"""A network evaluated in float64 by PyTorch's functions, one a node; shares nothing with the compiler's own passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from compiler.network import Network
from compiler.nodes import Node


def evaluate(network: Network, parameters: Mapping[str, np.ndarray], sample: np.ndarray) -> dict[str, np.ndarray]:
    """Every value of the network for one sample of its input's shape, float64."""
    values = {"input": torch.from_numpy(np.array(sample, np.float64))[None]}
    for node in network.nodes:
        inputs = [values[name] for name in node.inputs]
        given = {
            role: torch.from_numpy(np.array(parameters[name], np.float64)) for role, name in node.parameters.items()
        }
        values[node.name] = OPERATORS[node.operator](node, inputs, given)
        assert tuple(values[node.name].shape[1:]) == node.shape, node
    return {name: value[0].numpy() for name, value in values.items()}


def _conv(node: Node, inputs: list[Tensor], given: dict[str, Tensor]) -> Tensor:
    a = node.attributes
    padded = _padded(inputs[0], a.pads, 0.0)
    return functional.conv2d(padded, given["weight"], given.get("bias"), a.strides, 0, a.dilations, a.group)


def _max_pool(node: Node, inputs: list[Tensor], _) -> Tensor:
    a = node.attributes
    return functional.max_pool2d(_padded(inputs[0], a.pads, -np.inf), a.kernel_shape, a.strides)


def _average_pool(node: Node, inputs: list[Tensor], _) -> Tensor:
    a = node.attributes
    ones = torch.ones_like(inputs[0])
    counted = _padded(ones, a.pads, 1.0 if a.count_include_pad else 0.0)
    total, count = (
        functional.avg_pool2d(values, a.kernel_shape, a.strides)
        for values in (_padded(inputs[0], a.pads, 0.0), counted)
    )
    return total / count


def _padded(values: Tensor, pads: tuple[int, int, int, int], fill: float) -> Tensor:
    top, left, bottom, right = pads
    return functional.pad(values, (left, right, top, bottom), value=fill)


def _batch_norm(node: Node, inputs: list[Tensor], given: dict[str, Tensor]) -> Tensor:
    statistics = given["running_mean"], given["running_var"]
    return functional.batch_norm(inputs[0], *statistics, given["weight"], given["bias"], eps=node.attributes.epsilon)


def _lrn(node: Node, inputs: list[Tensor], _) -> Tensor:
    a = node.attributes
    squares = functional.pad(inputs[0] ** 2, (0, 0, 0, 0, (a.size - 1) // 2, a.size // 2))
    total = sum(squares[:, shift : shift + inputs[0].shape[1]] for shift in range(a.size))
    return inputs[0] / (a.bias + a.alpha / a.size * total) ** a.beta


def _slice(node: Node, inputs: list[Tensor], _) -> Tensor:
    a = node.attributes
    return inputs[0][(slice(None), *(slice(start, end) for start, end in zip(a.starts, a.ends, strict=True)))]


OPERATORS: dict[str, Callable[[Node, list[Tensor], dict[str, Tensor]], Tensor]] = {
    "Add": lambda node, x, p: x[0] + x[1],
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "ChannelShuffle": lambda node, x, p: functional.channel_shuffle(x[0], node.attributes.group),
    "Clip": lambda node, x, p: x[0].clamp(0, node.attributes.maximum),
    "Concat": lambda node, x, p: torch.cat(x, 1),
    "Conv": _conv,
    "Dropout": lambda node, x, p: x[0],
    "Flatten": lambda node, x, p: x[0].flatten(1),
    "Gemm": lambda node, x, p: functional.linear(x[0].flatten(1), p["weight"], p.get("bias")),
    "GlobalAveragePool": lambda node, x, p: x[0].mean((2, 3), keepdim=True),
    "Identity": lambda node, x, p: x[0],
    "LRN": _lrn,
    "LeakyRelu": lambda node, x, p: functional.leaky_relu(x[0], node.attributes.alpha),
    "MaxPool": _max_pool,
    "Pad": lambda node, x, p: _padded(x[0], node.attributes.pads, 0.0),
    "Relu": lambda node, x, p: x[0].relu(),
    "Reshape": lambda node, x, p: x[0].reshape(1, *node.shape),
    "Slice": _slice,
    "Softmax": lambda node, x, p: x[0].softmax(1),
    "Transpose": lambda node, x, p: x[0].permute(0, *(axis + 1 for axis in node.attributes.perm)),
}
