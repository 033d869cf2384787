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
    """Cycles, utilisation and traffic by layer and phase."""
    table = Table(title=f"{report.network} on chip {report.chip}: one {report.entry} pass, {report.cycles:,} cycles")
    for name in ("layer", "phase"):
        table.add_column(name)
    for name in ("cycles", "utilisation", "limited by", "feature r/w", "gradient r/w", "weight r/w", "window words"):
        table.add_column(name, justify="right")
    for row in report.rows:
        table.add_row(
            row.layer,
            row.phase.replace("_", " "),
            f"{row.cycles:,}",
            f"{row.utilisation:.1%}" if row.macs else "",
            row.limited_by if row.macs else "",
            *(f"{traffic.reads:,} / {traffic.writes:,}" for traffic in row.traffic.values()),
            f"{row.window_words:,}" if row.window_words else "",
        )
    table.add_section()
    table.add_row("all", "", f"{report.cycles:,}", f"{report.utilisation:.1%}")
    return table


def facts(title: str, rows: dict[str, str]) -> Table:
    """A table of names and values."""
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
