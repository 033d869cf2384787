"""How long everything takes, in cycles: one exact recurrence an instruction, and the schedule of the engines.

The array is a pipeline behind two elastic suppliers:

    loader      brings a position's words to a shadow window, one access of the source memory a cycle
    row fetcher brings a weight row, `row_beats` cycles of the weight memory a row
    X           a step: T x L multipliers work                          (needs the window, and its row if it uses one)
    P, A, B, S  products reduced; accumulated; base added and rounded; ReLU, mask, saturation; a cycle each
    W           written, WRITE_LATENCY cycles after X

Writes never wait. Reads of the same single-port memory wait for them. Nothing else stalls.
"""

from __future__ import annotations

from dataclasses import dataclass

from arch.chip import Chip
from arch.isa import (
    Base,
    Compute,
    Destination,
    Emission,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Moving,
    Reduction,
    Stationary,
)
from arch.softmax import DIVIDER_CYCLES
from arch.traversal import accesses

WRITE_LATENCY = 5
"""Cycles from a step to the first write of what it completes."""
FETCH_CYCLES = 2
"""Cycles from the end of an instruction to the earliest start of the next: fetch, then decode and wait for tokens."""
LOSS_SUM_LATENCY = 5
"""Cycles from the last logit's read in the summing pass to the divider's start."""
LOSS_WRITE_LATENCY = 6
"""Cycles from a logit word's read in the last pass to the write of its gradient."""


def uses_rows(compute: Compute) -> bool:
    """Whether weight rows are read while the nest runs or drains."""
    return compute.stationary == Stationary.STREAM or compute.base == Base.ROW


def writes_rows(compute: Compute) -> bool:
    """Whether results replace weight rows; otherwise they are words of a map."""
    return compute.reduction == Reduction.NONE and compute.emission != Emission.POSITION


def duration(instruction: Instruction, chip: Chip) -> int:
    """Cycles from the first to the last of a legal instruction's execution; 0 for HALT."""
    if isinstance(instruction, Halt):
        return 0
    if isinstance(instruction, Load):
        if instruction.destination == Destination.VECTOR:
            return instruction.count + 1
        return instruction.count * chip.row_beats + 1
    if isinstance(instruction, Loss):
        words = chip.words(instruction.count)
        # three passes (the label is read in the cycle before them), the divider, and the latencies between
        return 3 * words + LOSS_SUM_LATENCY + DIVIDER_CYCLES + LOSS_WRITE_LATENCY
    if isinstance(instruction, Compute):
        return Nest(instruction, chip).run()
    raise ValueError(f"{type(instruction).__name__} has no timing in this version")


