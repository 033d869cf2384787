"""Values made again for the backward pass: the same bits, less traffic, and what cannot be is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from compiler import Build, Calibration, Network, NetworkError, Options, compile_network
from compiler.graph import TRAIN
from compiler.mapping import Choice, Mapping
from compiler.recomputation import candidates
from sim.fast import FastMachine
from tests.compiler.small_chips import sized

SHAPE = (4, 12, 12)
STEPS = 3
PAPER = Chip.load("paper")


def network() -> Network:
    net = Network("n", SHAPE).conv(6, name="first").relu().max_pool(2, name="pool")
    return net.conv(6, name="second").relu().conv(5, name="third").relu().dense(3, name="dense").softmax_cross_entropy()


def built(*layers: str, chip: Chip = PAPER, **options) -> Build:
    rng = np.random.default_rng(0)
    net = network()
    data = Calibration(rng.uniform(0, 1, (2, *SHAPE)), np.zeros(2, np.int64), 2)
    mapping = Mapping({layer: Choice(recompute=True) for layer in layers})
    return compile_network(net, chip, net.initial(0), data, Options(mapping=mapping, **options))


def learned(build: Build) -> dict[str, np.ndarray]:
    """All parameters after a few steps, and the logits of each."""
    assert build.program
    machine = FastMachine(build.program)
    images = np.random.default_rng(1).integers(0, 4000, (STEPS, *SHAPE[1:], SHAPE[0]))
    labels = np.arange(STEPS)[:, None]
    result = machine.run(TRAIN, {"input": images, "label": labels}, steps=STEPS, collect=("logits",))
    return {"logits": result.outputs["logits"]} | {
        name: machine.image.read(region, build.chip) for name, region in build.program.parameters.items()
    }


def test_a_value_made_again_has_the_same_bits():
    plain = learned(built())
    for layers in (["first"], ["pool"], ["second"], ["third", "second"], ["first", "pool", "second", "third"]):
        build = built(*layers)
        assert build.graph
        phases = {operation.layer for operation in build.graph.entries[TRAIN] if operation.phase == "recompute"}
        assert set(layers) <= phases
        again = learned(build)
        assert all(np.array_equal(plain[name], again[name]) for name in plain), layers


def test_a_chain_is_made_from_what_is_kept():
    build = built("second", "third")
    assert build.graph
    again = [operation for operation in build.graph.entries[TRAIN] if operation.phase == "recompute"]
    assert [operation.layer for operation in again] == ["second", "third"]
    assert again[1].inputs == (again[0].output,)
    plain = built().graph
    assert plain
    assert build.graph.entries["infer"] == plain.entries["infer"]


def test_what_cannot_be_is_refused_by_name():
    refused: list[tuple[list[str], dict[str, Any], list[str]]] = [
        (["none"], {}, ["none", "first, pool, second, third"]),
        (["dense"], {}, ["dense", "no backward pass"]),
        (["second"], {"train": False}, ["--train"]),
        (["second"], {"rounding": Rounding.STOCHASTIC}, ["at random", "nearest"]),
    ]
    for layers, options, words in refused:
        with pytest.raises(NetworkError) as error:
            built(*layers, **options)
        assert all(word in str(error.value) for word in words), str(error.value)


def test_statistics_of_a_micro_batch_are_not_made_again():
    net = Network("n", SHAPE).conv(6, name="first").batch_norm(name="norm").relu().dense(3).softmax_cross_entropy()
    data = Calibration(np.random.default_rng(0).uniform(0, 1, (2, *SHAPE)), np.zeros(2, np.int64), 2)
    mapping = Mapping({"norm": Choice(recompute=True)})
    options = Options(mapping=mapping, batch_norm="batch", micro_batch=2)
    with pytest.raises(NetworkError, match="norm takes statistics of the micro-batch"):
        compile_network(net, PAPER, net.initial(0), data, options)


def test_candidates_are_what_the_backward_pass_reads():
    graph = built().graph
    assert graph
    assert candidates(graph) == ["first", "pool", "second", "third"]


@pytest.mark.parametrize("feature", [2000, 3200, 4000])
def test_a_small_chip_transfers_less_and_learns_the_same(feature):
    chip = sized(feature)
    plain, again = built(chip=chip), built("first", chip=chip)
    assert plain.reports and again.reports
    assert again.reports[TRAIN].traffic["external"].writes < plain.reports[TRAIN].traffic["external"].writes
    first, second = learned(plain), learned(again)
    assert all(np.array_equal(first[name], second[name]) for name in first)
