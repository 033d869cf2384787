"""Programs in the C++ harness: the cycles and memories of the stepping simulator."""

import numpy as np

from arch.chip import Chip
from arch.layout import Kind, Region, Store
from sim.stepping import SteppingMachine
from testbenches.generate import random_program
from testbenches.native import run_native


def test_native_runs_give_the_same_answer():
    chip, rng = Chip.load("tiny"), np.random.default_rng(7)
    program = random_program(chip, rng, 10)
    # two of three lanes, and words that a bus word shares with others: only what the region holds may change
    region = Region(name="x", store=Store.GRADIENT, kind=Kind.MAP, base=3, shape=(2, 2, 2), pitch=3, fraction=0)
    other = Region(name="y", store=Store.GRADIENT, kind=Kind.VECTOR, base=20, shape=(4,), fraction=0)
    program.inputs = {"x": region, "y": other}
    inputs = [{"x": rng.integers(-99, 99, (2, 2, 2)), "y": rng.integers(-99, 99, 4)} for _ in range(5)]
    machine = SteppingMachine(program)
    cycles = [machine.run("main", values).cycles for values in inputs]
    run = run_native(program, "main", inputs)
    assert run.cycles == cycles
    assert run.clocks > sum(cycles)
    assert run.seconds > 0
    assert run.image.differences(machine.image) == 0
