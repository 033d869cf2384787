"""The demo's picture: what was learnt, and where the cycles went."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from arch.files import write_whole
from compiler.report import Report
from tinycl.training import Trained

# Okabe and Ito's colours, told apart by colour-blind readers
_COLOURS = {
    "forward": "#0072B2",
    "input_gradient": "#E69F00",
    "weight_gradient": "#009E73",
    "bias_gradient": "#CC79A7",
    "loss": "#56B4E9",
}
_CHIP, _TWIN = "#D55E00", "#000000"


def draw(trained: list[Trained], digits: Report, reference: Report, path: Path) -> None:
    """Write a PNG: held-out accuracy by epoch, and cycles of a training step by layer and phase of both networks."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.6), gridspec_kw={"width_ratios": [1.15, 1, 1]})
    _curves(axes[0], trained)
    _bars(axes[1], digits, "digits network")
    _bars(axes[2], reference, "reference network (shape inferred)")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    write_whole(path, buffer.getvalue())


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
    layers = list(dict.fromkeys(row.layer for row in report.rows if row.phase in _COLOURS))
    left = dict.fromkeys(layers, 0)
    for phase, colour in _COLOURS.items():
        rows = [row for row in report.rows if row.phase == phase]
        if rows:
            axes.barh(
                [row.layer for row in rows],
                [row.cycles for row in rows],
                left=[left[row.layer] for row in rows],
                color=colour,
                label=phase.replace("_", " "),
            )
        for row in rows:
            left[row.layer] += row.cycles
    axes.set_yticks(range(len(layers)), layers)
    axes.invert_yaxis()
    axes.set_xlabel("cycles of a training step")
    axes.set_title(f"{title}: {report.cycles:,} cycles")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
