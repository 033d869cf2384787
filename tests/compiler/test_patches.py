"""An input laid as patches: the same values in fewer cycles, and only where it is so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from arch.layout import Kind
from compiler import Calibration, Options, compile_network
from compiler.float_twin import FloatTwin
from compiler.graph import INFER, TRAIN
from compiler.lowering import lower
from compiler.mapping import Choice, Mapping
from compiler.network import Network
from compiler.nodes import INPUT
from compiler.patches import laid_patches
from sim.fast import FastMachine

PAPER = Chip.load("paper")


def plain() -> Network:
    """One channel, no windows."""
    return Network("plain", (1, 13, 11)).conv(8, 5, bias=True).relu().conv(4).dense(3).softmax_cross_entropy()


def keywords() -> Network:
    """The first layer of the depthwise-separable network for keywords."""
    net = Network("keywords", (1, 49, 10)).conv(64, (10, 4), stride=2, padding=(4, 1, 5, 1), bias=True).relu()
    return net.depthwise().relu().conv(8, 1).average_pool((25, 5)).flatten().dense(3).softmax_cross_entropy()


def tall() -> Network:
    """Two channels, strides that differ."""
    net = Network("tall", (2, 11, 7)).conv(5, (3, 2), stride=(3, 2), padding=(1, 0, 0, 1), bias=True)
    return net.relu().dense(3).softmax_cross_entropy()


def built(net: Network, train: bool, walk: bool) -> Any:
    """Compiled, as the compiler likes it or with the first convolution over the map itself."""
    rng = np.random.default_rng(3)
    few = Calibration(rng.uniform(-1, 1, (3, *net.input_shape)), rng.integers(0, 3, 3), 3)
    mapping = Mapping({net.nodes[0].name: Choice(walk="pixels")}) if walk else Mapping()
    options = Options(
        train=train, rounding=Rounding.RND, update_rounding=Rounding.RND, learning_rate=2.0**-4, mapping=mapping
    )
    return compile_network(net, PAPER, net.initial(2), few, options)


def ran(build, train: bool) -> dict[str, np.ndarray]:
    program = build.program
    machine = FastMachine(program)
    rng = np.random.default_rng(5)
    inputs = {INPUT: rng.integers(-200, 200, (3, *program.inputs[INPUT].shape))}
    if train:
        machine.run(TRAIN, inputs | {"label": rng.integers(0, 3, (3, 1))}, steps=3)
    found = {"logits": machine.run(INFER, {INPUT: inputs[INPUT][:1]}).outputs["logits"]}
    shapes = build.network.shapes
    return found | {
        name: machine.image.read(region, PAPER).reshape(shapes[name]) for name, region in program.parameters.items()
    }


@pytest.mark.parametrize(("net", "train"), [(plain, False), (plain, True), (keywords, False), (keywords, True)])
def test_the_same_values_in_fewer_cycles(net, train):
    patched, walked = built(net(), train, False), built(net(), train, True)
    assert patched.program.inputs[INPUT].kind == Kind.PATCHES
    assert walked.program.inputs[INPUT].kind == Kind.MAP
    assert patched.program.inputs[INPUT].shape == walked.program.inputs[INPUT].shape
    expected, found = ran(walked, train), ran(patched, train)
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name
    assert np.any(found["logits"])
    entry = TRAIN if train else INFER
    assert patched.reports[entry].cycles < walked.reports[entry].cycles
    assert patched.reports[entry].macs == walked.reports[entry].macs


def test_what_the_array_could_not_walk_it_can_as_patches():
    build = built(tall(), True, False)
    assert build.program.inputs[INPUT].kind == Kind.PATCHES
    twin = FloatTwin(lower(tall(), build.parameters))
    region = build.program.inputs[INPUT]
    sample = np.random.default_rng(1).integers(-200, 200, region.shape)
    machine = FastMachine(build.program)
    found = machine.run(INFER, {INPUT: sample[None]}).outputs["logits"]
    step = 2.0 ** -build.program.outputs["logits"].fraction
    expected = twin.infer(sample.transpose(2, 0, 1) * 2.0**-region.fraction)
    assert np.abs(found * step - expected).max() < 0.02


def test_users_see_the_shapes_of_the_network():
    net = keywords()
    graph = laid_patches(lower(net, net.initial(0)), PAPER, False)
    assert graph.tensors[INPUT].shape == (40, 25, 5)
    twin, plain_twin = FloatTwin(graph), FloatTwin(lower(net, net.initial(0)))
    assert {name: value.shape for name, value in twin.parameters.items()} == net.shapes
    sample = np.random.default_rng(0).normal(0, 1, net.input_shape)
    np.testing.assert_allclose(twin.infer(sample), plain_twin.infer(sample), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "net",
    [
        Network("windows", (1, 9, 9)).conv(8),
        Network("colours", (3, 9, 9)).conv(8, 5),
        Network("pointwise", (1, 9, 9)).conv(8, 1),
        Network("again", (1, 9, 9)).conv(1).add("conv1", INPUT),
        Network("holes", (1, 9, 9)).conv(8, 2, stride=3, padding=0),
        Network("vector", (9,)).dense(8),
        Network("pooled", (1, 8, 8)).max_pool(2).conv(8),
    ],
    ids=lambda net: net.name,
)
def test_other_inputs_stay_maps(net):
    graph = lower(net, net.initial(0))
    assert laid_patches(graph, PAPER, False) is graph


def test_patches_cost_what_they_bring_from_outside():
    net = Network("large", (1, 100, 100)).conv(6, 5)
    graph = lower(net, net.initial(0))
    slow = PAPER.replace(external_memory={"bytes_per_cycle": 4, "latency_cycles": 50, "bytes": 1 << 26})
    assert laid_patches(graph, PAPER, False) is not graph
    assert laid_patches(graph, slow, False) is graph
    assert laid_patches(graph, PAPER.replace(external_memory=None), False) is graph
