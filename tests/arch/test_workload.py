"""The events of a pass in closed form beside those that the simulator counts."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.errors import InputError
from arch.events import DATA_DEPENDENT, Event
from arch.isa import Moving
from arch.modes import MODES
from arch.workload import Workload
from compiler import Calibration, Network, Options, compile_network
from compiler.pipeline import TRAIN
from sim.fast import FastMachine

RNG = np.random.default_rng(1)
SAMPLES = RNG.uniform(0, 1, (4, 3, 6, 6))
LABELS = RNG.integers(0, 4, 4)
NETWORK = Network("small", (3, 6, 6)).conv(3, 2, padding=0, name="c").relu().dense(4, name="d").softmax_cross_entropy()
CHIP = Chip.load("tiny").replace(program_memory={"instructions": 256}, accumulator_banks=3)


def program_of(skip: bool):
    options = Options(train=True, skip=skip)
    calibration = Calibration(SAMPLES, LABELS, 4)
    program = compile_network(NETWORK, CHIP, NETWORK.initial(0), calibration, options).program
    assert program
    return program


def run(program, steps: int):
    inputs = {name: np.zeros((steps, *region.shape), np.int64) for name, region in program.inputs.items()}
    inputs["input"] = RNG.integers(0, 4000, inputs["input"].shape) * RNG.integers(0, 2, inputs["input"].shape)
    return FastMachine(program).run(TRAIN, inputs, steps=steps, count_zeros=True)


@pytest.mark.parametrize("skip", [False, True])
def test_counts_are_those_of_the_simulator(skip):
    program = program_of(skip)
    closed, result = Workload.of(program, TRAIN), run(program, 1)
    found = closed.measured(program, result.per_instruction)
    assert found.counts == tuple(result.counters.sum(axis=0))
    assert found.cycles == result.cycles == sum(row.cycles for row in found.rows)
    assert closed.estimated == skip and not found.estimated
    assert sum(row.zero_products or 0 for row in found.rows) == result.counters[:, Event.ZERO_PRODUCTS].sum() > 0
    if skip:
        assert found.cycles < closed.cycles and found.counts[Event.STEPS] < closed.counts[Event.STEPS]
    else:
        fixed = [event for event in Event if event not in DATA_DEPENDENT]
        assert [closed.counts[event] for event in fixed] == [found.counts[event] for event in fixed]
        assert closed.cycles == found.cycles


def test_bits_that_turn_are_known_where_they_were_counted():
    program = program_of(False)
    closed, result = Workload.of(program, TRAIN), run(program, 2)
    most = [row.counts[Event.STEPS] * CHIP.multipliers * CHIP.word_bits for row in closed.rows]
    found = closed.measured(program, result.per_instruction, 2, result.turned)
    counted = [row.turned_bits or 0 for row in found.rows]
    assert all(0 <= turned <= count for turned, count in zip(counted, most, strict=True))
    assert sum(counted) == pytest.approx(result.turned.sum() / 2, abs=len(result.turned)) and sum(counted) > 0
    plain = FastMachine(program).run(TRAIN)
    for other in (
        closed,
        closed.measured(program, result.per_instruction, 2),
        closed.measured(program, plain.per_instruction, 1, plain.turned),
    ):
        assert {row.turned_bits for row in other.rows} == {None}


def test_fills_are_positions_and_inner_steps_of_every_group():
    for row in Workload.of(program_of(False), TRAIN).rows:
        blocks = [mode for mode in row.steps if MODES[mode].moving == Moving.BLOCK]
        assert (row.fills > 0) == bool(blocks)
        assert row.fills <= row.counts[Event.STEPS]


def test_rows_name_layers_and_modes():
    work = Workload.of(program_of(False), TRAIN, "small")
    names = {(row.layer, row.phase) for row in work.rows}
    assert names >= {("c", "forward"), ("d", "weight_gradient"), ("end", "halt")}
    for row in work.rows:
        assert sum(row.steps.values()) == row.counts[Event.STEPS] and set(row.steps) <= set(MODES)


def test_means_of_several_passes():
    program = program_of(False)
    closed = Workload.of(program, TRAIN)
    found = closed.measured(program, run(program, 4).per_instruction, passes=4)
    assert found.cycles == closed.cycles and found.counts[Event.STEPS] == closed.counts[Event.STEPS]


def test_zeros_that_were_not_counted_are_unknown():
    program = program_of(False)
    inputs = {name: np.zeros((1, *region.shape), np.int64) for name, region in program.inputs.items()}
    result = FastMachine(program).run(TRAIN, inputs)
    found = Workload.of(program, TRAIN).measured(program, result.per_instruction)
    assert {row.zero_products for row in found.rows} == {None} and min(found.counts) == 0


def test_zeros_can_be_assumed():
    work = Workload.of(program_of(False), TRAIN)
    half = work.assuming(0.5)
    products = sum(row.counts[Event.STEPS] for row in work.rows) * CHIP.multipliers
    assert sum(row.zero_products or 0 for row in half.rows) == pytest.approx(products / 2, abs=len(half.rows))
    assert half.estimated and all(row.zero_products is None for row in work.rows)
    with pytest.raises(InputError, match="share of zeros"):
        work.assuming(1.5)
