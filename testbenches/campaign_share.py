"""A worker's part of the campaign: one chip, its random programs, their runs in lock-step, and what came of them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from arch.chip import Chip
from arch.files import write_whole
from arch.isa import ENGINE_OF, ENGINES, Engine, Halt, Instruction, executed
from arch.program import Entry, Program
from sim.fast import FastMachine
from sim.result import Result
from sim.stepping import SteppingMachine
from testbenches.aiming import aimed_program
from testbenches.code_coverage import CodeCoverage, read_points
from testbenches.code_exclusions import exclusions
from testbenches.corners import CORNERS, corner_program
from testbenches.coverage import SCENARIOS, Coverage
from testbenches.generate import random_instruction, random_program
from testbenches.lockstep import LockStep, Outcome, Scenario
from testbenches.session import chip_verilog

_CANDIDATES = 4
"""Draws of an instruction; the one that hits most new points is taken."""
_CORNERS_EVERY = 4
_WIDE_EVERY = 3
_LED_EVERY = 4
_WIDEST = 14
_LONG = 60_000
"""Cycles that a program's passes take together, about, where it is run on and on."""
_ODDS = dict(zip(SCENARIOS, (0.5, 0.1, 0.08, 0.08, 0.08, 0.08, 0.08), strict=True))
_CUT = ("abort", "reset", "fault")
"""Scenarios in which a program does not run to its end."""


@dataclass(frozen=True)
class Share:
    """A chip's programs `first` to `first + programs - 1` of the campaign of `seed`.

    With `known`, that coverage is taken as reached: of `programs` draws only those that hit a hole of it are run.
    """

    number: int
    chip: Chip
    seed: int
    programs: int
    code: bool = False  # line and toggle coverage too
    known: Coverage | None = None
    folder: Path = Path("build/verify")  # a program that differs is left there; `stop` there ends the share


@dataclass
class Tally:
    """What a share came to. `cycles` are the programs', `clocks` all that were compared, the host's included."""

    number: int
    chip: str
    functional: Coverage = field(default_factory=Coverage)
    code: CodeCoverage | None = None
    programs: int = 0
    runs: int = 0
    instructions: int = 0
    cycles: int = 0
    clocks: int = 0
    build_seconds: float = 0.0
    seconds: float = 0.0
    difference: str = ""


def run_share(share: Share) -> Tally:
    """Run a share, until its end, its first difference, or another's."""
    begun = time.monotonic()
    tally = Tally(share.number, share.chip.name)
    lockstep = None
    for number, program in _programs(share, tally):
        if lockstep is None:
            started = time.monotonic()
            lockstep = LockStep(share.chip, coverage=share.code, quick=share.code)  # counters take g++ long to optimise
            tally.build_seconds = time.monotonic() - started
        rng = np.random.default_rng([share.seed, share.number, number, 1])
        name = str(rng.choice(SCENARIOS, p=list(_ODDS.values())))
        tally.difference = _run(lockstep, share, tally, program, name, rng)
        if tally.difference or (share.folder / "stop").exists():
            break
    if share.code and lockstep is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "coverage.dat")
            lockstep.write_coverage(path)
            points = read_points(path)
            tally.code = CodeCoverage.of(points, exclusions(share.chip, points.keys(), chip_verilog(share.chip)))
    tally.seconds = time.monotonic() - begun - tally.build_seconds
    return tally


def _programs(share: Share, tally: Tally) -> Iterator[tuple[int, Program]]:
    if share.known is None:
        for number in range(share.programs):
            yield number, share_program(share, number, tally.functional)
        return
    seen = Coverage()
    seen.merge(share.known)
    for number in range(share.programs):
        rng = np.random.default_rng([share.seed, share.number, number, 2])
        program = aimed_program(share.chip, rng, seen)
        before = sum(map(len, seen.holes().values()))
        if not before:
            return
        seen.record(share.chip, program, "main", FastMachine(program).run("main", count_zeros=True))
        if sum(map(len, seen.holes().values())) < before:
            yield number, program


