"""Functional coverage: what the programs that ran have shown of the machine, and what they have not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from arch.events import UNCOUNTED, Event
from arch.files import write_whole
from arch.isa import ENGINES, Compute, Engine, Instruction, Loss, OnChip, Space, Transfer
from arch.pages import spaces
from arch.program import Program
from arch.spans import target_spans
from arch.timing import FETCH_CYCLES, Slot, schedule
from arch.transfer import chip_span
from sim.result import Result
from testbenches.coverage_groups import GROUPS
from testbenches.coverpoints import Sample

SCENARIOS = ("single", "back-to-back", "bus stalls", "register reads", "abort", "reset", "fault")
"""How a program can be run."""
IMAGES = ("zeros", "no zeros", "smallest", "mixed")
"""What the memories of maps can hold at a program's start."""
_RANGES = ("1", "2 to 4", "5 and more")
Bin = tuple[str, ...]


class ProgramGroup(NamedTuple):
    """A question about a whole run, its answers, and how the chip and the program answer it."""

    name: str
    bins: tuple[str, ...]
    of: Callable[[Program], str]


def _range(count: int) -> str:
    return _RANGES[0] if count == 1 else _RANGES[1] if count < 5 else _RANGES[2]


def _accumulator(chip: Chip) -> str:
    if chip.accumulator_bits == chip.narrowest_accumulator:
        return "narrowest"
    return "48" if chip.accumulator_bits == 48 else "between"


def _word(chip: Chip) -> str:
    return str(chip.word_bits) if chip.word_bits in (8, 16) else "9 to 15"


def image_class(program: Program) -> str:
    """Which of `IMAGES` the maps' memories hold at first."""
    maps = np.concatenate([program.image.feature, program.image.gradient])
    if not maps.any():
        return "zeros"
    if (maps == -program.chip.largest - 1).all():
        return "smallest"
    return "no zeros" if maps.all() else "mixed"


PROGRAM_GROUPS = (
    ProgramGroup("data", IMAGES, image_class),
    ProgramGroup("chip: taps", ("4", "9", "16", "25"), lambda p: str(p.chip.taps)),
    ProgramGroup("chip: lanes", _RANGES, lambda p: _range(p.chip.lanes)),
    ProgramGroup("chip: word bits", ("8", "9 to 15", "16"), lambda p: _word(p.chip)),
    ProgramGroup("chip: accumulator bits", ("narrowest", "between", "48"), lambda p: _accumulator(p.chip)),
    ProgramGroup("chip: accumulator banks", _RANGES, lambda p: _range(p.chip.accumulator_banks)),
    ProgramGroup("chip: traversal", ("snake", "raster", "line_buffer"), lambda p: p.chip.traversal),
    ProgramGroup("chip: kernel registers", _RANGES, lambda p: _range(p.chip.kernel_registers)),
)
REACHABLE: dict[str, frozenset[Bin]] = {
    **{group.name: group.reachable for group in GROUPS},
    **{group.name: frozenset((item,) for item in group.bins) for group in PROGRAM_GROUPS},
    "scenario": frozenset((item,) for item in SCENARIOS),
}
"""For each group, the points that must be hit."""


class Unreachable(AssertionError):
    """A point was hit that a rule excludes: the rule, or the machine's definition, is wrong."""


