"""The timeline of a pass: what each engine does when."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from arch.isa import Engine
from arch.program import Program
from arch.timing import FETCH_CYCLES, Slot
from explore.pictures.execution import engines_at_work, slots_of, step_of
from explore.pictures.style import PHASES, Picture, plain, shortened, thousands, words
from sim.result import Result

_CHARACTER = 0.0072
"""Of the timeline's length, that a character of a name takes; an upright name takes two."""
_UPRIGHT = 13
"""Characters of a name that fit upright into a line."""
_THINNEST = 1 / 1500
"""Of the timeline's length: shorter bars are drawn so wide, to be seen."""
_SOLID = 0.9
"""The share of a run that its bars fill, from which on it has its name in it."""


def timeline(program: Program, entry: str, result: Result | None = None) -> Picture:
    """Instructions of one pass of `entry` as bars, a line an engine, coloured by phase; time in cycles.

    Cycles are those of `arch.timing`, or, where zeros are skipped, of a simulator's `result` of one pass. Neighbouring
    instructions of one layer and phase make one bar. Raises `ProgramError` if there is no such entry.

    >>> from tinycl import Network, compile
    >>> program = compile(Network("n", (3, 8, 8)).conv(8).dense(10)).program
    >>> timeline(program, "infer").axes[0].get_xlabel()
    'cycles from the start (one is 3.87 ns)'
    """
    slots = slots_of(program, entry, result)
    engines = engines_at_work(slots)
    picture = Picture(figsize=(12, 1.3 + 0.95 * len(engines)))
    axes = plain(picture.subplots(), grid="x")
    last = max((slot.last for slot in slots), default=1)
    seen = dict.fromkeys(phase for phase in PHASES if any(step_of(program, entry, s).phase == phase for s in slots))
    for line, engine in enumerate(engines):
        _draw(axes, line, program, entry, [slot for slot in slots if slot.engine == engine], last)
    axes.set_yticks(range(len(engines)), [_title(engine) for engine in engines])
    axes.set_ylim(len(engines) - 0.5, -0.5)
    axes.set_xlim(0, last)
    thousands(axes.xaxis)
    axes.set_xlabel(f"cycles from the start (one is {program.chip.clock_ns:g} ns)")
    cycles = last + FETCH_CYCLES  # the HALT after the last work, which has no bar
    axes.set_title(f"one {entry} pass on chip {program.chip.name}: {cycles:,} cycles", loc="left")
    picture.legend(
        handles=[Patch(color=PHASES[phase], label=words(phase)) for phase in seen],
        loc="outside right upper",
        frameon=False,
    )
    return picture


def _title(engine: Engine) -> str:
    return "DMA" if engine == Engine.DMA else engine.name.lower()


def _draw(axes: Axes, line: int, program: Program, entry: str, slots: list[Slot], last: int) -> None:
    """Bars of one engine; runs of one layer and phase have its name, if there is room."""
    runs: list[tuple[tuple[str, str], list[tuple[int, int]]]] = []
    for slot in slots:
        step = step_of(program, entry, slot)
        if not runs or runs[-1][0] != (step.layer, step.phase):
            runs.append(((step.layer, step.phase), []))
        runs[-1][1].append((slot.first - 1, slot.last - slot.first + 1))
    for (layer, phase), bars in runs:
        shown = [(first, max(length, _THINNEST * last)) for first, length in bars]
        axes.broken_barh(shown, (line - 0.38, 0.76), facecolors=PHASES[phase], linewidth=0)
        first, end = bars[0][0], bars[-1][0] + bars[-1][1]
        axes.vlines(first, line - 0.38, line + 0.38, color="white", linewidth=0.6)
        name = shortened(layer)
        share = (end - first) / last / _CHARACTER
        upright = share < len(name) + 1
        fits = share > 2 and len(name) <= _UPRIGHT if upright else True
        if fits and sum(length for _, length in bars) > _SOLID * (end - first):
            colour = "white" if phase in ("forward", "weight_gradient", "update") else "black"
            centre = {"ha": "center", "va": "center", "rotation": 90 if upright else 0}
            axes.text((first + end) / 2, line, name, color=colour, fontsize=8, **centre)
