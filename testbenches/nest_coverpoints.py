"""Coverpoints of a COMPUTE: its mode, walk, numbers, and where its maps and rows lie."""

from __future__ import annotations

from dataclasses import replace

from arch.isa import Base, Compute, Emission, Moving, Overflow, Rounding, Space, Stationary, Storage, Traversal
from arch.legal import problems
from arch.limits import memory_words
from arch.modes import MODES, mode_of
from arch.nest_rules import most_iterations
from arch.spans import (
    emitted_extents,
    mask_spans,
    pixel_spans,
    read_rows,
    source_spans,
    target_spans,
    written_rows,
)
from arch.timing import STALLS, measured, writes_rows
from arch.traversal import line_columns
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

MODE_FIELDS = ("moving", "moving_route", "stationary", "stationary_route", "reduction", "emission")
WALKS = ("1x1", "one row", "one column", "even rows", "odd rows")
BLOCKS = ("one word", "partial block", "one block", "several, last partial", "several")


def _shape(sample: Sample) -> str:
    nest, taps = sample.compute, sample.chip.taps
    words = nest.height * nest.width
    if nest.traversal in (Traversal.BLOCK, Traversal.PIXELS):
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


def _stall(sample: Sample) -> str | None:
    if sample.compute.skip:  # it depends on the values
        return None
    return " and ".join(name for name in STALLS if name in measured(sample.compute, sample.chip)[1]) or "none"


def _line(sample: Sample) -> str | None:
    """How much of a line of the line buffer is used."""
    if not sample.chip.line_words or sample.compute.moving != Moving.WINDOW:
        return None
    return "whole" if line_columns(sample.compute, sample.chip) == sample.chip.line_words else "part"


def _padding(sample: Sample) -> str | None:
    nest = sample.compute
    if nest.traversal == Traversal.PIXELS and nest.moving == Moving.BLOCK:
        taps = (1, 1) if nest.planes else (nest.kernel_height, nest.kernel_width)
        reached = [
            (extent - 1) * nest.step + (count - 1) * nest.dilation + 1
            for extent, count in zip((nest.height, nest.width), taps, strict=True)
        ]
    elif nest.moving == Moving.WINDOW:
        reached = [nest.height + sample.chip.kernel - 1, nest.width + sample.chip.kernel - 1]
    else:
        return None
    before = nest.pad_top or nest.pad_left
    beyond = reached[0] - nest.pad_top > nest.source_height or reached[1] - nest.pad_left > nest.source_width
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


def spans_of(sample: Sample, name: str) -> list[range]:
    """The words of one of the nest's maps; none if it has no such map."""
    nest = sample.compute
    if name == "target":
        return target_spans(nest, sample.chip)
    return {"source": source_spans, "pixel": pixel_spans, "mask": mask_spans}[name](nest)


def place(name: str) -> Coverpoint:
    """Where one of a nest's maps lies in its memory."""
    field = "mask_source" if name == "mask" else name

    def of(sample: Sample) -> str | None:
        spans = spans_of(sample, name)
        space = getattr(sample.compute, f"{name}_space")
        return _extent(spans, memory_words(sample.chip, space)) if spans else None

    return Coverpoint(field, EXTENT, of, (field,))


def _extent(spans: list[range], limit: int) -> str:
    first = min(span.start for span in spans)
    return extent(first, max(span.stop for span in spans) - first, limit)


def space(name: str) -> Coverpoint:
    """The memory of one of a nest's maps, where it has that map."""
    field = f"{name}_space"

    def of(sample: Sample) -> str | None:
        return getattr(sample.compute, field).name if spans_of(sample, name) else None

    return Coverpoint(field, tuple(item.name for item in Space), of, (field,))


def pitch(name: str) -> Coverpoint:
    """Whether words lie between the rows of one of a nest's maps; only where there are two rows."""
    field = f"{name}_pitch"

    def of(sample: Sample) -> str | None:
        nest = sample.compute
        height, width = _rows(nest, name)
        emitted_at_end = name == "target" and nest.emission == Emission.END
        if not spans_of(sample, name) or height == 1 or emitted_at_end:
            return None
        return "gaps" if getattr(nest, field) > width else "no gaps"

    return Coverpoint(field, ("no gaps", "gaps"), of, (field,))


def _rows(nest: Compute, name: str) -> tuple[int, int]:
    """Rows of one of the nest's maps, and words from the first to the last of a row."""
    if name in ("target", "mask"):
        height, width = emitted_extents(nest)
        return height, (width - 1) * nest.target_step + 1
    walked = nest.traversal == Traversal.BLOCK or (name == "pixel" and nest.stationary != Stationary.MATCH)
    return (nest.height, nest.width) if walked else (nest.source_height, nest.source_width)


def _row(sample: Sample) -> str | None:
    rows = [*read_rows(sample.compute, sample.chip), *written_rows(sample.compute, sample.chip)]
    if sample.compute.emission == Emission.ROW:
        rows = read_rows(sample.compute, sample.chip)
    return _extent(rows, sample.chip.weight_rows) if rows else None


def _target_row(sample: Sample) -> str | None:
    nest, chip = sample.compute, sample.chip
    if nest.emission != Emission.ROW:
        return None
    written = written_rows(nest, chip)
    return "in place" if written[0] in read_rows(nest, chip) else _extent(written, chip.weight_rows)


def _base_shift(sample: Sample) -> str | None:
    return None if sample.compute.base == Base.NONE else size_class(sample, "base_shift")


def _bias_word(sample: Sample) -> str | None:
    nest = sample.compute
    if nest.base != Base.BIAS or nest.emission != Emission.POSITION:
        return None
    return extent(nest.bias_word, nest.outer, sample.chip.taps)


def _zeros(sample: Sample) -> str | None:
    if sample.zeros is None or sample.steps is None:
        return None
    products = sample.steps * sample.chip.multipliers
    return "none" if sample.zeros == 0 else "all" if sample.zeros == products else "some"


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
STORAGE = member("target_storage", Storage)
EVENT = Coverpoint("event", ("none", "saturation", "lost update", "both"), event_class)
ZEROS = Coverpoint("products with a zero", ("none", "some", "all"), _zeros)
MASK, RELU, NEGATE = flag("mask"), flag("relu"), flag("negate")
BASE = member("base", Base)
SHIFT = Coverpoint("shift", SIZE, lambda s: size_class(s, "shift"), ("shift",))
BASE_SHIFT = Coverpoint("base_shift", SIZE, _base_shift, ("base_shift",))
BIAS_WORD = Coverpoint("bias_word", EXTENT, _bias_word, ("bias_word",))
SOURCE_SPACE = Coverpoint("source memory", ("none", "FEATURE", "GRADIENT"), _source_space, ("source_space",))
TARGET_SPACE = Coverpoint("target memory", ("weights", "FEATURE", "GRADIENT"), _target_space, ("target_space",))
STALL = Coverpoint("stall", ("none", *STALLS, "loader and drain"), _stall)
PADDING = Coverpoint("padding", ("none", "before", "beyond", "both"), _padding)
LINE = Coverpoint("line of the line buffer", ("part", "whole"), _line)
PAD_TOP, PAD_LEFT = _pad("pad_top"), _pad("pad_left")
SOURCE_HEIGHT, SOURCE_WIDTH = _window_extent("source_height"), _window_extent("source_width")
ROW = Coverpoint("row", EXTENT, _row, ("row",))
TARGET_ROW = Coverpoint("target_row", (*EXTENT, "in place"), _target_row, ("target_row",))
