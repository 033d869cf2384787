"""What the executions are compared by: the state that an instruction leaves when it retires."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from arch.image import MEMORIES, Image
from arch.isa import Engine, Instruction
from arch.legal import rounds_randomly, spaces

__all__ = ["MEMORIES", "Retirement", "digests"]

@dataclass(frozen=True)
class Retirement:
    """One instruction's end.

    `index` is the instruction's place in its engine's whole stream, `cycle` the cycle since start, `counters` the
    engine's events so far in `Event` order, `digests` a CRC-32 of each of `MEMORIES` that the instruction uses, 0 for
    the others, which the other engine may be writing.
    """

    engine: Engine
    index: int
    cycle: int
    counters: tuple[int, ...]
    digests: tuple[int, ...]


def digests(instruction: Instruction, image: Image) -> tuple[int, ...]:
    """CRC-32 of the contents of each memory that `instruction` uses, 0 for the others."""
    used = spaces(instruction) | ({"random"} if rounds_randomly(instruction) else set())
    return tuple(zlib.crc32(getattr(image, name).tobytes()) if name in used else 0 for name in MEMORIES)
