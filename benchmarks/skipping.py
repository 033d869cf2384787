"""A training step of the reference network where zeros cost no cycle: dense, at half zeros, and trained; prints JSON.

    python benchmarks/skipping.py [--chip paper] [--epochs 4]

At half zeros: every map and vector whose zeros are left out has exactly half, at random places; cycles by the
recurrence that simulators and RTL are held to. Trained: on scikit-learn's digits scaled to 3 x 32 x 32, with cycles as
they come.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from arch.chip import Chip
from arch.isa import Compute, Moving, Stationary
from arch.program import Program
from arch.timing import duration
from arch.traversal import positions
from compiler import Build, Calibration, Options, compile_network
from compiler.density import densities
from compiler.pipeline import TRAIN
from compiler.report import report
from sim.fast import FastMachine
from tinycl.data import DataSet, digits_as_images
from tinycl.networks import reference_network
from tinycl.reference import images
from tinycl.training import Recipe, accuracy, chip_inputs, split

RATE = 2.0**-8
MEASURED_STEPS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip)
    made = images()
    dense, skipping = (_compiled(chip, made, skip) for skip in (False, True))
    assert dense.reports and skipping.program
    result = {
        "dense_cycles": dense.reports[TRAIN].cycles,
        "half_zeros_cycles": half_zeros(skipping.program),
        "trained": trained(chip, arguments.epochs),
    }
    print(json.dumps(result, indent=1))


def _compiled(chip: Chip, data: DataSet, skip: bool) -> Build:
    network = reference_network()
    few = Calibration(data.samples[:20], data.labels[:20], 20)
    return compile_network(network, chip, network.initial(0), few, Options(learning_rate=RATE, skip=skip))


def half_zeros(program: Program) -> int:
    """Cycles of a training step in which exactly half of what may be left out is zero, at random places."""
    rng = np.random.default_rng(0)
    streams = program.entry_streams(TRAIN)
    cycles = report(program, TRAIN).cycles
    for item in (item for stream in streams.values() for item in stream):
        if isinstance(item, Compute) and item.skip:
            cycles -= duration(item, program.chip) - duration(item, program.chip, _executed(item, program.chip, rng))
    return cycles


def _executed(compute: Compute, chip: Chip, rng: np.random.Generator) -> np.ndarray:
    """Iterations that each position makes; a vector's zeros are the same for all positions."""
    count = compute.outer * compute.inner * positions(compute, chip)
    if compute.stationary == Stationary.VECTOR or compute.moving == Moving.VECTOR:
        return np.full(count, max(1, compute.iterations // 2), np.int64)
    kept = rng.permutation(np.arange(count * compute.iterations) % 2).reshape(count, compute.iterations)
    return np.maximum(1, kept.sum(axis=1))


def trained(chip: Chip, epochs: int) -> dict:
    """Accuracy, densities and cycles of the reference network trained with zeros left out."""
    data = digits_as_images()
    train, test = split(data, Recipe(), 0)
    network = reference_network()
    calibration = Calibration(data.samples[train], data.labels[train], len(train))
    build = compile_network(network, chip, network.initial(0), calibration, Options(learning_rate=RATE, skip=True))
    assert build.program and build.graph
    machine = FastMachine(build.program)
    inputs = chip_inputs(build.program, data.samples, data.labels)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        order = rng.permutation(train)
        machine.run(TRAIN, inputs, steps=len(order), order=order)
    held_out = {name: values[test] for name, values in inputs.items()}
    cycles = [machine.run(TRAIN, inputs, order=np.array([i])).cycles for i in rng.permutation(train)[:MEASURED_STEPS]]
    maps = densities(build.graph, Calibration(data.samples[test], data.labels[test], 1))
    return {
        "accuracy_percent": round(100 * accuracy(machine, held_out, data.labels[test]), 2),
        "mean_cycles": round(float(np.mean(cycles))),
        "fewest_and_most_cycles": [int(min(cycles)), int(max(cycles))],
        "density_before_training": {name: round(share, 3) for name, share in maps.items()},
    }


if __name__ == "__main__":
    main()
