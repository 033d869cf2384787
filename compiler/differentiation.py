"""Second pass: reverse-mode differentiation of the chain, with plain SGD fused into the weight gradients.

A layer's input gradient comes before its update, so that it sees the weights of the forward pass.
"""

from __future__ import annotations

from compiler.forward import LABEL
from compiler.graph import Graph, Operation, Operator, Role
from compiler.network import NetworkError

_BACKWARD = {
    Operator.CONV: (Operator.CONV_INPUT_GRADIENT, Operator.CONV_WEIGHT_UPDATE, Operator.CONV_BIAS_UPDATE),
    Operator.GEMM: (Operator.GEMM_INPUT_GRADIENT, Operator.GEMM_WEIGHT_UPDATE, Operator.GEMM_BIAS_UPDATE),
}


def gradient_of(name: str) -> str:
    """The name of a tensor's gradient."""
    return f"{name}.gradient"


def differentiate(graph: Graph) -> Graph:
    """The graph with loss gradient, input gradients and updates after its forward operations.

    Raises `NetworkError` if the network does not end with a loss, or a ReLU stands before it.
    """
    if LABEL not in graph.tensors:
        raise NetworkError(f"{graph.name}: training needs a loss; end the network with softmax_cross_entropy()")
    last = graph.operations[-1]
    if last.relu:
        raise NetworkError(f"{last.layer}: a ReLU must not stand between {last.layer} and the loss")
    training = Graph(graph.name, dict(graph.tensors), list(graph.operations), graph.forward, graph.logits)
    gradient = training.add(gradient_of(graph.logits), graph.tensors[graph.logits].shape, Role.GRADIENT)
    training.operations.append(Operation(Operator.LOSS_GRADIENT, "loss", "loss", (graph.logits, LABEL), gradient))
    for operation in reversed(graph.operations):
        gradient = _backward(training, operation, gradient)
    return training


def _backward(graph: Graph, forward: Operation, gradient: str) -> str:
    to_input, to_weight, to_bias = _BACKWARD[forward.operator]
    (source,) = forward.inputs
    result = ""
    if graph.tensors[source].role != Role.INPUT:
        result = graph.add(gradient_of(source), graph.tensors[source].shape, Role.GRADIENT)
        producer = next(item for item in graph.operations if item.output == source)
        graph.operations.append(
            Operation(
                to_input,
                forward.layer,
                "input_gradient",
                (gradient,),
                result,
                weight=forward.weight,
                mask=source if producer.relu else "",
                padding=forward.padding,
                macs=forward.macs,
            )
        )
    graph.operations.append(
        Operation(
            to_weight,
            forward.layer,
            "weight_gradient",
            (source, gradient),
            forward.weight,
            weight=forward.weight,
            padding=forward.padding,
            macs=forward.macs,
        )
    )
    if forward.bias:
        graph.operations.append(
            Operation(to_bias, forward.layer, "bias_gradient", (gradient,), forward.bias, bias=forward.bias)
        )
    return result
