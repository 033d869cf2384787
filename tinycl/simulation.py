"""Running a program file from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from arch.errors import InputError
from arch.events import Event
from arch.isa import ENGINES
from arch.program import Program
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from tinycl.arrays import load_arrays
from tinycl.training import chip_inputs


def simulate_program(program: Program, entry: str, steps: int, data: Path | None, stepped: bool) -> dict:
    """Run `steps` passes of `entry`; `program.image` becomes the memories at the end.

    Returns cycles of a pass, all events by engine and name, and the last logits. Raises `InputError` on data that does
    not fit the program's inputs.
    """
    program.first(entry, ENGINES[0])
    inputs = _inputs(program, data)
    count = len(inputs["input"])
    order = np.arange(steps) % count
    if stepped:
        machine = SteppingMachine(program)
        results = [machine.run(entry, {name: values[i] for name, values in inputs.items()}) for i in order]
        counters, last = np.sum([item.counters for item in results], axis=0), results[-1]
    else:
        machine = FastMachine(program)
        last = machine.run(entry, inputs, steps=steps, order=order)
        counters = last.counters
    program.image = machine.image
    return {
        "entry": entry,
        "steps": steps,
        "cycles": int(last.cycles),
        "counters": {
            engine.name.lower(): {event.name: int(counters[engine, event]) for event in Event} for engine in ENGINES
        },
        "outputs": {name: values.tolist() for name, values in last.outputs.items()},
    }


def _inputs(program: Program, data: Path | None) -> dict[str, np.ndarray]:
    shape = program.inputs["input"].shape
    outer = (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
    if data is None:
        rng = np.random.default_rng(0)
        return chip_inputs(program, rng.uniform(0, 1, (16, *outer)), rng.integers(0, 2, 16))
    arrays = load_arrays(data)
    samples, labels = arrays.get("samples"), arrays.get("labels")
    if samples is None or samples.shape[1:] != outer or not len(samples):
        raise InputError(f"{data}: samples must have shape [n, {list(outer)}]")
    if labels is None or labels.shape != (len(samples),) or labels.dtype.kind not in "iu":
        raise InputError(f"{data}: labels must be {len(samples)} integers")
    return chip_inputs(program, samples, labels)
