"""The float twin of a network that is normalised by micro-batches: mean and variance as numpy has them, no polynomial.

It runs the graph as it is differentiated, all samples of a micro-batch through an operation before the next, and shares
nothing with the operations that `compiler.batching` makes of a normalisation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from compiler.float_twin import FloatTwin
from compiler.graph import INFER, Graph, Operation, Operator, sample_name
from compiler.samples import of_sample, of_samples


class BatchTwin(FloatTwin):
    """Runs a graph with Normalise in float64, a micro-batch at once.

    `tensors` holds those of every sample, by `sample_name`; `variances` the biased variance of the last micro-batch,
    [C], by the name of the Normalise's result. Inference, by the running statistics, is of one sample.
    """

    def __init__(self, graph: Graph):
        super().__init__(replace(graph, tensors=graph.tensors | of_samples(graph)))
        self.variances: dict[str, np.ndarray] = {}

    def _run(self, entry: str) -> None:
        for operation in self.graph.entries[entry]:
            if operation.operator == Operator.NORMALISE_GRADIENT:
                self._normalise_gradient(operation)
            elif operation.operator == Operator.NORMALISE and entry == INFER:
                self.tensors[operation.output] = self._by_running(operation)
            elif operation.operator == Operator.NORMALISE:
                self._normalise(operation)
            elif operation.operator == Operator.UPDATE or entry == INFER:
                self._execute(operation)
            else:
                for number in range(self.graph.samples):
                    self._execute(of_sample(operation, self.graph, number))

    def _all(self, name: str) -> np.ndarray:
        """A tensor of all samples, [n, *shape]."""
        return np.stack([self.tensors[sample_name(name, number)] for number in range(self.graph.samples)])

    def _spread(self, name: str, values: np.ndarray) -> None:
        for number, value in enumerate(values):
            self.tensors[sample_name(name, number)] = value

    def _by_running(self, operation: Operation) -> np.ndarray:
        assert operation.statistics
        x, norm = self.tensors[operation.inputs[0]], operation.statistics
        mean, variance = (_along(self.rows[name], x.ndim) for name in (norm.mean, norm.variance))
        return (x - mean) / np.sqrt(variance + norm.epsilon)

    def _normalise(self, operation: Operation) -> None:
        assert operation.statistics
        x, norm = self._all(operation.inputs[0]), operation.statistics
        axes = (0, *range(2, x.ndim))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        self.variances[operation.output] = variance
        self._spread(operation.output, (x - _along(mean, x.ndim - 1)) / self._deviation(operation, x.ndim - 1))
        for name, batch in ((norm.mean, mean), (norm.variance, x.var(axis=axes, ddof=1))):
            self.rows[name] = (1 - norm.momentum) * self.rows[name] + norm.momentum * batch

    def _normalise_gradient(self, operation: Operation) -> None:
        gradient, normal = (self._all(name) for name in operation.inputs)
        axes = (0, *range(2, normal.ndim))
        share, slope = gradient.mean(axis=axes), (gradient * normal).mean(axis=axes)
        through = _along(share, normal.ndim - 1) + normal * _along(slope, normal.ndim - 1)
        result = (gradient - through) / self._deviation(operation, normal.ndim - 1)
        if operation.mask:
            result = result * (self._all(operation.mask) > 0)
        self._spread(operation.output, result)

    def _deviation(self, operation: Operation, rank: int) -> np.ndarray:
        """The standard deviation by which a Normalise divided, or through which its gradient goes."""
        assert operation.statistics
        normal = operation.output if operation.operator == Operator.NORMALISE else operation.inputs[1]
        return np.sqrt(_along(self.variances[normal], rank) + operation.statistics.epsilon)


def _along(values: np.ndarray, rank: int) -> np.ndarray:
    """Values of channels, to meet arrays [..., C, *others] whose last `rank` sides are a tensor's."""
    return values.reshape(-1, *[1] * (rank - 1))
