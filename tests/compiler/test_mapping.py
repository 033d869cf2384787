"""Choices forced on layers: they are followed, they change no value, and what cannot be is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Compute, Engine
from arch.modes import mode_of
from arch.timing import duration
from compiler import Build, Calibration, Network, NetworkError, Options, compile_network
from compiler.mapping import Choice, Mapping, load_mapping
from sim.fast import FastMachine

PAPER = Chip.load("paper")
CHOICES = [
    {"walk": "pixels"},
    {"walk": "window"},
    {"walk": "pixels", "tile": (3, 5)},
    {"walk": "window", "tile": (2, 12)},
    {"layout": "channels"},
    {"layout": "filters"},
    {"walk": "scatter"},
    {"skip": True},
]


def network() -> Network:
    net = Network("n", (8, 12, 12)).conv(8, name="wide").relu().conv(4, 1, name="point").conv(8, name="last")
    return net.relu(name="end").dense(3, name="dense").softmax_cross_entropy()


def build(mapping: dict[str, dict], net: Network | None = None, chip: Chip = PAPER, **options) -> Build:
    net = net or network()
    rng = np.random.default_rng(0)
    data = Calibration(rng.uniform(0, 1, (2, *net.input_shape)), np.zeros(2, np.int64), 2)
    chosen = Mapping({layer: Choice(**choice) for layer, choice in mapping.items()})
    return compile_network(net, chip, net.initial(0), data, Options(mapping=chosen, **options))


def computes(built: Build, layer: str, phase: str = "forward", entry: str = "train") -> list[Compute]:
    program = built.program
    assert program
    first = program.first(entry, Engine.ARRAY)
    labelled = zip(program.entry_streams(entry)[Engine.ARRAY], program.steps[Engine.ARRAY][first:], strict=False)
    return [item for item, step in labelled if isinstance(item, Compute) and (step.layer, step.phase) == (layer, phase)]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_choices_change_no_value(choice):
    plain, chosen = build({}), build({"wide": choice})
    assert plain.program and chosen.program
    inputs = {"input": np.random.default_rng(1).integers(0, 4000, (2, 12, 12, 8)), "label": np.array([[1], [2]])}
    results = []
    for program in (plain.program, chosen.program):
        machine = FastMachine(program)
        results.append(machine.run("infer", {"input": inputs["input"]}, steps=2, collect=("logits",)).outputs["logits"])
    assert np.array_equal(*results) and np.any(results[0])


def test_walks_layouts_and_tiles_are_followed():
    wide = computes(build({"wide": {"walk": "pixels"}}), "wide")
    assert {mode_of(item) for item in wide} == {"pixelwise"}
    for phase, mode in (("weight_gradient", "pixelwise_weights"), ("input_gradient", "pixelwise_by_channel")):
        last = computes(build({"last": {"walk": "pixels", "layout": "filters"}}), "last", phase)
        assert {mode_of(item) for item in last} == {mode}
    assert {mode_of(item) for item in computes(build({}), "wide")} == {"convolution"}
    assert {mode_of(item) for item in computes(build({}), "last")} == {"convolution_by_channel"}
    tiles = [(item.height, item.width) for item in computes(build({"wide": {"tile": (5, 7)}}), "wide")]
    assert tiles == [(5, 7), (5, 5), (5, 7), (5, 5), (2, 7), (2, 5)]
    scattered = computes(build({"wide": {"walk": "scatter"}}), "wide")
    assert {(mode_of(item), item.skip) for item in scattered} == {("scatter", 1)}


def test_skipping_is_forced_and_forbidden():
    plain, forced = build({}), build({"dense": {"skip": True}})
    for built, skip in ((plain, 0), (forced, 1)):
        assert {item.skip for item in computes(built, "dense", "weight_gradient")} == {skip}
    forbidden = build({"dense": {"skip": False}}, skip=True)
    assert {item.skip for item in computes(forbidden, "dense", "weight_gradient")} == {0}
    assert {item.skip for item in computes(forbidden, "wide", "weight_gradient")} == {1}


@pytest.mark.parametrize("side", [7, 10])
def test_the_walk_is_the_shorter_one(side):
    """On a chip with few accumulators, windows need more tiles than pixels for some maps."""
    chip = Chip.load("tiny").replace(program_memory={"instructions": 1024})
    net = Network("n", (6, side, side)).conv(2, 2, name="c")
    cycles = {}
    for walk in (None, "window", "pixels"):
        built = build({"c": {"walk": walk}}, net, chip, train=False)
        cycles[walk] = sum(duration(item, chip) for item in computes(built, "c", entry="infer"))
    assert cycles["window"] != cycles["pixels"]
    assert cycles[None] == min(cycles.values())


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"none": {}}, ["none", "wide, point, last, dense"]),
        ({"relu1": {"walk": "pixels"}}, ["relu1", "wide"]),
        ({"dense": {"walk": "pixels"}}, ["dense", "skip alone"]),
        ({"dense": {"tile": (1, 1)}}, ["dense", "skip alone"]),
        ({"point": {"walk": "window"}}, ["point", "3 x 3", "choose pixels"]),
        ({"point": {"walk": "scatter"}}, ["point", "cannot scatter", "3 x 3", "window or pixels"]),
        ({"wide": {"walk": "scatter", "tile": (2, 2)}}, ["wide", "walk alone"]),
        ({"point": {"skip": True}}, ["point", "nothing to skip"]),
    ],
)
def test_what_cannot_be_is_refused_by_name(mapping, words):
    with pytest.raises(NetworkError) as error:
        build(mapping, train=False)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_tile_must_have_cells_for_partial_sums():
    net = Network("n", (16, 12, 12)).conv(8, name="deep")
    with pytest.raises(NetworkError, match=r"deep: a tile of 9 x 9 outputs takes 81 .* 72 accumulator cells"):
        build({"deep": {"tile": (9, 9)}}, net, train=False)
    assert len(computes(build({"deep": {"tile": (6, 12)}}, net, train=False), "deep", entry="infer")) == 2
    with pytest.raises(NetworkError, match="16 channels a group; rows by channel hold at most 8"):
        build({"deep": {"layout": "channels"}}, net, train=False)


def test_a_file_is_read_and_checked(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text("wide: {walk: pixels, tile: [6, 12]}\ndense: {skip: true}\n")
    assert load_mapping(path) == Mapping({"wide": Choice(walk="pixels", tile=(6, 12)), "dense": Choice(skip=True)})
    for text, words in (
        ("wide: {walk: spiral, tile: [0, 1]}", ["wide.walk", "wide.tile.0"]),
        ("wide: {pace: 3}", ["wide.pace", "not permitted"]),
        ("wide: {tile: [1, 2, 3]}", ["wide.tile"]),
        ("- wide", ["mapping"]),
        ("wide: [", ["map.yaml"]),
    ):
        path.write_text(text)
        with pytest.raises(NetworkError) as error:
            load_mapping(path)
        assert "\n" not in str(error.value) and all(word in str(error.value) for word in words), str(error.value)
