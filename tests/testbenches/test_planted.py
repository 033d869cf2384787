"""Planted bugs: lock-step finds each, and says where it is."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

import arch.timing
import testbenches.memory_map
from arch.chip import Chip
from arch.isa import Compute, Engine, Instruction, Moving, Overflow, Rounding, encode
from arch.modes import mode_of
from arch.timing import writes_rows
from sim.stepping import SteppingMachine
from testbenches.generate import KINDS, LOADS, random_program
from testbenches.lockstep import Difference, LockStep, Scenario
from testbenches.lockstep_cases import Run, run_case
from tests.testbenches import mutants

CHIP = Chip.load("tiny").replace(traversal="line_buffer")
_PROGRAMS = 40


@pytest.fixture(scope="module")
def lockstep():
    made = LockStep(CHIP, verilog=mutants.mutant_verilog(CHIP), quick=True)
    yield made
    made.close()


def found(
    lockstep: LockStep,
    select: int = 0,
    scenario: Callable[[np.random.Generator], Scenario] | None = None,
    kinds: Sequence[str] = KINDS,
):
    """The first difference of random programs of `kinds`, and its instruction."""
    rng = np.random.default_rng(4)
    lockstep.write([mutants.SELECT], [select])
    lockstep.run(random_program(CHIP, rng, 1))
    for _ in range(_PROGRAMS):
        runs = [
            Run(random_program(CHIP, rng, 10, kinds=kinds), scenario(rng) if scenario else Scenario()) for _ in range(2)
        ]
        for number, outcome in enumerate(run_case(lockstep, runs)):
            if outcome.difference:
                return outcome.difference, _instruction(runs[number].program, outcome.difference)
    raise AssertionError(f"{_PROGRAMS} pairs of programs do not differ")


def _instruction(program, difference: Difference) -> Instruction:
    return program.streams[Engine[difference.engine.upper()]][difference.index]


def check(difference: Difference, instruction: Instruction) -> None:
    """It names the instruction that is there, and says all of it in one line."""
    assert difference.opcode == instruction.opcode.name
    text = str(difference)
    for part in (difference.engine, difference.opcode, difference.signal, f"cycle {difference.cycle}"):
        assert part in text
    if isinstance(instruction, Compute):
        assert difference.mode == mode_of(instruction) and difference.mode in text


def test_no_bug(lockstep):
    with pytest.raises(AssertionError, match="do not differ"):
        found(lockstep)


def test_rtl_rounding(lockstep):
    difference, instruction = found(lockstep, mutants.ROUNDING)
    check(difference, instruction)
    assert isinstance(instruction, Compute)
    assert "value" in difference.signal or "LOST_UPDATES" in difference.signal


def test_rtl_padding(lockstep):
    difference, instruction = found(lockstep, mutants.PADDING)
    check(difference, instruction)
    assert isinstance(instruction, Compute) and instruction.moving == Moving.WINDOW
    beyond = instruction.width + CHIP.kernel - 1 - instruction.pad_left > instruction.source_width
    assert instruction.pad_top or instruction.pad_left or beyond
    assert difference.signal in ("counter FEATURE_READS", "counter GRADIENT_READS")


def test_rtl_token(lockstep):
    difference, instruction = found(lockstep, mutants.TOKEN)
    check(difference, instruction)
    assert instruction.wait
    assert difference.signal == "phase" or "retire" in difference.signal


def test_rtl_counter(lockstep):
    difference, instruction = found(lockstep, mutants.COUNTER)
    check(difference, instruction)
    assert difference.signal == "counter SATURATIONS"
    assert isinstance(instruction, Compute) and writes_rows(instruction)


def test_rtl_zero_products(lockstep):
    difference, instruction = found(lockstep, mutants.ZERO)
    check(difference, instruction)
    assert difference.signal == "counter ZERO_PRODUCTS" and difference.found < difference.expected
    assert isinstance(instruction, Compute)


def test_rtl_lines(lockstep):
    difference, instruction = found(lockstep, mutants.LINES)
    check(difference, instruction)
    assert isinstance(instruction, Compute) and instruction.moving == Moving.WINDOW and instruction.height > 1


def test_rtl_abort(lockstep):
    difference, _ = found(lockstep, mutants.ABORT, lambda rng: Scenario(abort=int(rng.integers(3, 200))))
    assert difference.engine == "array"


def machine_with(change: Callable[[SteppingMachine], None]):
    """The stepping machine of lock-step, changed once its program is in it."""

    def make(*arguments):
        machine = SteppingMachine(*arguments)
        change(machine)
        return machine

    return patch("testbenches.lockstep.SteppingMachine", make)


def test_simulator_rounding_mode(lockstep):
    def change(machine: SteppingMachine) -> None:
        modes = machine.tables[1]["rounding"]
        modes[modes == Rounding.RND_CONV] = Rounding.RND

    with machine_with(change):
        difference, instruction = found(lockstep)
    check(difference, instruction)
    assert isinstance(instruction, Compute) and instruction.rounding == Rounding.RND_CONV
    assert abs(difference.expected - difference.found) == 1


def test_simulator_overflow(lockstep):
    def change(machine: SteppingMachine) -> None:
        machine.tables[1]["overflow"] = Overflow.WRAP

    with machine_with(change):
        difference, instruction = found(lockstep)
    check(difference, instruction)
    assert isinstance(instruction, Compute) and instruction.overflow == Overflow.SAT
    assert "value" in difference.signal


def test_simulator_beats(lockstep):
    def change(machine: SteppingMachine) -> None:
        machine.state["chip"]["beats"] = CHIP.row_beats - 1

    with machine_with(change):
        difference, instruction = found(lockstep)
    check(difference, instruction)
    assert difference.engine == "array"


def test_simulator_loss_table(lockstep):
    def change(machine: SteppingMachine) -> None:
        machine._memory = machine._memory._replace(table=machine._memory.table + (np.arange(65) == 7) * 64)

    with machine_with(change):
        difference, instruction = found(lockstep, kinds=("loss", *LOADS))
    check(difference, instruction)
    assert (difference.engine, difference.opcode) == ("vector", "LOSS")
    assert "value lane" in difference.signal


def test_encoder_field(lockstep):
    """The pads are stored in each other's place."""

    def wrong(instruction: Instruction, chip: Chip) -> int:
        if isinstance(instruction, Compute):
            instruction = replace(instruction, pad_top=instruction.pad_left, pad_left=instruction.pad_top)
        return encode(instruction, chip)

    with patch.object(testbenches.memory_map, "encode", wrong):
        difference, instruction = found(lockstep)
    check(difference, instruction)
    assert isinstance(instruction, Compute) and instruction.pad_top != instruction.pad_left


def test_timing_formula(lockstep):
    """Words that are written do not hold the loader up."""
    nest_of, asked_anew = arch.timing.nest_of, inspect.unwrap(arch.timing._measured)
    with (
        patch.object(arch.timing, "nest_of", lambda *nest: nest_of(*nest)._replace(shares=0)),
        patch.object(arch.timing, "_measured", asked_anew),
    ):
        difference, instruction = found(lockstep)
    check(difference, instruction)
    assert isinstance(instruction, Compute)
    assert "arch.timing" in difference.signal
    assert difference.expected < difference.found
