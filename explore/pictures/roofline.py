"""The roofline: multiply-accumulates a cycle against multiply-accumulates for each byte that a memory moves."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from arch.chip import Chip
from arch.errors import InputError
from compiler.report import Report
from explore.pictures.style import BLACK, PHASES, Picture, plain, words

MEMORIES = ("weight", "feature", "gradient", "external")
_LEAST = 1e-3
"""Of the axis of multiply-accumulates a cycle, against rows that barely multiply."""


def roofline(report: Report, chip: Chip, memory: str = "weight") -> Picture:
    """Each row of the report (a phase of a layer) under the chip's roof, both axes logarithmic.

    Across: multiply-accumulates for each byte that `memory` ("weight", "feature", "gradient" or "external") moves, read
    or written. Up: multiply-accumulates a cycle. The roof is the T x L multipliers and, left of the ridge, the memory's
    bytes a cycle: banks x word on the chip, `bytes_per_cycle` outside (Williams, Waterman and Patterson, 2009). Rows
    that multiply nothing, or move nothing through `memory`, are left out and counted in the title. A mark's area grows
    with the row's cycles. Raises `InputError` for another memory, or one that the chip has not.

    >>> from tinycl import Chip, Network, compile
    >>> net = Network("n", (3, 8, 8)).conv(8).dense(10)
    >>> roofline(compile(net).report, Chip.load("paper")).axes[0].get_ylabel()
    'multiply-accumulates a cycle'
    """
    width = _bytes_per_cycle(chip, memory)
    rows = [row for row in report.rows if row.macs and row.traffic[memory].reads + row.traffic[memory].writes]
    picture = Picture(figsize=(8.5, 4.8))
    axes = plain(picture.subplots(), grid="both")
    axes.set_xscale("log")
    axes.set_yscale("log")
    moved = [(row.traffic[memory].reads + row.traffic[memory].writes) * _word_bytes(chip, memory) for row in rows]
    across = np.array([row.macs / count for row, count in zip(rows, moved, strict=True)])
    up = np.array([max(row.macs / row.cycles, _LEAST) for row in rows])
    size = np.array([30 + 600 * row.cycles / report.cycles for row in rows])
    for phase in dict.fromkeys(row.phase for row in rows):
        here = np.array([row.phase == phase for row in rows])
        style = {"color": PHASES[phase], "alpha": 0.75, "edgecolors": "white"}
        axes.scatter(across[here], up[here], s=size[here], label=words(phase), **style)
    _roof(axes, across, chip, memory, width)
    axes.set_xlabel(f"multiply-accumulates a byte of the {memory} memory")
    axes.set_ylabel("multiply-accumulates a cycle")
    absent = len(report.rows) - len(rows)
    without = f"; {absent} rows multiply nothing or move nothing" if absent else ""
    axes.set_title(f"{report.network} on chip {report.chip}, one {report.entry} pass{without}", loc="left", fontsize=11)
    legend = picture.legend(
        *axes.get_legend_handles_labels(), title="area: cycles", loc="outside right upper", frameon=False
    )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([50])
    return picture


def _word_bytes(chip: Chip, memory: str) -> float:
    """Bytes of a word on the chip; outside, what a word takes there."""
    return chip.external_word_bytes if memory == "external" else chip.lanes * chip.word_bits / 8


def _bytes_per_cycle(chip: Chip, memory: str) -> float:
    """What a memory moves in a cycle at most."""
    if memory not in MEMORIES:
        raise InputError(f"memory must be one of {', '.join(MEMORIES)}, not {memory}")
    if memory == "external":
        if chip.external_memory is None:
            raise InputError(f"chip {chip.name} has no external memory; choose weight, feature or gradient")
        return chip.external_memory.bytes_per_cycle
    if memory == "weight":
        return chip.taps * _word_bytes(chip, memory) / chip.row_beats
    return chip.kernel * _word_bytes(chip, memory)


def _roof(axes: Axes, across: np.ndarray, chip: Chip, memory: str, width: float) -> None:
    """The two lines, and what they are."""
    ridge = chip.multipliers / width
    first, last = min([ridge, *across]) / 3, max([ridge, *across]) * 3
    label = f"roof: {chip.multipliers} multipliers,\n{width:g} bytes a cycle"
    heights = [first * width, chip.multipliers, chip.multipliers]
    axes.plot([first, ridge, last], heights, color=BLACK, linewidth=1.5, label=label)
    axes.set_xlim(first, last)
    axes.set_ylim(top=chip.multipliers * 2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
