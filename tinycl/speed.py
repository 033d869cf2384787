"""How fast the executions are, interleaved in one run so that a noisy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arch.program import Program
from compiler.pipeline import TRAIN
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.native import run_native

ROUNDS = 5
FAST_STEPS = 100


@dataclass(frozen=True)
class Speed:
    """Simulated cycles a second, medians over the rounds."""

    fast: float
    stepping: float
    verilator: float


def measure(program: Program, inputs: dict[str, np.ndarray], rounds: int = ROUNDS) -> Speed:
    """Training steps of `program` on the fast simulator, the stepping one, and Verilator -O3, in turn.

    `inputs` are integers [n, ...]; compilation is not timed.
    """
    fast, stepping = FastMachine(program), SteppingMachine(program)
    first = {name: values[0] for name, values in inputs.items()}
    order = np.arange(FAST_STEPS) % len(next(iter(inputs.values())))
    cycles = fast.run(TRAIN, inputs, steps=1).cycles
    stepping.run(TRAIN, first)
    runs: dict[str, Callable[[], float]] = {
        "fast": lambda: _rate(lambda: fast.run(TRAIN, inputs, steps=FAST_STEPS, order=order), FAST_STEPS * cycles),
        "stepping": lambda: _rate(lambda: stepping.run(TRAIN, first), cycles),
        "verilator": lambda: _native_rate(program, first),
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return Speed(**{name: float(np.median(values)) for name, values in found.items()})


def _native_rate(program: Program, sample: dict[str, np.ndarray]) -> float:
    run = run_native(program, TRAIN, [sample] * 2)
    return run.clocks / run.seconds


def _rate(run: Callable[[], object], cycles: int) -> float:
    start = time.perf_counter()
    run()
    return cycles / (time.perf_counter() - start)
