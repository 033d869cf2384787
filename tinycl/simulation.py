"""Running a program on samples, its inputs checked first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.errors import InputError
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Engine
from arch.program import Program
from compiler.calibration import valid_labels
from compiler.graph import INFER
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from tinycl.arrays import load_arrays
from tinycl.show import progress
from tinycl.training import chip_inputs


@dataclass(frozen=True)
class Passes:
    """Passes of an entry: cycles of the last one, all events int64 [engines, events], the last one's outputs as words,
    and the memories at the end."""

    cycles: int
    counters: np.ndarray
    outputs: dict[str, np.ndarray]
    image: Image


def simulate_program(program: Program, entry: str, steps: int, data: Path | None, stepped: bool) -> dict:
    """Run `steps` passes of `entry`; `program.image` becomes the memories at the end.

    Returns cycles of a pass, all events by engine and name, and the last pass's outputs. Raises `InputError` on data
    that does not fit the program's inputs.
    """
    passes = run_passes(program, entry, steps, inputs_for(program, entry, data), stepped)
    program.image = passes.image
    return {
        "entry": entry,
        "steps": steps,
        "cycles": passes.cycles,
        "counters": {
            engine.name.lower(): {event.name: int(passes.counters[engine, event]) for event in Event}
            for engine in ENGINES
        },
        "outputs": {name: values.tolist() for name, values in passes.outputs.items()},
    }


def run_passes(program: Program, entry: str, steps: int, inputs: dict[str, np.ndarray], stepped: bool) -> Passes:
    """Run `steps` passes of `entry`, the samples of `inputs` in turn and over again; `program` stays as it is."""
    order = np.arange(steps) % len(inputs["input"])
    if stepped:
        machine, counters, last = _stepped(program, entry, inputs, order)
    else:
        machine = FastMachine(program)
        last = machine.run(entry, inputs, steps=steps, order=order)
        counters = last.counters
    return Passes(int(last.cycles), counters, last.outputs, machine.image)


def _stepped(program: Program, entry: str, inputs: dict[str, np.ndarray], order: np.ndarray):
    """The machine after a run clock by clock, all events, and the last pass's result."""
    machine = SteppingMachine(program)
    counters = np.zeros((len(ENGINES), len(Event)), np.int64)
    last = None
    with progress() as bar:
        for i in bar.track(order, description="stepping"):
            last = machine.run(entry, {name: values[i] for name, values in inputs.items()})
            counters += last.counters
    assert last is not None
    return machine, counters, last


def inputs_for(
    program: Program, entry: str, data: Path | tuple[np.ndarray, np.ndarray | None] | None
) -> dict[str, np.ndarray]:
    """The program's inputs as integers [n, ...]: samples and labels that are given or in an .npz file, or made ones.

    Samples are float [n, *input shape], maps channels first; labels int [n] or targets. Raises `InputError` if they do
    not fit the program, or if it has no such entry.
    """
    program.first(entry, Engine.ARRAY)  # refuses an unknown entry
    if "input" not in program.inputs or "logits" not in program.outputs:
        raise InputError("a program to simulate needs an input named input and an output named logits")
    shape = program.inputs["input"].shape
    outer = (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
    if data is None:
        rng = np.random.default_rng(0)
        return chip_inputs(program, rng.uniform(0, 1, (16, *outer)), _made_labels(program, rng))
    where = data if isinstance(data, Path) else "data"
    samples, labels = _read(data) if isinstance(data, Path) else data
    if samples is None or samples.shape[1:] != outer or not len(samples):
        raise InputError(f"{where}: samples must have shape [n, {list(outer)}]")
    if "label" not in program.inputs or (entry == INFER and labels is None):
        return chip_inputs(program, samples)
    return chip_inputs(program, samples, _checked_labels(program, labels, len(samples), where))


def _read(path: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    arrays = load_arrays(path)
    return arrays.get("samples"), arrays.get("labels")


def _targets(program: Program) -> tuple[int, ...] | None:
    """The shape of what a loss compares with, channels first, if that is no class."""
    label, logits = program.inputs["label"].shape, program.outputs["logits"].shape
    if label != logits:
        return None
    return (label[2], *label[:2]) if len(label) == 3 else label


def _made_labels(program: Program, rng: np.random.Generator) -> np.ndarray | None:
    if "label" not in program.inputs:
        return None
    targets = _targets(program)
    return (
        rng.integers(0, program.outputs["logits"].shape[0], 16)
        if targets is None
        else rng.uniform(0, 1, (16, *targets))
    )


def _checked_labels(program: Program, labels: np.ndarray | None, count: int, data: Path | str) -> np.ndarray:
    targets = _targets(program)
    if targets is not None:
        if labels is None or labels.shape != (count, *targets):
            raise InputError(f"{data}: labels must be {count} targets of shape {list(targets)}")
        return labels
    classes = program.outputs["logits"].shape[0]
    if labels is None or not valid_labels(labels, count, classes):
        raise InputError(f"{data}: labels must be {count} integers from 0 to {classes - 1}")
    return labels
