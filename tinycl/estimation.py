"""`tinycl estimate`: joules and mm² of a compiled program, as tables, JSON and CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from arch.errors import InputError
from arch.program import Program
from arch.workload import Workload
from estimate.area import Area, area
from estimate.device import Device, told
from estimate.energy import Energy, energy
from estimate.ranges import Range
from estimate.technology import Technology
from sim.fast import FastMachine
from tinycl.micro_batches import samples_taken
from tinycl.show import MOST_ROWS, facts, shortened
from tinycl.simulation import inputs_for, passes

MOST_SAMPLES = 16
"""Samples of a file that are run to count events."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `zeros` a share, `data` an .npz of samples to count events on.

    `clock_gating`: whether registers that share an enable stand behind a clock gate.
    """

    technology: str
    entry: str = ""
    clock_ns: float | None = None
    voltage: float | None = None
    clock_gating: bool = True
    zeros: float | None = None
    data: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Estimate:
    """What `tinycl estimate` says."""

    technology: Technology
    energy: Energy
    area: Area
    device: list[str]

    def to_dict(self) -> dict:
        """For `--json`."""
        return {
            "technology": self.technology.model_dump(mode="json"),
            "energy": self.energy.to_dict(),
            "area": self.area.to_dict(),
            "device": self.device,
        }


def estimate_program(program: Program, request: Request, network: str = "") -> Estimate:
    """Estimate one entry. Raises `InputError` on an unknown entry or technology, and on what is out of range."""
    technology = Technology.load(request.technology)
    device = Device.load(request.device) if request.device else None
    work = workload(program, request, network)
    found = energy(work, technology, request.clock_ns, request.voltage, request.clock_gating)
    return Estimate(technology, found, area(program.chip, technology), told(device, found) if device else [])


def workload(program: Program, request: Request, network: str) -> Workload:
    """The entry's events: in closed form, of a share of zeros, or counted on samples."""
    if request.zeros is not None and request.data is not None:
        raise InputError("--zeros must come without --data, which counts them")
    entry = request.entry or ("train" if "train" in program.entries else "")
    if not entry and len(program.entries) > 1:
        raise InputError(f"entry must be one of {', '.join(program.entries)}: a training step is several of them")
    entry = entry or next(iter(program.entries))
    work = Workload.of(program, entry, network)
    if request.zeros is not None:
        return work.assuming(request.zeros)
    return counted_on(program, work, request.data) if request.data is not None else work


