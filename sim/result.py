"""What one pass of a program gives, whichever simulator ran it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from arch.errors import InputError
from arch.image import Image
from arch.isa import Engine
from arch.program import Program
from arch.retirement import Retirement


@dataclass
class Result:
    """Cycles of one pass of an entry; cycles, events and outputs of all passes that were run.

    `cycles` is the cycle in which the last engine halted, the first being 1, in the last pass; `all_cycles` is the sum
    over all passes. `counters` is int64[engines, events], rows as `arch.isa.ENGINES`, columns as `arch.events.Event`;
    `per_instruction` has for each engine an int64[instructions of the entry, events] of what each instruction counted,
    HALT included. `retirements` is filled only where a trace was asked for, in order of cycle and then engine.
    `outputs` are the program's output regions, int16. `turned`, int64[instructions of the array], counts bits of
    multipliers' stationary operands that are others than in the step before, where the fast simulator counts zeros; it
    is `UNCOUNTED` where it does not, and empty from the stepping simulator.
    """

    cycles: int
    counters: np.ndarray
    per_instruction: dict[Engine, np.ndarray]
    outputs: dict[str, np.ndarray]
    all_cycles: int
    retirements: list[Retirement] = field(default_factory=list)
    turned: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


def write_inputs(program: Program, image: Image, inputs: dict[str, np.ndarray]) -> None:
    """Set the program's input regions in `image`. Raises `InputError` or `ValueError` on a tensor that does not fit."""
    for name, values in inputs.items():
        if name not in program.inputs:
            raise InputError(f"input must be one of {', '.join(program.inputs) or 'none'}, not {name}")
        image.write(program.inputs[name], values, program.chip)


def read_outputs(program: Program, image: Image) -> dict[str, np.ndarray]:
    """The integers, int16, of the program's output regions in `image`."""
    return {name: image.read(region, program.chip) for name, region in program.outputs.items()}
