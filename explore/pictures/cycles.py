"""Cycles by layer: what limits them, and which pass they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from compiler.report import Report, Row
from explore.pictures.style import LIMITS, PHASES, Picture, plain, shortened, thousands, words

_MOST_LAYERS = 30
"""Layers that have a bar of their own; further ones, those of fewest cycles, share the last."""


def cycles_by_limit(report: Report) -> Picture:
    """Cycles of each layer, stacked: those in which all multipliers have work, and the others by what they are lost to.

    A row of the report (a phase of a layer) gives its ideal cycles, macs / (T x L), to "multipliers" and the rest to
    its `limited_by`, so the bars sum to the report's cycles.

    >>> from tinycl import Network, compile
    >>> cycles_by_limit(compile(Network("n", (3, 8, 8)).conv(8).dense(10)).report).axes[0].get_xlabel()
    'cycles of one infer pass'
    """
    return _stacked(report, ((row, _losses(row)) for row in report.rows), LIMITS, "what limits")


def cycles_by_phase(report: Report) -> Picture:
    """Cycles of each layer, stacked by phase: forward, loss, gradients, update.

    >>> from tinycl import Network, compile
    >>> cycles_by_phase(compile(Network("n", (3, 8, 8)).conv(8).dense(10)).report).axes[0].get_xlabel()
    'cycles of one infer pass'
    """
    return _stacked(report, ((row, {row.phase: float(row.cycles)}) for row in report.rows), PHASES, "phase")


def _losses(row: Row) -> dict[str, float]:
    """A row's cycles by what limits them."""
    if row.limited_by == "multipliers":
        return {"multipliers": float(row.cycles)}
    ideal = min(row.ideal_cycles, row.cycles)
    return {"multipliers": ideal, row.limited_by: row.cycles - ideal}


def _stacked(
    report: Report, parts: Iterable[tuple[Row, dict[str, float]]], colours: dict[str, str], title: str
) -> Picture:
    layers: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(colours, 0.0))
    for row, cycles in parts:
        for name, count in cycles.items():
            layers[row.layer][name] += count
    bars = _folded(layers)
    picture = Picture(figsize=(8.5, 1.5 + 0.3 * len(bars)))
    axes = plain(picture.subplots(), grid="x")
    left = [0.0] * len(bars)
    for name, colour in colours.items():
        widths = [bar[name] for bar in bars.values()]
        if any(widths):
            axes.barh(range(len(bars)), widths, left=left, color=colour, label=words(name), height=0.75)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(bars)), [shortened(name) for name in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlim(0, 1.04 * max(left))
    thousands(axes.xaxis)
    axes.set_xlabel(f"cycles of one {report.entry} pass")
    share = f"; the multipliers are at work {report.utilisation:.1%} of the time" if report.macs else ""
    at_most = " at most" if report.estimated else ""
    title_of = f"{report.network} on chip {report.chip}\n{report.cycles:,} cycles{at_most}{share}"
    axes.set_title(title_of, loc="left", fontsize=11)
    picture.legend(title=title, loc="outside right upper", frameon=False)
    return picture


def _folded(layers: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The layers, those of fewest cycles put together if there are many."""
    if len(layers) <= _MOST_LAYERS:
        return layers
    order = sorted(layers, key=lambda name: -sum(layers[name].values()))
    small = set(order[_MOST_LAYERS - 1 :])
    rest = {name: sum(layers[layer][name] for layer in small) for name in next(iter(layers.values()))}
    return {name: bar for name, bar in layers.items() if name not in small} | {f"{len(small)} more": rest}
