"""Cocotb's side of `testbenches.session`: runs the jobs of a folder, one after another, and writes what came of them.

The environment variable `TINYCL_JOBS` names the folder. Each job has a folder in it: `0`, `1`, ...
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.retirement import Retirement
from testbenches.comparison import Comparer, image_differences
from testbenches.host import Host
from testbenches.jobs import PROGRESS, Job, Outcome
from testbenches.monitor import Monitor

MARGIN = 10_000
"""Cycles that a program may take beyond those expected before it counts as one that never ends."""
LONGEST = 1 << 32
"""Cycles that a program may take of which nothing is expected."""


@cocotb.test()
async def runs_all_jobs(dut: Any) -> None:
    """Each job's outcome is written as soon as it is known."""
    folder = Path(os.environ["TINYCL_JOBS"])
    bench: _Bench | None = None
    for number in count():
        place = folder / str(number)
        if not place.exists():
            break
        job = Job.load(place)
        if bench is None:
            bench = _Bench(dut, job.program.chip, folder / PROGRESS)
        (await bench.run(job)).save(place)


class _Bench:
    """The chip on the bench, and what is known of its memories: nothing at first."""

    def __init__(self, dut: Any, chip: Chip, progress: Path):
        self._host = Host(dut, chip)
        self._progress = progress
        self._known: Image | None = None

    async def run(self, job: Job) -> Outcome:
        """What came of the job; it stops at the end of the first step that never ends."""
        host, program = self._host, job.program
        await host.reset()
        if self._known is not None:
            self._known.random[...] = 0  # no state, so that all are written again: the reset has changed them
        await host.load(program)
        image = program.image.copy()
        monitor = Monitor(program, image)
        outcome = Outcome(image)
        for step, inputs in enumerate(job.inputs):
            for name, values in inputs.items():
                image.write(program.inputs[name], values, program.chip)
            await host.write_image(image, self._known)
            expected = None if job.expected is None else job.expected[step]
            ended = await host.run(program, job.entry, _limit(expected))
            cycles, counters = await host.results()
            monitor.collect()
            self._compare(outcome, monitor, Comparer(program, step, expected), cycles, counters)
            self._known = image.copy()
            with self._progress.open("a") as file:
                file.write(".")
            if not ended:
                self._known = None
                return outcome
        outcome.image = self._known = await host.read_image(program.external_words)
        # Without an expected image, the trace's must at least be what lies in the memories.
        wanted = image if job.image is None else job.image
        outcome.differences += image_differences(len(job.inputs) - 1, wanted, outcome.image)
        return outcome

    def _compare(
        self, outcome: Outcome, monitor: Monitor, comparer: Comparer, cycles: int, counters: np.ndarray
    ) -> None:
        """Add one run, retirement by retirement."""
        retirements = []
        for retirement in monitor.retirements():
            retirements.append(retirement)
            differences = comparer.compare(retirement)
            if differences and outcome.suspect is None:
                outcome.suspect = monitor.image.copy()
            outcome.differences += differences
        outcome.differences += comparer.end(cycles, counters)
        outcome.retirements.append(retirements)
        outcome.cycles.append(cycles)
        outcome.counters.append(counters)


def _limit(expected: Sequence[Retirement] | None) -> int:
    return LONGEST if expected is None else max(item.cycle for item in expected) + MARGIN
