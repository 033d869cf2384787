"""Random legal instructions and programs, for every comparison of two executions.

What is drawn leans to corners: 1 x 1 maps, one iteration and the most, windows beyond the map, broken last blocks,
shifts of 0 and of nearly the accumulator's width, extremes, zeros and ties in the memories. `testbenches.corners` has
programs of one corner each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINE_OF, ENGINES, Compute, Destination, Engine, Halt, Instruction, Load, Loss, Space
from arch.legal import problems
from arch.limits import memory_words
from arch.modes import MODES
from arch.nest_rules import chain_problems
from arch.ordering import contested
from arch.pages import Page, spaces
from arch.program import Entry, Program, ProgramError, Step
from arch.timing import duration
from testbenches.images import random_image
from testbenches.nests import any_space, chained, exists, place, random_nest
from testbenches.transfers import TRANSFERS, random_transfer
from testbenches.walks import corner

LOADS = ("load_kernel", "load_transposed", "load_vector", "load_bias")
KINDS = (*MODES, *LOADS, "loss", *TRANSFERS)
"""Names of everything that `random_instruction` can draw, on chips that have what it needs (`existing`)."""
Draw = Callable[[Chip, np.random.Generator, str], Instruction]
"""Draws a legal instruction of a kind."""
_OFTEN = (*KINDS, *LOADS, *["loss"] * 3, *TRANSFERS * 3)  # the other engines have few kinds
_ATTEMPTS = 1000
_LONGEST = 1200
"""Cycles of a nest at most, so that programs are quick to run in every execution."""
_CHAIN_ATTEMPTS = 20


def random_instruction(chip: Chip, rng: np.random.Generator, kind: str | None = None, widest: int = 6) -> Instruction:
    """A legal instruction of `kind`, one of `KINDS` (any of them if None), without tokens.

    `widest`: rows and columns that a nest walks at most.
    """
    kind = kind or str(rng.choice(existing(KINDS, chip)))
    draw: Draw = partial(random_nest, widest=widest) if kind in MODES else _DRAWS.get(kind, _load)
    for _ in range(_ATTEMPTS):
        instruction = draw(chip, rng, kind)
        if not any(problems(instruction, chip)) and (kind not in MODES or duration(instruction, chip) <= _LONGEST):
            return instruction
    raise ValueError(f"no legal {kind} was found on chip {chip.name} in {_ATTEMPTS} attempts")


def random_chain(chip: Chip, rng: np.random.Generator, nest: Compute, length: int) -> list[Compute]:
    """Up to `length` legal nests like `nest` that hold their sums for the next, the last one to emit them."""
    for _ in range(_CHAIN_ATTEMPTS):
        chain = chained(nest, chip, rng, length)
        if not any(any(problems(item, chip)) for item in chain) and not any(chain_problems(chain, chip)):
            return chain
    return [nest]


def existing(kinds: Iterable[str], chip: Chip) -> list[str]:
    """Those of `kinds` that the chip has the accumulators or the external memory for."""
    here = {kind: exists(chip, kind) for kind in MODES} | dict.fromkeys(TRANSFERS, chip.external_memory is not None)
    return [kind for kind in kinds if here.get(kind, True)]


def random_program(
    chip: Chip,
    rng: np.random.Generator,
    length: int,
    *,
    kinds: Sequence[str] = _OFTEN,
    draw: Draw = random_instruction,
    image: Callable[[Chip, np.random.Generator], Image] = random_image,
    chains: float = 0.2,
) -> Program:
    """A legal program of `length` instructions of `kinds` and the HALTs, entry `main`, on an image.

    Of its nests, `chains` become chains of two or three, where that is possible. Half of the LOSS instructions begin
    with a label in range.
    Tokens order every two instructions of different engines that share a page; others run at once. Some tokens more
    than needed are sent. On a chip without an external memory there are no transfers.
    """
    for _ in range(_ATTEMPTS):
        order: list[Instruction] = []
        while len(order) < length:
            item = draw(chip, rng, str(rng.choice(existing(kinds, chip))))
            links = min(2 + int(rng.integers(2)), length - len(order)) if rng.random() < chains else 1
            order += random_chain(chip, rng, item, links) if isinstance(item, Compute) and links > 1 else [item]
        memories = image(chip, rng)
        for item in order:
            if isinstance(item, Loss) and rng.random() < 0.5:
                label = min(int(rng.integers(item.count)), chip.largest)
                (memories.gradient if item.space else memories.feature)[item.label, 0] = label
        streams = _ordered([*order, *(Halt() for _ in ENGINES)], chip, rng)
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


def _ordered(order: list[Instruction], chip: Chip, rng: np.random.Generator) -> dict[Engine, list[Instruction]]:
    """The engines' streams, with tokens so that what shares a page runs in `order`."""
    streams: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    pages: dict[Engine, list[frozenset[Page]]] = {engine: [] for engine in ENGINES}
    # for each engine, every other one's last instruction that surely retired before
    ended = {(engine, other): -1 for engine in ENGINES for other in ENGINES}
    for instruction in order:
        open_ = [engine for engine in ENGINES if not any(isinstance(item, Halt) for item in streams[engine])]
        engine = open_[rng.integers(len(open_))] if isinstance(instruction, Halt) else ENGINE_OF[instruction.opcode][0]
        used, wait, halts = spaces(instruction, chip), 0, isinstance(instruction, Halt)
        for other in ENGINES:
            if other == engine:
                continue
            last = _last(_users(pages, other, engine), contested(used, engine, other), halts, rng)
            if last > ended[engine, other]:
                ended[engine, other] = last
                sender = streams[other][last]
                streams[other][last] = replace(sender, signal=sender.signal | 1 << engine)
                wait |= 1 << other
        streams[engine].append(replace(instruction, wait=wait))
        pages[engine].append(used)
    return streams


def _users(pages: dict[Engine, list[frozenset[Page]]], engine: Engine, other: Engine) -> list[frozenset[Page]]:
    return [contested(used, engine, other) for used in pages[engine]]


def _last(earlier: list[frozenset[Page]], used: frozenset[Page], halts: bool, rng: np.random.Generator) -> int:
    """The last of an engine's instructions that must end first, or a later one by chance."""
    last = max((k for k, pages in enumerate(earlier) if pages & used), default=-1)
    more = 0.6 if halts else 0.2
    if rng.random() < more and last < len(earlier) - 1:
        return len(earlier) - 1 if rng.random() < more else int(rng.integers(max(last, 0), len(earlier)))
    return last


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
    count, space = corner(rng, 1, chip.multipliers if rng.random() < 0.6 else chip.lanes), any_space(rng)
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


_DRAWS: dict[str, Draw] = {"loss": _loss, **dict.fromkeys(TRANSFERS, random_transfer)}
