"""How far the chip's tensors are from the float twin's: errors in steps of each tensor's format, and saturations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compiler.float_twin import FloatTwin


@dataclass(frozen=True)
class Deviation:
    """Of one tensor: root-mean-square and largest error in steps of 2**-fraction, saturated elements, and of how many.

    `signal` is the twin's root-mean-square value in the same steps, so that error / signal is a ratio.
    """

    fraction: int
    error: float
    largest_error: float
    signal: float
    saturated: int
    elements: int


def deviations(
    twin: FloatTwin, integers: dict[str, np.ndarray], fractions: dict[str, int], ends: dict[str, int]
) -> dict[str, Deviation]:
    """The deviation of each tensor in `integers` from the twin's value after the same run.

    `integers` holds the chip's words, of the graph's shapes: (C, H, W), (N,), (O, I / groups, Kh, Kw). An element is
    counted as saturated if it is the largest that its tensor can hold, of `ends`, or the smallest.
    """
    return {name: _deviation(twin.value(name), words, fractions[name], ends[name]) for name, words in integers.items()}


def _deviation(value: np.ndarray, words: np.ndarray, fraction: int, largest: int) -> Deviation:
    meant = np.ldexp(value, fraction)
    error = words.astype(np.float64) - meant
    return Deviation(
        fraction=fraction,
        error=float(np.sqrt(np.mean(error**2))),
        largest_error=float(np.abs(error).max()),
        signal=float(np.sqrt(np.mean(meant**2))),
        saturated=int(np.count_nonzero((words == largest) | (words == -largest - 1))),
        elements=words.size,
    )
