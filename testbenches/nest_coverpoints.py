"""Coverpoints of a COMPUTE."""

from __future__ import annotations

from dataclasses import replace

from arch.chip import Chip
from arch.isa import MODES, Base, Compute, Emission, Moving, Overflow, Rounding, Space, Stationary, Traversal, mode_of
from arch.legal import map_span, memory_words, most_iterations, problems, target_span, weight_rows_used
from arch.timing import uses_rows, writes_rows
from testbenches.coverpoints import (
    COUNT,
    EXTENT,
    SIZE,
    Coverpoint,
    Sample,
    count_class,
    event_class,
    extent,
    flag,
    member,
)
from testbenches.stalls import STALLS, stalls

MODE_FIELDS = ("moving", "moving_route", "stationary", "stationary_route", "reduction", "emission")
WALKS = ("1x1", "one row", "one column", "even rows", "odd rows")
BLOCKS = ("one word", "partial block", "one block", "several, last partial", "several")


def _shape(sample: Sample) -> str:
    nest, taps = sample.compute, sample.chip.taps
    words = nest.height * nest.width
    if nest.traversal == Traversal.BLOCK:
        if words <= taps:
            return "one word" if words == 1 else "one block" if words == taps else "partial block"
        return "several, last partial" if words % taps else "several"
    if nest.height == 1 or nest.width == 1:
        return "1x1" if words == 1 else "one row" if nest.height == 1 else "one column"
    return "odd rows" if nest.height % 2 else "even rows"


def size_class(sample: Sample, name: str) -> str:
    """Whether a shift is zero, the largest that is legal with all else as it is, or between."""
    value = getattr(sample.compute, name)
    if value == 0:
        return "zero"
    more = replace(sample.compute, **{name: value + 1})
    return "largest" if any(problems(more, sample.chip)) else "middle"


def has_source(nest: Compute) -> bool:
    """Whether the moving operand lies in a map."""
    return nest.moving in (Moving.WINDOW, Moving.BLOCK)


def _source_space(sample: Sample) -> str:
    return sample.compute.source_space.name if has_source(sample.compute) else "none"


def _target_space(sample: Sample) -> str:
    return "weights" if writes_rows(sample.compute) else sample.compute.target_space.name


def _stall(sample: Sample) -> str:
    return " and ".join(name for name in STALLS if name in stalls(sample.compute, sample.chip)) or "none"


def _padding(sample: Sample) -> str | None:
    nest, side = sample.compute, sample.chip.kernel
    if nest.moving != Moving.WINDOW:
        return None
    before = nest.pad_top or nest.pad_left
    beyond = (
        nest.height - nest.pad_top + side - 1 > nest.source_height
        or nest.width - nest.pad_left + side - 1 > nest.source_width
    )
    return ("both" if beyond else "before") if before else "beyond" if beyond else "none"


def _pad(name: str) -> Coverpoint:
    def of(sample: Sample) -> str | None:
        if sample.compute.moving != Moving.WINDOW:
            return None
        value = getattr(sample.compute, name)
        return "zero" if value == 0 else "largest" if value == sample.chip.kernel - 1 else "middle"

    return Coverpoint(name, SIZE, of, (name,))


def _window_extent(name: str) -> Coverpoint:
    def of(sample: Sample) -> str | None:
        if sample.compute.moving != Moving.WINDOW:
            return None
        value, side = getattr(sample.compute, name), sample.chip.kernel
        return "one" if value == 1 else "below the window's" if value < side else "the window's or more"

    return Coverpoint(name, ("one", "below the window's", "the window's or more"), of, (name,))


def _used(nest: Compute, name: str) -> bool:
    """Whether the nest has the map that an address field names."""
    return {
        "source": has_source(nest),
        "pixel": nest.stationary == Stationary.PIXEL,
        "target": not writes_rows(nest),
        "mask": bool(nest.mask),
    }[name]


