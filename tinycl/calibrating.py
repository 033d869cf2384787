"""Samples that formats are calibrated on: a user's, or made ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.errors import InputError
from compiler.calibration import Calibration
from compiler.counting import multiply_accumulates
from compiler.network import Network
from tinycl.arrays import load_arrays

GIVEN_MACS, MADE_MACS = 20e9, 4e9
"""Multiply-accumulates that calibration may take in float64: some seconds, and about one."""
MOST_GIVEN, MOST_MADE = 2000, 64
"""Steps."""
_PASSES = 3
"""Passes of a training step, each of about as many multiply-accumulates as inference."""


@dataclass(frozen=True)
class Samples:
    """What to calibrate on, and what a user should know about it."""

    calibration: Calibration
    note: str = ""


Samplings = Calibration | tuple[np.ndarray, np.ndarray] | Path | None
"""What a user may give: samples and labels, or an .npz file of them; a `Calibration` says how many steps too."""


def samples_for(network: Network, train: bool, given: Samplings, seed: int) -> Samples:
    """The given `samples` and `labels`, from an .npz file if it is a path, or made ones; as many steps as take seconds.

    `samples` are [n, *input shape]. `labels` are classes, or for a mean squared error targets [n, *output shape]; for
    inference alone they may be left out of a file. Raises `InputError` naming the array that is missing.
    """
    if isinstance(given, Calibration):
        return Samples(given)
    each = max(multiply_accumulates(network), 1) * (_PASSES if train else 1)
    if given is None:
        count = int(np.clip(MADE_MACS // each, 1, MOST_MADE))
        calibration = _made(network, count, seed)
        return Samples(calibration, f"no --calibration: formats fit {count} made samples, not data of yours")
    samples, labels = _read(given, train) if isinstance(given, Path) else map(np.asarray, given)
    there = len(samples) if samples.ndim else 0
    most = int(np.clip(GIVEN_MACS // each, 1, MOST_GIVEN))
    where = given if isinstance(given, Path) else "calibration"
    note = f"{where}: calibrated on the first {most} of {there} samples, to take seconds" if most < there else ""
    return Samples(Calibration(samples, labels, min(there, most)), note)


def _read(path: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    arrays = load_arrays(path)
    for name in ("samples", "labels") if train else ("samples",):
        if name not in arrays:
            raise InputError(f"{path}: must hold an array named {name}, not only {', '.join(arrays) or 'nothing'}")
    samples = arrays["samples"]
    return samples, arrays.get("labels", np.zeros(len(samples) if samples.ndim else 0, np.int64))


def _made(network: Network, count: int, seed: int) -> Calibration:
    rng = np.random.default_rng(seed)
    samples = rng.uniform(0, 1, (count, *network.input_shape))
    last = network.nodes[-1]
    if last.operator == "MeanSquaredError":
        return Calibration(samples, rng.uniform(0, 1, (count, *network.values[last.inputs[0]])), count)
    shape = network.values[last.inputs[0]] if last.operator == "SoftmaxCrossEntropyLoss" else network.shape
    return Calibration(samples, rng.integers(0, max(int(np.prod(shape)), 1), count), count)
