"""Random networks train to the same bits whatever the weight memory holds, and whether zeros are left out or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import event, example, given, reject, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.isa import Engine, Rounding
from arch.program import Program
from compiler import Calibration, Network, NetworkError, Options, compile_network
from compiler.graph import INFER, TRAIN, UPDATE
from compiler.octets import Bits
from sim.fast import FastMachine
from sim.stepping import SteppingMachine

EXACT = Options(rounding=Rounding.RND, update_rounding=Rounding.RND, learning_rate=2.0**-4)
OPTIMISERS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.5},
    {"momentum": 0.5, "weight_decay": 0.125},
    {"micro_batch": 2},
    {"micro_batch": 2, "batch_norm": "batch"},
]
BITS = [Bits(), Bits(), Bits(8, 8, 8), Bits(weights=8), Bits(activations=8), Bits(gradients=8)]
SHARES = [0.1, 0.3, 0.5, 0.7, 4.0]
"""Bytes of the small weight memory beside those of the parameters: from a part of them to all and what they need."""
ROOMY = Chip.load("paper").replace(
    weight_memory={"bytes": 1 << 20, "banks": 9, "pages": 2},
    external_memory={"bytes_per_cycle": 4, "latency_cycles": 3, "bytes": 1 << 22},
    program_memory={"instructions": 65536},
)


def grown(draw, net: Network, number: int) -> Network:
    """The network and a layer or two more, if they can be."""
    channels, height, width = net.shape
    first, second = f"a{number}", f"b{number}"
    kernel = min(draw(st.sampled_from([1, 2, 3, 3, 5])), height, width)
    layer = draw(st.sampled_from(["conv", "conv", "groups", "depthwise", "pool", "average", "norm", "add", "concat"]))
    if layer == "conv":
        return net.conv(draw(st.integers(1, 30)), kernel, stride=draw(st.integers(1, 2)), bias=draw(st.booleans()))
    if layer == "groups" and channels % 3 == 0:
        return net.conv(3 * draw(st.integers(1, 9)), kernel, groups=3)
    if layer == "depthwise":
        return net.depthwise(3, stride=draw(st.integers(1, 2)))
    if layer in ("pool", "average") and min(height, width) > 1:
        return net.max_pool(2) if layer == "pool" else net.average_pool(2)
    if layer == "norm":
        return net.batch_norm().relu()
    if layer == "add":
        return net.relu(name=first).conv(channels, 3, name=second).add(first, second)
    if layer == "concat":
        wide = net.relu(name=first).conv(draw(st.integers(1, 20)), draw(st.sampled_from([1, 3])), name=second)
        return wide.concat(first, second)
    return net.relu()


@st.composite
def networks(draw) -> Network:
    net = Network("random", (draw(st.integers(1, 12)), draw(st.integers(4, 9)), draw(st.integers(1, 9))))
    for number in range(draw(st.integers(1, 5))):
        net = grown(draw, net, number)
    net = net.global_average_pool() if draw(st.booleans()) else net
    net = net.dense(draw(st.integers(2, 90))).relu() if draw(st.booleans()) else net
    return net.dense(draw(st.integers(2, 8))).softmax_cross_entropy()


def compiled(net: Network, chip: Chip, seed: int, options: Options) -> Program:
    rng = np.random.default_rng(seed)
    few = Calibration(rng.uniform(-1, 1, (4, *net.input_shape)), rng.integers(0, 2, 4), 2)
    program = compile_network(net, chip, net.initial(seed), few, options).program
    assert program
    return program


def given_words(program: Program, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    homes = sorted(program.inputs.items())
    highest = {name: 2 if name.startswith("label") else min(3000, home.largest(program.chip)) for name, home in homes}
    return {name: rng.integers(0, most, (2, *program.inputs[name].shape)) for name, most in highest.items()}


def trained(program: Program, seed: int) -> dict[str, np.ndarray]:
    """The parameters after two passes, and then the result of an inference."""
    machine, words = FastMachine(program), given_words(program, seed)
    for entry in (entry for entry in program.entries if entry != INFER):
        for k in range(2 if entry == TRAIN else 1):
            machine.run(entry, None if entry == UPDATE else {name: x[k : k + 1] for name, x in words.items()})
    found = {name: machine.image.read(home, program.chip) for name, home in program.parameters.items()}
    return found | machine.run(INFER, {"input": words["input"][:1]}).outputs


def scattering() -> Network:
    """A convolution whose zeros are left out by scattering: its rows lie turned."""
    net = Network("scattering", (4, 6, 6)).depthwise(3).relu().conv(7, 3).relu()
    return net.dense(4).softmax_cross_entropy()


@settings(max_examples=60, deadline=None)
@example(scattering(), {"momentum": 0.5}, 4.0, Bits(), True, 0)
@example(scattering(), {"micro_batch": 2}, 4.0, Bits(), True, 0)
@given(
    networks(),
    st.sampled_from(OPTIMISERS),
    st.sampled_from(SHARES),
    st.sampled_from(BITS),
    st.booleans(),
    st.integers(0, 999),
)
def test_training_gives_the_same_bits(net, optimiser, share, bits, skip, seed):
    options = replace(EXACT, **optimiser, bits=bits)
    rows = sum(value.size for value in net.initial(0).values()) * share // ROOMY.multipliers
    small = {"bytes": 4 * ROOMY.multipliers * 2 * max(4, int(rows) // 4), "banks": 9, "pages": 2}
    try:
        expected = trained(compiled(net, ROOMY, seed, options), seed)
        program = compiled(net, ROOMY.replace(weight_memory=small), seed, replace(options, skip=skip))
    except NetworkError:  # too small even for one group of kernels
        reject()
    event(f"transfers: {len(program.streams[Engine.DMA]) > len(program.entries)}")
    found = trained(program, seed)
    for name, values in expected.items():
        assert np.array_equal(found[name].ravel(), values.ravel()), name
    entry = next(entry for entry in program.entries if entry != INFER)
    words = {name: values[0] for name, values in given_words(program, seed).items()}
    slow = SteppingMachine(program).run(entry, words)
    assert FastMachine(program).run(entry, {name: x[None] for name, x in words.items()}).cycles == slow.cycles
