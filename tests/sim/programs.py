"""Programs of given instructions, in order."""

from __future__ import annotations

from dataclasses import replace

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINE_OF, ENGINES, Engine, Halt, Instruction
from arch.layout import Region
from arch.program import Entry, Program, Step


def program_of(
    chip: Chip, instructions: list[Instruction], image: Image, regions: dict[str, dict[str, Region]] | None = None
) -> Program:
    """A program of instructions in the order given, each waiting for the one before if that runs elsewhere."""
    streams: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    last = None
    for instruction in instructions:
        (engine,) = ENGINE_OF[instruction.opcode]
        if last not in (None, engine):
            streams[last][-1] = replace(streams[last][-1], signal=1 << engine)
            instruction = replace(instruction, wait=1 << last)
        streams[engine].append(instruction)
        last = engine
    for stream in streams.values():
        stream.append(Halt())
    steps = {engine: [Step(layer="test", phase="forward")] * len(stream) for engine, stream in streams.items()}
    start = {engine.name.lower(): 0 for engine in ENGINES}
    return Program(chip, streams, steps, {"main": Entry(start=start)}, image, **regions or {})
