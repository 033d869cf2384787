"""What a small chip with transfers, bands and chunks computes is what a large chip computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Engine, Rounding
from compiler import Calibration, Options, compile_network
from compiler.network import Network
from sim.fast import FastMachine
from tests.compiler.small_chips import deep, expanded, matrix, plain, pooled, residual, separable, sized, wide

LARGE = sized(1 << 15, 1 << 17)


def built(net: Network, chip: Chip, train: bool, **more: float):
    rng = np.random.default_rng(3)
    shape = net.input_shape
    few = Calibration(rng.uniform(0, 1, (2, *shape)), rng.integers(0, 3, 2), 2)
    options = Options(train=train, rounding=Rounding.RND, update_rounding=Rounding.RND, learning_rate=2.0**-4)
    options = replace(options, **more)
    program = compile_network(net, chip, net.initial(2), few, options).program
    assert program
    return program


def runs(net: Network, chip: Chip, train: bool, update: int = 3, **more: float) -> dict[str, np.ndarray]:
    program = built(net, chip, train, **more)
    machine = FastMachine(program)
    rng = np.random.default_rng(5)
    shape = program.inputs["input"].shape
    inputs = {"input": rng.integers(0, 4000, (update, *shape))}
    if "label" in program.inputs:
        inputs["label"] = rng.integers(0, 3, (update, 1))
    found = {}
    if train:
        if "train" in program.entries:
            machine.run("train", inputs, steps=update)
        else:
            for number, entry in enumerate(("accumulate_first", "accumulate", "update")):
                sample = {name: values[number : number + 1] for name, values in inputs.items()}
                machine.run(entry, sample if entry != "update" else {}, steps=1)
        for name, region in program.parameters.items():
            found[name] = machine.image.read(region, chip)
    one = {"input": inputs["input"][:1]}
    found["logits"] = machine.run("infer", one, steps=1, collect=("logits",)).outputs["logits"]
    return found


def moved(program) -> int:
    return len(program.streams[Engine.DMA]) - len(program.entries)


@pytest.mark.parametrize(
    ("net", "feature", "weight"),
    [
        (plain, 1500, 1 << 14),
        (plain, 1500, 1700),
        (residual, 1000, 1 << 14),
        (pooled, 1000, 1 << 14),
        (expanded, 3000, 1 << 14),
        (matrix, 1 << 14, 2000),
        (wide, 1000, 1 << 14),
    ],
)
def test_inference(net, feature, weight):
    small = sized(feature, weight)
    assert moved(built(net(), small, False)) > 0
    assert moved(built(net(), LARGE, False)) == 0
    expected, found = runs(net(), LARGE, False), runs(net(), small, False)
    assert np.array_equal(expected["logits"], found["logits"])
    assert np.any(found["logits"])


@pytest.mark.parametrize(
    ("net", "feature", "weight"),
    [(plain, 3400, 1 << 14), (plain, 3400, 1900), (residual, 3400, 1 << 14), (pooled, 3400, 1 << 14)],
)
def test_training(net, feature, weight):
    small = sized(feature, weight)
    expected, found = runs(net(), LARGE, True), runs(net(), small, True)
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name


@pytest.mark.parametrize("more", [{}, {"momentum": 0.5, "weight_decay": 0.125}, {"micro_batch": 2}])
@pytest.mark.parametrize("net", [deep, separable, matrix])
def test_training_with_weights_beyond_the_weight_memory(net, more):
    small = sized(1 << 14, 2000)
    assert moved(built(net(), LARGE, True, **more)) == 0
    expected, found = runs(net(), LARGE, True, **more), runs(net(), small, True, **more)
    first = built(net(), LARGE, True, **more)
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name
        if name != "logits":
            assert np.any(expected[name] != first.image.read(first.parameters[name], LARGE)), name
