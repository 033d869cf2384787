"""Tables and progress for people; everything goes to standard error but the tables."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from compiler.graph import INFER
from compiler.report import Report, Row
from compiler.report_tensors import TensorRow

PIPED_WIDTH = 120
"""Columns of tables that do not go to a terminal."""
out = Console() if Console().is_terminal else Console(width=PIPED_WIDTH)
err = Console(stderr=True)
MOST_ROWS = 40
"""Rows of a report beyond which a table has one for each layer."""
LONGEST = 24
"""Characters of a layer's name that a table shows."""
_PASSES = {
    "forward": ("forward",),
    "inputs": ("input_gradient", "gradient_sum", "loss", "recompute"),
    "weights": ("weight_gradient", "bias_gradient", "update"),
}
"""Columns of a table of layers, and the phases whose cycles each sums."""


def progress() -> Progress:
    """A progress bar on standard error that disappears when done; none where that is no terminal and no notebook.

    There a bar would leave an empty line, and an error would no longer be one line.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True, disable=not (err.is_interactive or err.is_jupyter))


def tables(reports: list[Report]) -> list[Table]:
    """What a compiled program's reports say: cycles of each entry, its totals, and the tensors of all."""
    shown = []
    for report in reports:
        shown.append(report_table(report))
        if len(report.rows) <= MOST_ROWS:
            shown.append(traffic_table(report))
        shown.append(facts(f"{report.network}: one {report.entry} pass", totals(report)))
    if any(row.check for row in reports[-1].tensors):
        shown.append(check_table(reports[-1]))
    return shown


def report_table(report: Report) -> Table:
    """Cycles, utilisation and what limits it, by layer and phase, or of a long report by layer."""
    title = f"{report.network} on chip {report.chip}: one {report.entry} pass, {report.cycles:,} cycles"
    if report.estimated:
        title += " at most (zeros are skipped)"
    if len(report.rows) > MOST_ROWS:
        return _layers_table(report, title)
    table = Table(title=title)
    phases = _phases(report)
    _columns(table, "layer", *phases)
    _numbers(table, "cycles", "utilisation", "limited by", "memory bound", "window")
    for row in report.rows:
        table.add_row(
            shortened(row.layer),
            *[row.phase.replace("_", " ") for _ in phases],
            f"{row.cycles:,}",
            f"{row.utilisation:.1%}" if row.macs else "",
            row.limited_by if row.macs else "",
            _memory_bound([row]),
            f"{row.window_words:,}" if row.window_words else "",
        )
    table.add_section()
    table.add_row("all", *["" for _ in phases], f"{report.cycles:,}", f"{report.utilisation:.1%}")
    return table


def _phases(report: Report) -> list[str]:
    """The column of phases, unless nearly all are forward."""
    return [] if {row.phase for row in report.rows} <= {"forward", "halt"} else ["phase"]


def _layers_table(report: Report, title: str) -> Table:
    layers: dict[str, list[Row]] = defaultdict(list)
    for row in report.rows:
        layers[row.layer].append(row)
    phases = {row.phase for row in report.rows}
    passes = [name for name, some in _PASSES.items() if phases.intersection(some)]
    passes = passes if len(passes) > 1 else []
    table = Table(title=title)
    _columns(table, "layer")
    _numbers(table, *passes, "cycles", "share", "utilisation", "limited by", "memory bound")
    for layer, rows in layers.items():
        cycles, ideal = sum(row.cycles for row in rows), sum(row.ideal_cycles for row in rows)
        longest = max(rows, key=lambda row: row.cycles)
        by_pass = [sum(row.cycles for row in rows if row.phase in _PASSES[name]) for name in passes]
        table.add_row(
            shortened(layer),
            *(f"{count:,}" if count else "" for count in by_pass),
            f"{cycles:,}",
            f"{cycles / report.cycles:.1%}",
            f"{ideal / cycles:.1%}" if ideal and cycles else "",
            longest.limited_by if longest.macs else "",
            _memory_bound(rows),
        )
    table.add_section()
    of_passes = [sum(row.cycles for row in report.rows if row.phase in _PASSES[name]) for name in passes]
    table.add_row("all", *(f"{count:,}" for count in of_passes), f"{report.cycles:,}", "", f"{report.utilisation:.1%}")
    return table


