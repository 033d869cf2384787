"""First pass: the network's layers as forward operations, each ReLU fused into the operation before it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from compiler.graph import Graph, Operation, Operator, Role
from compiler.network import Conv, Dense, Network, NetworkError, Relu, SoftmaxCrossEntropyLoss

INPUT = "input"
LABEL = "label"


def forward(network: Network) -> Graph:
    """The inference graph. Raises `NetworkError` if there is nothing to run or a ReLU follows no linear layer."""
    graph = Graph(network.name)
    value = graph.add(INPUT, network.input_shape, Role.INPUT)
    for name, shape in network.shapes.items():
        graph.add(name, shape, Role.BIAS if name.endswith(".bias") else Role.WEIGHT)
    for layer in network.layers:
        if isinstance(layer, Relu):
            value = _fuse_relu(graph, layer)
        elif isinstance(layer, Conv | Dense):
            value = _linear(graph, layer, value)
        elif isinstance(layer, SoftmaxCrossEntropyLoss):
            graph.add(LABEL, (1,), Role.LABEL)
    if not graph.operations:
        raise NetworkError(f"{network.name}: must have at least one conv or dense layer")
    graph.forward = len(graph.operations)
    graph.logits = value
    return graph


def _fuse_relu(graph: Graph, layer: Relu) -> str:
    if not graph.operations or graph.operations[-1].relu:
        raise NetworkError(f"{layer.name}: must follow conv or dense; a ReLU alone is not executed by this version")
    last = graph.operations[-1]
    graph.operations[-1] = replace(last, relu=True)
    return last.output


def _linear(graph: Graph, layer: Conv | Dense, value: str) -> str:
    weight = graph.tensors[f"{layer.name}.weight"]
    bias = f"{layer.name}.bias" if layer.bias else ""
    output = graph.add(layer.name, layer.shape, Role.ACTIVATION)
    positions = prod(layer.shape[1:])
    operation = Operation(
        operator=Operator.CONV if isinstance(layer, Conv) else Operator.GEMM,
        layer=layer.name,
        phase="forward",
        inputs=(value,),
        output=output,
        weight=weight.name,
        bias=bias,
        padding=layer.padding if isinstance(layer, Conv) else 0,
        macs=prod(weight.shape) * positions,
    )
    graph.operations.append(operation)
    return output
