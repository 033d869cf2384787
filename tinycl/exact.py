"""Exact points of a sweep: a network trained on digits on the fast simulator, its accuracy and what it counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.errors import InputError
from arch.workload import Workload
from compiler import Calibration, Network, Options, compile_network
from compiler.pipeline import TRAIN
from explore.measure import Row, attempted, costs
from explore.point import Point
from sim.fast import FastMachine
from tinycl.data import DataSet, digits, digits_as_images
from tinycl.training import Recipe, accuracy, chip_inputs, split


def run_exactly(point: Point) -> Row:
    """A point's row from training runs: `accuracy` is the mean held-out one of all seeds, 0 to 1.

    Cycles, energy and counts are means of the last epoch's steps of the last seed. If the chip cannot run the network
    the row says why, as in the timing mode.
    """
    return attempted(point, lambda chip: _trained(point, chip))


def _trained(point: Point, chip: Chip) -> Row:
    assert point.exact is not None
    if not point.options.train:
        raise InputError("exact points must be trained: train must be true")
    data = digits_for(point.network)
    seeds = range(point.exact["seeds"])
    runs = [train_on_chip(point.network, chip, data, seed, point.exact["epochs"], point.options) for seed in seeds]
    accuracies = [share for share, _ in runs]
    return {"accuracy": float(np.mean(accuracies)), "seeds": len(runs), **costs(runs[-1][1], point.technology)}


def digits_for(network: Network) -> DataSet:
    """Handwritten digits of the network's input shape: as they are (1 x 8 x 8), or scaled to C x side x side.

    >>> from tinycl.networks import reference_network
    >>> digits_for(reference_network()).samples.shape
    (1797, 3, 32, 32)
    """
    shape = network.input_shape
    if shape == (1, 8, 8):
        return digits()
    if len(shape) != 3 or shape[1] != shape[2]:
        raise InputError(f"{network.name}: exact points need square images, channels first, not {list(shape)}")
    return digits_as_images(shape[1], shape[0])


def train_on_chip(
    network: Network, chip: Chip, data: DataSet, seed: int, epochs: int, options: Options
) -> tuple[float, Workload]:
    """Train by `tinycl.training`'s recipe, on the chip alone: held-out accuracy (0 to 1), and the last epoch's mean
    training step. The start, the split and the order are those of `train_both` with that seed."""
    recipe = Recipe(epochs=epochs, learning_rate=options.learning_rate)
    train, test = split(data, recipe, seed)
    calibration = Calibration(data.samples[train], data.labels[train], recipe.calibration_steps)
    options = replace(options, seed=seed + 1, headroom=recipe.headroom)
    build = compile_network(network, chip, network.initial(seed), calibration, options)
    assert build.program
    machine = FastMachine(build.program)
    inputs = chip_inputs(build.program, data.samples, data.labels)
    rng = np.random.default_rng(seed)
    work = Workload.of(build.program, TRAIN, network.name)
    for _ in range(epochs):
        order = rng.permutation(train)
        result = machine.run(TRAIN, inputs, steps=len(order), order=order)
        work = work.measured(build.program, result.per_instruction, len(order))
    held_out = {name: values[test] for name, values in inputs.items()}
    return accuracy(machine, held_out, data.labels[test]), work
