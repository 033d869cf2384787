"""Last pass: what a program costs, per layer and phase. The schema is documented in docs/report.md."""

from __future__ import annotations

from collections import Counter

from pydantic import BaseModel, ConfigDict

from arch.chip import Chip
from arch.counts import counted, map_words
from arch.events import Event
from arch.isa import Compute
from arch.layout import Region, Store
from arch.program import Program
from arch.timing import duration, schedule, writes_rows
from arch.traversal import accesses

SCHEMA = 1
"""Rises when a field changes its meaning or goes."""
_TRAFFIC = {
    "feature": (Event.FEATURE_READS, Event.FEATURE_WRITES),
    "gradient": (Event.GRADIENT_READS, Event.GRADIENT_WRITES),
    "weight": (Event.WEIGHT_READS, Event.WEIGHT_WRITES),
}
_SMALL_LOSS = 0.03


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Traffic(_Model):
    """Words read from and written to a memory."""

    reads: int
    writes: int


class Row(_Model):
    """One phase of one layer."""

    layer: str
    phase: str
    modes: list[str]
    cycles: int
    macs: int
    ideal_cycles: float
    utilisation: float
    limited_by: str
    window_words: int
    traffic: dict[str, Traffic]


class TensorRow(_Model):
    """Where a tensor lies and in what format."""

    name: str
    store: str
    base: int
    shape: list[int]
    fraction_bits: int
    bytes: int


class Report(_Model):
    """What one entry of a program costs on its chip."""

    schema_version: int
    network: str
    chip: str
    fingerprint: str
    entry: str
    clock_ns: float
    cycles: int
    macs: int
    utilisation: float
    microseconds: float
    rows: list[Row]
    peak_bytes: dict[str, int]
    tensors: list[TensorRow]


def report(program: Program, entry: str, network: str = "") -> Report:
    """The report of one entry; its rows' cycles sum to the entry's."""
    chip = program.chip
    streams = program.entry_streams(entry)
    slots = schedule(streams, {engine: [duration(i, chip) for i in stream] for engine, stream in streams.items()})
    groups: dict[tuple[str, str], list] = {}
    before = 0
    for slot in slots:
        instruction = streams[slot.engine][slot.index]
        step = program.steps[slot.engine][program.first(entry, slot.engine) + slot.index]
        groups.setdefault((step.layer, step.phase), []).append((instruction, slot.last - before, step.macs))
        before = slot.last
    rows = [_row(layer, phase, items, chip) for (layer, phase), items in groups.items()]
    macs = sum(row.macs for row in rows)
    return Report(
        schema_version=SCHEMA,
        network=network,
        chip=chip.name,
        fingerprint=chip.fingerprint,
        entry=entry,
        clock_ns=chip.clock_ns,
        cycles=before,
        macs=macs,
        utilisation=macs / (chip.multipliers * before) if before else 0.0,
        microseconds=before * chip.clock_ns / 1000,
        rows=rows,
        peak_bytes=_peaks(program),
        tensors=[_tensor(region, chip) for region in _unique(program)],
    )


def _row(layer: str, phase: str, items: list, chip: Chip) -> Row:
    events: Counter[Event] = Counter()
    for instruction, _, _ in items:
        events.update(counted(instruction, chip))
    cycles = sum(item[1] for item in items)
    macs = sum(item[2] for item in items)
    computes = [item[0] for item in items if isinstance(item[0], Compute)]
    ideal = macs / chip.multipliers
    return Row(
        layer=layer,
        phase=phase,
        modes=[compute.moving.name + "x" + compute.stationary.name for compute in computes],
        cycles=cycles,
        macs=macs,
        ideal_cycles=round(ideal, 1),
        utilisation=round(ideal / cycles, 4) if cycles else 0.0,
        limited_by=_limit(computes, cycles, ideal, events[Event.STEPS], chip),
        window_words=events[Event.WINDOW_WORDS],
        traffic={name: Traffic(reads=events[r], writes=events[w]) for name, (r, w) in _TRAFFIC.items()},
    )


def _limit(computes: list[Compute], cycles: int, ideal: float, steps: int, chip: Chip) -> str:
    """What most of the cycles beyond the ideal are lost to."""
    if not ideal:
        return "overhead"
    idle, waiting = steps - ideal, cycles - steps
    if max(idle, waiting) <= _SMALL_LOSS * cycles:
        return "multipliers"
    if idle >= waiting:
        return "idle multipliers"
    ports = {"weight port": _row_cycles(computes, chip), "feature port": _map_cycles(computes, chip)}
    busiest = max(ports, key=lambda name: ports[name])
    return busiest if ports[busiest] > steps else "fill"


def _row_cycles(computes: list[Compute], chip: Chip) -> int:
    """Cycles in which the weight memory's port reads or writes rows."""
    events = sum((counted(item, chip) for item in computes), Counter[Event]())
    return (events[Event.WEIGHT_READS] + events[Event.WEIGHT_WRITES]) // chip.taps * chip.row_beats


def _map_cycles(computes: list[Compute], chip: Chip) -> int:
    """Cycles in which the memory that windows or blocks are read from is taken, by their accesses or by writes."""
    total = 0
    for item in computes:
        total += sum(map(len, accesses(item, chip)))
        if not writes_rows(item) and item.target_space == item.source_space:
            total += map_words(item, chip)
    return total


def _unique(program: Program) -> list[Region]:
    return list({region.name: region for region in program.regions()}.values())


def _peaks(program: Program) -> dict[str, int]:
    """Bytes up to the last element of any region, for each memory."""
    chip = program.chip
    peaks = dict.fromkeys((store.value for store in Store), 0)
    for region in program.regions():
        elements = int(region.indices(chip).max()) + 1
        peaks[region.store.value] = max(peaks[region.store.value], -(-elements * chip.word_bits // 8))
    return peaks


def _tensor(region: Region, chip: Chip) -> TensorRow:
    elements = int(region.indices(chip).size)
    return TensorRow(
        name=region.name,
        store=region.store.value,
        base=region.base,
        shape=list(region.shape),
        fraction_bits=region.fraction,
        bytes=-(-elements * chip.word_bits // 8),
    )
