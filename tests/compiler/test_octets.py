"""Elements of 8 bits: which tensors get them, what the numbers become, and what lies outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Compute, Engine, Storage, Transfer
from arch.layout import Store
from compiler import Bits, Build, Calibration, Network, NetworkError, Options, compile_network
from compiler.formats import Headroom
from compiler.graph import INFER, TRAIN
from compiler.mapping import Choice, Mapping
from sim.fast import FastMachine
from tinycl.agreement import agree
from tinycl.checking import Probe
from tinycl.executions import compare

PAPER = Chip.load("paper")
PAGED = {"bytes": 6144, "banks": 3, "pages": 4}
SMALL = PAPER.replace(
    feature_memory=PAGED, gradient_memory=PAGED, weight_memory={"bytes": 9216, "banks": 9, "pages": 4}
)
RNG = np.random.default_rng(3)


def network() -> Network:
    net = Network("net", (3, 12, 12)).conv(16, name="first").relu().max_pool(2, name="pool").conv(20, name="second")
    return net.relu().dense(30, name="wide").relu().dense(4, name="last").softmax_cross_entropy()


def built(net: Network, chip: Chip = PAPER, train: bool = True, **options) -> Build:
    data = Calibration(RNG.normal(0, 1, (4, *net.input_shape)), np.array([0, 1, 2, 3]), 4)
    return compile_network(net, chip, net.initial(0), data, Options(train=train, **options))


def names(build: Build) -> set[str]:
    assert build.graph
    return set(build.graph.octets)


def test_bits_are_asked_by_role_and_layer():
    net, every = network(), {"first", "pool", "second", "wide"}
    assert names(built(net)) == set()
    weights = {f"{layer}.weight" for layer in ("first", "second", "wide", "last")}
    assert names(built(net, bits=Bits(weights=8))) == weights
    assert names(built(net, bits=Bits(activations=8))) == {"input", *every}
    gradients = {"first.gradient.pool", "pool.gradient", "second.gradient", "wide.gradient"}
    assert names(built(net, bits=Bits(gradients=8))) == gradients
    mapping = Mapping({"wide": Choice(weight_bits=8), "last": Choice(result_bits=8), "pool": Choice(result_bits=16)})
    assert names(built(net, mapping=mapping)) == {"wide.weight", "last"}
    found = names(built(net, mapping=mapping, bits=Bits(activations=8)))
    assert found == {"input", "first", "second", "wide", "wide.weight", "last"}


def test_what_a_layer_makes_on_its_way_keeps_the_chips_bits():
    net = Network("net", (3, 8, 8)).conv(4, name="conv").leaky_relu(0.125, name="leaky").dense(3)
    build = built(net, train=False, bits=Bits(activations=8))
    assert build.graph
    results = {operation.output for operation in build.graph.entries[INFER] if operation.layer == "leaky"}
    assert len(results & names(build)) == 1 and len(results) > 1


def test_copies_have_the_bits_of_the_first():
    build = built(network(), batch_norm="", micro_batch=2, bits=Bits(activations=8))
    again = replace(build.options, mapping=Mapping({"first": Choice(recompute=True)}))
    data = Calibration(RNG.normal(0, 1, (4, 3, 12, 12)), np.array([0, 1, 2, 3]), 4)
    graph = compile_network(network(), PAPER, network().initial(0), data, again).graph
    assert graph and graph.copies
    assert all((copy in graph.octets) == (first in graph.octets) for copy, first in graph.copies.items())
    assert any(copy in graph.octets for copy in graph.copies)


@pytest.mark.parametrize("headroom", [0.01, 2.0])
def test_results_saturate_at_eight_bits(headroom):
    build = built(network(), bits=Bits(8, 8, 8), headroom=Headroom(headroom, headroom, headroom))
    assert build.program and build.graph and build.fractions and build.reports
    computes = [item for item in build.program.streams[Engine.ARRAY] if isinstance(item, Compute)]
    assert {item.target_storage for item in computes} == set(Storage)
    machine = FastMachine(build.program)
    region = build.program.inputs["input"]
    given = {"input": RNG.integers(-128, 128, (6, *region.shape)), "label": np.ones((6, 1), int)}
    counts = machine.run(TRAIN, given, steps=6).counters
    for name, home in build.program.parameters.items():
        values = machine.image.read(home, PAPER)
        assert (home.bits, np.abs(values + 0.5).max() < 128) == (8, True), name
    assert headroom > 1 or counts.sum()
    rows = {row.name: row for row in build.reports[TRAIN].tensors}
    assert rows["first.weight"].bits == 8 and rows["first.weight"].bytes == 3 * 9 * 16
    assert rows["last"].bits == 16 and rows["pool"].limit == 127 * 2.0 ** -build.fractions["pool"]


def test_whatever_makes_a_tensor_keeps_it_in_eight_bits():
    net = Network("every", (6, 12, 12)).conv(8, 5, stride=2, bias=True, name="a").relu().depthwise(3, name="b").relu()
    net = net.conv(8, 1, name="c").add("b", "c", name="d").leaky_relu(0.5, name="e").conv(24, 3, name="f", groups=8)
    net = net.concat("e", "f", name="g").batch_norm(name="h").relu().max_pool(2, name="i").average_pool(3, name="j")
    net = net.conv(12, 3, dilation=2, name="k").global_average_pool(name="l").dense(9, bias=True, name="m").relu()
    net = net.dense(4, name="n").softmax_cross_entropy()
    few = Headroom(0.02, 0.02, 0.02)
    data = Calibration(RNG.normal(0, 1, (2, 6, 12, 12)), np.array([1, 2]), 2)
    build = compile_network(net, PAPER, net.initial(0), data, Options(bits=Bits(8, 8, 8), headroom=few, momentum=0.5))
    words = Probe(build, TRAIN).run(data, np.array([0]))
    narrow = {name: values for name, values in words.items() if name in names(build)}
    assert len(narrow) > 20 and {"d", "g", "j", "l", "m", "f.weight", "k.gradient"} <= narrow.keys()
    ends = [name for name, values in narrow.items() if np.abs(values + 0.5).max() == 127.5]
    assert all(np.abs(values + 0.5).max() <= 127.5 for values in narrow.values()) and len(ends) > 5


def test_a_weight_that_stays_gets_no_headroom():
    kept, trained = (built(network(), train=train, bits=Bits(weights=8)) for train in (False, True))
    assert kept.fractions and trained.fractions and kept.largest
    name = "wide.weight"
    assert kept.fractions[name] == trained.fractions[name] + 1
    assert kept.largest[name] * 2.0 ** kept.fractions[name] < 127.5


def test_a_clip_is_the_end_of_eight_bits():
    net = Network("net", (3, 8, 8)).conv(12, bias=True, name="conv").relu6(name="clip").conv(4, name="end").dense(2)
    parameters = {name: 9 * RNG.normal(0, 1, shape) for name, shape in net.shapes.items()}
    data = Calibration(RNG.normal(0, 1, (4, 3, 8, 8)), np.zeros(4, int), 4)
    build = compile_network(net, PAPER, parameters, data, Options(train=False, bits=Bits(activations=8)))
    assert build.fractions and build.graph and {"clip", "end"} <= names(build)
    assert build.fractions["clip"] == 7 and [item.layer for item in build.graph.entries[INFER]][:2] == ["conv", "end"]
    wide = built(net, train=False).fractions
    assert wide and wide["clip"] == 15


def test_what_passes_by_lies_outside_as_bytes():
    plain, narrow = (built(network(), SMALL, bits=bits) for bits in (Bits(), Bits(8, 8, 8)))
    assert plain.program and narrow.program and plain.reports and narrow.reports
    transfers = [item for item in narrow.program.streams[Engine.DMA] if isinstance(item, Transfer)]
    assert {item.storage for item in transfers} == set(Storage)  # the biases' gradients and the label are words
    homes = narrow.program.parameters
    outside = [home for home in homes.values() if home.store == Store.EXTERNAL]
    assert outside and all(home.packed for home in outside)
    a, b = (reports[TRAIN].traffic["external"] for reports in (plain.reports, narrow.reports))
    assert 0.5 <= (b.reads + b.writes) / (a.reads + a.writes) < 0.65
    assert narrow.reports[TRAIN].cycles < plain.reports[TRAIN].cycles
    given = {"input": RNG.integers(-128, 128, narrow.program.inputs["input"].shape), "label": np.array([2])}
    found = compare(narrow.program, TRAIN, given)
    assert found.differences == [] and found.cycles == narrow.reports[TRAIN].cycles


def test_weights_and_input_as_bytes_on_rtl():
    net = Network("net", (3, 20, 30)).conv(64, stride=4).relu()
    for _ in range(3):
        net = net.conv(64, 3).relu()
    net = net.global_average_pool().dense(3).softmax_cross_entropy()
    program = built(net, train=False, bits=Bits(weights=8, activations=8)).program
    assert program and program.inputs["input"].packed
    transfers = [item for item in program.streams[Engine.DMA] if isinstance(item, Transfer)]
    assert {item.storage for item in transfers} == {Storage.BYTE} and len({item.memory for item in transfers}) > 1
    (found,) = agree([(program, {"input": RNG.integers(-128, 128, (1, *program.inputs["input"].shape))})], INFER)
    assert found.differences == []


def test_words_of_eight_bits_lie_as_bytes():
    eight = SMALL.replace(word_bits=8)
    build = built(network(), eight)
    program = build.program
    assert program and build.reports
    transfers = [item for item in program.streams[Engine.DMA] if isinstance(item, Transfer)]
    assert {item.storage for item in transfers} == {Storage.BYTE}
    computes = [item for item in program.streams[Engine.ARRAY] if isinstance(item, Compute)]
    assert {item.target_storage for item in computes} == {Storage.WORD}
    home = program.inputs["input"]
    assert home.packed and build.reports[TRAIN].used_bytes["external"] > 0.8 * program.image.external.nbytes
    given = {"input": RNG.integers(-128, 128, home.shape), "label": np.array([2])}
    assert compare(program, TRAIN, given).differences == []


def test_a_chip_without_bytes_outside_says_so():
    one_beat = {"bytes_per_cycle": 16, "latency_cycles": 50, "bytes": 1 << 20}
    build = built(network(), SMALL.replace(external_memory=one_beat), bits=Bits(weights=8))
    assert build.graph and build.program
    assert "stores no bytes" in build.graph.notes[-1]
    assert {item.storage for item in build.program.streams[Engine.DMA] if isinstance(item, Transfer)} == {Storage.WORD}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"none": Choice(weight_bits=8)}, "none must be a layer of the network that has weights: first, second, wide"),
        ({"pool": Choice(weight_bits=8)}, "pool must be a layer of the network that has weights"),
        ({"none": Choice(result_bits=8)}, "none must be a layer of the network that makes a map: first, pool"),
    ],
)
def test_a_layer_without_it_is_named(mapping, words):
    with pytest.raises(NetworkError, match=words):
        built(network(), mapping=Mapping(mapping))


def test_bits_are_eight_or_sixteen():
    with pytest.raises(NetworkError, match="bits of gradients must be 8 or 16, not 9"):
        Bits(gradients=9)
    with pytest.raises(NetworkError, match="ROLE one of weights, activations, gradients, not 'b=8'"):
        Bits.of(["b=8"])


def test_a_clip_takes_the_bits_that_are_said_of_it():
    net = Network("net", (3, 8, 8)).conv(12, bias=True, name="conv").relu6(name="clip").max_pool(2, name="pool")
    net = net.conv(4, name="end").dense(2)
    assert names(built(net, train=False, mapping=Mapping({"clip": Choice(result_bits=8)}))) == {"clip", "pool"}
    with pytest.raises(NetworkError, match="result of pool has 16 bits by the model, or by the clip before it, not 8"):
        built(net, train=False, mapping=Mapping({"pool": Choice(result_bits=8)}))
