"""Last pass: what a program costs, per layer and phase. The schema is documented in docs/report.md."""

from __future__ import annotations

from arch.chip import Chip
from arch.frozen import Frozen
from arch.isa import Compute, Engine, Instruction, Transfer
from arch.layout import Store
from arch.phases import Phase, scheduled
from arch.program import Program
from compiler.bounds import Bounds, limit_of, row_cycles
from compiler.footprints import footprint
from compiler.report_tensors import TensorRow
from compiler.report_traffic import Traffic, traffic_of

SCHEMA = 2
"""Rises when a field changes its meaning or goes."""


class Row(Frozen):
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


class Report(Frozen):
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


def report(program: Program, entry: str, network: str = "", tensors: list[TensorRow] | None = None) -> Report:
    """The report of one entry; its rows' cycles sum to the entry's. Cycles of skipping instructions skip nothing."""
    chip = program.chip
    run = scheduled(program, entry)
    rows = [_row(phase, chip) for phase in run.phases]
    macs, cycles = sum(row.macs for row in rows), run.cycles
    everything = [item for stream in run.streams.values() for item in stream]
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
        dma_cycles=sum(run.lengths[Engine.DMA]),
        instructions={engine.name.lower(): len(stream) for engine, stream in run.streams.items()},
        rows=rows,
        traffic=traffic_of(everything, chip)[0],
        used_bytes=_used(everything, chip),
        tensors=tensors or [],
    )


def _row(group: Phase, chip: Chip) -> Row:
    ideal = group.macs / chip.multipliers
    computes = [item for item in group.instructions if isinstance(item, Compute)]
    traffic, window_words = traffic_of(group.instructions, chip)
    bounds = Bounds.of(computes, group.cycles, group.waits, ideal, chip)
    return Row(
        layer=group.layer,
        phase=group.phase,
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
        external_cycles=traffic["external"].reads + traffic["external"].writes,
    )


def _used(instructions: list[Instruction], chip: Chip) -> dict[str, int]:
    """Bytes of the words that instructions read or write, by memory; what lies between words of a map counts too."""
    word = chip.lanes * chip.word_bits
    bits = {
        Store.FEATURE: word,
        Store.GRADIENT: word,
        Store.WEIGHT: chip.taps * word,
        Store.EXTERNAL: 8 * chip.external_word_bytes,
    }
    spans: dict[Store, set[tuple[int, int]]] = {store: set() for store in bits}
    for instruction in instructions:
        for some in footprint(instruction, chip):
            for span in some:
                spans[span.store].add((span.start, span.stop))
    return {store.value: -(-_covered(spans[store]) * size // 8) for store, size in bits.items()}


def _covered(spans: set[tuple[int, int]]) -> int:
    """How many words lie in at least one of the spans."""
    covered = end = 0
    for start, stop in sorted(spans):
        covered += max(0, stop - max(start, end))
        end = max(end, stop)
    return covered
