"""Whole training steps on all three executions, and what the snake and the raster load in each of them."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.events import Event
from arch.isa import Compute, Engine, Moving
from compiler import Calibration, compile_network
from compiler.pipeline import TRAIN
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.jobs import Job
from testbenches.session import run_on_rtl
from tinycl.agreement import agree
from tinycl.data import digits
from tinycl.networks import digits_network
from tinycl.reference import compile_reference
from tinycl.reference import images as made_images
from tinycl.training import chip_inputs

PAPER = Chip.load("paper")
IMAGES = made_images()
SNAKE_WORDS = 3 * 32 * 32 + 3 * 2
RASTER_WORDS = 3 * (32 * 32 + 32 * 2)


def reference_job(traversal: str):
    """The reference network's program and one sample."""
    program = compile_reference(PAPER.replace(traversal=traversal), IMAGES).program
    assert program
    return program, chip_inputs(program, IMAGES.samples[:2], IMAGES.labels[:2])


def test_two_steps_of_each_network_agree():
    data, network = digits(), digits_network()
    few = Calibration(data.samples[:300], data.labels[:300], 300)
    program = compile_network(network, PAPER, network.initial(0), few).program
    assert program
    jobs = [(program, chip_inputs(program, data.samples[:2], data.labels[:2])), reference_job("snake")]
    for found in agree(jobs, TRAIN):
        assert found.differences == []
        assert found.steps == 2
        assert found.retirements > 20


@pytest.mark.parametrize(("traversal", "words"), [("snake", SNAKE_WORDS), ("raster", RASTER_WORDS)])
def test_window_loads_in_all_three_executions(traversal, words):
    program, inputs = reference_job(traversal)
    sample = {name: values[0] for name, values in inputs.items()}
    stream = program.stream(TRAIN, Engine.ARRAY)
    walks = [i for i, item in enumerate(stream) if isinstance(item, Compute) and item.moving == Moving.WINDOW]
    assert len(walks) == 5
    fast = FastMachine(program).run(TRAIN, {name: values[None] for name, values in sample.items()})
    slow = SteppingMachine(program).run(TRAIN, sample, trace=True)
    for result in (fast, slow):
        assert set(result.per_instruction[Engine.ARRAY][walks, Event.WINDOW_WORDS].tolist()) == {words}
    (outcome,) = run_on_rtl([Job(program, TRAIN, [sample], [slow.retirements])])
    assert outcome.differences == []
    first = program.first(TRAIN, Engine.ARRAY)
    counts = {item.index - first: item.counters for item in outcome.retirements[0] if item.engine == Engine.ARRAY}
    words_after = {i: item[Event.WINDOW_WORDS] for i, item in counts.items()} | {-1: 0}
    loads = [words_after[i] - words_after[i - 1] for i in walks]
    assert np.array_equal(loads, [words] * 5)
