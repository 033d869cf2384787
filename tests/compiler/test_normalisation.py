"""Local response normalisation on the chip against float64, within the steps that the compiler states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.image import quantised
from compiler import Calibration, Network, NetworkError, Options, compile_network
from compiler.graph import Operator
from compiler.normalisation import power_error
from compiler.pipeline import Build
from compiler.powers import MOST_DEGREE, fitted
from sim.fast import FastMachine

PAPER = Chip.load("paper")
INFER = Options(train=False)


def built(network: Network, samples: np.ndarray, chip: Chip = PAPER) -> Build:
    parameters = network.initial(0)
    return compile_network(network, chip, parameters, Calibration(samples, np.zeros(len(samples), int), 4), INFER)


def on_chip(build: Build, sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chip's input and result as real numbers, (C, H, W)."""
    assert build.program and build.fractions and build.graph
    words = quantised(sample, build.fractions["input"], build.chip.largest, "input")
    found = FastMachine(build.program).run("infer", {"input": words.transpose(1, 2, 0)[None]}).outputs["logits"]
    channels, height, width = sample.shape
    result = found.reshape(height, width, channels).transpose(2, 0, 1)
    return np.ldexp(words, -build.fractions["input"]), np.ldexp(result, -build.fractions[build.graph.logits])


def meant(x: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """ONNX's definition, channel by channel."""
    result = np.empty_like(x)
    for c in range(len(x)):
        around = x[max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        result[c] = x[c] / (bias + alpha / size * (around**2).sum(axis=0)) ** beta
    return result


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 21),
    st.integers(1, 24),
    st.floats(0, 0.6),
    st.sampled_from([0.5, 0.75, 1.0]),
    st.sampled_from([1.0, 2.0]),
    st.integers(0, 1 << 30),
)
def test_a_normalisation_is_within_its_stated_steps_of_float64(channels, size, alpha, beta, bias, seed):
    shape = (channels, 4, 5)
    samples = np.random.default_rng(seed).normal(size=(3, *shape))
    try:
        build = built(Network("n", shape).lrn(size, alpha=alpha, beta=beta, bias=bias), samples)
    except NetworkError as error:  # so wide a range that no polynomial of these words is good enough
        assert "misses the power" in str(error)
        reject()
    assert build.graph and build.fractions
    x, y = on_chip(build, samples[0])
    step = 2.0 ** -build.fractions["lrn1"]
    bound = np.abs(x) * power_error(build.graph, build.fractions, "lrn1") + step / 2
    error = np.abs(y - meant(x, size, alpha, beta, bias))
    assert (error <= bound).all()
    assert bound.max() <= 100 * step  # a bound that says something


def test_a_large_map_passes_by_in_bands_and_nothing_between_leaves_the_chip():
    samples = np.random.default_rng(0).normal(size=(1, 20, 40, 60))
    build = built(Network("n", (20, 40, 60)).lrn(5, alpha=0.2).relu(), samples)
    assert build.graph and build.fractions and build.reports
    x, y = on_chip(build, samples[0])
    bound = np.abs(x) * power_error(build.graph, build.fractions, "lrn1") + 2.0 ** -build.fractions["lrn1"] / 2
    assert (np.abs(y - np.maximum(meant(x, 5, 0.2, 0.75, 1.0), 0)) <= bound).all()
    traffic = build.reports["infer"].traffic["external"]
    words = max(traffic.reads, traffic.writes) // build.chip.external_beats
    assert words < 1.1 * 3 * 40 * 60  # gaps between rows, and constants
    assert build.reports["infer"].macs == 0
    assert "lrn1: within" in " ".join(build.graph.notes)


def test_a_constant_normalisation_is_a_factor():
    build = built(Network("n", (3, 4, 4)).lrn(3, alpha=0.0, bias=2.0), np.ones((1, 3, 4, 4)))
    assert build.graph
    assert [operation.operator for operation in build.graph.operations] == [Operator.COMBINE]


@pytest.mark.parametrize("extent", [1e-4, 0.1, 1.0, 4.0])
def test_a_polynomial_is_near_its_power(extent):
    power = fitted(1.0, extent, 0.75, 16)
    u = np.random.default_rng(1).uniform(-1, 1, 5000)
    value = sum(c * u**i for i, c in enumerate(power.coefficients))
    assert np.abs(value - (1 + extent * (1 + u) / 2) ** -0.75).max() <= power.error * 1.01 + 1e-12
    assert power.error < 2.0**-14
    assert len(power.coefficients) <= MOST_DEGREE + 1


def test_what_a_normalisation_cannot_do_is_refused():
    wide = np.random.default_rng(0).normal(size=(1, 8, 4, 4)) * 2000
    with pytest.raises(NetworkError, match=r"lrn1: squares sum up to .*lower alpha"):
        built(Network("n", (8, 4, 4)).lrn(5), wide)
    with pytest.raises(NetworkError, match=r"lrn1: its size must be at most 65 channels .* not 80"):
        built(Network("n", (80, 4, 4)).lrn(80, alpha=1.0), np.ones((1, 80, 4, 4)))
    few = PAPER.replace(kernel_registers=4)
    with pytest.raises(NetworkError, match="lrn1: needs 8 kernel_registers"):
        built(Network("n", (8, 4, 4)).lrn(5, alpha=1.0), np.ones((1, 8, 4, 4)), few)
