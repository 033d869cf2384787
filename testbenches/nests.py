"""Random nests: COMPUTE instructions of every mode, leaning to corners."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.isa import MODES, Base, Compute, Emission, Moving, Overflow, Reduction, Rounding, Space, Stationary, Traversal
from arch.layout import map_pitch
from arch.legal import memory_words, most_iterations


def corner(rng: np.random.Generator, low: int, high: int) -> int:
    """A number from low to high; either end as often as all between."""
    return (low, high, int(rng.integers(low, high + 1)))[rng.integers(3)]


def place(rng: np.random.Generator, limit: int, used: int) -> int:
    """Where `used` words or rows of `limit` begin; 0 if they do not fit, which is not legal."""
    return corner(rng, 0, limit - used) if used <= limit else 0


def any_space(rng: np.random.Generator) -> Space:
    """The feature or the gradient memory."""
    return Space(int(rng.integers(2)))


def random_nest(chip: Chip, rng: np.random.Generator, kind: str, widest: int = 6) -> Compute:
    """A nest of mode `kind` with walks of at most `widest` rows and columns; it may be illegal."""
    mode = MODES[kind]
    rows = mode.reduction == Reduction.NONE and mode.emission != Emission.POSITION
    bias = mode.reduction != Reduction.NONE and rng.random() < 0.5
    compute = Compute(
        **mode._asdict(),
        negate=int(rng.integers(2)),
        base=Base.ROW if rows else Base.BIAS if bias else Base.NONE,
        base_shift=_shift(chip, rng, chip.accumulator_bits - chip.word_bits - 1),
        shift=_shift(chip, rng, chip.accumulator_bits - 2),
        rounding=Rounding(int(rng.integers(len(Rounding)))),
        overflow=Overflow(int(rng.integers(len(Overflow)))),
        relu=0 if rows else int(rng.integers(2)),
        **_spaces(rng, mode.emission == Emission.POSITION and rng.random() < 0.4),
    )
    if rows and rng.random() < 0.4:  # as updates are: the old weight at the sum's own scale
        compute = replace(compute, base_shift=min(compute.shift, compute.base_shift))
        compute = replace(compute, shift=compute.base_shift)
    compute = replace(compute, iterations=corner(rng, 1, most_iterations(compute, chip)))
    walks = mode.moving in (Moving.WINDOW, Moving.UNIT)
    return _placed(_windowed(compute, chip, rng, widest) if walks else _blocked(compute, chip, rng), chip, rng)


def _shift(chip: Chip, rng: np.random.Generator, largest: int) -> int:
    """A shift; `largest` is about the largest that is legal, which the sum's size lowers by a few."""
    shifts = 0, 1, chip.word_bits - 4, largest - int(rng.integers(4)), int(rng.integers(chip.accumulator_bits))
    return shifts[rng.integers(len(shifts))]


def _spaces(rng: np.random.Generator, mask: bool) -> dict:
    """Memories that a nest may use at once: mask and pixels beside the source, the mask beside the target."""
    source = any_space(rng)
    target = source if mask else any_space(rng)
    return {
        "mask": int(mask),
        "source_space": source,
        "pixel_space": Space(1 - source),
        "target_space": target,
        "mask_space": Space(1 - target),
    }


def _windowed(compute: Compute, chip: Chip, rng: np.random.Generator, widest: int) -> Compute:
    side = chip.kernel
    pads = [corner(rng, 0, side - 1) for _ in range(2)]
    source = [corner(rng, 1, max(side + 3, widest)) for _ in range(2)]
    height, width = (corner(rng, 1, min(extent + pad, widest)) for extent, pad in zip(source, pads, strict=True))
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
    words = corner(rng, 1, most * chip.taps)
    width = corner(rng, 1, words)
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
        places[name] = place(rng, memory_words(chip, space), used)
        places[f"{name.removesuffix('_source')}_pitch"] = pitch
    window = compute.moving == Moving.WINDOW
    height, width = (compute.source_height, compute.source_width) if window else (compute.height, compute.width)
    used = (height - 1) * compute.source_pitch + width
    places["source"] = place(rng, memory_words(chip, compute.source_space), used)
    blocks = -(-compute.height * compute.width // chip.taps)
    rows = compute.iterations * (1 if compute.emission == Emission.END and not compute.reduction else blocks)
    places["row"] = place(rng, chip.weight_rows, rows)
    return replace(compute, **places)
