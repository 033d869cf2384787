"""Random COMPUTE instructions of every mode, with all that version 2 has: groups, inner steps, skips, reloads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.isa import (
    BYTE_BITS,
    Base,
    Compute,
    Emission,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Space,
    Stationary,
    Storage,
    Traversal,
)
from arch.legal import problems
from arch.modes import SKIPPING, mode_fields
from arch.nest_rules import most_iterations, walks
from arch.spans import mask_spans, pixel_spans, read_rows, source_spans, target_spans, written_rows
from arch.timing import writes_rows

_ATTEMPTS = 20000


def random_nest(chip: Chip, rng: np.random.Generator, mode: str, **fixed) -> Compute:
    """A legal COMPUTE of `mode` with the fields `fixed`."""
    for _ in range(_ATTEMPTS):
        compute = replace(_drawn(chip, rng, mode), **fixed)
        if not any(problems(compute, chip)) and _apart(compute, chip):
            return compute
    raise AssertionError(f"no {mode} with {fixed} was found on {chip.name}")


def _apart(compute: Compute, chip: Chip) -> bool:
    """Whether groups write rows of their own."""
    rows = [row for span in written_rows(compute, chip) for row in span]
    return len(rows) == len(set(rows))


def _corner(rng: np.random.Generator, low: int, high: int) -> int:
    return (low, high, int(rng.integers(low, high + 1)))[rng.integers(3)]


def _drawn(chip: Chip, rng: np.random.Generator, mode: str) -> Compute:
    blank = Compute(**mode_fields(mode))
    walk = rng.choice(np.array(walks(blank), object))
    compute = replace(blank, traversal=Traversal(walk), **_spaces(rng), **_numbers(chip, rng, blank))
    compute = replace(compute, iterations=_corner(rng, 1, min(most_iterations(compute, chip), 12)))
    if compute.traversal == Traversal.PIXELS:
        compute = replace(compute, **_inner_steps(chip, rng, compute))
    if compute.traversal != Traversal.BLOCK and compute.moving != Moving.UNIT and mode != "pixelwise_bias":
        compute = replace(compute, outer=_corner(rng, 1, 3), inner=_corner(rng, 1, 3))
    compute = replace(compute, **_extents(chip, rng, compute))
    if compute.stationary == Stationary.KERNEL or compute.moving == Moving.KERNEL:
        compute = replace(compute, reload=int(rng.integers(2)))
        compute = replace(compute, rotate=int(compute.reload and rng.integers(2)))
    if mode in SKIPPING and rng.random() < 0.5:
        compute = replace(compute, skip=1)
        if compute.reload or compute.stationary == Stationary.KERNEL or compute.moving == Moving.KERNEL:
            compute = replace(compute, outer=1, inner=1, mask=int(mode == "convolution"))
    if compute.emission in (Emission.POSITION, Emission.END) and rng.random() < 0.1:
        compute = replace(compute, hold=1)
    return replace(compute, **_places(chip, rng, compute))


def _spaces(rng: np.random.Generator) -> dict:
    return {f"{name}_space": Space(int(rng.integers(2))) for name in ("source", "pixel", "target", "mask")}


def _numbers(chip: Chip, rng: np.random.Generator, blank: Compute) -> dict:
    rows = writes_rows(blank)
    bases = [Base.NONE, Base.ROW] if rows else [Base.NONE, Base.BIAS]
    if blank.emission == Emission.STEP:
        bases = [Base.ROW]
    elif blank.emission == Emission.ROW or blank.reduction in (Reduction.MAXIMUM, Reduction.INDEX):
        bases = [Base.NONE]
    shift = int(rng.choice([0, 1, chip.word_bits - 4, int(rng.integers(chip.accumulator_bits))]))
    return {
        "base": bases[rng.integers(len(bases))],
        "base_shift": min(shift, int(rng.choice([0, shift, 3]))),
        "shift": shift,
        "rounding": Rounding(int(rng.integers(4))),
        "overflow": Overflow(int(rng.integers(2))),
        "target_storage": Storage(int(chip.word_bits > BYTE_BITS and rng.random() < 0.3)),
        "negate": int(rng.integers(2)),
        "relu": 0 if rows else int(rng.integers(2)),
        "mask": int(blank.emission == Emission.POSITION and rng.random() < 0.4),
    }


def _inner_steps(chip: Chip, rng: np.random.Generator, compute: Compute) -> dict:
    planes = int(compute.moving == Moving.ONE or rng.random() < 0.25)
    height, width = (1 if planes else _corner(rng, 1, 3)), _corner(rng, 1, 3)
    return {
        "planes": planes,
        "kernel_height": height,
        "kernel_width": width,
        "step": _corner(rng, 1, 4),
        "dilation": _corner(rng, 1, 3),
        "tap": int(rng.integers(2)),
        "tap_row": int(rng.choice([0, width])),
        "tap_column": int(rng.integers(2)),
        "tap_outer": int(rng.integers(2)),
    }


def _extents(chip: Chip, rng: np.random.Generator, compute: Compute) -> dict:
    side = chip.kernel
    pads = [int(rng.choice([0, 1, side - 1])) for _ in range(2)]
    source = [_corner(rng, 1, side + 4) for _ in range(2)]
    height, width = _corner(rng, 1, 7), _corner(rng, 1, 9)
    if compute.moving == Moving.WINDOW:
        height, width = (min(a, b + c) for a, b, c in zip((height, width), source, pads, strict=True))
    if compute.moving == Moving.KERNEL:
        width = _corner(rng, side, max(side, min(9, (chip.accumulator_banks - 1) * side + 1)))
    if compute.traversal == Traversal.BLOCK:
        width = _corner(rng, 1, 2 * chip.taps + 3)
        height = _corner(rng, 1, 3)
    names = ("pad_top", "pad_left", "source_height", "source_width", "height", "width")
    return dict(zip(names, (*pads, *source, height, width), strict=True))


def _places(chip: Chip, rng: np.random.Generator, compute: Compute) -> dict:
    """Pitches and places of maps and rows."""
    side = chip.kernel
    pitch = -(-max(compute.source_width - 1, 0) // side) * side + 1
    if compute.traversal == Traversal.BLOCK:
        pitch = compute.width + int(rng.integers(3))
    step = 1 if compute.emission == Emission.END else _corner(rng, 1, 3)
    further = {
        "source_pitch": pitch,
        "source_group": int(rng.choice([0, 5, compute.source_height * pitch])),
        "source_plane": int(rng.choice([0, 7, compute.source_height * pitch])),
        "pixel_pitch": pitch if compute.stationary == Stationary.MATCH else compute.width + int(rng.integers(3)),
        "pixel_plane": int(rng.choice([0, 3, compute.height * compute.width])),
        "target_step": step,
        "target_pitch": compute.width * step + int(rng.integers(3)),
        "target_outer": int(rng.choice([4, compute.height * (compute.width * step + 2)])),
        "mask_pitch": compute.width * step + int(rng.integers(3)),
        "bias_word": int(compute.base == Base.BIAS and rng.integers(3)),
        "mask_outer": int(rng.choice([0, 5])),
        "row_inner": compute.iterations + int(rng.integers(2)),
        "row_outer": (compute.iterations + 1) * compute.inner + int(rng.integers(2)),
    }
    placed = replace(compute, **further)
    firsts = {}
    for name, spans, space in (
        ("source", source_spans(placed), placed.source_space),
        ("pixel", pixel_spans(placed), placed.pixel_space),
        ("target", target_spans(placed, chip), placed.target_space),
        ("mask_source", mask_spans(placed), placed.mask_space),
    ):
        words = chip.gradient_words if space else chip.feature_words
        firsts[name] = _first(rng, words, max((span.stop for span in spans), default=0))
    rows = max((span.stop for span in [*read_rows(placed, chip), *written_rows(placed, chip)]), default=0)
    firsts["row"] = firsts["target_row"] = _first(rng, chip.weight_rows, rows)
    if placed.emission == Emission.ROW and rng.random() < 0.5:
        firsts |= _summed_rows(rng, compute, firsts["row"], further["row_inner"])
    return further | firsts


def _summed_rows(rng: np.random.Generator, compute: Compute, row: int, pitch: int) -> dict:
    """The last iteration's rows are those written, and the base; half the time iterations go downwards."""
    last = row + (compute.iterations - 1) * pitch
    if rng.random() < 0.5:
        return {"base": Base.ROW, "target_row": last}
    return {"base": Base.ROW, "row": last, "target_row": row, "row_inner": -pitch % 2**16}


def _first(rng: np.random.Generator, limit: int, used: int) -> int:
    return _corner(rng, 0, limit - used) if used <= limit else 0
