"""The demo's picture: what was learnt, and where the cycles went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from compiler.report import Report
from explore.pictures.style import BLACK, PHASES, RED, Picture, plain, words
from tinycl.training import Trained

_CHIP, _TWIN = RED, BLACK
_DRAWN = ("forward", "input_gradient", "weight_gradient", "bias_gradient", "loss")
"""Phases whose cycles are drawn, in this order."""


def draw(trained: list[Trained], digits: Report, reference: Report, path: Path) -> None:
    """Write a PNG: held-out accuracy by epoch, and cycles of a training step by layer and phase of both networks."""
    picture = Picture(figsize=(15, 4.6))
    axes = picture.subplots(1, 3, gridspec_kw={"width_ratios": [1.15, 1, 1]})
    _curves(axes[0], trained)
    _bars(axes[1], digits, "digits network")
    _bars(axes[2], reference, "reference network (shape inferred)")
    picture.write(path)


def _curves(axes, trained: list[Trained]) -> None:
    for name, colour, style in (("float64", _TWIN, "--"), ("chip", _CHIP, "-")):
        curves = 100 * np.array([getattr(item, name) for item in trained])
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        label = {"float64": "float64 twin", "chip": "chip, fixed point"}[name]
        axes.plot(epochs, curves.mean(axis=0), style, color=colour, label=f"{label}: {curves[:, -1].mean():.2f} %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("held-out accuracy (%)")
    axes.set_title(f"digits, {len(trained)} seeds: mean and range")
    axes.set_ylim(bottom=max(0, axes.get_ylim()[0]), top=100)
    axes.legend(loc="lower right", frameon=False)
    axes.grid(alpha=0.3)


def _bars(axes, report: Report, title: str) -> None:
    layers = list(dict.fromkeys(row.layer for row in report.rows if row.phase in _DRAWN))
    left = dict.fromkeys(layers, 0)
    for phase in _DRAWN:
        rows = [row for row in report.rows if row.phase == phase]
        if rows:
            axes.barh(
                [row.layer for row in rows],
                [row.cycles for row in rows],
                left=[left[row.layer] for row in rows],
                color=PHASES[phase],
                label=words(phase),
            )
        for row in rows:
            left[row.layer] += row.cycles
    axes.set_yticks(range(len(layers)), layers)
    axes.invert_yaxis()
    axes.set_xlabel("cycles of a training step")
    axes.set_title(f"{title}: {report.cycles:,} cycles")
    axes.legend(frameon=False, fontsize=8)
    plain(axes)
