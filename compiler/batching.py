"""A micro-batch at once: the operations of every sample, and normalisations by its statistics in parts.

Between two normalisations a sample goes all its way before the next one does; a normalisation needs all of them. With
M = samples · positions, and for each channel a power of two k (`spread`) that brings variances into one range:

    forward:  o = −Σ x / M;  s = k x + k o;  w = Σ s · s / M + epsilon k²
              r = 1 / √w (`compiler.reciprocal_root`);  y = r s
    backward: e = −(Σ dy + y Σ dy y) / M;  dx = r k (dy + e)
    after it: running mean = (1 − m) · running mean − m o;  running w likewise, unbiased
    infer:    y = r k x − r k · running mean, by r of the running w

Sums over positions are gradients of biases and of depthwise 1 x 1 weights, added up over samples in rows of memory;
what is computed of them are such biases and weights in turn. So nothing here is an instruction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil, log2, prod
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from compiler.batch_twin import BatchTwin
from compiler.calibration import Calibration, runs
from compiler.channel_values import ChannelValues
from compiler.formats import Headroom
from compiler.graph import INFER, ROWS, TRAIN, Graph, Operation, Operator, Role, Statistics, sample_name
from compiler.reciprocal_root import RANGE, SCALE, reciprocal_root
from compiler.samples import of_sample, of_samples

_MOST_SPREAD = 4.0**7
"""Channels of a normalisation whose largest variances differ by more are treated as if they did not: such a channel is
below a step of the others' format."""


class Spread(NamedTuple):
    """The variance [C], epsilon included, that is 1 in the parts of a normalisation: of batches, and running."""

    batch: np.ndarray
    running: np.ndarray


Spreads = Mapping[str, Spread]
"""By the name of the Normalise's result."""


def spreads(twin: BatchTwin, calibration: Calibration, headroom: Headroom) -> Spreads:
    """Powers of four, at least `headroom` above the largest variance of each channel that calibration shows.

    Below 1 / `RANGE` of it a variance counts as that: with the usual headroom below a 128th of the largest, at most. A
    running variance that shrinks more on the way has its range where it ends.
    """
    normals = _normals(twin.graph)
    batch: dict[str, np.ndarray] = {}
    running: dict[str, np.ndarray] = {}
    for _ in runs(twin, calibration):
        for name, norm in normals.items():
            kept = twin.rows[norm.variance] + norm.epsilon
            running[name] = np.maximum(running.get(name, 0.0), kept)
            if name in twin.variances:
                batch[name] = np.maximum(batch.get(name, 0.0), twin.variances[name] + norm.epsilon)
    result = {}
    for name, norm in normals.items():
        last = twin.rows[norm.variance] + norm.epsilon
        wanted = np.minimum(headroom.activation * running[name], last * RANGE / 16)
        result[name] = Spread(_power(headroom.activation * batch[name]), _power(wanted))
    return result


def _normals(graph: Graph) -> dict[str, Statistics]:
    normals = (item for item in graph.entries[TRAIN] if item.operator == Operator.NORMALISE)
    return {item.output: item.statistics for item in normals if item.statistics}


def _power(variances: np.ndarray) -> np.ndarray:
    """The powers of four above."""
    return 4.0 ** np.ceil(np.log2(np.maximum(variances, variances.max() / _MOST_SPREAD)) / 2)


def ones_spread(graph: Graph) -> Spreads:
    """Spreads of 1, where values do not matter."""
    ones = {name: np.ones(graph.tensors[name].shape[0]) for name in _normals(graph)}
    return {name: Spread(one, one) for name, one in ones.items()}


def batched(graph: Graph, chip: Chip, spread: Spreads) -> Graph:
    """The graph whose "train" takes `graph.samples` inputs and labels at once, without Normalise."""
    kept = {name for operation in graph.entries[INFER] for name in (*operation.reads, operation.output)}
    tensors = {name: tensor for name, tensor in graph.tensors.items() if tensor.role in ROWS or name in kept}
    made = replace(
        graph,
        tensors=tensors | of_samples(graph),
        entries={},
        values=dict(graph.values),
        fractions=dict(graph.fractions),
        notes=list(graph.notes),
        copies=dict(graph.copies),
    )
    for tensor in graph.tensors.values():
        if tensor.role not in ROWS:
            _alike(made, tensor.name)
    layers = {
        item.output: _Layer(made, item, chip, spread[item.output])
        for item in graph.entries[TRAIN]
        if item.operator == Operator.NORMALISE
    }
    made.entries[INFER] = [part for item in graph.entries[INFER] for part in _inferred(item, layers)]
    made.entries[TRAIN] = list(_trained(graph, layers))
    return made


