"""Random legal instructions and programs, for every comparison of two executions.

What is drawn leans to corners: 1 x 1 maps, one iteration and the most, windows beyond the map, broken last blocks,
shifts of 0 and of nearly the accumulator's width, extremes, zeros and ties in the memories. `testbenches.corners` has
programs of one corner each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINE_OF, ENGINES, MODES, Destination, Engine, Halt, Instruction, Load, Loss, Space
from arch.legal import memory_words, problems, spaces
from arch.program import Entry, Program, ProgramError, Step
from testbenches.images import random_image
from testbenches.nests import any_space, corner, place, random_nest

LOADS = ("load_kernel", "load_transposed", "load_vector", "load_bias")
KINDS = (*MODES, *LOADS, "loss")
"""Names of everything that `random_instruction` can draw."""
Draw = Callable[[Chip, np.random.Generator, str], Instruction]
"""Draws a legal instruction of a kind."""
_OFTEN = (*KINDS, *["loss"] * 3)  # the vector engine has one kind alone
_ATTEMPTS = 1000


def random_instruction(chip: Chip, rng: np.random.Generator, kind: str | None = None, widest: int = 6) -> Instruction:
    """A legal instruction of `kind`, one of `KINDS` (any of them if None), without tokens.

    `widest`: rows and columns that a nest walks at most.
    """
    kind = kind or str(rng.choice(KINDS))
    draw: Draw = partial(random_nest, widest=widest) if kind in MODES else _loss if kind == "loss" else _load
    for _ in range(_ATTEMPTS):
        instruction = draw(chip, rng, kind)
        if not any(problems(instruction, chip)):
            return instruction
    raise ValueError(f"no legal {kind} was found on chip {chip.name} in {_ATTEMPTS} attempts")


def random_program(
    chip: Chip,
    rng: np.random.Generator,
    length: int,
    *,
    kinds: Sequence[str] = _OFTEN,
    draw: Draw = random_instruction,
    image: Callable[[Chip, np.random.Generator], Image] = random_image,
) -> Program:
    """A legal program of `length` instructions of `kinds` and the HALTs, entry `main`, on an image.

    Half of the LOSS instructions begin with a label in range.
    Tokens order every two instructions of different engines that share a memory; others run at once. Some tokens more
    than needed are sent.
    """
    for _ in range(_ATTEMPTS):
        order = [draw(chip, rng, str(kind)) for kind in rng.choice(kinds, length)]
        memories = image(chip, rng)
        for item in order:
            if isinstance(item, Loss) and rng.random() < 0.5:
                label = min(int(rng.integers(item.count)), chip.largest)
                (memories.gradient if item.space else memories.feature)[item.label, 0] = label
        streams = _ordered([*order, *(Halt() for _ in ENGINES)], rng)
        program = Program(
            chip=chip,
            streams=streams,
            steps={engine: [Step(layer="random", phase="forward")] * len(streams[engine]) for engine in ENGINES},
            entries={"main": Entry(start={engine.name.lower(): 0 for engine in ENGINES})},
            image=memories,
        )
        try:
            program.check()
        except ProgramError:  # too many tokens may wait, or too many instructions for the memory
            continue
        return program
    raise ValueError(f"no legal program of {length} instructions was found on chip {chip.name}")


def _ordered(order: list[Instruction], rng: np.random.Generator) -> dict[Engine, list[Instruction]]:
    """The engines' streams, with tokens so that what shares a memory runs in `order`."""
    streams: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    # for each engine, the other's last instruction that surely retired before
    ended: dict[Engine, int] = dict.fromkeys(ENGINES, -1)
    for instruction in order:
        open_ = [engine for engine in ENGINES if not any(isinstance(item, Halt) for item in streams[engine])]
        engine = open_[rng.integers(len(open_))] if isinstance(instruction, Halt) else ENGINE_OF[instruction.opcode][0]
        (other,) = (item for item in ENGINES if item != engine)
        earlier = streams[other]
        shared = [k for k, item in enumerate(earlier) if spaces(item) & spaces(instruction)]
        last = max(shared, default=-1)
        more = 0.6 if isinstance(instruction, Halt) else 0.3
        if rng.random() < more and last < len(earlier) - 1:
            last = len(earlier) - 1 if rng.random() < more else int(rng.integers(max(last, 0), len(earlier)))
        if last > ended[engine]:
            ended[engine] = last
            earlier[last] = replace(earlier[last], signal=earlier[last].signal | 1 << engine)
            instruction = replace(instruction, wait=1 << other)
        streams[engine].append(instruction)
    return streams


def _load(chip: Chip, rng: np.random.Generator, kind: str) -> Load:
    if kind == "load_vector":
        count, space = corner(rng, 1, chip.taps), any_space(rng)
        source = place(rng, memory_words(chip, space), count)
        return Load(destination=Destination.VECTOR, count=count, space=space, source=source)
    if kind == "load_bias":
        return Load(destination=Destination.BIAS, row=place(rng, chip.weight_rows, 1))
    transpose = kind == "load_transposed"
    count = corner(rng, 1, min(chip.kernel_registers, chip.lanes) if transpose else chip.kernel_registers)
    return Load(
        destination=Destination.KERNEL,
        count=count,
        row=place(rng, chip.weight_rows, count),
        transpose=int(transpose),
        rotate=int(rng.integers(2)),
    )


def _loss(chip: Chip, rng: np.random.Generator, _kind: str) -> Loss:
    count, space = corner(rng, 1, chip.multipliers), any_space(rng)
    words = -(-count // chip.lanes)
    return Loss(
        count=count,
        space=space,
        source=place(rng, memory_words(chip, space), words),
        label=place(rng, memory_words(chip, space), 1),
        target=place(rng, memory_words(chip, Space(1 - space)), words),
        source_fraction=corner(rng, 0, 15),
        target_fraction=corner(rng, 0, 15),
    )
