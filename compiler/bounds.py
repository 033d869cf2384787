"""What a layer's cycles are lost to: multipliers without work, ports, waiting for the DMA, filling and draining."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from arch.chip import Chip
from arch.counts import counted, map_words
from arch.events import Event
from arch.isa import Compute, Instruction, Traversal
from arch.recall import by_form
from arch.timing import writes_rows
from arch.traversal import accesses, inner_steps, positions

_SMALL_LOSS = 0.03


@dataclass(frozen=True)
class Bounds:
    """Cycles of a row of the report by what they are lost to; `taps` and `lanes` are steps with idle multipliers."""

    cycles: int
    ideal: float
    taps: float
    lanes: float
    weight_port: float
    map_port: float
    dma: float

    @classmethod
    def of(cls, computes: list[Compute], cycles: int, waits: int, ideal: float, chip: Chip) -> Bounds:
        """The losses of a row's COMPUTEs, that took `cycles`, of which `waits` for tokens."""
        steps = full = rows = maps = 0.0
        for item in computes:
            made = item.outer * item.inner * positions(item, chip) * inner_steps(item) * item.iterations
            steps += made
            full += made * _filled(item, chip)
            rows += max(0.0, row_cycles(item, chip) - made)
            maps += max(0.0, _map_cycles(item, chip) - made)
        return cls(cycles, ideal, steps - full, max(0.0, full - ideal), rows, maps, waits)

    @property
    def fill(self) -> float:
        """What is left: fetch, first loads, last writes."""
        named = self.taps + self.lanes + self.weight_port + self.map_port + self.dma
        return max(0.0, self.cycles - self.ideal - named)


def limit_of(bounds: Bounds) -> str:
    """What most of the cycles beyond the ideal are lost to."""
    if not bounds.ideal:
        return "overhead" if bounds.dma <= bounds.cycles / 2 else "DMA"
    losses = {
        "taps": bounds.taps,
        "lanes": bounds.lanes,
        "weight port": bounds.weight_port,
        "map port": bounds.map_port,
        "DMA": bounds.dma,
        "fill": bounds.fill,
    }
    if bounds.cycles - bounds.ideal <= _SMALL_LOSS * bounds.cycles:
        return "multipliers"
    return max(losses, key=lambda name: losses[name])


def _filled(compute: Compute, chip: Chip) -> float:
    """The share of taps that have a position in a walk of blocks."""
    if compute.traversal not in (Traversal.PIXELS, Traversal.BLOCK):
        return 1.0
    return compute.height * compute.width / (positions(compute, chip) * chip.taps)


@by_form
def row_cycles(instruction: Instruction, chip: Chip) -> int:
    """Cycles in which the weight memory's port reads or writes rows."""
    events: Counter[Event] = counted(instruction, chip)
    return (events[Event.WEIGHT_READS] + events[Event.WEIGHT_WRITES]) // chip.taps * chip.row_beats


@by_form
def _map_cycles(compute: Compute, chip: Chip) -> int:
    """Cycles in which the memory that windows or blocks are read from is taken, by their accesses or by writes."""
    total = compute.outer * compute.inner * inner_steps(compute) * int(accesses(compute, chip).sum())
    if not writes_rows(compute) and compute.target_space == compute.source_space:
        total += map_words(compute, chip)
    return total