def _memory_bound(rows: list[Row]) -> str:
    """Cycles that weights, or words outside, need at least, where that is more than the multipliers need."""
    bounds = {
        "weights": sum(row.weight_port_cycles for row in rows),
        "external": sum(row.external_cycles for row in rows),
    }
    name = max(bounds, key=lambda name: bounds[name])
    multiplied = any(row.macs for row in rows)
    return f"{bounds[name]:,} {name}" if multiplied and bounds[name] > sum(row.ideal_cycles for row in rows) else ""


def totals(report: Report) -> dict[str, str]:
    """An entry's time, work and traffic, ready to show."""
    counts = ", ".join(f"{count:,} {name}" for name, count in report.instructions.items() if count > 1)
    moved = (f"{name} {item.reads:,} / {item.writes:,}" for name, item in report.traffic.items())
    used = (f"{name} {count:,}" for name, count in report.used_bytes.items() if count)
    return {
        "time": f"{report.microseconds / 1000:,.3f} ms at {report.clock_ns} ns a cycle",
        "multiply-accumulates": f"{report.macs:,} ({report.utilisation:.1%} of the multipliers)",
        "DMA": f"{report.dma_cycles:,} cycles of transfers, {sum(row.waits for row in report.rows):,} waited for",
        "instructions": counts,
        "words read / written": f"{', '.join(moved)} beats",
        "bytes used": ", ".join(used),
    }


def traffic_table(report: Report) -> Table:
    """Words read / written in each memory by layer and phase."""
    stores = [name for name, item in report.traffic.items() if item.reads or item.writes]
    outside = ", beats outside" if "external" in stores else ""
    table = Table(title=f"{report.network}: words read / written in each memory{outside}")
    phases = _phases(report)
    _columns(table, "layer", *phases)
    _numbers(table, *stores)
    for row in report.rows:
        cells = [f"{row.traffic[name].reads:,} / {row.traffic[name].writes:,}" for name in stores]
        table.add_row(shortened(row.layer), *[row.phase.replace("_", " ") for _ in phases], *cells)
    table.add_section()
    sums = [report.traffic[name] for name in stores]
    table.add_row("all", *["" for _ in phases], *(f"{item.reads:,} / {item.writes:,}" for item in sums))
    return table


def check_table(report: Report) -> Table:
    """Each made tensor's format, and how far the chip's values are from float64's; parameters if they were trained."""
    shown = [row for row in report.tensors if report.entry != INFER or row.role not in ("weight", "bias")]
    checked = [(row, row.check) for row in shown if row.check]
    samples = max(check.samples for _, check in checked)
    table = Table(title=f"{report.network}: the chip beside float64, {samples} samples; errors in steps")
    _columns(table, "tensor")
    _numbers(table, "bits", "fraction", "largest", "limit", "rms error", "largest error", "rms value", "saturated")
    for row, check in checked:
        table.add_row(
            shortened(row.name),
            *_format(row),
            f"{check.rms_error:,.2f}",
            f"{check.largest_error:,.1f}",
            f"{check.rms_value:,.0f}",
            f"{check.saturated:,}" if check.saturated else "",
        )
    return table


def _format(row: TensorRow) -> tuple[str, str, str, str]:
    return str(row.bits), str(row.fraction_bits), f"{row.largest:.3g}", f"{row.limit:.3g}"


def shortened(name: str) -> str:
    """A name of at most `LONGEST` characters: of a longer one the end, which tells names apart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _columns(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, no_wrap=True)


def _numbers(table: Table, *names: str) -> None:
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)


def facts(title: str, rows: dict[str, str]) -> Table:
    """A table of names and values."""
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
