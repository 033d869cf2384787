"""When the instructions of an entry run and what they count: once for an entry, and for each step where it differs.

Cycles and events that do not depend on values follow from `arch.timing` and `arch.counts`; with `skip` they depend on
which iterations a step made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from arch.chip import Chip
from arch.counts import counted
from arch.events import DATA_DEPENDENT, UNCOUNTED, Event
from arch.isa import ENGINES, Compute, Engine, Instruction
from arch.retirement import Retirement
from arch.timing import Slot, schedule
from arch.traversal import positions
from sim.fast_table import ROW, row_of
from sim.result import Result


@dataclass(frozen=True)
class Plan:
    """An entry: its instructions' rows and slots in order of retirement, durations, and what each counts.

    With `skip`, the order, durations and counts are those of a run that skips nothing; what an instruction really makes
    is found in `made` (int64), from its row's `made` on, after each step.
    """

    streams: dict[Engine, list[Instruction]]
    table: np.ndarray
    slots: list[Slot]
    durations: dict[Engine, list[int]]
    events: dict[Engine, np.ndarray]
    made: np.ndarray
    skipping: list[int]

    def slot(self, row: int) -> tuple[Engine, int]:
        """Engine and place in its stream of the table's row."""
        return self.slots[row].engine, self.slots[row].index

    def as_made(self, chip: Chip) -> Plan:
        """The plan with the durations and counts of what the last step made."""
        if not self.skipping:
            return self
        durations = {engine: list(values) for engine, values in self.durations.items()}
        events = {engine: values.copy() for engine, values in self.events.items()}
        for row in self.skipping:
            engine, index = self.slot(row)
            compute, first = self.streams[engine][index], int(self.table[row]["made"])
            assert isinstance(compute, Compute)
            found = events_of(compute, chip, self.made[first : first + places(compute, chip)])
            events[engine][index] = found
            durations[engine][index] = int(found[Event.BUSY])
        return replace(self, durations=durations, events=events)

    def scheduled(self) -> list[Slot]:
        """The slots by the plan's durations."""
        return schedule(self.streams, self.durations) if self.skipping else self.slots


def events_of(instruction: Instruction, chip: Chip, executed: np.ndarray | None = None) -> np.ndarray:
    """What an instruction counts whatever the values, int64[events]; `executed` as for `arch.counts.counted`."""
    events = np.zeros(len(Event), np.int64)
    for event, count in counted(instruction, chip, executed).items():
        events[event] = count
    return events


def places(compute: Compute, chip: Chip) -> int:
    """Places that a COMPUTE with `skip` needs in `made`."""
    return compute.outer * compute.inner * positions(compute, chip) if compute.skip else 0


class Passes:
    """What the passes of one run counted; ZERO_PRODUCTS and bits that turn if `zeros`, else `UNCOUNTED`."""

    def __init__(self, plan: Plan, zeros: bool):
        self.plan = plan
        self.zeros = zeros
        self.values = np.zeros((plan.table.size, len(DATA_DEPENDENT) + 1), np.int64)
        self.events = {engine: np.zeros_like(events) for engine, events in plan.events.items()}
        self.slots = plan.slots
        self.cycles = 0
        self.retirements: list[Retirement] = []

    def add(self, plan: Plan, passes: int) -> None:
        """Count passes that were as `plan`."""
        for engine, events in plan.events.items():
            self.events[engine] += passes * events
        self.slots = plan.scheduled()
        self.cycles += passes * self.slots[-1].last

    def per_instruction(self) -> dict[Engine, np.ndarray]:
        """For each engine the events of each instruction, those that depend on values too."""
        found = {engine: events.copy() for engine, events in self.events.items()}
        for row, values in enumerate(self.values):
            engine, index = self.plan.slot(row)
            found[engine][index, list(DATA_DEPENDENT)] = values[:-1]
        if not self.zeros:
            for events in found.values():
                events[:, Event.ZERO_PRODUCTS] = UNCOUNTED
        return found

    def turned(self) -> np.ndarray:
        """Bits of stationary operands that turn in each of the array's instructions, int64[instructions]."""
        found = np.full(len(self.plan.streams[Engine.ARRAY]), 0 if self.zeros else UNCOUNTED)
        for row, values in enumerate(self.values):
            engine, index = self.plan.slot(row)
            if self.zeros and engine == Engine.ARRAY:
                found[index] = values[-1]
        return found

    def result(self, outputs: dict[str, np.ndarray]) -> Result:
        """The run's result; its cycles are those of the last pass."""
        events = self.per_instruction()
        counters = np.stack([events[engine].sum(axis=0) for engine in ENGINES])
        if not self.zeros:
            counters[:, Event.ZERO_PRODUCTS] = UNCOUNTED
        return Result(self.slots[-1].last, counters, events, outputs, self.cycles, self.retirements, self.turned())


def plan_of(streams: dict[Engine, list[Instruction]], chip: Chip) -> Plan:
    """The plan of an entry's streams."""
    events = {engine: np.array([events_of(item, chip) for item in stream]) for engine, stream in streams.items()}
    durations = {engine: values[:, Event.BUSY].tolist() for engine, values in events.items()}
    slots = schedule(streams, durations)
    items = [streams[slot.engine][slot.index] for slot in slots]
    table = np.array([row_of(item, chip) for item in items], ROW)
    sizes = [places(item, chip) if isinstance(item, Compute) else 0 for item in items]
    table["made"] = np.cumsum([0, *sizes[:-1]])
    skipping = np.flatnonzero(table["skip"]).tolist()
    return Plan(streams, table, slots, durations, events, np.zeros(sum(sizes), np.int64), skipping)
