"""Lock-step on the tiny chip: every scenario is equal in every cycle, and goes as docs/machine.md says."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES, Destination, Engine, Halt, Load, Loss, Transfer
from arch.program import Entry, Program, Step
from testbenches.generate import random_program
from testbenches.lockstep import LockStep, Scenario
from testbenches.lockstep_cases import SCENARIOS, illegal_opcodes, random_case, run_case

CHIP = Chip.load("tiny")


@pytest.fixture(scope="module")
def lockstep():
    made = LockStep(CHIP)
    yield made
    made.close()


def two_engines(array: list, vector: list, dma: list | None = None, seed: int = 1) -> Program:
    """A program of these streams."""
    streams = {Engine.ARRAY: array, Engine.VECTOR: vector, Engine.DMA: dma or [Halt()]}
    return Program(
        chip=CHIP,
        streams=streams,
        steps={engine: [Step(layer="test", phase="forward")] * len(streams[engine]) for engine in ENGINES},
        entries={"main": Entry(start={engine.name.lower(): 0 for engine in ENGINES})},
        image=Image.blank(CHIP, seed, external_words=16),
    )


@pytest.mark.parametrize("number", range(len(SCENARIOS)), ids=SCENARIOS)
def test_a_scenario(lockstep, number):
    for turn in range(6):
        for outcome in run_case(lockstep, random_case(CHIP, 3, number + turn * len(SCENARIOS), 10)):
            assert outcome.difference is None, str(outcome.difference)
            assert outcome.compared > outcome.cycles


def test_programs_follow_one_another_without_a_reset(lockstep):
    rng = np.random.default_rng(5)
    for turn in range(8):
        outcome = lockstep.run(random_program(CHIP, rng, 8), scenario=Scenario(stalls=turn, reads=turn))
        assert outcome.difference is None, str(outcome.difference)
        assert outcome.ended == "ended"


def test_an_abort_may_come_in_any_cycle(lockstep):
    """Every cycle of a program, each followed by a program that finds registers and random states as it should."""
    rng = np.random.default_rng(6)
    program, following = random_program(CHIP, rng, 4), random_program(CHIP, rng, 4)
    cycles = lockstep.run(program).cycles
    for cycle in range(3, cycles):
        outcome = lockstep.run(program, scenario=Scenario(abort=cycle))
        assert outcome.difference is None, f"abort in {cycle}: {outcome.difference}"
        assert (outcome.ended, outcome.cycles) == ("aborted", cycle)
        outcome = lockstep.run(following)
        assert outcome.difference is None, f"after an abort in {cycle}: {outcome.difference}"
        assert outcome.ended == "ended"


@pytest.mark.parametrize("engine", ENGINES)
def test_an_illegal_instruction_ends_its_engine_alone(lockstep, engine):
    load = Load(destination=Destination.BIAS, row=2)
    loss = Loss(count=3, source=0, label=10, target=0)
    beyond = CHIP.feature_words // 2  # a page that nothing else uses
    moves = [Transfer(word=beyond), Transfer(word=beyond, count=9), Halt()]
    program = two_engines([load, load, Halt()], [loss, loss, Halt()], moves)
    for opcode in illegal_opcodes(engine, CHIP):
        outcome = lockstep.run(program, scenario=Scenario(opcodes={(engine, 1): opcode}))
        assert outcome.difference is None, str(outcome.difference)
        assert outcome.ended == "ended"
        assert outcome.fault == 1 << 31 | int(engine) << 16 | 1
        retired = {other: int(outcome.counters[other][0]) for other in ENGINES}
        assert retired[engine] == 1
        assert all(count == 3 for other, count in retired.items() if other != engine)


def test_the_first_fault_is_kept_and_the_array_is_first(lockstep):
    program = two_engines([Halt()], [Halt()])
    both = {(Engine.ARRAY, 0): 15, (Engine.VECTOR, 0): 15}
    assert lockstep.run(program, scenario=Scenario(opcodes=both)).fault == 1 << 31
    assert lockstep.run(program).fault == 0


def test_a_halt_may_send_the_token_that_the_other_engine_waits_for(lockstep):
    program = two_engines([Halt(signal=1 << Engine.VECTOR)], [Halt(wait=1 << Engine.ARRAY)])
    assert lockstep.run(program).ended == "ended"


def test_engines_that_wait_for_a_token_that_never_comes_are_aborted(lockstep):
    load = Load(destination=Destination.BIAS, signal=1 << Engine.VECTOR)
    program = two_engines([load, Halt()], [Halt(wait=1 << Engine.ARRAY)])
    outcome = lockstep.run(program, scenario=Scenario(opcodes={(Engine.ARRAY, 0): 7}))
    assert outcome.difference is None, str(outcome.difference)
    assert outcome.ended == "stuck"
    assert lockstep.run(program).ended == "ended"


def test_a_reset_may_come_in_any_cycle(lockstep):
    rng = np.random.default_rng(8)
    program, following = random_program(CHIP, rng, 3), random_program(CHIP, rng, 3)
    cycles = lockstep.run(program).cycles
    for cycle in range(1, cycles, 3):
        outcome = lockstep.run(program, scenario=Scenario(reset=cycle))
        assert outcome.difference is None, f"reset in {cycle}: {outcome.difference}"
        assert (outcome.ended, outcome.cycles) == ("reset", cycle)
        outcome = lockstep.run(following)
        assert outcome.difference is None, f"after a reset in {cycle}: {outcome.difference}"
