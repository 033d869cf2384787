"""Cases of lock-step: from chip, seed and number alone, two random programs back to back, around one of which the host
does something random.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from arch.isa import ENGINES, Engine, Instruction, executed
from arch.program import Program
from arch.timing import Slot, duration, schedule
from sim.stepping import SteppingMachine
from testbenches.generate import random_program
from testbenches.lockstep import Difference, LockStep, Outcome, Scenario
from testbenches.lockstep_report import named

SCENARIOS = ("plain", "stalls", "reads", "abort", "reset", "illegal")
"""What the host does in a case's first run."""
_OPCODES = 16


class Run(NamedTuple):
    """A program and what the host does around it."""

    program: Program
    scenario: Scenario


def random_case(chip: Chip, seed: int, number: int, length: int) -> list[Run]:
    """Case `number` of `seed`: programs of `length` instructions, the first in one of `SCENARIOS` in turn."""
    rng = np.random.default_rng([seed, number])
    first, second = (random_program(chip, rng, length) for _ in range(2))
    return [Run(first, random_scenario(SCENARIOS[number % len(SCENARIOS)], first, rng)), Run(second, Scenario())]


def random_scenario(name: str, program: Program, rng: np.random.Generator) -> Scenario:
    """A scenario of that name, its cycle or instruction one of the program's."""
    draw = int(rng.integers(1, 1 << 30))
    if name == "stalls":
        return Scenario(stalls=draw)
    if name == "reads":
        return Scenario(reads=draw)
    if name in ("abort", "reset"):
        cycle = 1 + draw % SteppingMachine(program).run("main").cycles
        return Scenario(abort=cycle) if name == "abort" else Scenario(reset=cycle)
    if name == "illegal":
        engine = Engine(int(rng.choice(ENGINES)))
        index = int(rng.integers(len(program.streams[engine])))
        return Scenario(opcodes={(engine, index): int(rng.choice(illegal_opcodes(engine, program.chip)))})
    return Scenario()


def illegal_opcodes(engine: Engine, chip: Chip) -> list[int]:
    """Every four bits that are no opcode which the engine executes."""
    known = executed(engine, chip)
    return [bits for bits in range(_OPCODES) if bits not in known]


def run_case(lockstep: LockStep, case: list[Run]) -> list[Outcome]:
    """The runs after a reset, one after another; the last one is the first that differs, if any does."""
    lockstep.reset()
    outcomes: list[Outcome] = []
    for program, scenario in case:
        outcome = lockstep.run(program, scenario=scenario)
        if outcome.ended == "ended" and not scenario.opcodes:
            outcome = replace(outcome, difference=timing_difference(program, outcome))
        outcomes.append(outcome)
        if outcome.difference:
            break
    return outcomes


def timing_difference(program: Program, outcome: Outcome, entry: str = "main") -> Difference | None:
    """The first instruction of a program that ended that did not retire when `arch.timing` says.

    How long a nest with `skip` takes depends on values: any time up to that of all its iterations is taken as right.
    """
    streams = program.entry_streams(entry)
    durations = {engine: [duration(item, program.chip) for item in stream] for engine, stream in streams.items()}
    slots = _slots(streams, durations)
    for engine, index, cycle in outcome.retired:
        place = index - program.first(entry, engine)
        slot = slots[engine, place]
        if slot.last == cycle:
            continue
        if getattr(streams[engine][place], "skip", 0) and slot.first <= cycle < slot.last:
            durations[engine][place] -= slot.last - cycle
            slots = _slots(streams, durations)
            continue
        what = "retirement, as arch.timing predicts it,"
        return Difference(*named(program, engine, index), cycle, what, slot.last, cycle)
    return None


def _slots(
    streams: dict[Engine, list[Instruction]], durations: dict[Engine, list[int]]
) -> dict[tuple[Engine, int], Slot]:
    return {(slot.engine, slot.index): slot for slot in schedule(streams, durations)}
