"""Waveforms of a VCD file as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

from arch.errors import InputError
from explore.pictures.style import BLUE, GREY, Picture, plain, thousands
from explore.vcd import Signal, read_vcd

_MOST_SIGNALS = 24
_LEAST_SHARE = 0.03
"""Of the time shown, from which on a value is written into its stretch."""


def waves(path: Path, names: list[str], first: int = 0, last: int | None = None) -> Picture:
    """Signals of a VCD file, a line each, from time `first` to `last` in the file's unit.

    A name is a signal's whole name, or its end: `cycle` is `tinycl.array.cycle` if no other ends so. Single bits are
    drawn high and low, wider ones as stretches with their value in hexadecimal; unknown values are grey. Raises
    `InputError` on a file that is no VCD, a name that no signal or several have, or more than 24 names.

    >>> import pathlib, tempfile
    >>> text = "$timescale 1ns $end $scope module m $end $var wire 1 ! a $end $upscope $end $enddefinitions $end "
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.vcd")
    ...     _ = path.write_text(text + "#0 0! #5 1! #10")
    ...     waves(path, ["a"]).axes[0].get_xlabel()
    'time (ns)'
    """
    if not 1 <= len(names) <= _MOST_SIGNALS:
        raise InputError(f"names must be 1 to {_MOST_SIGNALS} signals, not {len(names)}")
    recording = read_vcd(path, names)
    end = recording.end if last is None else min(last, recording.end)
    picture = Picture(figsize=(11, 0.9 + 0.42 * len(names)))
    axes = plain(picture.subplots())
    for line, signal in enumerate(recording.signals.values()):
        (_bit if signal.width == 1 else _bus)(axes, line, signal, first, end)
    axes.set_yticks(range(len(names)), list(recording.signals), family="monospace")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(first, end)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    thousands(axes.xaxis)
    unit = recording.unit.removeprefix("1").strip()
    hexadecimal = "; values are hexadecimal" if any(item.width > 1 for item in recording.signals.values()) else ""
    axes.set_xlabel(f"time ({unit}){hexadecimal}")
    return picture


def _stretches(signal: Signal, first: int, end: int) -> list[tuple[int, int, int | None]]:
    """From, to and value of each stretch between changes that is within the time shown."""
    times = [*signal.times, max(end, signal.times[-1])] if signal.times else []
    stretches = zip(times, times[1:], signal.values, strict=False)
    return [(max(a, first), min(b, end), value) for a, b, value in stretches if b > first and a < end]


def _bit(axes: Axes, line: int, signal: Signal, first: int, end: int) -> None:
    across: list[int] = []
    up: list[float] = []
    for begin, stop, value in _stretches(signal, first, end):
        level = line if value is None else line + 0.3 - 0.6 * value
        across += [begin, stop]
        up += [level, level]
    axes.plot(across, up, color=BLUE, linewidth=1.3)


def _bus(axes: Axes, line: int, signal: Signal, first: int, end: int) -> None:
    for begin, stop, value in _stretches(signal, first, end):
        face = GREY if value is None else "white"
        axes.broken_barh([(begin, stop - begin)], (line - 0.3, 0.6), facecolors=face, edgecolor=BLUE, linewidth=0.8)
        text = "x" if value is None else f"{value:x}"
        if stop - begin > _LEAST_SHARE / 3 * len(text) * (end - first) and stop - begin > 0.012 * (end - first):
            axes.text((begin + stop) / 2, line, text, ha="center", va="center", fontsize=8, family="monospace")
