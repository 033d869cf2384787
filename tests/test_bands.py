"""Maps of which not even a kernel's rows fit the chip: bands of columns give PyTorch's bits, in all executions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.isa import Engine, Rounding, Transfer
from arch.program import Program
from compiler import Calibration, Network, NetworkError, Options, compile_network
from compiler.pipeline import INFER, Build
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from tests.compiler.small_chips import sized
from tests.oracle.cases import functional, rounded, tensor
from tinycl.agreement import agree

MOST_BYTES = 1200
"""Of the memories that random networks get at most."""


def built(network: Network, chip: Chip) -> tuple[Build, Program]:
    samples = Calibration(np.random.default_rng(1).uniform(0, 1, (1, *network.input_shape)), np.zeros(1, int), 1)
    build = compile_network(network, chip, network.initial(2), samples, Options(train=False, rounding=Rounding.RND))
    assert build.program
    return build, build.program


def columns_pass(program: Program) -> bool:
    """Whether some columns of a map come or go by themselves."""
    transfers = [item for item in program.streams[Engine.DMA] if isinstance(item, Transfer)]
    return any(item.lines > 1 and item.external_pitch > item.count for item in transfers)


def given_words(program: Program, seed: int) -> dict[str, np.ndarray]:
    return {"input": np.random.default_rng(seed).integers(-999, 1000, program.inputs["input"].shape)}


def test_all_executions_agree():
    network = Network("wide", (64, 4, 224)).conv(8, bias=True).relu().max_pool(2).conv(3, 1)
    _, program = built(network, Chip.load("paper"))
    assert columns_pass(program)
    inputs = {name: values[None] for name, values in given_words(program, 0).items()}
    (found,) = agree([(program, inputs)], INFER)
    assert found.differences == []


@st.composite
def networks(draw):
    """A convolution whose rows do not fit the memory beside it, and perhaps a pooling behind it."""
    kernel, stride = (draw(st.integers(1, 5)), draw(st.integers(1, 6))), draw(st.integers(1, 3))
    dilation, channels = draw(st.integers(1, 2)), draw(st.integers(2, 7))
    pads = tuple(draw(st.integers(0, side - 1)) for side in (*kernel, *kernel))
    reach = [(side - 1) * dilation + 1 for side in kernel]
    size = draw(st.integers(reach[0], reach[0] + 4)), draw(st.integers(reach[1] + 24, reach[1] + 40))
    network = Network("wide", (channels, *size))
    depthwise = draw(st.booleans())
    filters = channels if depthwise else draw(st.integers(1, 7))
    groups = channels if depthwise else 1
    network.conv(filters, kernel, stride=stride, padding=pads, dilation=dilation, groups=groups, bias=True).relu()
    pool = draw(st.sampled_from([0, 2, 3]))
    if pool and min(network.shape[1:]) >= pool:
        network.max_pool(pool, stride=draw(st.integers(1, 2)), padding=draw(st.integers(0, 1)))
    planes = -(-channels // 3)
    return network, min(reach[0] * planes * size[1] * 6 * 7 // 10, MOST_BYTES)


@settings(max_examples=20, deadline=None)
@given(networks(), st.integers(0, 1 << 30))
def test_bands_of_columns_are_what_pytorch_computes(drawn, seed):
    network, memory = drawn
    try:
        build, program = built(network, sized(memory))
    except NetworkError:  # too small even for bands of one column
        reject()
    assume(columns_pass(program))
    words = given_words(program, seed)
    slow = SteppingMachine(program).run(INFER, words, trace=True)
    fast = FastMachine(program).run(INFER, {name: values[None] for name, values in words.items()}, trace=True)
    assert fast.cycles == slow.cycles
    assert fast.retirements == slow.retirements
    found = fast.outputs["logits"]
    assert np.array_equal(found, slow.outputs["logits"])
    assert np.array_equal(found.transpose(2, 0, 1), expected(network, build, program, words["input"]))


def expected(network: Network, build: Build, program: Program, x: np.ndarray) -> np.ndarray:
    """PyTorch's result in float64 of the program's integers, rounded once."""
    assert build.fractions
    conv, bits = network.nodes[0], build.fractions
    attributes = conv.attributes
    w, b = (program.image.read(program.parameters[conv.parameters[role]], program.chip) for role in ("weight", "bias"))
    top, left, bottom, right = attributes.pads
    padded = functional.pad(tensor(x.transpose(2, 0, 1)[None]), (left, right, top, bottom))
    total = bits["input"] + bits[conv.parameters["weight"]]
    shift = total - bits[conv.name]
    sums = functional.conv2d(
        padded, tensor(w), None, attributes.strides, 0, attributes.dilations, attributes.group
    ) + tensor(b)[:, None, None] * 2.0 ** (total - bits[conv.parameters["bias"]])
    y = np.maximum(rounded(sums[0], program.chip, shift), 0)
    for pool in (node.attributes for node in network.nodes if node.operator == "MaxPool"):
        return functional.max_pool2d(tensor(y[None]), pool.kernel_shape, pool.strides, pool.pads[:2])[0].numpy()
    return y


def test_a_single_column_is_as_narrow_as_bands_get():
    network = Network("narrow", (6, 5, 30)).conv(4, 5, padding=2)
    _, program = built(network, sized(400))
    assert columns_pass(program)
    with pytest.raises(NetworkError, match=r"bytes too few; enlarge feature_memory\.bytes"):
        built(network, sized(150))
