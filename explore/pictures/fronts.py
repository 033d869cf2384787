"""Pareto fronts: which points nothing beats, and where the paper's chip stands."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from arch.errors import InputError
from explore.pareto import pareto
from explore.pictures.style import BLUE, GREY, RED, Picture, plain, thousands

_MOST_LINES = 16
"""Of the names of a front's points; further points have no number."""
_LONGEST = 34
"""Characters of such a line."""
_APART = 16
"""Pixels between two numbered points."""
_COMMAS = 10_000
"""The largest value from which on numbers along an axis have commas."""
_MANY_TIMES = 30
"""The largest over the smallest value from which an axis is logarithmic."""


def pareto_front(
    table: pd.DataFrame,
    x: str,
    y: str,
    *,
    maximise: tuple[str, ...] = (),
    label: str = "chip",
    mark: str = "paper",
) -> Picture:
    """Points of a table, a row each, and the front of those that no other beats in `x` and `y`.

    `x` and `y` are columns, named with their units; the smaller value is the better one unless a column is in
    `maximise`. Points of the front are numbered, and their `label` listed beside; the row whose `label` is `mark` is a
    star. Rows without a number in `x` or `y` (hardware that does not fit) are left out and counted in the title. Raises
    `InputError` if a column is missing or no row is left.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"chip": ["paper", "a", "b"], "cycles": [9, 5, 7], "area (mm²)": [1.0, 3.0, 4.0]})
    >>> picture = pareto_front(table, "cycles", "area (mm²)")
    >>> [text.get_text() for text in picture.axes[0].texts]
    ['1', '2']
    """
    points = _numbers(table, x, y, label)
    front = pareto(points, [name for name in (x, y) if name not in maximise], [*maximise]).sort_values(by=x)
    picture = Picture(figsize=(8.5, 4.8))
    axes = plain(picture.subplots(), grid="both")
    axes.scatter(points[x], points[y], s=16, color=GREY, alpha=0.6, linewidths=0, label=f"{len(points):,} points")
    axes.step(front[x], front[y], where="pre" if x in maximise else "post", color=BLUE, linewidth=1.2)
    axes.scatter(front[x], front[y], s=34, color=BLUE, label=f"front of {len(front)}", zorder=3)
    marked = points[points[label] == mark]
    if len(marked):
        star = {"marker": "*", "s": 210, "color": RED, "edgecolors": "black", "zorder": 4}
        axes.scatter(marked[x], marked[y], label=f"chip {mark}" if label == "chip" else mark, **star)
    for name, scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        values = points[name].to_numpy(float)
        if 0 < _MANY_TIMES * values.min() < values.max():
            scale("log")
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6))
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "linear" and max(axis.get_view_interval()) >= _COMMAS:
            thousands(axis)
    axes.set_xlabel(f"{x}, more is better" if x in maximise else x)
    axes.set_ylabel(f"{y}, more is better" if y in maximise else y)
    left_out = len(table) - len(points)
    without = f"; {left_out:,} more have no number (they do not fit)" if left_out else ""
    axes.set_title(f"{len(points):,} points{without}", loc="left", fontsize=11)
    _name(axes, front, x, y, label)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return picture


def _numbers(table: pd.DataFrame, x: str, y: str, label: str) -> pd.DataFrame:
    """The rows with a number in both columns."""
    if "fits" in table.columns and not table["fits"].to_numpy(bool).any():
        raise InputError(f"no point of the table fits; the first because of {table['reason'].iloc[0]}")
    missing = [name for name in (x, y, label) if name not in table.columns]
    if missing:
        raise InputError(f"the table must have columns {', '.join(missing)}; it has {', '.join(map(str, table))}")
    points = table.dropna(subset=[x, y])
    if points.empty:
        raise InputError(f"no row of the table has a number in both {x} and {y}")
    return points


def _name(axes: Axes, front: pd.DataFrame, x: str, y: str, label: str) -> None:
    """Number the front's points, as far as they are apart, and list their names in the legend."""
    axes.autoscale_view()
    before = np.array([-np.inf, -np.inf])
    number = lines = 0
    for _, row in front.iterrows():
        here = axes.transData.transform((row[x], row[y]))
        text = wrap(str(row[label]), _LONGEST, subsequent_indent="    ") or [""]
        if np.hypot(*(here - before)) < _APART or lines + len(text) > _MOST_LINES:
            continue
        before, number, lines = here, number + 1, lines + len(text)
        axes.annotate(str(number), (row[x], row[y]), xytext=(5, 5), textcoords="offset points", fontsize=9)
        axes.plot([], [], " ", label="\n".join([f"{number}  {text[0]}", *text[1:]]))
