"""The graph in float64: what the chip approximates, for calibration and for comparison of what is learnt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
from threadpoolctl import ThreadpoolController

from compiler import float_operators
from compiler.averages import spread
from compiler.graph import (
    ACCUMULATE,
    ACCUMULATE_FIRST,
    INFER,
    TRAIN,
    UPDATE,
    Graph,
    Operation,
    Operator,
    Role,
    Tensor,
    sample_name,
)
from compiler.nodes import INPUT, LABEL, NetworkError

_BLAS = ThreadpoolController()


def one_thread() -> AbstractContextManager:
    """Within it, matrix products of one sample run in one thread: several wait for each other longer than they work."""
    return _BLAS.limit(limits=1)


def in_steps(order: np.ndarray, count: int) -> list[np.ndarray] | np.ndarray:
    """Indices of samples, step by step: one each, or `count` together, but for a rest that fills no step."""
    return order if count == 1 else list(order[: len(order) // count * count].reshape(-1, count))


class FloatTwin:
    """Runs a graph's operations on float64 arrays, one sample at a time.

    `tensors` holds the last value of every tensor of a run, `rows` those of the tensors that stay: parameters,
    constants, their gradients and momenta. Without an optimiser in the graph it only infers.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.rows = dict(graph.values)
        self.tensors: dict[str, np.ndarray] = {}
        self._seen = 0
        self._patched: np.ndarray | None = None
        if graph.patches:
            channels, height, width = graph.given_shape(INPUT)
            self._patched = graph.patches.elements((height, width, channels)).transpose(2, 0, 1)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """Weights and biases as they now are."""
        trained = (Role.WEIGHT, Role.BIAS)
        return {
            name: value.reshape(self.graph.given_shape(name))
            for name, value in self.rows.items()
            if self.graph.tensors[name].role in trained
        }

    def infer(self, sample: np.ndarray) -> np.ndarray:
        """The result of one sample of the input's shape, of the shape of `graph.logits`."""
        self._begin(sample)
        self._run(INFER)
        return self.tensors[self.graph.logits]

    def step(self, sample: np.ndarray, label: int | np.ndarray) -> np.ndarray:
        """One sample of training; returns the result before it. Parameters change after each micro-batch.

        `label` is the class, or the target of a mean squared error, of the result's number of elements. If the graph
        takes several `samples` at once, these are stacked, and so are labels and results.
        """
        assert self.graph.optimiser
        if self.graph.samples > 1:
            self._give(sample, label, self.graph.samples)
            self._run(TRAIN)
            return np.stack([self.tensors[sample_name(self.graph.logits, k)] for k in range(self.graph.samples)])
        self._begin(sample)
        target = self.graph.tensors[LABEL]
        self.tensors[LABEL] = np.asarray(label, dtype=np.float64).reshape(target.shape)
        if self.graph.optimiser.micro_batch == 1:
            self._run(TRAIN)
            return self.tensors[self.graph.logits]
        self._run(ACCUMULATE if self._seen else ACCUMULATE_FIRST)
        self._seen = (self._seen + 1) % self.graph.optimiser.micro_batch
        if not self._seen:
            self._run(UPDATE)
        return self.tensors[self.graph.logits]

    def train(self, samples: np.ndarray, labels: np.ndarray, order: np.ndarray) -> None:
        """Steps over `samples[order]`, in that order; those that fill no step are left out."""
        with one_thread():
            for index in in_steps(np.asarray(order), self.graph.samples):
                self.step(samples[index], labels[index])

    def accuracy(self, samples: np.ndarray, labels: np.ndarray) -> float:
        """The share of samples whose largest logit is the label's."""
        with one_thread():
            found = [int(np.argmax(self.infer(sample))) for sample in samples]
        return float(np.mean(np.array(found) == labels))

    def knows(self, name: str) -> bool:
        """Whether a tensor is among those that this twin computes."""
        return name in self.rows or name in self.tensors

    def value(self, name: str) -> np.ndarray:
        """The value that a tensor has now."""
        return self.rows[name] if name in self.rows else self.tensors[name]

    def _begin(self, sample: np.ndarray) -> None:
        given = np.asarray(sample, dtype=np.float64).reshape(self.graph.given_shape(INPUT))
        if self._patched is not None:
            given = np.append(given.transpose(1, 2, 0), 0.0)[self._patched]
        self.tensors[INPUT] = given

    def _give(self, samples: np.ndarray, labels: np.ndarray | int, count: int) -> None:
        """Set the inputs and labels of `count` samples."""
        shape = self.graph.given_shape(INPUT)
        given = np.asarray(samples, dtype=np.float64).reshape(count, *shape)
        wanted = np.asarray(labels, dtype=np.float64).reshape(count, *self._label.shape)
        for number in range(count):
            self.tensors[sample_name(INPUT, number)] = given[number]
            self.tensors[sample_name(LABEL, number)] = wanted[number]

    @property
    def _label(self) -> Tensor:
        tensors = self.graph.tensors
        return tensors[LABEL] if LABEL in tensors else tensors[sample_name(LABEL, 0)]

    def _run(self, entry: str) -> None:
        for operation in self.graph.entries[entry]:
            self._execute(operation)

    def _execute(self, operation: Operation) -> None:
        inputs = [self.value(name) for name in operation.inputs]
        target = self.graph.tensors[operation.output]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            result = _COMPUTE[operation.operator](self, operation, inputs, target)
        if operation.bias and operation.operator in _BIASED:
            bias = self.rows[operation.bias]
            result = result + bias.reshape(-1, *[1] * (result.ndim - 1))
        if operation.relu:
            result = np.maximum(result, 0.0)
        if operation.ceiling:
            result = np.minimum(result, operation.ceiling)
        if operation.mask:
            result = result * (self.tensors[operation.mask] > 0)
        if not np.isfinite(result).all():
            raise NetworkError(f"{operation.layer}: its float64 values overflow; lower the learning rate")
        self._write(operation, result)

    def _write(self, operation: Operation, result: np.ndarray) -> None:
        name = operation.output
        if operation.update:
            assert self.graph.optimiser
            self.rows[name] = self.rows[name] - self.graph.optimiser.learning_rate * result
        elif operation.accumulate:
            self.rows[name] = self.rows[name] + result
        elif name in self.rows:
            self.rows[name] = result
        else:
            self.tensors[name] = result

    def _factors(self, operation: Operation) -> list[np.ndarray]:
        return [self.rows[name] for name in operation.factors]

    def _conv(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        x, extents = _map(inputs[0]), _map_shape(target)[1:]
        return float_operators.conv(operation, x, self.rows[operation.weight], extents).reshape(target.shape)

    def _conv_input_gradient(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        weight, shape = self.rows[operation.weight], _map_shape(target)
        return float_operators.conv_input_gradient(operation, _map(inputs[0]), weight, shape).reshape(target.shape)

    def _conv_weight_gradient(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.conv_weight_gradient(operation, _map(inputs[0]), _map(inputs[1]), target.shape)

    def _conv_bias_gradient(self, _: Operation, inputs: list[np.ndarray], __: Tensor) -> np.ndarray:
        return _map(inputs[0]).sum(axis=(1, 2))

    def _gemm(self, operation: Operation, inputs: list[np.ndarray], _: Tensor) -> np.ndarray:
        return self.rows[operation.weight] @ inputs[0].reshape(-1)

    def _gemm_input_gradient(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return (inputs[0] @ self.rows[operation.weight]).reshape(target.shape)

    def _gemm_weight_gradient(self, _: Operation, inputs: list[np.ndarray], __: Tensor) -> np.ndarray:
        return np.outer(inputs[1], inputs[0].reshape(-1))

    def _gemm_bias_gradient(self, _: Operation, inputs: list[np.ndarray], __: Tensor) -> np.ndarray:
        return inputs[0]

    def _combine(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.combine(operation, inputs, self._factors(operation), target.shape)

    def _channel_map(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.channel_map(operation, inputs, self._factors(operation), target.shape)

    def _average_pool(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        shares = spread(operation, target.shape, self._factors(operation)[0])
        return shares * float_operators.window_sum(operation, inputs[0], target.shape)

    def _average_shares(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return spread(operation, target.shape, self._factors(operation)[0]) * inputs[0]

    def _global_average_pool(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return (self._factors(operation)[0] * inputs[0].sum(axis=(1, 2))).reshape(target.shape)

    def _broadcast(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        value = self._factors(operation)[0] * inputs[0].reshape(-1, 1, 1)
        return np.broadcast_to(value, target.shape)

    def _max_pool(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.max_pool(operation, inputs[0], target.shape)

    def _max_pool_index(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.max_pool_index(operation, inputs[0], target.shape)

    def _max_pool_gradient(self, operation: Operation, inputs: list[np.ndarray], target: Tensor) -> np.ndarray:
        return float_operators.max_pool_gradient(operation, inputs[0], inputs[1], target.shape)

    def _loss_gradient(self, _: Operation, inputs: list[np.ndarray], __: Tensor) -> np.ndarray:
        return float_operators.loss_gradient(inputs[0], inputs[1])

    def _lrn(self, operation: Operation, inputs: list[np.ndarray], _: Tensor) -> np.ndarray:
        return float_operators.lrn(operation, inputs[0])

    def _neighbour_sum(self, operation: Operation, inputs: list[np.ndarray], _: Tensor) -> np.ndarray:
        assert operation.normalisation
        return self._factors(operation)[0] * float_operators.neighbour_sum(operation.normalisation, inputs[0])

    def _product(self, _: Operation, inputs: list[np.ndarray], __: Tensor) -> np.ndarray:
        return inputs[0] * inputs[1]


def _map(x: np.ndarray) -> np.ndarray:
    """A map, or a vector as one of 1 x 1, which a depthwise convolution may read."""
    return x if x.ndim == 3 else x.reshape(-1, 1, 1)


def _map_shape(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape if len(tensor.shape) == 3 else (*tensor.shape, 1, 1)


_BIASED = (Operator.CONV, Operator.GEMM, Operator.COMBINE, Operator.NEIGHBOUR_SUM, Operator.PRODUCT)
_COMPUTE: dict[Operator, Callable[[FloatTwin, Operation, list[np.ndarray], Tensor], np.ndarray]] = {
    Operator.CONV: FloatTwin._conv,
    Operator.CONV_INPUT_GRADIENT: FloatTwin._conv_input_gradient,
    Operator.CONV_WEIGHT_GRADIENT: FloatTwin._conv_weight_gradient,
    Operator.CONV_BIAS_GRADIENT: FloatTwin._conv_bias_gradient,
    Operator.GEMM: FloatTwin._gemm,
    Operator.GEMM_INPUT_GRADIENT: FloatTwin._gemm_input_gradient,
    Operator.GEMM_WEIGHT_GRADIENT: FloatTwin._gemm_weight_gradient,
    Operator.GEMM_BIAS_GRADIENT: FloatTwin._gemm_bias_gradient,
    Operator.COMBINE: FloatTwin._combine,
    Operator.UPDATE: FloatTwin._combine,
    Operator.CHANNEL_MAP: FloatTwin._channel_map,
    Operator.GLOBAL_AVERAGE_POOL: FloatTwin._global_average_pool,
    Operator.AVERAGE_POOL: FloatTwin._average_pool,
    Operator.AVERAGE_SHARES: FloatTwin._average_shares,
    Operator.BROADCAST: FloatTwin._broadcast,
    Operator.MAX_POOL: FloatTwin._max_pool,
    Operator.MAX_POOL_INDEX: FloatTwin._max_pool_index,
    Operator.MAX_POOL_GRADIENT: FloatTwin._max_pool_gradient,
    Operator.LOSS_GRADIENT: FloatTwin._loss_gradient,
    Operator.LRN: FloatTwin._lrn,
    Operator.NEIGHBOUR_SUM: FloatTwin._neighbour_sum,
    Operator.PRODUCT: FloatTwin._product,
}
