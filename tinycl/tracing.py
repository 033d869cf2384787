"""The timeline of one simulated pass as a file."""

from __future__ import annotations

from pathlib import Path

from arch.program import Program
from explore.pictures import write_trace
from sim.fast import FastMachine
from tinycl.simulation import inputs_for, passes


def trace_pass(program: Program, entry: str, data: Path | None, path: Path) -> None:
    """Simulate `entry` on the first sample of `data` (a made one without it) and write its timeline; `program` stays.

    Raises `InputError` on data that does not fit, and where the file cannot be written.
    """
    inputs, _ = passes(program, entry, inputs_for(program, entry, data), 1)
    one = {name: values[:1] for name, values in inputs.items()}
    write_trace(path, program, entry, FastMachine(program).run(entry, one))
