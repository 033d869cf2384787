"""Where a pass's energy goes, layer by layer, and how near each layer comes to the machine's roofs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from arch.chip import Chip
from arch.events import Event
from arch.files import write_whole
from arch.workload import Work, Workload
from estimate.energy import CLOCK, LEAKAGE, Energy
from estimate.usage import MEMORY_USES

# Okabe and Ito's colours, told apart by colour-blind readers; hatches tell neighbours apart in grey
_PARTS: dict[str, tuple[str, str]] = {
    "multipliers": ("#0072B2", ""),
    "accumulators": ("#56B4E9", "//"),
    "other logic": ("#009E73", ""),
    "memories": ("#E69F00", ".."),
    "clock": ("#CC79A7", ""),
    "leakage": ("#000000", ""),
}
_PHASES = {
    "forward": ("#0072B2", "o"),
    "input_gradient": ("#E69F00", "s"),
    "weight_gradient": ("#009E73", "^"),
    "bias_gradient": ("#CC79A7", "D"),
    "gradient_sum": ("#56B4E9", "v"),
    "recompute": ("#000000", "X"),
    "update": ("#D55E00", "P"),
}
MOST_BARS = 30
"""Rows that are shown, those of most energy."""
_ON_CHIP = tuple(event for event in Event if event.name.split("_")[0] in ("FEATURE", "GRADIENT", "WEIGHT"))


def draw(energy: Energy, path: Path) -> None:
    """Write a PNG of `figure`, whole or not at all."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure(energy)).print_png(buffer)
    write_whole(path, buffer.getvalue())


def figure(energy: Energy) -> Figure:
    """Stacked bars of energy by layer and phase, and the roofline of the same rows."""
    shown = min(len(energy.workload.rows), MOST_BARS)
    found = Figure(figsize=(14, max(4.8, 1.6 + 0.26 * shown)), dpi=110, layout="constrained")
    bars, roof = found.subplots(1, 2, width_ratios=[1.25, 1])
    _bars(bars, energy)
    _roofline(roof, energy.workload, energy.clock_ns)
    return found


def _part(line: str) -> str:
    if line in ("multipliers", "accumulators"):
        return line
    if line in MEMORY_USES:
        return "memories"
    return "clock" if line in CLOCK else "leakage" if line in LEAKAGE else "other logic"


def _bars(axes, energy: Energy) -> None:
    joules = energy.joules[0]
    rows = [place for place in np.argsort(-joules.sum(axis=1))[:MOST_BARS] if joules[place].sum() > 0]
    rows = sorted(rows)
    work = [energy.workload.rows[place] for place in rows]
    places = np.arange(len(rows))
    scale, unit = (1e6, "µJ") if joules.sum() < 1e-3 else (1e3, "mJ")
    left = np.zeros(len(rows))
    for part, (colour, hatch) in _PARTS.items():
        of_part = [place for place, line in enumerate(energy.lines) if _part(line) == part]
        width = joules[rows][:, of_part].sum(axis=1) * scale
        axes.barh(places, width, left=left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4, label=part)
        left += width
    axes.set_yticks(places, [_label(row) for row in work], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"energy of a pass ({unit}), central estimate")
    name = f"{energy.workload.entry} on {energy.workload.chip.name}, {energy.technology}"
    kept = f"\nthe {len(rows)} rows of most energy" if len(rows) < len(energy.workload.rows) else ""
    axes.set_title(f"{name}: {energy.total.described('J')}{kept}", fontsize=10)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.1), ncols=6, columnspacing=1.2)
    axes.spines[["top", "right"]].set_visible(False)


def _label(row: Work) -> str:
    phase = row.phase.replace("_", " ")
    return row.layer if row.layer == phase else f"{row.layer} {phase}"


def intensity(row: Work, chip: Chip) -> float:
    """Multiply-accumulates a byte that moves in or out of the on-chip memories; 0 where nothing moves."""
    moved = sum(row.counts[event] for event in _ON_CHIP) * chip.lanes * chip.word_bits / 8
    return row.macs / moved if moved else 0.0


def _roofline(axes, work: Workload, clock_ns: float) -> None:
    """Multiply-accumulates a second over multiply-accumulates a byte of the on-chip memories, under both roofs."""
    chip = work.chip
    rows = [row for row in work.rows if row.macs and row.cycles]
    points = [(intensity(row, chip), row.macs / row.cycles / clock_ns) for row in rows]
    for phase, (colour, marker) in _PHASES.items():
        some = [point for point, row in zip(points, rows, strict=True) if row.phase == phase]
        if some:
            x, y = zip(*some, strict=True)
            axes.scatter(x, y, color=colour, marker=marker, s=34, label=phase.replace("_", " "), zorder=3)
    peak = chip.multipliers / clock_ns
    banks = 2 * chip.kernel + chip.weight_memory.banks
    _roofs(axes, points, peak, banks * chip.lanes * chip.word_bits / 8 / clock_ns)
    axes.set_xlabel("multiply-accumulates a byte read or written on the chip")
    axes.set_ylabel(f"10⁹ multiply-accumulates a second at {clock_ns:g} ns")
    axes.set_title(f"roofline: {chip.multipliers} multipliers {peak:.3g} G/s, {banks} banks together", fontsize=10)
    axes.grid(alpha=0.25, which="both", linewidth=0.4)
    if points:
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4)


def _roofs(axes, points: list[tuple[float, float]], peak: float, bandwidth: float) -> None:
    """`peak` in G/s, `bandwidth` in GB/s."""
    knee = peak / bandwidth
    low = min([0.3 * knee, *(0.6 * x for x, _ in points)])
    high = max([6 * knee, *(1.7 * x for x, _ in points)])
    axes.plot([low, knee, high], [low * bandwidth, peak, peak], color="black", linewidth=1.2)
    middle = (low * knee) ** 0.5
    place = {"xytext": (7, -3), "textcoords": "offset points", "ha": "left", "va": "top", "fontsize": 8}
    axes.annotate(f"{bandwidth:.3g} GB/s", (middle, middle * bandwidth), **place)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(ylim=(0.6 * min([low * bandwidth, *(y for _, y in points)]), 1.6 * peak))
