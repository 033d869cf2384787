"""A training step by the statistics of a micro-batch on the simulated chip: PyTorch's values, one answer, its range."""

from __future__ import annotations

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from arch.program import Program
from compiler import Calibration, Network, Options, compile_network
from compiler.graph import TRAIN, sample_name
from compiler.pipeline import Build
from compiler.reciprocal_root import RANGE, root_error
from sim.fast import FastMachine
from tests.compiler.torch_reference import TorchBatchNetwork
from tinycl.agreement import agree
from tinycl.checking import Probe
from tinycl.micro_batches import in_passes
from tinycl.training import chip_inputs

PAPER = Chip.load("paper")
COUNT = 4
SPREAD = 16.0
"""Of the range's test: the power of four above twice the variance 4."""
STEPS = 16
"""The bound, in steps of each tensor's format, of a whole step's values and gradients beside PyTorch in float64."""


def network() -> Network:
    """A residual block of 12 channels, which is two words of the chip."""
    net = Network("block", (2, 6, 6)).conv(12).batch_norm().relu().conv(12).batch_norm()
    return net.add("batch_norm2", "relu1").relu().max_pool(2).dense(3, bias=True).softmax_cross_entropy()


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples on the grid of the input's format."""
    rng = np.random.default_rng(4)
    return rng.integers(-16, 17, (count, 2, 6, 6)) / 16, rng.integers(0, 3, count)


@pytest.fixture(scope="module")
def build() -> Build:
    net, given = network(), data(8 * COUNT)
    options = Options(learning_rate=2.0**-5, update_rounding=Rounding.RND_CONV, micro_batch=COUNT, batch_norm="batch")
    return compile_network(net, PAPER, net.initial(3), Calibration(*given, 8 * COUNT), options)


def first_parameters(build: Build) -> dict[str, np.ndarray]:
    """As the chip's formats hold them."""
    assert build.program
    regions = build.program.parameters
    return {
        name: np.ldexp(build.program.image.read(regions[name], PAPER).reshape(value.shape), -regions[name].fraction)
        if name in regions
        else value
        for name, value in build.parameters.items()
    }


def test_values_and_gradients_are_those_of_pytorch(build):
    assert build.program and build.graph and build.fractions
    samples, labels = data(COUNT)
    reference = TorchBatchNetwork(build.network, first_parameters(build))
    values = reference.values(samples)
    (reference.loss(values["result"], labels) * COUNT).backward()
    words = Probe(build, TRAIN).run(build.calibration, np.arange(COUNT))

    def close(name: str, found: np.ndarray, expected: np.ndarray) -> None:
        steps = np.abs(found - np.ldexp(expected, build.fractions[name]).reshape(found.shape)).max()
        assert steps <= STEPS, f"{name}: {steps:.1f} steps"

    seen = 0
    for value in ("conv1", "relu1", "conv2", "relu2", "max_pool1", "dense1"):
        held = {"relu1": "batch_norm1", "relu2": "add1"}.get(value, value)
        for number in range(COUNT):
            close(sample_name(held, number), words[sample_name(held, number)], values[value][number].detach().numpy())
            seen += 1
    assert seen == 6 * COUNT
    machine = FastMachine(build.program)
    given, order = in_passes(build.program, TRAIN, chip_inputs(build.program, samples, labels), np.arange(COUNT))
    machine.run(TRAIN, given, order=order)
    regions = build.program.tensors
    for name, leaf in reference.parameters.items():
        assert leaf.grad is not None
        close(f"{name}.gradient", machine.image.read(regions[f"{name}.gradient"], PAPER), leaf.grad.numpy())
    running = [name for name in reference.all if ".running_" in name]
    assert len(running) == 4
    for name in running:
        close(name, machine.image.read(regions[name], PAPER), reference.all[name].numpy())


def test_inference_after_a_step_is_by_the_running_statistics(build):
    assert build.program and build.graph and build.fractions
    samples, labels = data(2 * COUNT)
    machine, twin = FastMachine(build.program), build.twin()
    inputs = chip_inputs(build.program, samples, labels)
    given, order = in_passes(build.program, TRAIN, inputs, np.arange(2 * COUNT))
    before = machine.run("infer", {"input": inputs["input"][:1]}).outputs["logits"]
    machine.run(TRAIN, given, steps=2, order=order)
    twin.train(samples, labels, np.arange(2 * COUNT))
    after = machine.run("infer", {"input": inputs["input"]}, steps=2 * COUNT, collect=("logits",)).outputs["logits"]
    expected = np.ldexp([twin.infer(sample) for sample in samples], build.fractions[build.graph.logits])
    assert np.abs(after - expected).max() <= STEPS
    assert np.abs(after[:1] - before).max() > 4 * STEPS


def test_all_executions_agree(build):
    assert build.program
    samples, labels = data(COUNT)
    given, _ = in_passes(build.program, TRAIN, chip_inputs(build.program, samples, labels), np.arange(COUNT))
    (found,) = agree([(build.program, given)], TRAIN)
    assert found.differences == []
    assert found.retirements > 400


def ranged() -> tuple[Build, Program]:
    """A normalisation of the input, calibrated on values of +-2, and something to train behind it."""
    net = Network("ranged", (16, 4, 4)).batch_norm(epsilon=0.0).conv(3, bias=True).mean_squared_error()
    samples = np.random.default_rng(0).choice([-2.0, 2.0], (4, 16, 4, 4))
    options = Options(micro_batch=2, batch_norm="batch")
    build = compile_network(net, PAPER, net.initial(0), Calibration(samples, np.zeros((4, 48)), 4), options)
    assert build.program
    return build, build.program


def test_the_root_is_within_its_bound_and_the_range_has_ends():
    """Channel c has the standard deviation 3.5 / 2**(c / 2), beside the 2 of calibration."""
    build, program = ranged()
    assert build.fractions
    signs = np.random.default_rng(1).permuted(np.tile([-1.0, 1.0], (16, 16)), axis=1)
    values = np.rint(signs * 3.5 * 2.0 ** (-np.arange(16)[:, None] / 2) * 4096) / 4096
    samples = values.reshape(16, 2, 4, 4).transpose(1, 0, 2, 3)
    machine = FastMachine(program)
    given, order = in_passes(program, TRAIN, chip_inputs(program, samples, np.zeros((2, 48))), np.arange(2))
    machine.run(TRAIN, given, order=order)
    name = "batch_norm1.normal.factor"
    found = np.ldexp(machine.image.read(program.tensors[name], PAPER).reshape(16), -build.fractions[name])
    shares = values.var(axis=1) / SPREAD
    inside = np.clip(shares, 1 / RANGE, 1)
    bits = build.fractions
    squares, parts = bits["batch_norm1.normal.squares"], bits[sample_name("batch_norm1.normal.scaled", 0)]
    wrong = 2.0**-squares / 32 + 2.0**-parts * np.sqrt(inside) + 2.0**-15
    bound = root_error(inside, wrong, PAPER.word_bits)
    error = np.abs(found * np.sqrt(inside) - 1)
    assert np.all(error <= bound), np.stack([error, bound])
    assert bound[:7].max() < 0.005
    assert np.count_nonzero(shares < 1 / RANGE) == 6 and shares.max() < 1
    assert np.ptp(found[-6:]) == 0
