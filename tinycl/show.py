"""Tables and progress for people; everything goes to standard error but the tables."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from compiler.report import Report

out = Console()
err = Console(stderr=True)


def progress() -> Progress:
    """A progress bar on standard error that disappears when done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, transient=True)


def report_table(report: Report) -> Table:
    """Cycles, utilisation and words brought into the window, by layer and phase."""
    table = Table(title=f"{report.network} on chip {report.chip}: one {report.entry} pass, {report.cycles:,} cycles")
    _columns(table, "cycles", "utilisation", "limited by", "window")
    for row in report.rows:
        table.add_row(
            row.layer,
            row.phase.replace("_", " "),
            f"{row.cycles:,}",
            f"{row.utilisation:.1%}" if row.macs else "",
            row.limited_by if row.macs else "",
            f"{row.window_words:,}" if row.window_words else "",
        )
    table.add_section()
    table.add_row("all", "", f"{report.cycles:,}", f"{report.utilisation:.1%}")
    return table


def traffic_table(report: Report) -> Table:
    """Words read / written in each memory by layer and phase."""
    stores = list(report.rows[0].traffic)
    table = Table(title=f"{report.network}: words read / written in each memory")
    _columns(table, *stores)
    for row in report.rows:
        cells = [f"{item.reads:,} / {item.writes:,}" for item in row.traffic.values()]
        table.add_row(row.layer, row.phase.replace("_", " "), *cells)
    table.add_section()
    sums = [[getattr(row.traffic[name], way) for row in report.rows] for name in stores for way in ("reads", "writes")]
    totals = [f"{sum(a):,} / {sum(b):,}" for a, b in zip(sums[::2], sums[1::2], strict=True)]
    table.add_row("all", "", *totals)
    return table


def _columns(table: Table, *numbers: str) -> None:
    for name in ("layer", "phase"):
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)


def facts(title: str, rows: dict[str, str]) -> Table:
    """A table of names and values."""
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
