"""Momentum, weight decay and micro-batches, compiled and executed: parameters beside those of the float64 twin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from compiler import Calibration, Network, Options, compile_network
from compiler.float_twin import FloatTwin
from compiler.graph import ACCUMULATE, ACCUMULATE_FIRST, TRAIN, UPDATE
from compiler.nodes import INPUT, LABEL
from sim.fast import FastMachine
from sim.stepping import SteppingMachine

PAPER = Chip.load("paper")
RECIPES = {
    "decay": {"weight_decay": 2.0**-5},
    "momentum": {"momentum": 0.875},
    "both": {"momentum": 0.875, "weight_decay": 2.0**-5},
    "batch": {"micro_batch": 3},
    "all": {"momentum": 0.5, "weight_decay": 2.0**-5, "micro_batch": 4},
    "decayed batch": {"weight_decay": 2.0**-5, "micro_batch": 2},
}
STEPS = 12


def digits() -> Network:
    net = Network("digits", (1, 8, 8)).conv(8, bias=True).relu().conv(8, bias=True).relu()
    return net.dense(10, bias=True).softmax_cross_entropy()


def data() -> tuple[np.ndarray, np.ndarray]:
    """Samples that lie on the input's grid, so that both see the same."""
    rng = np.random.default_rng(3)
    return rng.integers(0, 17, (STEPS, 1, 8, 8)) / 16, rng.integers(0, 10, STEPS)


def built(recipe: str) -> Any:
    samples, labels = data()
    net = digits()
    options = Options(learning_rate=2.0**-4, update_rounding=Rounding.RND_CONV, **RECIPES[recipe])
    return compile_network(net, PAPER, net.initial(1), Calibration(samples, labels, STEPS), options)


def entries(build, count: int) -> list[tuple[str, bool]]:
    """The entries of `count` samples, and whether each takes a sample."""
    batch = build.options.micro_batch
    if batch == 1:
        return [(TRAIN, True)] * count
    one = [(ACCUMULATE_FIRST, True), *[(ACCUMULATE, True)] * (batch - 1), (UPDATE, False)]
    return one * (count // batch)


def given(build) -> dict[str, np.ndarray]:
    samples, labels = data()
    region = build.program.inputs[INPUT]
    integers = np.moveaxis(samples * 2.0**region.fraction, 1, -1).astype(np.int64)
    assert np.array_equal(integers / 2.0**region.fraction, np.moveaxis(samples, 1, -1))
    return {INPUT: integers, LABEL: labels.reshape(-1, 1)}


def machine_values(machine, build) -> dict[str, np.ndarray]:
    shapes = build.network.shapes
    return {
        name: machine.image.read(region, PAPER).reshape(shapes[name]) * 2.0**-region.fraction
        for name, region in build.program.parameters.items()
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_learnt_is_what_float64_learns(recipe):
    build = built(recipe)
    machine, twin = FastMachine(build.program), FloatTwin(build.graph)
    inputs = given(build)
    samples, labels = data()
    sample = 0
    for entry, takes in entries(build, STEPS):
        if takes:
            machine.run(entry, {name: values[sample : sample + 1] for name, values in inputs.items()})
            twin.step(samples[sample], int(labels[sample]))
            sample += 1
        else:
            machine.run(entry)
    found, start = machine_values(machine, build), build.network.initial(1)
    for name, expected in twin.parameters.items():
        moved = np.abs(expected - start[name]).max()
        step = 2.0 ** -build.program.parameters[name].fraction
        error = np.abs(found[name] - expected).max()
        assert moved > 20 * step, name
        assert error < max(12 * step, 0.05 * moved), (name, error, moved, step)


@pytest.mark.parametrize("recipe", ["both", "all"])
def test_the_stepping_machine_agrees_in_every_bit(recipe):
    build = built(recipe)
    fast, slow = FastMachine(build.program), SteppingMachine(build.program)
    inputs = given(build)
    sample = 0
    for entry, takes in entries(build, build.options.micro_batch):
        one = {name: values[sample : sample + 1] for name, values in inputs.items()} if takes else {}
        expected = fast.run(entry, one)
        found = slow.run(entry, {name: values[0] for name, values in one.items()})
        assert found.cycles == expected.cycles
        assert fast.image.differences(slow.image) == 0
        sample += takes
