"""The timeline as a file for Chrome's tracing page and Perfetto: the trace event format's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from arch.files import write_whole
from arch.isa import Compute, Engine, Instruction
from arch.modes import mode_of
from arch.program import Program
from explore.pictures.execution import engines_at_work, instruction_of, slots_of, step_of
from explore.pictures.occupancy import STORE_NAMES, occupied
from sim.result import Result

_CHIP = 1
"""The process that the engines are threads of."""


def trace_events(program: Program, entry: str, result: Result | None = None) -> dict[str, Any]:
    """One pass of `entry` as an object in the trace event format.

    Each instruction is a complete event ("X") of its engine's thread; memories' live bytes are counters ("C").
    Timestamps and lengths are microseconds at the chip's clock; cycles are in the arguments. `result` is what
    `timeline` takes. Raises `ProgramError` if there is no such entry.

    >>> from tinycl import Network, compile
    >>> program = compile(Network("n", (3, 8, 8)).conv(8).dense(10)).program
    >>> sorted(trace_events(program, "infer"))
    ['displayTimeUnit', 'otherData', 'traceEvents']
    """
    slots = slots_of(program, entry, result)
    microseconds = program.chip.clock_ns / 1000
    events = [_named("process_name", 0, f"chip {program.chip.name}")]
    events += [_named("thread_name", engine, _thread(engine)) for engine in engines_at_work(slots)]
    for slot in slots:
        step, instruction = step_of(program, entry, slot), instruction_of(program, entry, slot)
        length = slot.last - slot.first + 1
        events.append(
            {
                "name": f"{step.layer} {step.phase}",
                "cat": step.phase,
                "ph": "X",
                "pid": _CHIP,
                "tid": int(slot.engine),
                "ts": (slot.first - 1) * microseconds,
                "dur": length * microseconds,
                "args": {"instruction": slot.index, "does": _does(instruction), "cycles": length, "macs": step.macs},
            }
        )
    for memory, (cycles, live) in occupied(program, entry, slots).items():
        for cycle, count in zip(cycles.tolist(), live.tolist(), strict=True):
            events.append(
                {
                    "name": f"{STORE_NAMES[memory]} memory, live",
                    "ph": "C",
                    "pid": _CHIP,
                    "ts": cycle * microseconds,
                    "args": {"bytes": count},
                }
            )
    about = {"chip": program.chip.name, "fingerprint": program.chip.fingerprint, "entry": entry}
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": about}


def write_trace(path: Path, program: Program, entry: str, result: Result | None = None) -> None:
    """Write `trace_events` of a `program`'s `entry` (and `result`) to the JSON file `path`, whole or not at all.

    Raises `InputError` where it cannot be written.

    >>> import json, pathlib, tempfile
    >>> from tinycl import Network, compile
    >>> program = compile(Network("n", (3, 8, 8)).conv(8).dense(10)).program
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "trace.json")
    ...     write_trace(path, program, "infer")
    ...     json.loads(path.read_text())["otherData"]["entry"]
    'infer'
    """
    write_whole(Path(path), json.dumps(trace_events(program, entry, result)).encode())


def _named(what: str, thread: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _CHIP, "tid": int(thread), "args": {"name": name}}


def _thread(engine: Engine) -> str:
    return "DMA" if engine == Engine.DMA else engine.name.lower()


def _does(instruction: Instruction) -> str:
    """The opcode, and of a COMPUTE its mode."""
    mode = mode_of(instruction) if isinstance(instruction, Compute) else None
    return f"{instruction.opcode.name} {mode}" if mode else instruction.opcode.name
