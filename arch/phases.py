"""Which instructions and which cycles of an entry belong to each phase of each layer: the rows of every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from arch.isa import Engine, Halt, Instruction
from arch.program import Program
from arch.timing import FETCH_CYCLES, Slot, duration, schedule

END = ("end", "halt")
"""Layer and phase of what comes after the array's and the vector engine's last work."""


@dataclass
class Phase:
    """One phase of one layer; `places` are its instructions' engines and places in the entry's streams."""

    layer: str
    phase: str
    instructions: list[Instruction] = field(default_factory=list)
    places: list[tuple[Engine, int]] = field(default_factory=list)
    cycles: int = 0
    busy: int = 0
    waits: int = 0
    dma_busy: int = 0
    macs: int = 0
    first: float = inf
    """The cycle in which the array or the vector engine first retires one of its instructions."""


@dataclass(frozen=True)
class Schedule:
    """One pass of an entry: its cycles, each engine's instructions with their lengths, and the phases in order."""

    cycles: int
    streams: dict[Engine, list[Instruction]]
    lengths: Mapping[Engine, list[int]]
    phases: list[Phase]


def scheduled(program: Program, entry: str, lengths: Mapping[Engine, list[int]] | None = None) -> Schedule:
    """The phases of one pass of `entry`; their cycles sum to the pass's.

    `lengths` are cycles of each instruction as a run had them; without them no skipping instruction skips. Raises
    `ProgramError` on an unknown entry.
    """
    streams = program.entry_streams(entry)
    if lengths is None:
        lengths = {engine: [duration(item, program.chip) for item in stream] for engine, stream in streams.items()}
    slots = schedule(streams, dict(lengths))
    phases = _phases(program, entry, slots, streams)
    return Schedule(slots[-1].last, streams, lengths, phases)


def _phases(program: Program, entry: str, slots: list[Slot], streams: dict[Engine, list[Instruction]]) -> list[Phase]:
    """Cycles from a retirement of the array or the vector engine to the next belong to the later one's phase.

    What the DMA alone does at the end belongs to `END`, as every HALT; a transfer's own cycles are `dma_busy` of its
    phase.
    """
    phases: dict[tuple[str, str], Phase] = {}
    end = Phase(*END, cycles=slots[-1].last)
    free = dict.fromkeys(Engine, 0)
    before = 0
    for slot in slots:
        item = streams[slot.engine][slot.index]
        if isinstance(item, Halt):
            phase = end
        else:
            step = program.steps[slot.engine][program.first(entry, slot.engine) + slot.index]
            phase = phases.setdefault((step.layer, step.phase), Phase(step.layer, step.phase))
            length = slot.last - slot.first + 1
            if slot.engine == Engine.DMA:
                phase.dma_busy += length
            else:
                phase.first = min(phase.first, slot.last)
                phase.cycles += slot.last - before
                phase.busy += length
                phase.macs += step.macs
                if item.wait >> Engine.DMA & 1:
                    phase.waits += max(0, slot.first - 1 - FETCH_CYCLES - free[slot.engine])
                before = slot.last
        phase.instructions.append(item)
        phase.places.append((slot.engine, slot.index))
        free[slot.engine] = slot.last
    end.cycles -= before
    return [*sorted(phases.values(), key=lambda phase: phase.first), end]
