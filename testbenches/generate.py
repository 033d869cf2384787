"""Random legal instructions and programs, for every comparison of two executions.

What is drawn leans to corners: 1 x 1 maps, one iteration and the most, windows beyond the map, broken last blocks,
shifts of 0 and of nearly the accumulator's width, extremes, zeros and ties in the memories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import (
    ENGINE_OF,
    ENGINES,
    MODES,
    Base,
    Compute,
    Destination,
    Emission,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Space,
    Stationary,
    Traversal,
)
from arch.layout import map_pitch
from arch.legal import memory_words, most_iterations, problems, spaces
from arch.program import Entry, Program, ProgramError, Step

LOADS = ("load_kernel", "load_transposed", "load_vector", "load_bias")
KINDS = (*MODES, *LOADS, "loss")
"""Names of everything that `random_instruction` can draw."""
_ATTEMPTS = 1000


def random_instruction(chip: Chip, rng: np.random.Generator, kind: str | None = None) -> Instruction:
    """A legal instruction of `kind`, one of `KINDS` (any of them if None), without tokens."""
    kind = kind or str(rng.choice(KINDS))
    draw: Callable[[Chip, np.random.Generator, str], Instruction]
    draw = _compute if kind in MODES else _loss if kind == "loss" else _load
    for _ in range(_ATTEMPTS):
        instruction = draw(chip, rng, kind)
        if not any(problems(instruction, chip)):
            return instruction
    raise ValueError(f"no legal {kind} was found on chip {chip.name} in {_ATTEMPTS} attempts")


def random_image(chip: Chip, rng: np.random.Generator) -> Image:
    """Memories of zeros, extremes, small numbers, halves of powers of two and anything, in runs of a word or more."""
    image = Image.blank(chip, seed=int(rng.integers(1 << 63)))
    for name in ("feature", "gradient", "weight"):
        array = getattr(image, name)
        flat = array.reshape(-1, chip.lanes)
        style = np.repeat(rng.integers(6, size=len(flat) // 4 + 1), 4)[: len(flat), None]
        shape = flat.shape
        flat[:] = np.choose(
            style,
            [
                np.zeros(shape, np.int64),
                rng.choice([-chip.largest - 1, chip.largest], shape),
                rng.integers(-2, 2 * chip.lanes, shape),
                rng.choice([-1, 1], shape) << rng.integers(chip.word_bits - 1, size=shape),
                rng.integers(-chip.largest - 1, chip.largest + 1, shape),
                rng.integers(-chip.largest - 1, chip.largest + 1, shape) * rng.integers(2, size=shape),
            ],
        )
    return image


def random_program(chip: Chip, rng: np.random.Generator, length: int) -> Program:
    """A legal program of `length` instructions and the HALTs, entry `main`, on a random image.

    Tokens order every two instructions of different engines that share a memory; others run at once. Some tokens more
    than needed are sent.
    """
    for _ in range(_ATTEMPTS):
        kinds = rng.choice([*KINDS, *["loss"] * 3], length)
        order = [random_instruction(chip, rng, str(kind)) for kind in kinds]
        streams = _ordered([*order, *(Halt() for _ in ENGINES)], rng)
        program = Program(
            chip=chip,
            streams=streams,
            steps={engine: [Step(layer="random", phase="forward")] * len(streams[engine]) for engine in ENGINES},
            entries={"main": Entry(start={engine.name.lower(): 0 for engine in ENGINES})},
            image=random_image(chip, rng),
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
        halts = [engine for engine in ENGINES if not any(isinstance(item, Halt) for item in streams[engine])]
        engine = halts[0] if isinstance(instruction, Halt) else ENGINE_OF[instruction.opcode][0]
        (other,) = (item for item in ENGINES if item != engine)
        earlier = streams[other]
        shared = [k for k, item in enumerate(earlier) if spaces(item) & spaces(instruction)]
        last = max(shared, default=-1) if rng.random() < 0.8 else len(earlier) - 1
        if last > ended[engine]:
            ended[engine] = last
            earlier[last] = replace(earlier[last], signal=earlier[last].signal | 1 << engine)
            instruction = replace(instruction, wait=1 << other)
        streams[engine].append(instruction)
    return streams


def _corner(rng: np.random.Generator, low: int, high: int) -> int:
    """A number from low to high; either end as often as all between."""
    return (low, high, int(rng.integers(low, high + 1)))[rng.integers(3)]


def _place(rng: np.random.Generator, limit: int, used: int) -> int:
    """Where `used` words or rows of `limit` begin; 0 if they do not fit, which is not legal."""
    return _corner(rng, 0, limit - used) if used <= limit else 0


def _space(rng: np.random.Generator) -> Space:
    return Space(int(rng.integers(2)))


def _load(chip: Chip, rng: np.random.Generator, kind: str) -> Load:
    if kind == "load_vector":
        count, space = _corner(rng, 1, chip.taps), _space(rng)
        source = _place(rng, memory_words(chip, space), count)
        return Load(destination=Destination.VECTOR, count=count, space=space, source=source)
    if kind == "load_bias":
        return Load(destination=Destination.BIAS, row=_place(rng, chip.weight_rows, 1))
    transpose = kind == "load_transposed"
    count = _corner(rng, 1, min(chip.kernel_registers, chip.lanes) if transpose else chip.kernel_registers)
    return Load(
        destination=Destination.KERNEL,
        count=count,
        row=_place(rng, chip.weight_rows, count),
        transpose=int(transpose),
        rotate=int(rng.integers(2)),
    )


def _loss(chip: Chip, rng: np.random.Generator, _kind: str) -> Loss:
    count, space = _corner(rng, 1, chip.multipliers), _space(rng)
    words = -(-count // chip.lanes)
    return Loss(
        count=count,
        space=space,
        source=_place(rng, memory_words(chip, space), words),
        label=_place(rng, memory_words(chip, space), 1),
        target=_place(rng, memory_words(chip, Space(1 - space)), words),
        source_fraction=_corner(rng, 0, 15),
        target_fraction=_corner(rng, 0, 15),
    )


def _compute(chip: Chip, rng: np.random.Generator, kind: str) -> Compute:
    mode = MODES[kind]
    rows = mode.reduction == Reduction.NONE and mode.emission != Emission.POSITION
    bias = mode.reduction != Reduction.NONE and rng.random() < 0.5
    compute = Compute(
        **mode._asdict(),
        negate=int(rng.integers(2)),
        base=Base.ROW if rows else Base.BIAS if bias else Base.NONE,
        base_shift=_shift(chip, rng),
        shift=_shift(chip, rng),
        rounding=Rounding(int(rng.integers(len(Rounding)))),
        overflow=Overflow(int(rng.integers(len(Overflow)))),
        relu=0 if rows else int(rng.integers(2)),
        **_spaces(rng, mode.emission == Emission.POSITION and rng.random() < 0.4),
    )
    compute = replace(compute, iterations=_corner(rng, 1, most_iterations(compute, chip)))
    walks = mode.moving in (Moving.WINDOW, Moving.UNIT)
    return _placed(_windowed(compute, chip, rng) if walks else _blocked(compute, chip, rng), chip, rng)


def _shift(chip: Chip, rng: np.random.Generator) -> int:
    shifts = 0, 1, chip.word_bits - 4, chip.accumulator_bits - 2, int(rng.integers(chip.accumulator_bits))
    return shifts[rng.integers(len(shifts))]


def _spaces(rng: np.random.Generator, mask: bool) -> dict:
    """Memories that a nest may use at once: mask and pixels beside the source, the mask beside the target."""
    source = _space(rng)
    target = source if mask else _space(rng)
    return {
        "mask": int(mask),
        "source_space": source,
        "pixel_space": Space(1 - source),
        "target_space": target,
        "mask_space": Space(1 - target),
    }


def _windowed(compute: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    side = chip.kernel
    pads = [_corner(rng, 0, side - 1) for _ in range(2)]
    source = [_corner(rng, 1, side + 3) for _ in range(2)]
    height, width = (_corner(rng, 1, min(extent + pad, 6)) for extent, pad in zip(source, pads, strict=True))
    return replace(
        compute,
        traversal=Traversal(int(rng.choice([Traversal.SNAKE, Traversal.RASTER]))),
        pad_top=pads[0],
        pad_left=pads[1],
        source_height=source[0],
        source_width=source[1],
        source_pitch=map_pitch(source[1], chip) + side * int(rng.integers(2)),
        height=height,
        width=width,
    )


def _blocked(compute: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    most = 2 if compute.stationary == Stationary.STREAM or compute.iterations > 1 else 4
    words = _corner(rng, 1, most * chip.taps)
    width = _corner(rng, 1, words)
    height = -(-words // width)
    return replace(
        compute, traversal=Traversal.BLOCK, height=height, width=width, source_pitch=width + int(rng.integers(3))
    )


def _placed(compute: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    """The nest with places of its maps and rows; what does not fit is left to be refused."""
    places: dict[str, int] = {}
    for name, space in (
        ("pixel", compute.pixel_space),
        ("target", compute.target_space),
        ("mask_source", compute.mask_space),
    ):
        pitch = compute.width + int(rng.integers(3))
        used = (compute.height - 1) * pitch + compute.width
        if name == "target" and compute.emission == Emission.END:
            used = -(-compute.iterations // chip.lanes)
        places[name] = _place(rng, memory_words(chip, space), used)
        places[f"{name.removesuffix('_source')}_pitch"] = pitch
    window = compute.moving == Moving.WINDOW
    height, width = (compute.source_height, compute.source_width) if window else (compute.height, compute.width)
    used = (height - 1) * compute.source_pitch + width
    places["source"] = _place(rng, memory_words(chip, compute.source_space), used)
    blocks = -(-compute.height * compute.width // chip.taps)
    rows = compute.iterations * (1 if compute.emission == Emission.END and not compute.reduction else blocks)
    places["row"] = _place(rng, chip.weight_rows, rows)
    return replace(compute, **places)
