"""Fourth pass: how large each tensor becomes, seen in float64 on samples of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arch.image import real_numbers
from compiler.float_twin import FloatTwin, in_steps, one_thread
from compiler.graph import Graph, Role, sample_name
from compiler.nodes import INPUT, LABEL, NetworkError

LEAST = 2.0**-20
"""The magnitude of a tensor that is always zero."""


@dataclass(frozen=True)
class Calibration:
    """Samples to calibrate on: `samples` [n, *input shape] float; `labels` [n] integers, or [n, ...] targets of a mean
    squared error, each with as many elements as the result; without a loss they are not read.

    For training, `steps` samples are trained on in float64, in order and over again, and the largest magnitudes on the
    way are kept, so that formats fit what training turns the tensors into; for inference, `steps` samples run forward.

    >>> Calibration(np.zeros((4, 1, 6, 6)), np.array([0, 2, 1, 0]), steps=4).samples.shape
    (4, 1, 6, 6)
    """

    samples: np.ndarray
    labels: np.ndarray
    steps: int


def observe(graph: Graph, calibration: Calibration) -> dict[str, float]:
    """The largest magnitude of every tensor of the graph, at least 2**-20; of a tensor never made, 2**-20.

    Raises `NetworkError` on samples or labels that do not fit the graph, and on values that overflow float64.
    """
    largest = dict.fromkeys(graph.tensors, LEAST)
    for values in runs(FloatTwin(graph), calibration):
        for name, value in values.items():
            largest[name] = max(largest[name], float(np.abs(value).max()))
    for copy, first in graph.copies.items():
        largest[first] = max(largest[first], largest[copy])
    return largest | {copy: largest[first] for copy, first in graph.copies.items()}


def saturation(graph: Graph, calibration: Calibration, limits: dict[str, float]) -> dict[str, float]:
    """The share of each tensor's values, over all steps, whose magnitude exceeds its limit and so would saturate.

    `limits` are magnitudes, for the tensors of interest; it raises what `observe` does.
    """
    beyond, seen = dict.fromkeys(limits, 0), dict.fromkeys(limits, 0)
    for values in runs(FloatTwin(graph), calibration):
        for name in limits.keys() & values.keys():
            beyond[name] += int(np.count_nonzero(np.abs(values[name]) > limits[name]))
            seen[name] += values[name].size
    return {name: beyond[name] / max(seen[name], 1) for name in limits}


def valid_labels(labels: np.ndarray, count: int, classes: int) -> bool:
    """Whether there are `count` labels, integers from 0 to `classes` - 1."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        return False
    return int(labels.min()) >= 0 and int(labels.max()) < classes


def _labels(graph: Graph, calibration: Calibration, count: int) -> np.ndarray:
    """Labels or targets, one a sample."""
    labels = np.asarray(calibration.labels)
    label = graph.tensors[LABEL if LABEL in graph.tensors else sample_name(LABEL, 0)]
    if label.role == Role.TARGET:
        targets = real_numbers(labels, "calibration targets")
        size = int(np.prod(label.shape))
        if targets.ndim < 1 or len(targets) != count or targets.size != count * size:
            raise NetworkError(
                f"{LABEL}: calibration needs {count} targets of {size} numbers, not {list(labels.shape)}"
            )
        return targets
    classes = graph.tensors[graph.logits].shape[0]
    if not valid_labels(labels, count, classes):
        raise NetworkError(f"{LABEL}: calibration needs {count} integer labels from 0 to {classes - 1}")
    return labels


def runs(twin: FloatTwin, calibration: Calibration) -> Iterator[dict[str, np.ndarray]]:
    """All rows before the first step; then after each step the tensors it made, and in training the rows.

    Samples that fill no step are left out, but there is one at least.
    """
    graph = twin.graph
    samples = real_numbers(calibration.samples, "calibration samples")
    shape = graph.given_shape(INPUT)
    if samples.ndim < 1 or len(samples) == 0 or samples.shape[1:] != shape:
        raise NetworkError(f"input: calibration samples must have shape [n, {list(shape)}], not {list(samples.shape)}")
    trains = graph.optimiser is not None
    labels = _labels(graph, calibration, len(samples)) if trains else samples
    yield twin.rows
    order = np.arange(max(calibration.steps, graph.samples)) % len(samples)
    with one_thread():
        for index in in_steps(order, graph.samples) if trains else order:
            if trains:
                twin.step(samples[index], labels[index])
                yield {**twin.tensors, **twin.rows}
            else:
                twin.infer(samples[index])
                yield twin.tensors
