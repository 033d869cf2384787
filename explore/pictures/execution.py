"""When each instruction of a pass runs: from closed forms, or as a simulator counted it."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Engine, Halt, Instruction
from arch.program import Program, Step
from arch.timing import Slot, duration, schedule
from sim.result import Result


def slots_of(program: Program, entry: str, result: Result | None = None) -> list[Slot]:
    """Slots of all instructions but HALTs, in order of retirement.

    Without a `result`, lengths are those of `arch.timing`, nothing being skipped; with one, the simulator's BUSY counts
    of one pass of `entry`. Raises `ProgramError` if there is no such entry.
    """
    streams = program.entry_streams(entry)
    if result is None:
        lengths = {engine: [duration(item, program.chip) for item in stream] for engine, stream in streams.items()}
    else:
        lengths = {engine: counts[:, Event.BUSY].tolist() for engine, counts in result.per_instruction.items()}
    slots = schedule(streams, lengths)
    return [slot for slot in slots if not isinstance(streams[slot.engine][slot.index], Halt)]


def instruction_of(program: Program, entry: str, slot: Slot) -> Instruction:
    """What runs in a slot."""
    return program.streams[slot.engine][program.first(entry, slot.engine) + slot.index]


def step_of(program: Program, entry: str, slot: Slot) -> Step:
    """What a slot's instruction is for."""
    return program.steps[slot.engine][program.first(entry, slot.engine) + slot.index]


def engines_at_work(slots: list[Slot]) -> list[Engine]:
    """Engines that run something."""
    return sorted({slot.engine for slot in slots})