def _alike(graph: Graph, name: str) -> None:
    """Let a tensor of every sample have one format: that of inference, if it has it too."""
    first = name if name in graph.tensors else sample_name(name, 0)
    for number in range(graph.samples):
        copy = sample_name(name, number)
        if name in graph.fractions:
            graph.fractions[copy] = graph.fractions[name]
        if name in graph.octets:
            graph.octets |= {copy}
        if copy != first:
            graph.copies[copy] = first
    if first != name:
        graph.fractions.pop(name, None)
        graph.octets -= {name}


def _inferred(operation: Operation, layers: Mapping[str, _Layer]) -> list[Operation]:
    return layers[operation.output].infer() if operation.operator == Operator.NORMALISE else [operation]


def _trained(graph: Graph, layers: Mapping[str, _Layer]) -> Iterator[Operation]:
    """All operations of "train"."""
    waiting: list[Operation] = []
    updates: list[Operation] = []
    for item in graph.entries[TRAIN]:
        if item.operator == Operator.UPDATE:
            updates.append(item)
        elif item.operator in (Operator.NORMALISE, Operator.NORMALISE_GRADIENT):
            yield from _of_all(graph, waiting)
            waiting = []
            forward = item.operator == Operator.NORMALISE
            yield from layers[item.output].forward() if forward else layers[item.inputs[1]].backward(item)
        else:
            waiting.append(item)
    yield from _of_all(graph, waiting)
    yield from updates
    for layer in layers.values():
        yield from layer.after()


def _of_all(graph: Graph, operations: list[Operation]) -> Iterator[Operation]:
    for number in range(graph.samples):
        for operation in operations:
            yield of_sample(operation, graph, number)


