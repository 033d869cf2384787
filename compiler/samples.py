"""Tensors and operations of each sample of a micro-batch that runs at once."""

from __future__ import annotations

from dataclasses import replace

from compiler.graph import PARAMETER_GRADIENTS, ROWS, Graph, Operation, Tensor, sample_name


def of_sample(operation: Operation, graph: Graph, sample: int) -> Operation:
    """An operation on one sample's tensors; gradients of parameters add up."""

    def name(tensor: str) -> str:
        return sample_name(tensor, sample) if tensor and graph.tensors[tensor].role not in ROWS else tensor

    return replace(
        operation,
        inputs=tuple(map(name, operation.inputs)),
        output=name(operation.output),
        mask=name(operation.mask),
        accumulate=operation.accumulate or (sample > 0 and operation.operator in PARAMETER_GRADIENTS),
    )


def of_samples(graph: Graph) -> dict[str, Tensor]:
    """The tensors of every sample of a micro-batch, for each of a run."""
    runs = [tensor for tensor in graph.tensors.values() if tensor.role not in ROWS]
    names = ((tensor, sample_name(tensor.name, number)) for tensor in runs for number in range(graph.samples))
    return {name: replace(tensor, name=name) for tensor, name in names}
