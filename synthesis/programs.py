"""Short programs whose energy is measured on netlists: training and inference on real digits, and random ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from arch.chip import Chip
from arch.image import quantised
from arch.isa import Compute, Instruction
from arch.program import Program
from arch.workload import Workload
from compiler import Calibration, Network, compile_network
from compiler.pipeline import INFER, TRAIN
from testbenches.generate import random_instruction, random_program
from testbenches.images import IMAGES

CLASSES = 8
"""Digits beyond are left out, so that small memories hold the networks."""
_STEPS = 100
_LENGTH = 12
_CYCLES = 800, 2500
"""Of a random program."""


@dataclass(frozen=True)
class Case:
    """An entry of a program, and the input it is run on: integers by region."""

    name: str
    program: Program
    entry: str
    inputs: dict[str, np.ndarray]


def _convolution() -> Network:
    return Network("conv", (1, 8, 8)).conv(2).relu().dense(CLASSES).softmax_cross_entropy()


def _dense() -> Network:
    net = Network("dense", (1, 8, 8)).dense(10, bias=True).relu().dense(CLASSES, bias=True)
    return net.softmax_cross_entropy()


def _pooled() -> Network:
    net = Network("pooled", (1, 8, 8)).conv(3, bias=True).relu().max_pool(2)
    return net.dense(CLASSES).softmax_cross_entropy()


def _strided() -> Network:
    return Network("strided", (1, 8, 8)).conv(4, stride=2).relu().dense(CLASSES).softmax_cross_entropy()


def _deep() -> Network:
    net = Network("deep", (1, 8, 8)).conv(2, stride=2).relu().conv(2).relu()
    return net.dense(CLASSES).softmax_cross_entropy()


def _biased() -> Network:
    net = Network("biased", (1, 8, 8)).conv(2, stride=2, bias=True).relu().average_pool(2)
    return net.dense(CLASSES, bias=True).softmax_cross_entropy()


NETWORKS: dict[str, Callable[[], Network]] = {
    "conv": _convolution,
    "dense": _dense,
    "pooled": _pooled,
    "strided": _strided,
    "deep": _deep,
    "biased": _biased,
}
FITTED = (
    *("conv train", "dense infer", "strided train", "strided infer", "deep train", "deep infer"),
    *("mixed", "mixed 2", "mixed 3", "mixed 4", "mixed 5", "no zeros", "no zeros 2", "no zeros 3"),
    *("sparse", "sparse 2", "sparse 3", "few values", "ties", "extremes"),
)
"""Programs that energies of events are fitted to; a random one is named by its data, and a number."""
HELD_OUT = (
    *("conv infer", "dense train", "pooled train", "biased train", "biased infer"),
    *("scales", "scales 2", "mixed again", "mixed 6", "ties 2"),
)
"""Programs that the fit does not see."""
_NUMBER = re.compile(r" (again|\d+)$")


def is_network(program: str) -> bool:
    """Whether a program is a network's, and not a random one."""
    return program.split()[0] in NETWORKS


def case(name: str, chip: Chip) -> Case:
    """One of the programs of `FITTED` and `HELD_OUT`, for `chip`."""
    net, _, entry = name.partition(" ")
    if net in NETWORKS:
        return _trained(name, net, {"train": TRAIN, "infer": INFER}[entry], chip)
    return _random(name, chip)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """float64[n, 1, 8, 8] from 0 to 1, and classes: scikit-learn's digits (UCI)."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images, labels = bunch.images, bunch.target
    kept = labels < CLASSES
    return images[kept, None] / 16.0, labels[kept].astype(np.int64)


@cache
def _compiled(net: str, chip: Chip) -> Program:
    network = NETWORKS[net]()
    samples, labels = _digits()
    build = compile_network(network, chip, network.initial(0), Calibration(samples[:_STEPS], labels[:_STEPS], _STEPS))
    assert build.program
    return build.program


def _trained(name: str, net: str, entry: str, chip: Chip) -> Case:
    program = _compiled(net, chip)
    samples, labels = _digits()
    place = _STEPS + len(name)
    given = {"input": samples[place].transpose(1, 2, 0), "label": labels[place, None].astype(np.float64)}
    inputs = {
        region: quantised(given[region].reshape(shape.shape), shape.fraction, shape.largest(chip), region)
        for region, shape in program.inputs.items()
    }
    return Case(name, program, entry, inputs)


def _random(name: str, chip: Chip) -> Case:
    """A random program of a few hundred to thousands of cycles, whose counts do not depend on values."""
    rng = np.random.default_rng(list(name.encode()))
    for program in _drawn(chip, rng, _NUMBER.sub("", name)):
        if _CYCLES[0] <= Workload.of(program, "main").cycles <= _CYCLES[1]:
            return Case(name, program, "main", {})
    raise AssertionError


def _drawn(chip: Chip, rng: np.random.Generator, image: str) -> Iterator[Program]:
    while True:
        yield random_program(chip, rng, _LENGTH, image=IMAGES[image], draw=_unskipped)


def _unskipped(chip: Chip, rng: np.random.Generator, kind: str) -> Instruction:
    item = random_instruction(chip, rng, kind)
    return replace(item, skip=0) if isinstance(item, Compute) and item.skip else item
