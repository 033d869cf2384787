"""Inputs of an entry that takes a whole micro-batch at once."""

from __future__ import annotations

import numpy as np

from arch.layout import Region
from arch.program import Program
from compiler.graph import INFER, sample_name
from compiler.nodes import INPUT, LABEL


def samples_taken(program: Program, entry: str) -> int:
    """How many samples a pass of `entry` takes."""
    several = [name for name in program.inputs if name.startswith(sample_name(INPUT, ""))]
    return 1 if entry == INFER else max(len(several), 1)


def label_region(program: Program) -> Region | None:
    """What a sample is compared with lies like this; None if no entry compares."""
    return program.inputs.get(LABEL) or program.inputs.get(sample_name(LABEL, 0))


def in_passes(
    program: Program, entry: str, inputs: dict[str, np.ndarray], order: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The inputs and the order with which a machine runs `entry` on the samples `order`.

    `inputs` are integers [samples, ...] by "input" and "label"; `order` int [samples of all passes]. Those that fill no
    pass are left out, and so are inputs that no entry of this program has.
    """
    count = samples_taken(program, entry)
    if count == 1:
        return {name: values for name, values in inputs.items() if name in program.inputs}, order
    order = order[: len(order) // count * count].reshape(-1, count)
    given = {
        sample_name(name, number): values[order[:, number]]
        for name, values in inputs.items()
        for number in range(count)
    }
    return given, np.arange(len(order))
