"""A program of any size on both simulators, and on RTL by a native run: one answer, or where the answers differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.isa import ENGINES
from arch.program import Program
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.native import run_native


@dataclass(frozen=True)
class Executions:
    """One pass: cycles, retirements compared between the simulators, whether RTL ran too, and every difference."""

    cycles: int
    retirements: int
    on_rtl: bool
    differences: list[str]


def compare(program: Program, entry: str, inputs: dict[str, np.ndarray], *, rtl: bool = False) -> Executions:
    """One pass of `entry` with `inputs` (integers, by the names of the program's input regions).

    The simulators are compared at every retirement (cycle, counters, memories); with `rtl` the Verilog's cycles,
    counters and memories are compared with theirs at the end.
    """
    fast, stepping = FastMachine(program), SteppingMachine(program)
    slow = stepping.run(entry, inputs, trace=True)
    quick = fast.run(entry, {name: values[None] for name, values in inputs.items()}, trace=True)
    differences = [
        f"{a.engine.name.lower()} {a.index}: fast and stepping simulator differ"
        for a, b in zip(quick.retirements, slow.retirements, strict=True)
        if a != b
    ]
    if quick.cycles != slow.cycles:
        differences.append(f"{quick.cycles} cycles on the fast, {slow.cycles} on the stepping simulator")
    if fast.image.differences(stepping.image):
        differences.append("memories of the fast and the stepping simulator differ at the end")
    if rtl:
        run = run_native(program, entry, [inputs])
        if run.cycles != [slow.cycles]:
            differences.append(f"{run.cycles[0]} cycles on RTL, {slow.cycles} on the stepping simulator")
        if run.image.differences(stepping.image):
            differences.append("memories of RTL and the stepping simulator differ at the end")
        if not np.array_equal(run.counters, slow.counters[: len(ENGINES)]):
            differences.append("counters of RTL and the stepping simulator differ at the end")
    return Executions(slow.cycles, len(slow.retirements), rtl, differences)
