"""Training a compiled network on the simulated chip beside its float64 twin, by the same recipe."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from sklearn.model_selection import train_test_split

from arch.chip import Chip
from arch.events import Event
from arch.image import quantised
from arch.isa import ENGINES, Rounding
from arch.program import Program
from compiler import Bits, Calibration, Network, Options, compile_network
from compiler.formats import Headroom
from compiler.pipeline import INFER, TRAIN
from sim.fast import FastMachine
from tinycl.data import DataSet
from tinycl.micro_batches import in_passes, label_region


@dataclass(frozen=True)
class Recipe:
    """How both are trained: plain SGD, the samples shuffled anew each epoch; at batch 1, or, with `batch_norm` "batch",
    by `micro_batch` samples, those that fill none left out.

    Formats fit what `calibration_steps` samples in float64 show, times `headroom`; `bits` are those of `Options`.
    """

    epochs: int = 20
    learning_rate: float = 2.0**-6
    held_out: float = 0.2
    calibration_steps: int = 1437
    headroom: Headroom = field(default_factory=Headroom)
    batch_norm: str = ""
    micro_batch: int = 1
    bits: Bits = Bits()


BATCH = Recipe(learning_rate=2.0**-4, batch_norm="batch", micro_batch=8)
"""Batch normalisation by the statistics of eight samples."""
RESNET8 = Recipe(
    epochs=12,
    learning_rate=2.0**-7,
    calibration_steps=3 * 1437,
    headroom=Headroom(activation=2.0, gradient=8.0, parameter=4.0),
)
"""For ResNet-8 on digits scaled up: its gradients grow for some epochs before they shrink."""


@dataclass
class Trained:
    """One seed's result: held-out accuracy after each epoch, on the chip and in float64, and the chip's events."""

    seed: int
    chip: list[float] = field(default_factory=list)
    float64: list[float] = field(default_factory=list)
    steps: int = 0
    saturations: int = 0
    lost_updates: int = 0
    program: Program | None = None


def chip_inputs(program: Program, samples: np.ndarray, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The program's inputs as integers: `samples` float [n, C, H, W] or [n, N] in the input's format, and labels.

    Labels are classes [n], or, where the loss compares with a result, float of its shape. Returns arrays
    [n, *region shape]: maps are [n, H, W, C], classes [n, 1]. Warns of samples that the input's format clips.
    """
    region = program.inputs["input"]
    values = np.moveaxis(samples, 1, -1) if samples.ndim == 4 else samples
    largest = region.largest(program.chip)
    _warn_if_clipped(values, (largest + 1) * 2.0**-region.fraction)
    inputs = {"input": quantised(values, region.fraction, largest, "input")}
    target = label_region(program)
    if target:
        given = np.zeros((len(samples), *target.shape)) if labels is None else np.asarray(labels)
        given = np.moveaxis(given, 1, -1) if given.ndim == 4 else given
        largest = target.largest(program.chip)
        inputs["label"] = quantised(given.reshape(-1, *target.shape), target.fraction, largest, "label")
    return inputs


def _warn_if_clipped(values: np.ndarray, limit: float) -> None:
    beyond = np.count_nonzero(np.abs(values) > 1.01 * limit)  # 1.0 is clipped by a step in the format of -1 to 1
    if beyond:
        warnings.warn(
            f"input: {beyond:,} of {values.size:,} values lie beyond {limit:g}, where its format ends, and are "
            "clipped; calibrate with such samples",
            stacklevel=2,
        )


def accuracy(machine: FastMachine, inputs: dict[str, np.ndarray], labels: np.ndarray) -> float:
    """The share of samples whose largest logit on the chip is the label's (the first of equals)."""
    given = {"input": inputs["input"]}
    logits = machine.run(INFER, given, steps=len(labels), collect=("logits",)).outputs["logits"]
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def split(data: DataSet, recipe: Recipe, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and to hold out, with equal shares of each class."""
    train, test = train_test_split(
        np.arange(len(data.labels)), test_size=recipe.held_out, stratify=data.labels, random_state=seed
    )
    return np.asarray(train), np.asarray(test)


def train_both(
    network: Network,
    chip: Chip,
    data: DataSet,
    seed: int,
    recipe: Recipe,
    update_rounding: Rounding = Rounding.STOCHASTIC,
    progress: Callable[[], None] = lambda: None,
) -> Trained:
    """Train on the chip and in float64 from the same start in the same order; `progress` is called after each epoch.

    Formats are calibrated on the training samples alone.
    """
    train, test = split(data, recipe, seed)
    start = network.initial(seed)
    calibration = Calibration(data.samples[train], data.labels[train], recipe.calibration_steps)
    options = Options(
        learning_rate=recipe.learning_rate,
        update_rounding=update_rounding,
        seed=seed + 1,
        headroom=recipe.headroom,
        batch_norm=recipe.batch_norm,
        micro_batch=recipe.micro_batch,
        bits=recipe.bits,
    )
    build = compile_network(network, chip, start, calibration, options)
    assert build.program
    machine = FastMachine(build.program)
    twin = build.twin()
    inputs = chip_inputs(build.program, data.samples, data.labels)
    held_out = {name: values[test] for name, values in inputs.items()}
    rng = np.random.default_rng(seed)
    result = Trained(seed, program=build.program)
    for _ in range(recipe.epochs):
        order = rng.permutation(train)
        given, places = in_passes(build.program, TRAIN, inputs, order)
        counters = machine.run(TRAIN, given, steps=len(places), order=places).counters
        twin.train(data.samples, data.labels, order)
        result.steps += len(places)
        result.saturations += int(counters[list(ENGINES), Event.SATURATIONS].sum())
        result.lost_updates += int(counters[list(ENGINES), Event.LOST_UPDATES].sum())
        result.chip.append(accuracy(machine, held_out, data.labels[test]))
        result.float64.append(twin.accuracy(data.samples[test], data.labels[test]))
        progress()
    return result
