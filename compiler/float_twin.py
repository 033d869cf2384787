"""The network in float64: what the chip approximates, for calibration and for comparison of what is learnt."""

from __future__ import annotations

import numpy as np
from numba import njit

from compiler.graph import Graph, Operation, Operator
from compiler.network import NetworkError


class FloatTwin:
    """Runs a graph's operations on float64 arrays, one sample at a time, with SGD at `learning_rate`.

    `parameters` are updated in place; `tensors` holds the last value of every map and vector, (C, H, W) or (N,).
    """

    def __init__(self, graph: Graph, parameters: dict[str, np.ndarray], learning_rate: float = 0.0):
        self.graph = graph
        self.parameters = {name: np.array(value, dtype=np.float64) for name, value in parameters.items()}
        self.learning_rate = learning_rate
        self.tensors: dict[str, np.ndarray] = {}

    def infer(self, sample: np.ndarray) -> np.ndarray:
        """The logits of one sample of the input's shape."""
        self.tensors["input"] = np.ascontiguousarray(sample, dtype=np.float64)
        for operation in self.graph.operations[: self.graph.forward]:
            self._run(operation)
        return self.tensors[self.graph.logits]

    def step(self, sample: np.ndarray, label: int) -> np.ndarray:
        """One training step; returns the logits before it."""
        logits = self.infer(sample)
        self.tensors["label"] = np.array([float(label)])
        for operation in self.graph.operations[self.graph.forward :]:
            self._run(operation)
        return logits

    def train(self, samples: np.ndarray, labels: np.ndarray, order: np.ndarray) -> None:
        """Steps over `samples[order]`, in that order."""
        for index in order:
            self.step(samples[index], int(labels[index]))

    def accuracy(self, samples: np.ndarray, labels: np.ndarray) -> float:
        """The share of samples whose largest logit is the label's."""
        found = [int(np.argmax(self.infer(sample))) for sample in samples]
        return float(np.mean(np.array(found) == labels))

    def _run(self, operation: Operation) -> None:
        values = [self.tensors[name] for name in operation.inputs]
        weight = self.parameters.get(operation.weight)
        result = _COMPUTE[operation.operator](self, operation, values, weight)
        if result is None:
            return
        if operation.relu:
            result = np.maximum(result, 0.0)
        if operation.mask:
            result = result * (self.tensors[operation.mask] > 0)
        if not np.isfinite(result).all():
            raise NetworkError(f"{operation.layer}: its float64 values overflow; lower the learning rate")
        self.tensors[operation.output] = result

    def _update(self, name: str, gradient: np.ndarray) -> None:
        self.parameters[name] -= self.learning_rate * gradient

    def _conv(self, operation, values, weight):
        bias = self.parameters.get(operation.bias, np.zeros(weight.shape[0]))
        return _convolve(values[0], weight, bias, operation.padding)

    def _conv_input_gradient(self, operation, values, weight):
        turned = np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
        return _convolve(values[0], turned, np.zeros(turned.shape[0]), weight.shape[2] - 1 - operation.padding)

    def _conv_weight_update(self, operation, values, weight):
        self._update(operation.weight, _correlate(values[0], values[1], weight.shape[2], operation.padding))

    def _conv_bias_update(self, operation, values, _):
        self._update(operation.bias, values[0].sum(axis=(1, 2)))

    def _gemm(self, operation, values, weight):
        return weight @ values[0].reshape(-1) + self.parameters.get(operation.bias, 0.0)

    def _gemm_input_gradient(self, operation, values, weight):
        return (values[0] @ weight).reshape(self.graph.tensors[operation.output].shape)

    def _gemm_weight_update(self, operation, values, _):
        self._update(operation.weight, np.outer(values[1], values[0].reshape(-1)))

    def _gemm_bias_update(self, operation, values, _):
        self._update(operation.bias, values[0])

    def _loss_gradient(self, operation, values, _):
        logits, label = values
        exponentials = np.exp(logits - logits.max())
        gradient = exponentials / exponentials.sum()
        gradient[int(label[0])] -= 1.0
        return gradient


_COMPUTE = {
    Operator.CONV: FloatTwin._conv,
    Operator.CONV_INPUT_GRADIENT: FloatTwin._conv_input_gradient,
    Operator.CONV_WEIGHT_UPDATE: FloatTwin._conv_weight_update,
    Operator.CONV_BIAS_UPDATE: FloatTwin._conv_bias_update,
    Operator.GEMM: FloatTwin._gemm,
    Operator.GEMM_INPUT_GRADIENT: FloatTwin._gemm_input_gradient,
    Operator.GEMM_WEIGHT_UPDATE: FloatTwin._gemm_weight_update,
    Operator.GEMM_BIAS_UPDATE: FloatTwin._gemm_bias_update,
    Operator.LOSS_GRADIENT: FloatTwin._loss_gradient,
}


@njit(cache=True, fastmath=True)
def _convolve(source, weight, bias, padding):
    outputs, inputs, side, _ = weight.shape
    height = source.shape[1] + 2 * padding - side + 1
    width = source.shape[2] + 2 * padding - side + 1
    padded = np.zeros((inputs, source.shape[1] + 2 * padding, source.shape[2] + 2 * padding))
    padded[:, padding : padding + source.shape[1], padding : padding + source.shape[2]] = source
    result = np.empty((outputs, height, width))
    for o in range(outputs):
        result[o] = bias[o]
        for i in range(inputs):
            for y in range(side):
                for x in range(side):
                    factor = weight[o, i, y, x]
                    for r in range(height):
                        for c in range(width):
                            result[o, r, c] += factor * padded[i, r + y, c + x]
    return result


@njit(cache=True, fastmath=True)
def _correlate(source, gradient, side, padding):
    inputs = source.shape[0]
    outputs, height, width = gradient.shape
    padded = np.zeros((inputs, source.shape[1] + 2 * padding, source.shape[2] + 2 * padding))
    padded[:, padding : padding + source.shape[1], padding : padding + source.shape[2]] = source
    result = np.zeros((outputs, inputs, side, side))
    for o in range(outputs):
        for i in range(inputs):
            for y in range(side):
                for x in range(side):
                    total = 0.0
                    for r in range(height):
                        for c in range(width):
                            total += gradient[o, r, c] * padded[i, r + y, c + x]
                    result[o, i, y, x] = total
    return result