class Nest:
    """The recurrence of a COMPUTE: cycles, counted from its first, at which each access and step happens."""

    def __init__(self, compute: Compute, chip: Chip):
        self.compute = compute
        self.chip = chip
        self.rows = uses_rows(compute)
        self.row_writes = writes_rows(compute)
        self.loader_shares = not self.row_writes and compute.target_space == compute.source_space
        self.map_writes: set[int] = set()
        self.weight_writes: set[int] = set()
        self.step = -1  # cycle of the last step
        self.row_free = 0  # first cycle in which the next row may be requested
        self.drained = 0  # first cycle in which a step may complete a position again
        self.last_write = -1

    def run(self) -> int:
        """Go through the nest once; its cycles."""
        compute = self.compute
        loads = compute.moving in (Moving.WINDOW, Moving.BLOCK) or compute.stationary == Stationary.PIXEL
        swap = 0
        places = accesses(compute, self.chip)
        for index, position in enumerate(places):
            ready = -1
            if loads:
                ready = max(self.load(len(position), swap), self.step if index else 0)
                swap = ready
            self._iterate(ready, index, len(places))
        if compute.emission == Emission.END:
            if self.row_writes:
                for _ in range(compute.iterations):
                    self.advance(0)
                    self._write_row()
            else:
                self._write_words(self.chip.words(compute.iterations))
        return self.last_write + 1

    def load(self, count: int, first: int) -> int:
        """Request `count` accesses from cycle `first` on; the cycle in which the last one's data arrives."""
        cycle = first - 1
        for _ in range(count):
            cycle += 1
            while self.loader_shares and cycle in self.map_writes:
                cycle += 1
        return cycle + 1

    def _iterate(self, ready: int, index: int, positions: int) -> None:
        compute = self.compute
        per_position = compute.emission == Emission.POSITION
        several = per_position and compute.reduction == Reduction.NONE
        for j in range(compute.iterations):
            earliest = ready + 1 if j == 0 else 0
            if per_position and (j == compute.iterations - 1 or (several and self.chip.accumulator_banks == 1)):
                earliest = max(earliest, self.drained)
            self.advance(earliest, row=self.rows and not self._drains_rows())
            if compute.emission == Emission.STEP:
                self._write_row()
        if per_position:
            words = self._position_words(index) if several else 1
            self.drained = self.step + words
            self._write_words(words)

    def _drains_rows(self) -> bool:
        return self.compute.emission == Emission.END and self.row_writes

    def _position_words(self, index: int) -> int:
        total = self.compute.height * self.compute.width
        return min(self.chip.taps, total - index * self.chip.taps)

    def advance(self, earliest: int, row: bool = True) -> None:
        """Take the next step as early as the last one, `earliest` and its weight row allow."""
        cycle = max(self.step + 1, earliest)
        if row:
            beat = self.row_free - 1
            for _ in range(self.chip.row_beats):
                beat += 1
                while beat in self.weight_writes:
                    beat += 1
            cycle = max(cycle, beat + 1)
            self.row_free = cycle
        self.step = cycle

    def _write_row(self) -> None:
        first = self.step + WRITE_LATENCY
        self.weight_writes.update(range(first, first + self.chip.row_beats))
        self.last_write = first + self.chip.row_beats - 1

    def _write_words(self, count: int) -> None:
        first = self.step + WRITE_LATENCY
        self.map_writes.update(range(first, first + count))
        self.last_write = first + count - 1


@dataclass(frozen=True)
class Slot:
    """When one instruction runs: its first and last cycle, counted from the program's start in cycle 0."""

    engine: Engine
    index: int
    first: int
    last: int


class Deadlock(ValueError):
    """Engines that wait for each other's tokens for ever."""


def schedule(streams: dict[Engine, list[Instruction]], durations: dict[Engine, list[int]]) -> list[Slot]:
    """When each instruction of each stream runs, in order of retirement; streams end with HALT.

    start = max(engine free + FETCH_CYCLES, tokens there) + 1, end = start + duration - 1; a HALT retires in the cycle
    before its start. The program takes as many cycles as the last slot's `last`. Raises `Deadlock`.
    """
    free = dict.fromkeys(streams, 0)
    done = dict.fromkeys(streams, 0)
    tokens: dict[tuple[Engine, Engine], list[int]] = {(a, b): [] for a in Engine for b in Engine}
    slots: list[Slot] = []
    progress = True
    while progress:
        progress = False
        for engine, stream in streams.items():
            while done[engine] < len(stream):
                instruction = stream[done[engine]]
                sources = [other for other in Engine if instruction.wait >> other & 1]
                if not all(tokens[other, engine] for other in sources):
                    break
                arrived = [tokens[other, engine].pop(0) for other in sources]
                wait = max([free[engine] + FETCH_CYCLES, *(cycle + 1 for cycle in arrived)])
                last = wait + durations[engine][done[engine]]
                slots.append(Slot(engine, done[engine], wait + 1, last))
                for other in Engine:
                    if instruction.signal >> other & 1:
                        tokens[engine, other].append(last)
                free[engine] = last
                done[engine] += 1
                progress = True
    for engine, stream in streams.items():
        if done[engine] < len(stream):
            raise Deadlock(f"{engine.name} instruction {done[engine]} waits for a token that never comes")
    return sorted(slots, key=lambda slot: (slot.last, slot.engine))
