"""One program, three executions, one answer: the same steps on both simulators and on RTL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.program import Program
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.session import Job, run_on_rtl


@dataclass(frozen=True)
class Agreement:
    """What was compared, and every difference, a line each."""

    steps: int
    cycles: int
    retirements: int
    differences: list[str]


def agree(jobs: list[tuple[Program, dict[str, np.ndarray]]], entry: str) -> list[Agreement]:
    """Run each program's `entry` once for each sample of its inputs, on all three executions.

    Compared at every retirement: cycle, counters and memories; and at the end all memories and random states.
    """
    prepared = [_simulate(program, inputs, entry) for program, inputs in jobs]
    outcomes = run_on_rtl([job for job, _ in prepared])
    return [
        Agreement(
            steps=len(job.inputs),
            cycles=sum(outcome.cycles),
            retirements=sum(len(step) for step in job.expected or ()),
            differences=[*differences, *map(str, outcome.differences)],
        )
        for (job, differences), outcome in zip(prepared, outcomes, strict=True)
    ]


def _simulate(program: Program, inputs: dict[str, np.ndarray], entry: str) -> tuple[Job, list[str]]:
    """The RTL's job with what it must show, and where the simulators differ."""
    fast, stepping = FastMachine(program), SteppingMachine(program)
    steps = len(next(iter(inputs.values())))
    each = [{name: values[i] for name, values in inputs.items()} for i in range(steps)]
    expected, differences = [], []
    for index, sample in enumerate(each):
        slow = stepping.run(entry, sample, trace=True)
        quick = fast.run(entry, {name: values[None] for name, values in sample.items()}, trace=True)
        if quick.cycles != slow.cycles:
            differences.append(f"step {index}: {quick.cycles} cycles fast, {slow.cycles} stepping")
        differences += [
            f"step {index}: {a.engine.name} {a.index}: fast and stepping simulator differ"
            for a, b in zip(quick.retirements, slow.retirements, strict=True)
            if a != b
        ]
        expected.append(slow.retirements)
    if fast.image.differences(stepping.image):
        differences.append("memories of fast and stepping simulator differ at the end")
    return Job(program, entry, each, expected, stepping.image), differences
