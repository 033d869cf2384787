"""Last pass: what a program costs, per layer and phase. The schema is documented in docs/report.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from pydantic import BaseModel, ConfigDict

from arch.chip import Chip
from arch.isa import Compute, Engine, Halt, Instruction, Transfer
from arch.layout import Store
from arch.program import Program
from arch.timing import FETCH_CYCLES, Slot, duration, schedule
from compiler.bounds import Bounds, limit_of, row_cycles
from compiler.footprints import footprint
from compiler.report_tensors import TensorRow
from compiler.report_traffic import Traffic, traffic_of

SCHEMA = 2
"""Rises when a field changes its meaning or goes."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Model):
    """One phase of one layer."""

    layer: str
    phase: str
    modes: list[str]
    instructions: int
    cycles: int
    busy: int
    waits: int
    dma_busy: int
    macs: int
    ideal_cycles: float
    utilisation: float
    limited_by: str
    window_words: int
    traffic: dict[str, Traffic]
    weight_port_cycles: int
    external_cycles: int


class Report(_Model):
    """What one entry of a program costs on its chip."""

    schema_version: int
    network: str
    chip: str
    fingerprint: str
    entry: str
    clock_ns: float
    cycles: int
    estimated: bool
    macs: int
    utilisation: float
    microseconds: float
    dma_cycles: int
    instructions: dict[str, int]
    rows: list[Row]
    traffic: dict[str, Traffic]
    used_bytes: dict[str, int]
    tensors: list[TensorRow]


_END = ("end", "halt")
"""What the last row of the report is called: what comes after the array's and the vector engine's last work."""


@dataclass
class _Group:
    """What belongs to one row: its instructions, cycles and multiply-accumulates."""

    instructions: list[Instruction] = field(default_factory=list)
    cycles: int = 0
    busy: int = 0
    waits: int = 0
    dma_busy: int = 0
    macs: int = 0
    first: float = inf
    """The cycle in which the array or the vector engine first retires one."""


def report(program: Program, entry: str, network: str = "", tensors: list[TensorRow] | None = None) -> Report:
    """The report of one entry; its rows' cycles sum to the entry's. Cycles of skipping instructions skip nothing."""
    chip = program.chip
    streams = program.entry_streams(entry)
    lengths: dict[Engine, list[int]] = {
        engine: [duration(item, chip) for item in stream] for engine, stream in streams.items()
    }
    slots = schedule(streams, lengths)
    groups = _grouped(program, entry, slots, streams)
    rows = [_row(layer, phase, group, chip) for (layer, phase), group in groups.items()]
    macs, cycles = sum(row.macs for row in rows), slots[-1].last
    everything = [item for stream in streams.values() for item in stream]
    return Report(
        schema_version=SCHEMA,
        network=network,
        chip=chip.name,
        fingerprint=chip.fingerprint,
        entry=entry,
        clock_ns=chip.clock_ns,
        cycles=cycles,
        estimated=any(isinstance(item, Compute) and item.skip for item in everything),
        macs=macs,
        utilisation=macs / (chip.multipliers * cycles) if cycles else 0.0,
        microseconds=cycles * chip.clock_ns / 1000,
        dma_cycles=sum(lengths[Engine.DMA]),
        instructions={engine.name.lower(): len(stream) for engine, stream in streams.items()},
        rows=rows,
        traffic=traffic_of(everything, chip)[0],
        used_bytes=_used(everything, chip),
        tensors=tensors or [],
    )


def _grouped(
    program: Program, entry: str, slots: list[Slot], streams: dict[Engine, list[Instruction]]
) -> dict[tuple[str, str], _Group]:
    """Cycles from a retirement of the array or the vector engine to the next belong to the later one's row.

    What the DMA alone does at the end belongs to its own row; a transfer's own cycles are `dma_busy` of its row.
    """
    groups: dict[tuple[str, str], _Group] = {}
    before = 0
    free = dict.fromkeys(Engine, 0)
    for slot in slots:
        if isinstance(streams[slot.engine][slot.index], Halt):
            continue
        step = program.steps[slot.engine][program.first(entry, slot.engine) + slot.index]
        group = groups.setdefault((step.layer, step.phase), _Group())
        group.instructions.append(streams[slot.engine][slot.index])
        length = slot.last - slot.first + 1
        if slot.engine == Engine.DMA:
            group.dma_busy += length
        else:
            group.first = min(group.first, slot.last)
            group.cycles += slot.last - before
            group.busy += length
            if streams[slot.engine][slot.index].wait >> Engine.DMA & 1:
                group.waits += max(0, slot.first - 1 - FETCH_CYCLES - free[slot.engine])
            group.macs += step.macs
            before = slot.last
        free[slot.engine] = slot.last
    if slots and slots[-1].last > before:
        groups[_END] = _Group(cycles=slots[-1].last - before)
    return dict(sorted(groups.items(), key=lambda item: item[1].first))


def _row(layer: str, phase: str, group: _Group, chip: Chip) -> Row:
    ideal = group.macs / chip.multipliers
    computes = [item for item in group.instructions if isinstance(item, Compute)]
    traffic, window_words = traffic_of(group.instructions, chip)
    bounds = Bounds.of(computes, group.cycles, group.waits, ideal, chip)
    return Row(
        layer=layer,
        phase=phase,
        modes=sorted({item.moving.name + "x" + item.stationary.name for item in computes}),
        instructions=len(group.instructions),
        cycles=group.cycles,
        busy=group.busy,
        waits=group.waits,
        dma_busy=group.dma_busy,
        macs=group.macs,
        ideal_cycles=round(ideal, 1),
        utilisation=round(ideal / group.cycles, 4) if group.cycles else 0.0,
        limited_by=limit_of(bounds),
        window_words=window_words,
        traffic=traffic,
        weight_port_cycles=sum(row_cycles(item, chip) for item in group.instructions if not isinstance(item, Transfer)),
        external_cycles=(traffic["external"].reads + traffic["external"].writes) * chip.external_beats,
    )


def _used(instructions: list[Instruction], chip: Chip) -> dict[str, int]:
    """Bytes of the words that instructions read or write, by memory; what lies between words of a map counts too."""
    words = {
        Store.FEATURE: chip.lanes,
        Store.GRADIENT: chip.lanes,
        Store.WEIGHT: chip.multipliers,
        Store.EXTERNAL: chip.lanes,
    }
    spans: dict[Store, set[tuple[int, int]]] = {store: set() for store in words}
    for instruction in instructions:
        for some in footprint(instruction, chip):
            for span in some:
                spans[span.store].add((span.start, span.stop))
    return {
        store.value: -(-_covered(spans[store]) * elements * chip.word_bits // 8) for store, elements in words.items()
    }


def _covered(spans: set[tuple[int, int]]) -> int:
    """How many words lie in at least one of the spans."""
    covered = end = 0
    for start, stop in sorted(spans):
        covered += max(0, stop - max(start, end))
        end = max(end, stop)
    return covered
