"""`tinycl verify`: random programs in lock-step on one chip, and the replay of one that differs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.progress import Progress

from arch.chip import Chip
from arch.errors import InputError
from arch.files import write_whole
from testbenches.lockstep import LockStep
from testbenches.lockstep_cases import SCENARIOS, random_case, run_case

REPLAY, WAVEFORM = "replay.json", "replay.vcd"


class Replay(BaseModel):
    """All that a case is made of: the file that `--replay` takes."""

    model_config = ConfigDict(extra="forbid")

    chip: dict[str, Any]
    seed: int
    number: int
    length: int

    @classmethod
    def load(cls, path: Path) -> Replay:
        """Read a file. Raises `InputError` if it is none."""
        try:
            return cls.model_validate_json(path.read_text())
        except OSError as error:
            raise InputError(f"replay {path}: {error.strerror}") from None
        except (ValidationError, UnicodeDecodeError):
            raise InputError(f"replay {path}: not written by tinycl verify") from None


@dataclass(frozen=True)
class Plan:
    """What is verified: cases `first` ... `first + programs - 1` of `seed`."""

    chip: Chip
    seed: int
    programs: int
    length: int
    output: Path
    first: int = 0
    waveform: bool = False

    @classmethod
    def of(cls, replay: Replay, output: Path) -> Plan:
        """One case again, with a waveform."""
        chip = Chip.from_fields(replay.chip, "the replay's chip")
        return cls(chip, replay.seed, 1, replay.length, output, replay.number, waveform=True)


def verify(plan: Plan, bar: Progress) -> dict[str, Any]:
    """Run the cases until one differs; what came of them, as JSON knows it."""
    waveform = plan.output / WAVEFORM if plan.waveform else None
    lockstep = LockStep(plan.chip, waveform=waveform)
    task = bar.add_task(f"lock-step on {plan.chip.name}", total=plan.programs)
    begin = time.perf_counter()
    runs = compared = cycles = 0
    scenarios = dict.fromkeys(SCENARIOS, 0)
    failure: dict[str, Any] | None = None
    for number in range(plan.first, plan.first + plan.programs):
        outcomes = run_case(lockstep, random_case(plan.chip, plan.seed, number, plan.length))
        runs += len(outcomes)
        compared += sum(outcome.compared for outcome in outcomes)
        cycles += sum(outcome.cycles for outcome in outcomes)
        scenarios[SCENARIOS[number % len(SCENARIOS)]] += 1
        bar.advance(task)
        if found := outcomes[-1].difference:
            failure = {"case": number, "run": len(outcomes) - 1, **asdict(found), "message": str(found)}
            break
    lockstep.close()
    result = {
        "chip": plan.chip.name,
        "seed": plan.seed,
        "programs": runs,
        "program_cycles": cycles,
        "compared_cycles": compared,
        "seconds": round(time.perf_counter() - begin, 3),
        "scenarios": scenarios,
        "difference": failure,
    }
    if failure:
        result["replay"] = str(_save(plan, failure["case"]))
    if waveform:
        result["waveform"] = str(waveform)
    return result


def _save(plan: Plan, number: int) -> Path:
    replay = Replay(chip=plan.chip.model_dump(), seed=plan.seed, number=number, length=plan.length)
    path = plan.output / REPLAY
    write_whole(path, replay.model_dump_json(indent=1).encode())
    return path


def described(result: dict[str, Any]) -> list[str]:
    """The result in lines for people."""
    failure = result["difference"]
    lines = [
        f"{result['programs']:,} programs on chip {result['chip']}, seed {result['seed']}: "
        f"{result['compared_cycles']:,} cycles compared in {result['seconds']:,.1f} s"
    ]
    if failure:
        lines += [
            f"DIFFERENCE in case {failure['case']}, program {failure['run'] + 1} of it",
            failure["message"],
            f"replay with a waveform:  tinycl verify --replay {result['replay']}",
        ]
    else:
        lines.append("stepping simulator and RTL are equal in every cycle")
    if "waveform" in result:
        lines.append(f"wrote {result['waveform']}")
    return lines


def to_json(result: dict[str, Any]) -> str:
    """The result as one JSON object."""
    return json.dumps(result, indent=1)
