"""The order in which the engines begin their instructions: prefetches early, nothing of the array late.

The array and the vector engine keep the order of the list. The DMA takes, whenever it is free, the transfer that may
begin first, of several the one that is needed first; it passes one over whose pages the array is about to use, unless
the array would wait for little. How much is little (`PATIENCE`) is tried out.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from arch.chip import Chip
from arch.isa import Engine
from arch.timing import FETCH_CYCLES
from compiler.hazards import Hazards, Issue
from compiler.tokens import Streams, streams

PATIENCE = (0, 100, 1000, 10_000)
"""Cycles that the array may be kept waiting by a transfer that it does not need yet."""
_AHEAD = 32
"""Instructions of the array that are looked at to see when a page is used."""
_CHOICES = 12
"""Transfers that the DMA chooses from."""


def scheduled(issued: Sequence[Issue], chip: Chip) -> Streams:
    """The streams of a sequential list of instructions, which have no tokens yet: the shortest of those tried."""
    hazards = Hazards(issued, chip)
    if Engine.DMA not in hazards.engines:
        return streams(issued, hazards.pages, range(len(issued)))
    queues = [_Queues(hazards, patience) for patience in PATIENCE]
    best = min(queues, key=lambda queue: queue.cycles)
    return streams(issued, hazards.pages, best.order)


class _Queues:
    """A simulated run: `order` of the beginnings, and the `cycles` that it takes."""

    def __init__(self, hazards: Hazards, patience: int):
        self.hazards = hazards
        self.patience = patience
        self.deadlines = hazards.deadlines
        count = len(hazards.engines)
        self.missing = [len(before) for before in hazards.before]
        self.ready = [0] * count
        self.after: list[list[int]] = [[] for _ in range(count)]
        for index, before in enumerate(hazards.before):
            for earlier in before:
                self.after[earlier].append(index)
        self.free = dict.fromkeys(Engine, 0)
        self.busy = {engine: [0] * len(hazards.page_names) for engine in Engine}
        """For each engine and page, the last cycle in which another engine uses it."""
        self.stream = hazards.streams
        self.next = dict.fromkeys(Engine, 0)
        self.waiting: list[tuple[int, int]] = []
        """Transfers that no instruction keeps any more, as (deadline, index), in order."""
        for index in self.stream[Engine.DMA]:
            if not self.missing[index]:
                insort(self.waiting, (self.deadlines[index], index))
        self.order: list[int] = []
        while len(self.order) < count:
            self._begin(*self._choice())
        self.cycles = max(self.free.values())

    def _choice(self) -> tuple[int, int]:
        """The instruction to begin next, and its first cycle."""
        fixed = [(self._start(i), i) for e in (Engine.ARRAY, Engine.VECTOR) if (i := self._head(e)) >= 0]
        first = min(fixed, default=None)
        moves = [(self._start(index), place, index) for place, (_, index) in enumerate(self.waiting[:_CHOICES])]
        for start, _, index in sorted(moves):
            if first is None or (start <= first[0] and self._patient(index, start)):
                return index, start
        if first is not None:
            return first[1], first[0]
        raise AssertionError("the list has an instruction that waits for a later one")

    def _head(self, engine: Engine) -> int:
        """The engine's next instruction if nothing keeps it; -1."""
        stream, place = self.stream[engine], self.next[engine]
        return stream[place] if place < len(stream) and not self.missing[stream[place]] else -1

    def _start(self, index: int) -> int:
        engine = self.hazards.engines[index]
        start = max(self.free[engine] + FETCH_CYCLES, self.ready[index] + 1)
        busy = self.busy[engine]
        for page in self.hazards.used[index]:
            if busy[page] >= start:
                start = busy[page] + 1
        return start + 1

    def _patient(self, index: int, start: int) -> bool:
        """Whether a transfer begun in cycle `start` delays the array by no more than it may."""
        end = start + self.hazards.durations[index]
        mask, stream = self.hazards.pages[index], self.stream[Engine.ARRAY]
        place = self.next[Engine.ARRAY]
        cycle = self.free[Engine.ARRAY]
        for ahead in stream[place : place + _AHEAD]:
            if cycle + self.patience >= end or self.missing[ahead]:
                break
            if self.hazards.pages[ahead] & mask:
                return False
            cycle += self.hazards.durations[ahead] + FETCH_CYCLES
        return True

    def _begin(self, index: int, start: int) -> None:
        engine = self.hazards.engines[index]
        last = start + self.hazards.durations[index] - 1
        self.order.append(index)
        self.free[engine] = last
        for other, busy in self.busy.items():
            if other != engine:
                for page in self.hazards.used[index]:
                    busy[page] = max(busy[page], last)
        if engine == Engine.DMA:
            self.waiting.remove((self.deadlines[index], index))
        else:
            self.next[engine] += 1
        for later in self.after[index]:
            self.missing[later] -= 1
            self.ready[later] = max(self.ready[later], last)
            if not self.missing[later] and self.hazards.engines[later] == Engine.DMA:
                insort(self.waiting, (self.deadlines[later], later))