def counted_on(program: Program, work: Workload, data: Path) -> Workload:
    """The workload with the counts of a run on the samples of `data`, the mean of at most `MOST_SAMPLES`."""
    inputs = inputs_for(program, work.entry, data)
    steps = max(1, min(MOST_SAMPLES, len(inputs["input"])) // samples_taken(program, work.entry))
    given, order = passes(program, work.entry, inputs, steps)
    result = FastMachine(program).run(work.entry, given, steps=steps, order=order, count_zeros=True)
    return work.measured(program, result.per_instruction, steps, result.turned)


def shown(found: Estimate) -> list[Table]:
    """Tables for people."""
    tables = [_summary(found), _components(found), _rows(found.energy), _doubts(found)]
    if found.device:
        tables.append(facts("in a device", {str(i + 1): line for i, line in enumerate(found.device)}))
    return tables


def brief(estimate: dict) -> dict[str, str]:
    """A few facts of what `Estimate.to_dict` gave, with the names of the tables."""
    item, technology = estimate["energy"], estimate["technology"]
    tables = Technology.load(technology["name"])
    logic, memory = (use.name for use in tables.logic_tables()), (use.name for use in tables.memory)
    return {
        "energy of a step": Range(**item["total_J"]).described("J"),
        "power": f"{Range(**item['power_W']).described('W')} at {item['clock_ns']:g} ns, {item['voltage']:g} V",
        "area": f"{_mm2(Range(**estimate['area']['total']))} mm2",
        "tables": f"{technology['name']}: {', '.join([*logic, *memory])}; zeros not told apart (docs/estimation.md)",
    }


def _summary(found: Estimate) -> Table:
    item, technology = found.energy, found.technology
    work = item.workload
    rows = {
        "technology": f"{technology.name}: {technology.about}",
        "energy of a pass": item.total.described("J") + (" at most: zeros are skipped" if item.estimated else ""),
        "power": f"{item.power.described('W')} at {item.clock_ns:g} ns and {item.voltage:g} V",
        "clock gates": "for registers that share an enable"
        if item.clock_gating
        else "none: every register, every cycle",
        "memory off the chip": f"{item.external.described('J')} of a pass, not counted above",
        "area": f"{_mm2(found.area.total)} mm2 without pads; memories {_mm2(found.area.parts['memories'])}",
        "logic synthesised": _measured(found.area),
        "pass": f"{work.cycles:,} cycles, {item.seconds * 1e6:,.1f} µs",
        "products with a zero": "told apart"
        if item.zeros_known
        else "not known: all taken as without (--zeros, --data)",
        "logic tables": "; ".join(f"{use.name} ({use.source})" for use in technology.logic_tables()),
        "memory tables": "; ".join(use.name for use in technology.memory),
    }
    return facts(f"{work.entry} on chip {work.chip.name}: energy and area, in brackets the range", rows)


def _measured(item: Area) -> str:
    """Whether the area's components are as large as those that its model was fitted to."""
    if not item.beyond:
        return "components of all these sizes"
    name, times = max(item.beyond.items(), key=lambda pair: pair[1])
    return f"{len(item.beyond)} components are beyond the sizes measured, {name} {times:.1f} times: a wider range"


def _mm2(item: Range) -> str:
    return f"{item.central:.3g} ({item.low:.3g} to {item.high:.3g})"


def _components(found: Estimate) -> Table:
    table = Table(title="by component")
    table.add_column("component")
    for name in ("energy of a pass", "share", "area, mm2"):
        table.add_column(name, justify="right")
    energies, total = found.energy.by_component(), found.energy.total.central
    for part, areas in found.area.tree.items():
        for name, size in areas.items():
            table.add_row(name, *_spent(energies.pop(name), total), _mm2(size))
        table.add_row(f"all {part}", "", "", _mm2(found.area.parts[part]), end_section=True)
    for name, item in energies.items():
        table.add_row(name, *_spent(item, total), "")
    table.add_section()
    table.add_row("all", found.energy.total.described("J"), "", _mm2(found.area.total))
    return table


def _spent(item: Range, total: float) -> tuple[str, str]:
    """Energy, nothing where there is none, and its share."""
    return item.described("J") if item.central else "", f"{item.central / total:.1%}"


def _rows(item: Energy) -> Table:
    """Energy by layer and phase, or by layer if that is too long."""
    table = Table(title="by layer and pass")
    rows: list[tuple[str, str, Range]] = [(*key, value) for key, value in item.by_row().items()]
    if len(rows) > MOST_ROWS:
        rows = [(layer, "", value) for layer, value in item.by_layer().items()]
    for name in ("layer", "phase"):
        table.add_column(name)
    for name in ("energy of a pass", "share"):
        table.add_column(name, justify="right")
    for layer, phase, value in rows:
        share = f"{value.central / item.total.central:.1%}"
        table.add_row(shortened(layer), phase.replace("_", " "), value.described("J"), share)
    return table


def _doubts(found: Estimate) -> Table:
    """What the error bars are made of."""
    table = Table(title="what alone would change the total by (times)")
    table.add_column("source of doubt")
    for name in ("energy, low", "high", "area, low", "high"):
        table.add_column(name, justify="right")
    for name, pair in found.energy.doubts.items():
        sizes = found.area.doubts.get(name, (1.0, 1.0))
        table.add_row(name.replace("_", " "), *(f"{value:.2f}" if value != 1 else "" for value in (*pair, *sizes)))
    return table
