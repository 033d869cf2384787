"""Convolutions and poolings of unusual forms, compiled and executed, beside the float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from compiler import Calibration, Options, compile_network
from compiler.float_twin import FloatTwin
from compiler.graph import INFER, Operator
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import INPUT
from sim.fast import FastMachine

PAPER = Chip.load("paper")
SMALL = PAPER.replace(feature_memory={"bytes": 12288, "banks": 3, "ports": 1, "pages": 4})
SMALL = SMALL.replace(gradient_memory=SMALL.feature_memory.model_dump())


def net(shape=(6, 9, 7)) -> Network:
    return Network("n", shape)


FORMS = {
    "groups of few": lambda: net().conv(6, groups=3).relu().conv(10, 1, groups=2, bias=True),
    "groups of eight": lambda: net((16, 5, 5)).conv(16, groups=2),
    "shared lanes": lambda: net((20, 5, 5)).conv(20, 3, groups=5),
    "multiplier": lambda: net().conv(18, groups=6, bias=True).relu().conv(5, 1),
    "tall stride": lambda: net().conv(5, 3, stride=(2, 1)).relu().max_pool((2, 3), stride=(1, 2)),
    "wide dilation": lambda: net((6, 9, 11)).conv(5, 3, dilation=(1, 3), padding=(1, 3, 1, 3)),
    "one row": lambda: net((4, 1, 40)).conv(9, (1, 5), stride=(1, 2), padding=0).relu().max_pool((1, 2), stride=(1, 2)),
    "averages of the map": lambda: net().average_pool(3, stride=1, padding=1).conv(4, 1),
    "averages cut short": lambda: net((3, 10, 10)).average_pool((5, 3), stride=2, padding=(2, 1, 2, 1)),
    "channels joined": lambda: (
        net((8, 4, 4)).conv(16, 1).relu().conv(12, 1, after=INPUT).concat("relu1", "conv2", INPUT).conv(5, 1)
    ),
    "channels dealt": lambda: net((40, 4, 4)).conv(48, 1).channel_shuffle(4).depthwise().conv(4, 1),
}


def compiled(network: Network, chip: Chip = PAPER) -> Any:
    rng = np.random.default_rng(3)
    few = Calibration(rng.uniform(-1, 1, (3, *network.input_shape)), np.zeros(3, int), 3)
    return compile_network(network, chip, network.initial(2), few, Options(train=False))


def error(build) -> tuple[float, float]:
    """The largest error and the largest value of a result, in steps of its format."""
    region = build.program.inputs[INPUT]
    sample = np.random.default_rng(1).integers(-(2**region.fraction), 2**region.fraction, region.shape)
    found = FastMachine(build.program).run(INFER, {INPUT: sample[None]}).outputs["logits"].astype(np.float64)
    moved = np.moveaxis(sample, -1, 0) if sample.ndim == 3 else sample
    expected = FloatTwin(lower(build.network, build.parameters)).infer(moved * 2.0**-region.fraction)
    expected = np.moveaxis(expected, 0, -1) if found.ndim == 3 else expected
    scaled = expected.reshape(found.shape) * 2.0 ** build.program.outputs["logits"].fraction
    return float(np.abs(found - scaled).max()), float(np.abs(scaled).max())


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_computed(form):
    largest, value = error(compiled(FORMS[form]()))
    assert value > 1000
    assert largest < 0.004 * value


def test_a_global_average_of_a_map_too_large_is_made_in_two():
    network = net((40, 8, 8)).conv(96, 3).relu().global_average_pool().flatten().dense(3)
    whole, halves = compiled(network), compiled(network, SMALL)
    assert not [item for item in whole.graph.operations if item.operator == Operator.AVERAGE_POOL]
    assert [item.kernel for item in halves.graph.operations if item.operator == Operator.AVERAGE_POOL] == [(1, 8)]
    for build in (whole, halves):
        largest, value = error(build)
        assert largest < 0.004 * value
    assert whole.reports[INFER].macs == halves.reports[INFER].macs
