"""The order in which the engines begin their instructions: prefetches early, nothing of the array late.

The array and the vector engine keep the order of the list. The DMA takes, whenever it is free, the transfer that may
begin first, of several the one that is needed first; it passes one over whose pages the array is about to use, unless
the array would wait for little. How much is little (`PATIENCE`) is tried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

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
_ENGINES, _ARRAY, _VECTOR, _DMA = len(Engine), int(Engine.ARRAY), int(Engine.VECTOR), int(Engine.DMA)
_PAGES = 32
"""More than a chip has pages, and memories besides."""
_NEVER = 1 << 62


def scheduled(issued: Sequence[Issue], chip: Chip) -> Streams:
    """The streams of a sequential list of instructions, which have no tokens yet: the shortest of those tried."""
    if all(engine == Engine.ARRAY for engine, _ in issued):  # nothing to wait for
        return streams(issued, [0] * len(issued), range(len(issued)))
    hazards = Hazards(issued, chip)
    if Engine.DMA not in hazards.engines:
        return streams(issued, hazards.pages, range(len(issued)))
    queues = _Queues.of(hazards)
    runs = [_run(queues, patience) for patience in PATIENCE]
    order, _ = min(runs, key=lambda run: run[1])
    return streams(issued, hazards.pages, order.tolist())


class _Queues(NamedTuple):
    """What a simulated run needs of `Hazards`, int64 arrays.

    Of each instruction its engine, cycles, mask of pages, rank by deadline and place, how many others it waits for, and
    in `after[first[i]] ... after[first[i + 1] - 1]` those that wait for it. The engines' streams are in `streams`, each
    from its number in `begins` on.
    """

    engines: np.ndarray
    durations: np.ndarray
    pages: np.ndarray
    ranks: np.ndarray
    missing: np.ndarray
    first: np.ndarray
    after: np.ndarray
    streams: np.ndarray
    begins: np.ndarray

    @classmethod
    def of(cls, hazards: Hazards) -> _Queues:
        counts = [len(before) for before in hazards.before]
        earlier = np.array([index for before in hazards.before for index in before], np.int64)
        later = np.repeat(np.arange(len(counts)), counts)
        streams = [hazards.streams[engine] for engine in Engine]
        return cls(
            engines=np.array(hazards.engines, np.int64),
            durations=np.array(hazards.durations, np.int64),
            pages=np.array(hazards.pages, np.int64),
            ranks=np.array(hazards.deadlines, np.int64) * len(counts) + np.arange(len(counts)),
            missing=np.array(counts, np.int64),
            first=np.concatenate(([0], np.bincount(earlier, minlength=len(counts)).cumsum())),
            after=later[np.argsort(earlier, kind="stable")],
            streams=np.array([index for stream in streams for index in stream], np.int64),
            begins=np.cumsum([0, *(len(stream) for stream in streams)]),
        )


@njit(cache=True)
def _run(queues, patience):
    """The order in which the instructions begin, and the cycles that all of them take."""
    count = len(queues.engines)
    missing, ready = queues.missing.copy(), np.zeros(count, np.int64)
    free, head = np.zeros(_ENGINES, np.int64), queues.begins[:_ENGINES].copy()
    busy = np.zeros((_ENGINES, _PAGES), np.int64)  # for each engine and page, the last cycle in which another uses it
    waiting, fresh = np.empty(count, np.int64), 0  # transfers that nothing keeps any more, the first deadline first
    order = np.empty(count, np.int64)
    for index in queues.streams[queues.begins[_DMA] : queues.begins[_DMA + 1]]:
        if not missing[index]:
            fresh = _insert(queues.ranks, waiting, fresh, index)
    for number in range(count):
        index, start = _choice(queues, patience, missing, ready, free, head, busy, waiting[:fresh])
        engine, last = queues.engines[index], start + queues.durations[index] - 1
        order[number] = index
        free[engine] = last
        for page in range(_PAGES):
            if queues.pages[index] >> page & 1:
                for other in range(_ENGINES):
                    if other != engine:
                        busy[other, page] = max(busy[other, page], last)
        if engine == _DMA:
            fresh = _remove(waiting, fresh, index)
        else:
            head[engine] += 1
        for later in queues.after[queues.first[index] : queues.first[index + 1]]:
            missing[later] -= 1
            ready[later] = max(ready[later], last)
            if not missing[later] and queues.engines[later] == _DMA:
                fresh = _insert(queues.ranks, waiting, fresh, later)
    return order, free.max()


@njit(cache=True)
def _choice(queues, patience, missing, ready, free, head, busy, waiting):
    """The instruction to begin next, and its first cycle."""
    first, first_start = -1, 0
    for engine in (_ARRAY, _VECTOR):
        if head[engine] < queues.begins[engine + 1] and not missing[queues.streams[head[engine]]]:
            index = queues.streams[head[engine]]
            start = _start(queues, index, ready, free, busy)
            if first < 0 or start < first_start or (start == first_start and index < first):
                first, first_start = index, start
    starts = np.full(_CHOICES + 1, _NEVER)
    for place, index in enumerate(waiting[:_CHOICES]):
        starts[place] = _start(queues, index, ready, free, busy)
    while first < 0 or starts.min() <= first_start:
        place = starts.argmin()
        start, index = starts[place], waiting[place]
        if start == _NEVER:
            break
        if first < 0 or _patient(queues, patience, index, start, missing, free, head):
            return index, start
        starts[place] = _NEVER
    assert first >= 0, "the list has an instruction that waits for a later one"
    return first, first_start


@njit(cache=True)
def _start(queues, index, ready, free, busy):
    """The earliest first cycle of an instruction that nothing keeps any more."""
    engine, pages = queues.engines[index], queues.pages[index]
    start = max(free[engine] + FETCH_CYCLES, ready[index] + 1)
    for page in range(_PAGES):
        if pages >> page & 1:
            start = max(start, busy[engine, page] + 1)
    return start + 1


@njit(cache=True)
def _patient(queues, patience, index, start, missing, free, head):
    """Whether a transfer begun in cycle `start` delays the array by no more than it may."""
    end, cycle = start + queues.durations[index], free[_ARRAY]
    for ahead in queues.streams[head[_ARRAY] : min(head[_ARRAY] + _AHEAD, queues.begins[_ARRAY + 1])]:
        if cycle + patience >= end or missing[ahead]:
            break
        if queues.pages[ahead] & queues.pages[index]:
            return False
        cycle += queues.durations[ahead] + FETCH_CYCLES
    return True


@njit(cache=True)
def _insert(ranks, waiting, fresh, index):
    """Put a transfer among the first `fresh` of `waiting`, in order of rank; how many there are now."""
    place = fresh
    while place and ranks[waiting[place - 1]] > ranks[index]:
        waiting[place] = waiting[place - 1]
        place -= 1
    waiting[place] = index
    return fresh + 1


@njit(cache=True)
def _remove(waiting, fresh, index):
    """Take a transfer out of the first `fresh` of `waiting`; how many are left."""
    found = False
    for place in range(fresh - 1):
        found |= waiting[place] == index
        if found:
            waiting[place] = waiting[place + 1]
    return fresh - 1
