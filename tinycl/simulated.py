"""A compiled network run on samples, in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from arch.errors import InputError
from explore.frames import counter_frame
from tinycl.compiled import Compiled, chosen
from tinycl.simulation import inputs_for, run_passes

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Simulated:
    """Passes of one entry on a simulator.

    `cycles` are the last pass's (all take as many, if the program does not skip zeros); `counters` is a table with a
    row for each event and a column for each engine, over all passes; `outputs` are the last pass's results as real
    numbers, maps [height, width, channels].

    >>> import tinycl
    >>> run = tinycl.simulate(tinycl.compile("digits"), steps=2)
    >>> run.steps, int(run.counters.loc["busy", "array"]) < 2 * run.cycles, run.outputs["logits"].shape
    (2, True, (10,))
    """

    network: str
    chip: str
    entry: str
    steps: int
    cycles: int
    counters: DataFrame
    outputs: dict[str, np.ndarray]

    def _repr_html_(self) -> str:
        title = f"{self.network} on chip {self.chip}: {self.steps:,} x {self.entry}, {self.cycles:,} cycles a pass"
        return f"<p><b>{title}</b></p>{self.counters[self.counters.any(axis=1)].to_html()}"


def simulate(
    compiled: Compiled,
    steps: int = 1,
    entry: str = "",
    data: tuple[np.ndarray, np.ndarray | None] | str | PathLike[str] | None = None,
    stepped: bool = False,
) -> Simulated:
    """Run `steps` passes of a compiled network, from its first parameters on; `compiled` stays as it is.

    `entry` is "infer" or "train", by default the last that was compiled. `data` are samples (float [n, *input shape])
    and labels (int [n], or targets; None where the entry reads none), or an .npz file with arrays `samples` and
    `labels`; made ones without it. Pass i takes sample i mod n. `stepped` runs it clock by clock instead of
    instruction by instruction: the same answer, later. Raises `InputError` on data that does not fit.

    >>> import tinycl
    >>> compiled = tinycl.compile("digits", train=True)
    >>> tinycl.simulate(compiled, steps=3).cycles == compiled.report.cycles
    True
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    entry = entry or compiled.entry
    chosen(compiled.reports, entry, "entry")
    program = compiled.program
    given = Path(data) if isinstance(data, (str, PathLike)) else data
    _, total = run_passes(program, entry, steps, inputs_for(program, entry, given), stepped)
    outputs = {
        name: np.ldexp(values.astype(np.float64), -program.outputs[name].fraction)
        for name, values in total.outputs.items()
    }
    names = compiled.report.network, compiled.chip.name
    return Simulated(*names, entry, steps, int(total.cycles), counter_frame(total.counters), outputs)