class _Layer:
    """The parts of one normalisation."""

    def __init__(self, graph: Graph, operation: Operation, chip: Chip, spread: Spread):
        assert operation.statistics
        self.graph, self.bits = graph, chip.word_bits
        self.x, self.y, self.statistics = operation.inputs[0], operation.output, operation.statistics
        self.spread, self.scale = spread, 1 / np.sqrt(spread.batch)
        self.count = graph.samples * prod(graph.tensors[self.x].shape[1:])
        self.samples = range(graph.samples)
        self.values = ChannelValues(graph, operation.layer, sample_name(self.x, 0))
        self._rows()
        self._maps()
        self._running()

    def infer(self) -> list[Operation]:
        """By the running statistics."""
        self.values.begin("forward")
        self.values.scaled(self.y, self.x, f"{self.y}.running_factor", f"{self.y}.running_shift")
        return self.values.operations

    def forward(self) -> list[Operation]:
        """By those of the micro-batch."""
        values, y = self.values, self.y
        values.begin("forward")
        for number in self.samples:
            values.sum(f"{y}.sum", sample_name(self.x, number), number > 0)
        values.update(f"{y}.offset", {f"{y}.sum": -1 / self.count})
        ones = values.constant(f"{y}.ones", values.like, 1.0, self.bits - 2)
        self._moved(f"{y}.shift", f"{y}.offset", f"{y}.parts")
        for number in self.samples:
            self._centre(number)
        values.update(f"{y}.variance", {f"{y}.squares": 1 / self.count})
        epsilon = self.statistics.epsilon / self.spread.batch
        root = reciprocal_root(values, y, ones, f"{y}.variance", epsilon, self.bits)
        values.sum_products(f"{y}.factor", root, values.constant(f"{y}.scale", ones, SCALE))
        values.sum_products(f"{y}.back_factor", root, values.constant(f"{y}.back_scale", ones, SCALE * self.scale))
        for number in self.samples:
            values.scaled(sample_name(y, number), sample_name(f"{y}.scaled", number), f"{y}.factor")
        return values.operations

    def backward(self, operation: Operation) -> list[Operation]:
        """The gradient to x."""
        values, dy, dx = self.values, operation.inputs[0], operation.output
        values.begin(operation.phase)
        sums, products = values.shifts(f"{dx}.sum"), values.factors(f"{dx}.products")
        for number in self.samples:
            values.sum(sums, sample_name(dy, number), number > 0)
            values.sum_products(products, sample_name(self.y, number), sample_name(dy, number), number > 0)
        shift = values.update(values.shifts(f"{dx}.shift"), {sums: -1 / self.count})
        slope = values.update(values.factors(f"{dx}.slope"), {products: -1 / self.count})
        for name in ("through", "whole"):
            self._of_samples(f"{dx}.{name}", Role.GRADIENT)
        for number in self.samples:
            through, whole = (sample_name(f"{dx}.{name}", number) for name in ("through", "whole"))
            values.scaled(through, sample_name(self.y, number), slope, shift)
            values.add(whole, sample_name(dy, number), through)
            mask = sample_name(operation.mask, number) if operation.mask else ""
            values.scaled(sample_name(dx, number), whole, f"{self.y}.back_factor", mask=mask)
        return values.operations

    def after(self) -> list[Operation]:
        """The running statistics, and what inference needs of them."""
        values, y, names = self.values, self.y, self.statistics
        values.begin("update")
        kept, new = 1 - names.momentum, names.momentum
        values.update(names.mean, {names.mean: kept, f"{y}.offset": -new})
        values.update(f"{y}.running_offset", {names.mean: -1.0})
        self._follow(kept, new)
        epsilon = names.epsilon / self.spread.running
        root = reciprocal_root(values, f"{y}.running", f"{y}.ones", f"{y}.running", epsilon, self.bits)
        scale = values.constant(f"{y}.running.scale", f"{y}.ones", SCALE / np.sqrt(self.spread.running))
        values.sum_products(f"{y}.running_factor", root, scale)
        self._moved(f"{y}.running_shift", f"{y}.running_offset", f"{y}.running_factor")
        spread = values.constant(f"{y}.running.spread", f"{y}.ones", self.spread.running)
        values.sum(names.variance, values.scaled(values.value(f"{y}.running.variance"), spread, f"{y}.running"))
        return values.operations

    def _follow(self, kept: float, new: float) -> None:
        """The running variance, in its own parts, and the unbiased one of the micro-batch."""
        values, y = self.values, self.y
        ratio = values.constant(f"{y}.running.ratio", f"{y}.ones", self.spread.batch / self.spread.running)
        squares = values.scaled(values.value(f"{y}.running.squares", aside=True), ratio, f"{y}.squares")
        row = values.sum_products(values.factors(f"{y}.running.batch"), squares, f"{y}.ones")
        values.update(f"{y}.running", {f"{y}.running": kept, row: new / (self.count - 1)})

    def _centre(self, number: int) -> None:
        """A sample minus the mean, in parts, and its squares."""
        values, y = self.values, self.y
        scaled, copy = (sample_name(f"{y}.{name}", number) for name in ("scaled", "copy"))
        values.scaled(scaled, sample_name(self.x, number), f"{y}.parts", f"{y}.shift")
        values.scaled(copy, scaled, f"{y}.one")
        values.sum_products(f"{y}.squares", scaled, copy, number > 0)

    def _moved(self, row: str, offset: str, factors: str) -> None:
        """row (C,) = factors · offset."""
        values = self.values
        offsets = values.of_row(f"{row}.offset", f"{self.y}.ones", offset)
        values.sum(row, values.scaled(values.value(f"{row}.value"), offsets, factors))

    def _rows(self) -> None:
        values, y, fine = self.values, self.y, self.bits - 1
        values.constant_factors(f"{y}.one", 1.0)
        values.constant_factors(f"{y}.parts", self.scale)
        for name in ("sum", "offset", "shift", "running_offset", "running_shift"):
            values.shifts(f"{y}.{name}")
        for name in ("back_factor", "running_factor"):
            values.factors(f"{y}.{name}")
        values.factors(f"{y}.factor", fine - 1 - int(log2(SCALE)))
        values.factors(f"{y}.variance", fine)
        values.factors(f"{y}.squares", fine - ceil(log2(self.count)))
        values.factors(f"{y}.running", fine, Role.STATE)

    def _maps(self) -> None:
        self._of_samples(f"{self.y}.scaled", Role.ACTIVATION)
        self._of_samples(f"{self.y}.copy", Role.GRADIENT)
        for number in self.samples:
            self.graph.copies[sample_name(f"{self.y}.copy", number)] = sample_name(f"{self.y}.scaled", 0)

    def _of_samples(self, name: str, role: Role) -> None:
        """Enter maps like x, one a sample."""
        for number in self.samples:
            self.graph.add(sample_name(name, number), self.graph.tensors[self.x].shape, role)
        _alike(self.graph, name)

    def _running(self) -> None:
        """First values of what is kept of the running statistics."""
        graph, y, names = self.graph, self.y, self.statistics
        graph.tensors[names.mean] = replace(graph.tensors[names.mean], parameter=f"{y}.offset")
        graph.tensors[names.variance] = replace(graph.tensors[names.variance], role=Role.STATISTIC)
        mean, variance = graph.values[names.mean], graph.values[names.variance]
        running = variance / self.spread.running
        if running.max() > 1:
            graph.notes.append(f"{self.values.layer}: its running variance starts at the end of its format")
        graph.values[f"{y}.running"] = np.minimum(running, 1.0).reshape(-1, 1, 1, 1)
        factor = 1 / np.sqrt(variance + names.epsilon)
        graph.values[f"{y}.running_offset"] = -mean
        graph.values[f"{y}.running_shift"] = -mean * factor
        graph.values[f"{y}.running_factor"] = factor.reshape(-1, 1, 1, 1)