def share_program(share: Share, number: int, reached: Coverage) -> Program:
    """The share's program of this number; its instructions lean to what is not `reached`."""
    chip, rng = share.chip, np.random.default_rng([share.seed, share.number, number])
    draw = partial(_guided, reached=reached, widest=_WIDEST if number % _WIDE_EVERY == 0 else 6)
    if number % _CORNERS_EVERY == 0:
        names = list(CORNERS)
        return corner_program(chip, rng, names[(number // _CORNERS_EVERY + share.number) % len(names)])
    program = random_program(chip, rng, int(rng.integers(4, chip_length(chip))), draw=draw)
    return _led(program, rng) if number % _LED_EVERY == 1 else program


def _led(program: Program, rng: np.random.Generator) -> Program:
    """The program behind some HALTs that it does not run, so that its streams do not start at 0."""
    room = program.chip.program_memory.instructions
    lead = {engine: int(rng.integers(room - len(stream) + 1)) for engine, stream in program.streams.items()}
    return replace(
        program,
        streams={engine: [Halt()] * lead[engine] + stream for engine, stream in program.streams.items()},
        steps={engine: steps[:1] * lead[engine] + steps for engine, steps in program.steps.items()},
        entries={"main": Entry(start={engine.name.lower(): count for engine, count in lead.items()})},
    )


def chip_length(chip: Chip) -> int:
    """Instructions of the longest program that is drawn: what one engine's memory holds, and 20 at most."""
    return min(20, chip.program_memory.instructions - 2)


def _guided(chip: Chip, rng: np.random.Generator, kind: str, reached: Coverage, widest: int) -> Instruction:
    drawn = [random_instruction(chip, rng, kind, widest) for _ in range(_CANDIDATES)]
    return max(drawn, key=lambda item: reached.new(chip, ENGINE_OF[item.opcode][0], item))


def _run(lockstep: LockStep, share: Share, tally: Tally, program: Program, name: str, rng: np.random.Generator) -> str:
    """Run a program in a scenario; what differs, with the command that shows it again, or nothing."""
    fast = FastMachine(program)
    result = fast.run("main", count_zeros=True)
    scenario = scenario_of(name, program, result.cycles, rng)
    tally.programs += 1
    tally.instructions += sum(map(len, program.streams.values()))
    tally.functional.record(share.chip, program, "main", None if name in _CUT else result, name)
    if tally.runs:  # a new one is just reset
        lockstep.reset()
    found = _simulators(program, fast, result)
    if not found:
        outcome = _count(tally, lockstep.run(program, "main", scenario))
        found = _said(outcome, None if name in _CUT else result)
    if not found and (name in _CUT or name == "back-to-back"):  # what was cut off, or has run, starts again
        found = _said(_count(tally, lockstep.run(program, "main")), None)
    if not found and name == "single" and not share.code:  # and again on what it left, many times
        scenario = Scenario(passes=max(1, _LONG // result.cycles))
        found = _said(_count(tally, lockstep.run(program, "main", scenario)), None)
    return _kept(share, program, scenario, f"{name}: {found}") if found else ""


def scenario_of(name: str, program: Program, cycles: int, rng: np.random.Generator) -> Scenario:
    """The scenario of a name of `SCENARIOS`, for a program that takes so many cycles."""
    seed, cycle = int(rng.integers(1, 1 << 31)), int(rng.integers(1, cycles + 1))
    if name == "bus stalls":
        return Scenario(stalls=seed)
    if name == "register reads":
        return Scenario(reads=seed)
    if name == "abort":
        return Scenario(abort=cycle)
    if name == "reset":
        return Scenario(reset=cycle)
    if name == "fault":
        engine = ENGINES[rng.integers(len(ENGINES))]
        index = int(rng.integers(program.first("main", engine), len(program.streams[engine])))
        return Scenario(opcodes={(engine, index): int(rng.choice(illegal_opcodes(engine, program.chip)))})
    return Scenario()


def illegal_opcodes(engine: Engine, chip: Chip) -> list[int]:
    """Opcodes that an engine does not execute, those of other engines and those that nothing is included."""
    legal = executed(engine, chip)
    return [bits for bits in range(16) if bits not in legal]


def _simulators(program: Program, fast: FastMachine, result: Result) -> str:
    """Where fast and stepping simulator differ at the end."""
    stepping = SteppingMachine(program)
    stepped = stepping.run("main")
    if stepped.cycles != result.cycles:
        return f"the fast simulator takes {result.cycles} cycles, the stepping one {stepped.cycles}"
    for engine in ENGINES:
        if (stepped.per_instruction[engine] != result.per_instruction[engine]).any():
            return f"the simulators count different events on the {engine.name.lower()} engine"
    count = fast.image.differences(stepping.image)
    return f"{count} elements of the simulators' memories differ" if count else ""


def _count(tally: Tally, outcome: Outcome) -> Outcome:
    tally.runs += 1
    tally.cycles += outcome.cycles
    tally.clocks += outcome.compared
    return outcome


def _said(outcome: Outcome, result: Result | None) -> str:
    if outcome.difference is not None:
        return str(outcome.difference)
    if result is not None and outcome.cycles != result.cycles:
        return f"the RTL takes {outcome.cycles} cycles ({outcome.ended}), the fast simulator {result.cycles}"
    if result is not None and (outcome.counters != result.counters).any():
        return "the RTL counts other events than the fast simulator"
    return f"the run ends as {outcome.ended}" if result is not None and outcome.ended != "ended" else ""


def _kept(share: Share, program: Program, scenario: Scenario, found: str) -> str:
    """Keep a program that differs where `replay` finds it, and say so."""
    folder = share.folder / f"difference-{share.number}"
    folder.mkdir(parents=True, exist_ok=True)
    program.save(folder / "program.tcl")
    content = asdict(scenario) | {
        "opcodes": [[*(int(part) for part in place), bits] for place, bits in scenario.opcodes.items()]
    }
    write_whole(folder / "scenario.json", json.dumps(content).encode())
    return f"{share.chip.name}: {found}\nshow it again: .venv/bin/python -m testbenches.campaign --replay {folder}"


def replay(folder: Path) -> Outcome:
    """Run again what `run_share` kept in `folder`."""
    program = Program.load(folder / "program.tcl")
    content = json.loads((folder / "scenario.json").read_text())
    content["opcodes"] = {(Engine(engine), index): bits for engine, index, bits in content["opcodes"]}
    return LockStep(program.chip).run(program, "main", Scenario(**content))
