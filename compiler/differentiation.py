"""Second pass: reverse-mode differentiation, from the loss back to the first trainable parameter, then the updates.

The gradient of a value is a sum of terms, one for each operation that reads it. A term that only scales another
gradient (an addition's, a frozen batch normalisation's) costs nothing until the sum is made, one Combine for up to four
terms; a single unscaled term is the gradient itself. The gradient of a ReLU's result is cleared where the result is not
positive, by the operation that makes it. A layer's input gradient comes before its update, so that it sees the weights
of the forward pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from compiler.graph import (
    INFER,
    MOST_TERMS,
    Graph,
    Operation,
    Operator,
    Optimiser,
    Role,
)
from compiler.nodes import LABEL, NetworkError
from compiler.updates import check, gradient_of, parameter_gradient, training_entries

_ONE = np.ones(1)


@dataclass(frozen=True)
class _Term:
    """A part of a gradient: tensor * factor, [1] or [C]; `masked` if what the ReLU discards is already cleared."""

    tensor: str
    factor: np.ndarray
    masked: bool = False


def differentiate(graph: Graph, optimiser: Optimiser, trainable: Collection[str] | None = None) -> Graph:
    """The graph with the entries of training beside "infer".

    `trainable` names the parameters to train, all by default; the others stay as they are, and no gradient is computed
    that none of the trainable ones needs. Raises `NetworkError` if there is no loss or nothing to train, or naming the
    node that has no gradient here.
    """
    check(optimiser)
    if not graph.loss:
        raise NetworkError(f"{graph.name}: training needs a loss; end the network with softmax_cross_entropy()")
    parameters = [name for name, tensor in graph.tensors.items() if tensor.role in (Role.WEIGHT, Role.BIAS)]
    for name in trainable or ():
        if name not in parameters:
            raise NetworkError(f"{name}: no such parameter to train; the network has {', '.join(parameters)}")
    chosen = set(parameters if trainable is None else trainable)
    if not chosen:
        raise NetworkError(f"{graph.name}: training needs at least one trainable parameter")
    training = replace(
        graph,
        tensors=dict(graph.tensors),
        entries=dict(graph.entries),
        values=dict(graph.values),
        notes=list(graph.notes),
        optimiser=optimiser,
    )
    backward = _Backward(training, optimiser, chosen)
    backward.run()
    normals = [operation for operation in backward.forward if operation.operator == Operator.NORMALISE]
    if normals and optimiser.micro_batch == 1:
        raise NetworkError(
            f"{normals[0].layer}: statistics of a batch need a micro_batch of at least 2, not 1; choose one, or "
            "batch_norm frozen or folded"
        )
    training.samples = optimiser.micro_batch if normals else 1
    training.entries |= training_entries(training, optimiser, backward.forward + backward.operations)
    return training


class _Backward:
    def __init__(self, graph: Graph, optimiser: Optimiser, trainable: set[str]):
        self.graph = graph
        self.optimiser = optimiser
        self.trainable = trainable
        self.forward = list(graph.entries[INFER])
        self.operations: list[Operation] = []
        self.producers = {operation.output: operation for operation in self.forward}
        self.needed = self._needed()
        self.uses = self._uses()
        self.terms: dict[str, list[_Term]] = {}

    def run(self) -> None:
        """All of the backward pass."""
        self._loss()
        for operation in reversed(list(self.forward)):
            if operation.output in self.needed:
                _RULES[operation.operator](self, operation, self._gradient(operation))

    def _needed(self) -> set[str]:
        """The tensors on whose values a trainable parameter acts."""
        needed: set[str] = set()
        for operation in self.forward:
            if self._trained(operation) or any(name in needed for name in operation.inputs):
                needed.add(operation.output)
        return needed

    def _trained(self, operation: Operation) -> bool:
        return operation.weight in self.trainable or operation.bias in self.trainable

    def _uses(self) -> dict[str, int]:
        """How many terms each gradient has."""
        uses = dict.fromkeys(self.needed, 0)
        for operation in self.forward:
            for name in operation.inputs:
                if name in uses:
                    uses[name] += 1
        if self.graph.logits in uses:
            uses[self.graph.logits] += 1
        return uses

    def emit_into(
        self, value: str, operation: Operation, factors: Sequence[np.ndarray] = (), maskable: bool = True
    ) -> None:
        """Append an operation that makes a term of the gradient of `value`: all of it if there is no other term."""
        shape = self.graph.tensors[value].shape
        alone = self.uses[value] == 1
        relu = self.producers[value].relu
        whole = alone and (maskable or not relu)
        name = gradient_of(value) if whole else self._part(value, operation.layer)
        self.graph.add(name, shape, Role.GRADIENT)
        mask = value if whole and relu else ""
        self.operations.append(replace(operation, output=name, mask=mask, factors=self.constants(name, factors)))
        self.terms.setdefault(value, []).append(_Term(name, _ONE, whole))

    def scale_into(self, value: str, gradient: str, factor: np.ndarray) -> None:
        """Let a scaled gradient be a term of the gradient of `value`."""
        self.terms.setdefault(value, []).append(_Term(gradient, factor))

    def _part(self, value: str, layer: str) -> str:
        name = f"{gradient_of(value)}.{layer}"
        return name if name not in self.graph.tensors else f"{name}.{len(self.terms[value])}"

    def _gradient(self, operation: Operation) -> str:
        """The tensor of the gradient of an operation's output, its terms summed and masked."""
        value = operation.output
        terms = self.terms.pop(value)
        mask = value if operation.relu and not all(term.masked for term in terms) else ""
        if len(terms) == 1 and not mask and np.array_equal(terms[0].factor, _ONE):
            return terms[0].tensor
        shape = self.graph.tensors[value].shape
        while len(terms) > MOST_TERMS:
            part = self._sum(operation, terms[:MOST_TERMS], self._part(value, f"sum{len(terms)}"), shape, "")
            terms = [_Term(part, _ONE), *terms[MOST_TERMS:]]
        return self._sum(operation, terms, gradient_of(value), shape, mask)

    def _sum(self, operation: Operation, terms: list[_Term], name: str, shape: tuple[int, ...], mask: str) -> str:
        self.graph.add(name, shape, Role.GRADIENT)
        self.operations.append(
            Operation(
                Operator.COMBINE,
                operation.layer,
                "gradient_sum",
                tuple(term.tensor for term in terms),
                name,
                factors=self.constants(name, [term.factor for term in terms]),
                mask=mask,
            )
        )
        return name

    def constants(self, name: str, factors: Sequence[np.ndarray]) -> tuple[str, ...]:
        """Enter the factors of an operation that makes `name`."""
        return tuple(self.graph.add_row(f"{name}.factor{i}", factor, Role.CONSTANT) for i, factor in enumerate(factors))

    def _loss(self) -> None:
        logits = self.graph.tensors[self.graph.logits]
        if logits.name not in self.needed:
            return
        if self.graph.loss == "MeanSquaredError":
            self.graph.add(LABEL, logits.shape, Role.TARGET)
            factor = np.full(1, 2 / prod(logits.shape))
            operation = Operation(Operator.COMBINE, "loss", "loss", (logits.name, LABEL), "")
            self.emit_into(logits.name, operation, [factor, -factor])
            return
        if prod(logits.shape) != logits.shape[0]:
            raise NetworkError(f"{logits.name}: the loss needs a vector of logits, not {list(logits.shape)}")
        self.graph.add(LABEL, (1,), Role.LABEL)
        operation = Operation(Operator.LOSS_GRADIENT, "loss", "loss", (logits.name, LABEL), "")
        self.emit_into(logits.name, operation, maskable=False)

    def linear(self, forward: Operation, gradient: str) -> None:
        """Conv and Gemm: to the input, to the weight, to the bias."""
        to_input, to_weight, to_bias = _LINEAR[forward.operator]
        (source,) = forward.inputs
        plain = replace(forward, relu=False, mask="", bias="")
        if source in self.needed:
            self.emit_into(source, replace(plain, operator=to_input, phase="input_gradient", inputs=(gradient,)))
        if forward.weight in self.trainable:
            operation = replace(plain, operator=to_weight, phase="weight_gradient", inputs=(source, gradient))
            self.operations.append(parameter_gradient(self.graph, operation, forward.weight, self.optimiser))
        if forward.bias in self.trainable:
            operation = Operation(to_bias, forward.layer, "bias_gradient", (gradient,), "", bias=forward.bias)
            self.operations.append(parameter_gradient(self.graph, operation, forward.bias, self.optimiser))

    def combine(self, forward: Operation, gradient: str) -> None:
        """Sums: each input's gradient is the sum's times its factor; of a crop or padding, the inverse."""
        for name, factor in zip(forward.inputs, forward.factors, strict=True):
            if name not in self.needed:
                continue
            if self.graph.tensors[name].shape == self.graph.tensors[forward.output].shape and forward.crop == (0, 0):
                self.scale_into(name, gradient, self.graph.values[factor])
                continue
            operation = replace(_input_gradient(forward, gradient), crop=(-forward.crop[0], -forward.crop[1]))
            self.emit_into(name, operation, [self.graph.values[factor]])

    def channel_map(self, forward: Operation, gradient: str) -> None:
        """Each input's gradient comes from the channels that it went to."""
        for name, factor, routes in zip(forward.inputs, forward.factors, forward.routes, strict=True):
            if name in self.needed:
                back = tuple((source, target) for target, source in routes)
                operation = replace(_input_gradient(forward, gradient), routes=(back,))
                self.emit_into(name, operation, [self.graph.values[factor]])

    def global_average_pool(self, forward: Operation, gradient: str) -> None:
        """Every pixel has the same share."""
        operation = replace(_input_gradient(forward, gradient), operator=Operator.BROADCAST)
        if forward.inputs[0] in self.needed:
            self.emit_into(forward.inputs[0], operation, [self.graph.values[forward.factors[0]]])

    def average_pool(self, forward: Operation, gradient: str) -> None:
        """The gradient times each window's share, then given to all that the window has in the map."""
        (source,) = forward.inputs
        if source not in self.needed:
            return
        channels, *extents = self.graph.tensors[forward.output].shape
        shares = self.graph.add(f"{gradient_of(forward.output)}.shares", (channels, *extents), Role.GRADIENT)
        factors = self.constants(shares, [self.graph.values[forward.factors[0]]])
        back = replace(forward, phase="input_gradient", relu=False, factors=())
        shared = replace(back, operator=Operator.AVERAGE_SHARES, inputs=(gradient,), output=shares, factors=factors)
        self.operations.append(shared)
        ones = np.broadcast_to(1.0, (channels, 1, *forward.kernel))
        weight = self.graph.add_row(f"{shares}.ones", ones, Role.CONSTANT)
        given = replace(back, operator=Operator.CONV_INPUT_GRADIENT, inputs=(shares,), weight=weight)
        self.emit_into(source, given)

    def max_pool(self, forward: Operation, gradient: str) -> None:
        """The gradient goes where the maximum was, which the forward pass then notes."""
        (source,) = forward.inputs
        if source not in self.needed:
            return
        index = self.graph.add(f"{forward.output}.index", self.graph.tensors[forward.output].shape, Role.INDEX)
        noted = replace(forward, operator=Operator.MAX_POOL_INDEX, output=index, relu=False)
        self.forward.insert(self.forward.index(forward) + 1, noted)
        operation = replace(
            forward,
            operator=Operator.MAX_POOL_GRADIENT,
            phase="input_gradient",
            inputs=(gradient, index),
            relu=False,
        )
        self.emit_into(source, operation, maskable=False)

    def normalise(self, forward: Operation, gradient: str) -> None:
        """Through mean and variance too, of which the result says enough."""
        (source,) = forward.inputs
        if source in self.needed:
            operation = replace(
                forward,
                operator=Operator.NORMALISE_GRADIENT,
                phase="input_gradient",
                inputs=(gradient, forward.output),
            )
            self.emit_into(source, operation)

    def refuse(self, forward: Operation, _: str) -> None:
        """No gradient."""
        raise NetworkError(f"{forward.layer}: {forward.operator} has no gradient here; remove it")


def _input_gradient(forward: Operation, gradient: str) -> Operation:
    """A gradient by the forward operation's own operator."""
    return Operation(forward.operator, forward.layer, "input_gradient", (gradient,), "")


_LINEAR = {
    Operator.CONV: (Operator.CONV_INPUT_GRADIENT, Operator.CONV_WEIGHT_GRADIENT, Operator.CONV_BIAS_GRADIENT),
    Operator.GEMM: (Operator.GEMM_INPUT_GRADIENT, Operator.GEMM_WEIGHT_GRADIENT, Operator.GEMM_BIAS_GRADIENT),
}
_RULES = {
    Operator.CONV: _Backward.linear,
    Operator.GEMM: _Backward.linear,
    Operator.COMBINE: _Backward.combine,
    Operator.CHANNEL_MAP: _Backward.channel_map,
    Operator.GLOBAL_AVERAGE_POOL: _Backward.global_average_pool,
    Operator.MAX_POOL: _Backward.max_pool,
    Operator.AVERAGE_POOL: _Backward.average_pool,
    Operator.NORMALISE: _Backward.normalise,
    **dict.fromkeys((Operator.LRN, Operator.NEIGHBOUR_SUM, Operator.PRODUCT), _Backward.refuse),
}
