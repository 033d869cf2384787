"""What the executions are compared by: the state that an instruction leaves when it retires."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from arch.chip import Chip
from arch.image import MEMORIES, Image
from arch.isa import Engine, Instruction, Transfer
from arch.legal import rounds_randomly
from arch.pages import page_words, spaces, whole_rows

__all__ = ["MEMORIES", "Retirement", "digests"]


@dataclass(frozen=True)
class Retirement:
    """One instruction's end.

    `index` is the instruction's place in its engine's whole stream, `cycle` the cycle since start, `counters` the
    engine's events so far in `Event` order, `digests` for each of `MEMORIES` a CRC-32 of the pages that the instruction
    uses, 0 where it uses none: the other engines may be writing those.
    """

    engine: Engine
    index: int
    cycle: int
    counters: tuple[int, ...]
    digests: tuple[int, ...]


def digests(instruction: Instruction, image: Image, chip: Chip) -> tuple[int, ...]:
    """CRC-32 of each memory's pages that `instruction` uses, 0 for a memory that it does not use, or reads outside."""
    used: dict[str, list[int]] = {}
    for memory, page in sorted(spaces(instruction, chip)):
        used.setdefault(memory, []).append(page)
    if rounds_randomly(instruction):
        used["random"] = []
    if isinstance(instruction, Transfer) and not instruction.outward:
        del used["external"]
    return tuple(_digest(_parts(image, name, used[name], chip)) if name in used else 0 for name in MEMORIES)


def _parts(image: Image, memory: str, pages: list[int], chip: Chip) -> Iterable[np.ndarray]:
    if memory in ("random", "external"):
        return [getattr(image, memory)]
    if memory == "weight":
        return (image.weight[rows] for rows in whole_rows(pages, chip))
    return (getattr(image, memory)[page_words(page, memory, chip)] for page in pages)


def _digest(parts: Iterable[np.ndarray]) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(part.tobytes(), crc)
    return crc
