"""Running a program on samples, its inputs checked first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import gcd
from pathlib import Path

import numpy as np

from arch import activity
from arch.errors import InputError
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Compute, Engine
from arch.modes import mode_of
from arch.program import Program
from compiler.calibration import valid_labels
from compiler.graph import INFER
from sim.fast import FastMachine
from sim.result import Result
from sim.stepping import SteppingMachine
from tinycl.arrays import load_arrays
from tinycl.micro_batches import in_passes, label_region, samples_taken
from tinycl.show import progress
from tinycl.training import chip_inputs


def simulate_program(program: Program, entry: str, steps: int, data: Path | None, stepped: bool) -> dict:
    """Run `steps` passes of `entry`; `program.image` becomes the memories at the end.

    Returns the cycles of the last pass and of all; of all passes the events by engine and name, what they say of
    activity (`arch.activity`) and the share of rounded values that saturated; and the last pass's outputs. Raises
    `InputError` on data that does not fit the program's inputs.
    """
    program.image, total = run_passes(program, entry, steps, inputs_for(program, entry, data), stepped)
    return {
        "entry": entry,
        "steps": steps,
        "cycles": int(total.cycles),
        "all_cycles": int(total.all_cycles),
        "counters": {
            engine.name.lower(): {event.name: int(total.counters[engine, event]) for event in Event}
            for engine in ENGINES
        },
        "activity": _activity(program, entry, total),
        "saturated": _saturated(program, total),
        "outputs": {name: values.tolist() for name, values in total.outputs.items()},
    }


def run_passes(
    program: Program, entry: str, steps: int, inputs: dict[str, np.ndarray], stepped: bool
) -> tuple[Image, Result]:
    """The memories after `steps` passes of `entry`, and the result of all: the samples of `inputs` in turn and over
    again. `program` stays as it is."""
    given, order = passes(program, entry, inputs, steps)
    if stepped:
        machine, total = _stepped(program, entry, given, order)
    else:
        machine = FastMachine(program)
        total = machine.run(entry, given, steps=steps, order=order, count_zeros=True)
    return machine.image, total


def passes(
    program: Program, entry: str, inputs: dict[str, np.ndarray], steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The inputs of `steps` passes, which take the samples of `inputs` in turn and over again, and their order."""
    there, count = len(inputs["input"]), samples_taken(program, entry)
    turn = there // gcd(there, count)
    given, places = in_passes(program, entry, inputs, np.arange(turn * count) % there)
    return given, places[np.arange(steps) % turn]


def _stepped(
    program: Program, entry: str, inputs: dict[str, np.ndarray], order: np.ndarray
) -> tuple[SteppingMachine, Result]:
    """The machine after a run clock by clock, and the result of all passes."""
    machine = SteppingMachine(program)
    passes: list[Result] = []
    with progress() as bar:
        for i in bar.track(order, description="stepping"):
            passes.append(machine.run(entry, {name: values[i] for name, values in inputs.items()}))
    return machine, replace(
        passes[-1],
        counters=sum(item.counters for item in passes),
        per_instruction={
            engine: sum(item.per_instruction[engine] for item in passes) for engine in passes[-1].per_instruction
        },
        all_cycles=sum(item.all_cycles for item in passes),
    )


def _activity(program: Program, entry: str, result: Result) -> dict[str, int]:
    """What the counts say of activity, by name."""
    chip, events = program.chip, result.counters.sum(axis=0).tolist()
    steps: Counter[str] = Counter()
    counts = result.per_instruction[Engine.ARRAY][:, Event.STEPS].tolist()
    for instruction, count in zip(program.entry_streams(entry)[Engine.ARRAY], counts, strict=True):
        if isinstance(instruction, Compute):
            steps[mode_of(instruction) or ""] += count
    products = activity.multiplications(events, chip)
    found = {
        "active multiplications": products.active,
        "multiplications with a zero": products.zero,
        "additions before accumulators": activity.reduction_additions(steps, chip),
        "accumulations": activity.accumulations(steps, chip),
        "external beats": activity.external_beats(events),
    }
    for engine in ENGINES:
        name = f"{engine.name.lower()} idle cycles"
        found[name] = activity.idle(result.all_cycles, result.counters[engine].tolist())
    return found


def _saturated(program: Program, result: Result) -> float:
    """The share of rounded values that did not fit the word."""
    counts = result.counters.sum(axis=0)
    return int(counts[Event.SATURATIONS]) / max(int(counts[Event.ROUNDED_WORDS]) * program.chip.lanes, 1)


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
    if samples.shape[1:] != outer or not len(samples):
        raise InputError(f"{where}: samples must have shape [n, {list(outer)}], not {list(samples.shape)}")
    if label_region(program) is None or (entry == INFER and labels is None):
        return chip_inputs(program, samples)
    return chip_inputs(program, samples, _checked_labels(program, labels, len(samples), where))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    arrays = load_arrays(path)
    if "samples" not in arrays:
        raise InputError(f"{path}: must hold an array named samples, not only {', '.join(arrays) or 'nothing'}")
    return arrays["samples"], arrays.get("labels")


def _targets(program: Program) -> tuple[int, ...] | None:
    """The shape of what a loss compares with, channels first, if that is no class."""
    region, logits = label_region(program), program.outputs["logits"].shape
    label = region.shape if region else ()
    if label != logits:
        return None
    return (label[2], *label[:2]) if len(label) == 3 else label


def _made_labels(program: Program, rng: np.random.Generator) -> np.ndarray | None:
    if label_region(program) is None:
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
        there = "they are missing" if labels is None else f"not {labels.dtype} {list(labels.shape)}"
        raise InputError(f"{data}: labels must be {count} integers from 0 to {classes - 1}; {there}")
    return labels
