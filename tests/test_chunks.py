"""Kernels beyond the weight memory are trained alike in all executions."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip
from arch.isa import Engine, OnChip, Transfer
from compiler import Calibration, Network, Options, compile_network
from compiler.pipeline import TRAIN
from tinycl.agreement import agree


def test_all_executions_agree_on_a_step_with_momentum():
    rng, chip = np.random.default_rng(4), Chip.load("paper")
    network = Network("deep", (136, 3, 3)).conv(8, 1).relu().conv(136, 3).relu().conv(136, 3).relu().dense(3)
    network = network.softmax_cross_entropy()
    samples = Calibration(rng.uniform(0, 1, (2, 136, 3, 3)), np.array([0, 2]), 2)
    program = compile_network(network, chip, network.initial(2), samples, Options(momentum=0.5)).program
    assert program
    rows = [item for item in program.streams[Engine.DMA] if isinstance(item, Transfer) and item.memory == OnChip.WEIGHT]
    assert any(item.lines > 1 for item in rows) and any(item.outward for item in rows)
    inputs = {"input": rng.integers(-999, 1000, (1, *program.inputs["input"].shape)), "label": np.array([[1]])}
    (found,) = agree([(program, inputs)], TRAIN)
    assert found.differences == []
