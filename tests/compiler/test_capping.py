"""Clips that the end of a format does: the same values, no sums, and only where every reader can take another scale."""

from __future__ import annotations

import numpy as np
import pytest

from arch.chip import Chip
from compiler import Build, Calibration, Network, Options, compile_network
from compiler.graph import INFER, Operator
from sim.fast import FastMachine
from tests.compiler.evaluate import evaluate

PAPER = Chip.load("paper")
SHAPE = (5, 8, 8)
SAMPLES = 4


def inverted(maximum: float = 6.0) -> Network:
    """An inverted residual block, its middle clipped twice, and a pooled classifier."""
    net = Network("inverted", SHAPE).conv(12, 1, bias=True, name="wide").clip(maximum, name="first")
    net.depthwise(3, name="deep").clip(maximum, name="second").conv(5, 1, name="narrow").add("narrow", "input")
    net.conv(8, 1, name="last").clip(maximum, name="third").max_pool(2).conv(4, 1, name="end").clip(maximum, name="out")
    return net.global_average_pool().dense(3)


def built(net: Network, chip: Chip = PAPER, scale: float = 1.0, **options) -> tuple[Build, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    parameters = {name: scale * rng.normal(0, 1, shape) for name, shape in net.shapes.items()}
    data = Calibration(rng.normal(0, 1, (SAMPLES, *SHAPE)), np.zeros(SAMPLES, np.int64), SAMPLES)
    return compile_network(net, chip, parameters, data, Options(train=False, **options)), parameters


def of_operators(build: Build, operator: Operator) -> list[str]:
    assert build.graph
    return [operation.layer for operation in build.graph.entries[INFER] if operation.operator == operator]


@pytest.mark.parametrize("scale", [1.0, 0.3, 3.0])
@pytest.mark.parametrize("bits", [16, 12])
def test_values_are_the_networks(bits, scale):
    chip = PAPER.replace(word_bits=bits)
    net = inverted()
    build, parameters = built(net, chip, scale)
    assert build.program and build.graph
    assert of_operators(build, Operator.COMBINE) == ["add1"]
    samples = np.random.default_rng(3).normal(0, 1, (SAMPLES, *SHAPE))
    meant = np.stack([evaluate(net, parameters, sample)[net.last] for sample in samples])
    region = build.program.inputs["input"]
    words = np.rint(samples.transpose(0, 2, 3, 1) * 2.0**region.fraction).astype(int)
    found = (
        FastMachine(build.program).run(INFER, {"input": words}, steps=SAMPLES, collect=("logits",)).outputs["logits"]
    )
    real = found.reshape(meant.shape) * 2.0 ** -build.program.outputs["logits"].fraction
    assert np.abs(real - meant).max() < 2.0 ** (9 - bits) * np.abs(meant).max()


def test_what_is_clipped_matters():
    """Without the clips the values above would be others."""
    net, loose = inverted(), inverted(1e6)
    rng = np.random.default_rng(0)
    parameters = {name: rng.normal(0, 1, shape) for name, shape in net.shapes.items()}
    sample = np.random.default_rng(3).normal(0, 1, SHAPE)
    tight, free = (evaluate(each, parameters, sample)[each.last] for each in (net, loose))
    assert np.abs(tight - free).max() > 0.1 * np.abs(tight).max()


def test_small_values_keep_their_bits():
    build, _ = built(inverted(1000.0))
    assert build.graph and build.largest
    largest = build.largest
    capped = [operation for operation in build.graph.entries[INFER] if operation.ceiling]
    assert [operation.output for operation in capped] == ["first", "second", "third", "out"]
    assert all(largest[operation.output] > 0.1 for operation in capped)
    assert all("in parts of 1000" not in note for note in build.graph.notes)


def test_a_clip_costs_no_more_than_a_relu():
    capped, _ = built(inverted())
    plain = Network("plain", SHAPE).conv(12, 1, bias=True, name="wide").relu().depthwise(3, name="deep").relu()
    plain.conv(5, 1, name="narrow").add("narrow", "input").conv(8, 1, name="last").relu().max_pool(2)
    plain.conv(4, 1, name="end").relu().global_average_pool().dense(3)
    relus, _ = built(plain)
    assert capped.reports and relus.reports
    assert capped.reports[INFER].cycles == relus.reports[INFER].cycles


@pytest.mark.parametrize(
    "net",
    [
        Network("logits", SHAPE).conv(4, 1).clip(6.0),
        Network("joined", SHAPE).conv(8, 1).clip(6.0).concat("clip1", "conv1"),
        Network("read twice", SHAPE).conv(8, 1).clip(6.0).add("clip1", "conv1").dense(3),
        Network("no weights", SHAPE).clip(6.0).dense(3),
        Network("doubled", SHAPE).conv(4, 1).clip(6.0).add("clip1", "clip1").dense(3),
    ],
    ids=lambda net: net.name,
)
def test_others_stay_sums(net):
    build, _ = built(net)
    assert build.graph
    assert of_operators(build, Operator.COMBINE)
    assert not any(operation.ceiling for operation in build.graph.entries[INFER])


def test_decided_formats_stay():
    net = Network("decided", SHAPE).conv(4, 1).clip(6.0).dense(3)
    for name in ("clip1", "conv1"):
        net.fractions = {name: 8}
        build, _ = built(net)
        assert build.graph and build.fractions and build.fractions[name] == 8
        assert not any(operation.ceiling for operation in build.graph.entries[INFER])
