"""What is said where an execution differs from what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Engine
from arch.program import Program
from arch.retirement import MEMORIES, Retirement

MOST = 20
"""Elements of a memory that are listed; more of them help nobody."""
_AXES = {"feature": ("word", "lane"), "gradient": ("word", "lane"), "weight": ("row", "tap", "lane")}


class Difference(NamedTuple):
    """One thing that is not as expected.

    `engine`, `instruction` (its index) and `opcode` name the instruction after which it was seen; at a run's end they
    are `""`, -1 and `""`. `what` is `cycle`, an event or a memory; `place` the memory's element, empty where only its
    digest was compared. `expected` is None if nothing was to happen, `got` None if nothing did.
    """

    step: int
    engine: str
    instruction: int
    opcode: str
    what: str
    place: str
    expected: int | None
    got: int | None

    def __str__(self) -> str:
        where = f"{self.engine} {self.instruction} {self.opcode}".strip() if self.engine else "at the end"
        what = f"{self.what} {self.place}".strip()
        return f"step {self.step}, {where}: {what} must be {_said(self.expected)}, not {_said(self.got)}"


def _said(value: int | None) -> str:
    return "none" if value is None else str(value)


class Comparer:
    """Compares the retirements of one run with those expected, if any, as they come."""

    def __init__(self, program: Program, step: int, expected: Sequence[Retirement] | None):
        self._program = program
        self._step = step
        self._expected = None if expected is None else {(item.engine, item.index): item for item in expected}
        self._last: Retirement | None = None
        self._counters = np.zeros((len(ENGINES), len(Event)), np.int64)

    def compare(self, got: Retirement) -> list[Difference]:
        """What differs in this retirement."""
        self._last = got
        self._counters[got.engine] = got.counters
        if self._expected is None:
            return []
        expected = self._expected.pop((got.engine, got.index), None)
        if expected is None:
            return [self._difference(got, "cycle", None, got.cycle)]
        pairs = [("cycle", expected.cycle, got.cycle)]
        pairs += [(event.name, expected.counters[event], got.counters[event]) for event in Event]
        pairs += list(zip(MEMORIES, expected.digests, got.digests, strict=True))
        return [self._difference(got, *pair) for pair in pairs if pair[1] != pair[2]]

    def end(self, cycles: int, counters: np.ndarray) -> list[Difference]:
        """The expected retirements that did not come, and what differs in the chip's registers from the last ones."""
        found = [self._difference(item, "cycle", item.cycle, None) for item in (self._expected or {}).values()]
        if self._last is not None and self._last.cycle != cycles:
            found.append(Difference(self._step, "", -1, "", "cycle", "", self._last.cycle, cycles))
        for engine, event in np.argwhere(self._counters != counters).tolist():
            name, pair = Event(event).name, (int(self._counters[engine, event]), int(counters[engine, event]))
            found.append(Difference(self._step, "", -1, "", name, Engine(engine).name.lower(), *pair))
        return found

    def _difference(self, item: Retirement, what: str, expected: int | None, got: int | None) -> Difference:
        stream = self._program.streams[item.engine]
        opcode = stream[item.index].opcode.name if item.index < len(stream) else ""
        return Difference(self._step, item.engine.name.lower(), item.index, opcode, what, "", expected, got)


def image_differences(step: int, expected: Image, got: Image) -> list[Difference]:
    """The first `MOST` elements of each memory that differ at the end of a run."""
    return [
        Difference(step, "", -1, "", memory, place, *values)
        for memory in MEMORIES
        for place, *values in islice(_unequal(memory, expected, got), MOST)
    ]


def located(difference: Difference, expected: Image, got: Image) -> Difference:
    """A memory's difference by digest as its first unequal element; any other as it is."""
    if difference.what in MEMORIES and difference.engine:
        for place, *values in _unequal(difference.what, expected, got):
            return difference._replace(place=place, expected=values[0], got=values[1])
    return difference


def _unequal(memory: str, expected: Image, got: Image) -> Iterator[tuple[str, int, int]]:
    axes = _AXES.get(memory, ("tap", "lane"))
    wanted, found = getattr(expected, memory), getattr(got, memory)
    for index in np.argwhere(wanted != found).tolist():
        place = " ".join(f"{axis} {value}" for axis, value in zip(axes, index, strict=True))
        yield place, int(wanted[tuple(index)]), int(found[tuple(index)])
