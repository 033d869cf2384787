"""Fourth pass: how large each tensor becomes, seen in float64 on samples of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.image import real_numbers
from compiler.float_twin import FloatTwin
from compiler.graph import Graph
from compiler.network import NetworkError


@dataclass(frozen=True)
class Calibration:
    """Samples to calibrate on: `samples` [n, *input shape] float, `labels` [n] integers.

    For training, `steps` SGD steps are made in float64, in order and over again, and the largest magnitudes on the way
    are kept, so that formats fit what training turns the tensors into; for inference, `steps` samples are run forward.
    """

    samples: np.ndarray
    labels: np.ndarray
    steps: int


def observe(
    graph: Graph, parameters: dict[str, np.ndarray], calibration: Calibration, learning_rate: float
) -> dict[str, float]:
    """The largest magnitude of every tensor of the graph, at least 2**-20. Raises `NetworkError` on bad samples."""
    samples = real_numbers(calibration.samples, "calibration samples")
    shape = graph.tensors["input"].shape
    if samples.ndim < 1 or len(samples) == 0 or samples.shape[1:] != shape:
        raise NetworkError(f"input: calibration samples must have shape [n, {list(shape)}], not {list(samples.shape)}")
    labels = np.asarray(calibration.labels)
    classes = graph.tensors[graph.logits].shape[0]
    if "label" in graph.tensors and not valid_labels(labels, len(samples), classes):
        raise NetworkError(f"label: calibration needs {len(samples)} integer labels from 0 to {classes - 1}")
    trains = len(graph.operations) > graph.forward
    twin = FloatTwin(graph, parameters, learning_rate)
    largest = dict.fromkeys(graph.tensors, 2.0**-20)
    _keep(largest, twin.parameters)
    for step in range(max(calibration.steps, 1)):
        index = step % len(samples)
        if trains:
            twin.step(samples[index], int(labels[index]))
            _keep(largest, twin.parameters)
        else:
            twin.infer(samples[index])
        _keep(largest, twin.tensors)
    return largest


def valid_labels(labels: np.ndarray, count: int, classes: int) -> bool:
    """Whether there are `count` labels, integers from 0 to `classes` - 1."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        return False
    return int(labels.min()) >= 0 and int(labels.max()) < classes


def _keep(largest: dict[str, float], values: dict[str, np.ndarray]) -> None:
    for name, value in values.items():
        largest[name] = max(largest[name], float(np.abs(value).max()))