def map_words_of(nest: Compute, name: str, chip: Chip) -> int:
    """Words from the first to the last of one of the nest's maps."""
    if name == "target":
        span = target_span(nest, chip)
        assert span is not None
        return len(span)
    window = name == "source" and nest.moving == Moving.WINDOW
    height, width = (nest.source_height, nest.source_width) if window else (nest.height, nest.width)
    return len(map_span(0, height, width, getattr(nest, f"{name}_pitch")))


def place(name: str) -> Coverpoint:
    """Where one of a nest's maps lies in its memory."""
    field = "mask_source" if name == "mask" else name

    def of(sample: Sample) -> str | None:
        nest, chip = sample.compute, sample.chip
        if not _used(nest, name):
            return None
        return extent(
            getattr(nest, field), map_words_of(nest, name, chip), memory_words(chip, getattr(nest, f"{name}_space"))
        )

    return Coverpoint(field, EXTENT, of, (field,))


def space(name: str) -> Coverpoint:
    """The memory of one of a nest's maps, where it has that map."""
    field = f"{name}_space"

    def of(sample: Sample) -> str | None:
        return getattr(sample.compute, field).name if _used(sample.compute, name) else None

    return Coverpoint(field, tuple(item.name for item in Space), of, (field,))


def pitch(name: str) -> Coverpoint:
    """Whether words lie between the rows of one of a nest's maps; only where there are two rows."""
    field = f"{name}_pitch"

    def of(sample: Sample) -> str | None:
        nest = sample.compute
        window = name == "source" and nest.moving == Moving.WINDOW
        height, width = (nest.source_height, nest.source_width) if window else (nest.height, nest.width)
        if not _used(nest, name) or height == 1 or (name == "target" and nest.emission == Emission.END):
            return None
        return "gaps" if getattr(nest, field) > width else "no gaps"

    return Coverpoint(field, ("no gaps", "gaps"), of, (field,))


def _row(sample: Sample) -> str | None:
    nest, chip = sample.compute, sample.chip
    if not (uses_rows(nest) or writes_rows(nest)):
        return None
    return extent(nest.row, weight_rows_used(nest, chip), chip.weight_rows)


def _base_shift(sample: Sample) -> str | None:
    return None if sample.compute.base == Base.NONE else size_class(sample, "base_shift")


MODE = Coverpoint("mode", tuple(MODES), lambda s: mode_of(s.compute), MODE_FIELDS)
TRAVERSAL = member("traversal", Traversal)
SHAPE = Coverpoint("shape", (*WALKS, *BLOCKS), _shape, ("height", "width"))
ITERATIONS = Coverpoint(
    "iterations",
    COUNT,
    lambda s: count_class(s.compute.iterations, most_iterations(s.compute, s.chip)),
    ("iterations",),
)
ROUNDING = member("rounding", Rounding)
OVERFLOW = member("overflow", Overflow)
EVENT = Coverpoint("event", ("none", "saturation", "lost update", "both"), event_class)
MASK, RELU, NEGATE = flag("mask"), flag("relu"), flag("negate")
BASE = member("base", Base)
SHIFT = Coverpoint("shift", SIZE, lambda s: size_class(s, "shift"), ("shift",))
BASE_SHIFT = Coverpoint("base_shift", SIZE, _base_shift, ("base_shift",))
SOURCE_SPACE = Coverpoint("source memory", ("none", "FEATURE", "GRADIENT"), _source_space, ("source_space",))
TARGET_SPACE = Coverpoint("target memory", ("weights", "FEATURE", "GRADIENT"), _target_space, ("target_space",))
STALL = Coverpoint("stall", ("none", *STALLS, "loader and row", "loader and drain", "row and drain"), _stall)
PADDING = Coverpoint("padding", ("none", "before", "beyond", "both"), _padding)
PAD_TOP, PAD_LEFT = _pad("pad_top"), _pad("pad_left")
SOURCE_HEIGHT, SOURCE_WIDTH = _window_extent("source_height"), _window_extent("source_width")
ROW = Coverpoint("row", EXTENT, _row, ("row",))
