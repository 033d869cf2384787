"""The timing mode: cycles, traffic and counters of a network on a chip without values, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from arch.chip import Chip
from arch.counts import counted
from arch.errors import InputError
from arch.events import Event
from arch.isa import ENGINES, Compute, Engine
from arch.program import Program
from arch.traversal import positions
from arch.workload import Workload
from compiler.costing import cost_network
from compiler.network import Network
from compiler.pipeline import Options
from compiler.report import Report, report
from explore.frames import workload_frame

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Timing:
    """What one pass of each entry of a network costs on a chip.

    `workloads` by entry (`infer`; with training `train`). Cycles and counts are those of the compiled program, to the
    last one, but SATURATIONS, LOST_UPDATES and ZERO_PRODUCTS, which values decide and which are 0 here. With a
    `density` they are `estimated`: zeros are skipped as if that share of each position's values were not zero.

    >>> import tinycl
    >>> timing = tinycl.timing("digits")
    >>> timing.cycles == timing.reports["infer"].cycles
    True
    """

    program: Program
    network: str
    density: float | None
    workloads: dict[str, Workload]

    @property
    def entry(self) -> str:
        """The entry that is meant where none is named: a training step if there is one, else inference."""
        return list(self.workloads)[-1]

    @property
    def workload(self) -> Workload:
        """The workload of `entry`, which `estimate.energy` takes."""
        return self.workloads[self.entry]

    @property
    def cycles(self) -> int:
        """Cycles of one pass of `entry`."""
        return self.workload.cycles

    @property
    def estimated(self) -> bool:
        """Whether cycles and counts rest on an assumed density."""
        return self.workload.estimated

    @cached_property
    def reports(self) -> dict[str, Report]:
        """By entry the compiler's report (docs/report.md), without tensors; nothing is skipped in it."""
        return {entry: report(self.program, entry, self.network) for entry in self.workloads}

    def table(self, entry: str = "") -> DataFrame:
        """A row for each layer and phase of one pass: cycles, multiply-accumulates and every counted event."""
        if entry and entry not in self.workloads:
            raise InputError(f"entry must be one of {', '.join(self.workloads)}, not {entry}")
        return workload_frame(self.workloads[entry or self.entry])

    def _repr_html_(self) -> str:
        work = self.workload
        about = f" (estimated: {self.density:.0%} of values not zero)" if work.estimated else ""
        title = f"{self.network} on chip {work.chip.name}: one {work.entry} pass, {work.cycles:,} cycles{about}"
        return f"<p><b>{title}</b></p>{self.table().to_html(index=False)}"


def time_network(network: Network, chip: Chip, options: Options | None = None, density: float | None = None) -> Timing:
    """Count what a network costs on a chip, by the closed forms of `arch.timing` and `arch.counts`.

    `density`, 0 to 1, is the share of values that are not zero; with it, work on zeros is left out where that saves
    cycles (`options.skip`), else nothing is. Raises `InputError` in one line if the chip cannot run the network.

    >>> from arch import Chip
    >>> network = Network("small", (1, 6, 6)).conv(4).relu().dense(3).softmax_cross_entropy()
    >>> timing = time_network(network, Chip.load("paper"))
    >>> timing.entry, timing.cycles == timing.table()["cycles"].sum(), timing.estimated
    ('train', np.True_, False)
    """
    if density is not None and not 0 <= density <= 1:
        raise InputError(f"density must be from 0 to 1, not {density}")
    options = replace(options or Options(), skip=density is not None)
    program = cost_network(network, chip, options, density).program
    assert program
    workloads = {entry: Workload.of(program, entry, network.name) for entry in program.entries}
    if density is not None:
        for entry, work in workloads.items():
            if work.estimated:
                counts = _assumed(program, entry, density)
                workloads[entry] = replace(work.measured(program, counts), estimated=True)
    return Timing(program, network.name, density, workloads)


def _assumed(program: Program, entry: str, density: float) -> Mapping[Engine, np.ndarray]:
    """Counts of each instruction if each position's values are so dense, int64[instructions, events]."""
    counts = {}
    streams = program.entry_streams(entry)
    for engine in ENGINES:
        rows = np.zeros((len(streams[engine]), len(Event)), np.int64)
        for row, item in zip(rows, streams[engine], strict=True):
            made = _made(item, program.chip, density) if isinstance(item, Compute) and item.skip else None
            for event, count in counted(item, program.chip, made).items():
                row[event] = count
        counts[engine] = rows
    return counts


def _made(compute: Compute, chip: Chip, density: float) -> np.ndarray:
    """Iterations that each position of each group makes: the expected number, at least one, evenly rounded."""
    count = compute.iterations
    mean = count * density + (1 - density) ** count
    places = np.arange(compute.outer * compute.inner * positions(compute, chip) + 1)
    return np.maximum(1, np.diff(np.floor(places * mean)).astype(np.int64))
