"""How many values of each map are not zero, as calibration's samples have them."""

from __future__ import annotations

import numpy as np

from compiler.calibration import Calibration
from compiler.float_twin import FloatTwin, one_thread
from compiler.graph import Graph

_SAMPLES = 16
"""Samples that are looked at."""


def densities(graph: Graph, calibration: Calibration) -> dict[str, float]:
    """The share, 0 to 1, of values that are not zero in each map of the forward pass, over the first samples."""
    twin = FloatTwin(graph)
    shares: dict[str, list[float]] = {}
    with one_thread():
        for sample in calibration.samples[:_SAMPLES]:
            twin.infer(np.asarray(sample, np.float64))
            for name, values in twin.tensors.items():
                shares.setdefault(name, []).append(np.count_nonzero(values) / max(np.size(values), 1))
    return {name: float(np.mean(values)) for name, values in shares.items()}