@dataclass
class Coverage:
    """How often each point of each group was hit."""

    hits: dict[str, Counter[Bin]] = field(default_factory=lambda: {name: Counter() for name in REACHABLE})

    def record(self, chip: Chip, program: Program, entry: str, result: Result | None, scenario: str = "single") -> None:
        """Take in a run; of one that was cut off, which has no result, only what does not need it."""
        self._hit("scenario", (scenario,))
        for group in PROGRAM_GROUPS:
            self._hit(group.name, (group.of(program),))
        if result is not None:
            for sample in samples(chip, program, entry, result):
                self.sample(sample)

    def sample(self, sample: Sample) -> None:
        """Take in one executed instruction."""
        for name, point in points(sample):
            self._hit(name, point)

    def new(self, chip: Chip, engine: Engine, instruction: Instruction) -> int:
        """How many points not hit so far an instruction would hit, whatever the data."""
        return sum(not self.hits[name][point] for name, point in points(Sample(chip, engine, instruction)))

    def merge(self, other: Coverage) -> None:
        """Add what another has counted."""
        for name, counted in other.hits.items():
            self.hits[name].update(counted)

    def holes(self) -> dict[str, list[Bin]]:
        """For each group that has any, the points that must be hit and were not."""
        missing = {name: sorted(points - self.hits[name].keys()) for name, points in REACHABLE.items()}
        return {name: found for name, found in missing.items() if found}

    def counts(self, name: str) -> tuple[int, int]:
        """Points of a group that were hit, and that must be."""
        return len(REACHABLE[name] & self.hits[name].keys()), len(REACHABLE[name])

    @property
    def percent(self) -> float:
        """Points hit of those that must be, of all groups together."""
        hit, reachable = np.sum([self.counts(name) for name in REACHABLE], axis=0).tolist()
        return 100 * hit / reachable

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = {name: sorted([*point, count] for point, count in hits.items()) for name, hits in self.hits.items()}
        write_whole(path, json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> Coverage:
        """What was saved."""
        coverage = cls()
        for name, hits in json.loads(path.read_text()).items():
            coverage.hits[name] = Counter({tuple(point): count for *point, count in hits})
        return coverage

    def _hit(self, name: str, point: Bin) -> None:
        if point not in REACHABLE[name]:
            raise Unreachable(f"{name}: {', '.join(point)} was hit, but is excluded or has no bin")
        self.hits[name][point] += 1


def points(sample: Sample) -> Iterator[tuple[str, Bin]]:
    """The points of all groups that a sample hits."""
    for group in GROUPS:
        point = group.bins(sample)
        if point is not None:
            yield group.name, point


def samples(chip: Chip, program: Program, entry: str, result: Result) -> Iterator[Sample]:
    """Every executed instruction of a run that began with the program's image."""
    streams = program.entry_streams(entry)
    durations = {engine: result.per_instruction[engine][:, Event.BUSY].tolist() for engine in streams}
    ends = dict.fromkeys(streams, 0)
    slots = schedule(streams, durations)
    beside = _beside(chip, streams, slots)
    for slot in slots:
        instruction = streams[slot.engine][slot.index]
        counted = result.per_instruction[slot.engine][slot.index]
        zeros = int(counted[Event.ZERO_PRODUCTS])
        waited = slot.first > ends[slot.engine] + FETCH_CYCLES + 1
        ends[slot.engine] = slot.last
        yield Sample(
            chip,
            slot.engine,
            instruction,
            int(counted[Event.SATURATIONS]),
            int(counted[Event.LOST_UPDATES]),
            _label(program, streams, instruction),
            waited if instruction.wait else None,
            beside.get(slot.index) if slot.engine == Engine.DMA else None,
            int(counted[Event.STEPS]),
            None if zeros == UNCOUNTED else zeros,
        )


def _beside(chip: Chip, streams: dict[Engine, list[Instruction]], slots: list[Slot]) -> dict[int, str]:
    """For each TRANSFER of the DMA's stream, which of `BESIDE` other engines used while it ran."""
    found = {}
    for slot in slots:
        instruction = streams[slot.engine][slot.index]
        if not isinstance(instruction, Transfer):
            continue
        others = [item for item in slots if item.engine != slot.engine and _overlap(item, slot)]
        used = {memory for item in others for memory, _ in spaces(streams[item.engine][item.index], chip)}
        same = instruction.memory.name.lower() in used
        found[slot.index] = "another page" if same else "another memory" if used else "alone"
    return found


def _overlap(one: Slot, other: Slot) -> bool:
    return one.first <= other.last and other.first <= one.last


def _label(program: Program, streams: dict[Engine, list[Instruction]], instruction: Instruction) -> int | None:
    """The label that a LOSS reads, if no instruction of the program may write its word."""
    if not isinstance(instruction, Loss):
        return None
    for engine in ENGINES:
        for item in streams[engine]:
            space, written = _written(item, program.chip)
            if space == instruction.space and instruction.label in written:
                return None
    memory = program.image.gradient if instruction.space else program.image.feature
    return int(memory[instruction.label, 0])


def _written(instruction: Instruction, chip: Chip) -> tuple[Space | None, range]:
    """The memory and the words of maps that an instruction may write."""
    if isinstance(instruction, Loss):
        first = instruction.target
        return Space(1 - instruction.space), range(first, first + chip.words(instruction.count))
    if isinstance(instruction, Transfer):
        inward = not instruction.outward and instruction.memory != OnChip.WEIGHT
        return (Space(instruction.memory), chip_span(instruction)) if inward else (None, range(0))
    spans = target_spans(instruction, chip) if isinstance(instruction, Compute) else []
    if not isinstance(instruction, Compute) or not spans:
        return None, range(0)
    return instruction.target_space, range(min(item.start for item in spans), max(item.stop for item in spans))
