"""Functional coverage, one level down: what is looked at in an executed instruction, each with its bins.

A coverpoint gives the bin of a sample, or None where the question has no meaning for it. It names the instruction
fields that it looks at, so that a field without a coverpoint is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum

from arch.chip import Chip
from arch.isa import (
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
    mode_of,
)
from arch.legal import map_span, memory_words, most_iterations, problems, target_span, weight_rows_used
from arch.timing import uses_rows, words_of, writes_rows
from testbenches.stalls import STALLS, stalls


@dataclass(frozen=True)
class Sample:
    """One executed instruction and what was seen of it.

    `label` is the label of a LOSS where it is known; `waited`: whether the token that it took came late, None if it
    took none.
    """

    chip: Chip
    engine: Engine
    instruction: Instruction
    saturations: int = 0
    lost: int = 0
    label: int | None = None
    waited: bool | None = None

    @property
    def compute(self) -> Compute:
        """The instruction, a COMPUTE."""
        assert isinstance(self.instruction, Compute)
        return self.instruction

    @property
    def load(self) -> Load:
        """The instruction, a LOAD."""
        assert isinstance(self.instruction, Load)
        return self.instruction

    @property
    def loss(self) -> Loss:
        """The instruction, a LOSS."""
        assert isinstance(self.instruction, Loss)
        return self.instruction


@dataclass(frozen=True)
class Coverpoint:
    """A question about a sample: its possible answers, how it is answered, and the fields it looks at."""

    name: str
    bins: tuple[str, ...]
    of: Callable[[Sample], str | None]
    fields: tuple[str, ...] = ()


MODE_FIELDS = ("moving", "moving_route", "stationary", "stationary_route", "reduction", "emission")
EXTENT = ("first", "middle", "last")
WALKS = ("1x1", "one row", "one column", "even rows", "odd rows")
BLOCKS = ("one word", "partial block", "one block", "several, last partial", "several")
SIZE = ("zero", "middle", "largest")
COUNT = ("one", "middle", "most")


def flag(name: str) -> Coverpoint:
    """A field of one bit."""
    return Coverpoint(name, ("0", "1"), lambda sample: str(int(getattr(sample.instruction, name))), (name,))


def member(name: str, enum: type[IntEnum]) -> Coverpoint:
    """A field that holds a member of an enum, all of them."""
    bins = tuple(item.name for item in enum)
    return Coverpoint(name, bins, lambda sample: getattr(sample.instruction, name).name, (name,))


def count_class(count: int, most: int) -> str:
    """One, the most there may be, or between."""
    return "one" if count == 1 else "most" if count == most else "middle"


def extent(first: int, used: int, limit: int) -> str:
    """Where something lies in a memory: at its start, at its end, or between."""
    return "last" if first + used == limit else "first" if first == 0 else "middle"


# ---- every instruction and its chip


def _kind(sample: Sample) -> str:
    halt = isinstance(sample.instruction, Halt)
    return f"{sample.engine.name.lower()} HALT" if halt else sample.instruction.opcode.name


def _wait(sample: Sample) -> str:
    return {None: "none", True: "waited", False: "already there"}[sample.waited]


def _beats(sample: Sample) -> str:
    chip = sample.chip
    if chip.row_beats == 1:
        return "one beat"
    return "last beat partial" if chip.taps % chip.weight_memory.banks else "several beats"


KIND = Coverpoint("instruction", ("array HALT", "vector HALT", "LOAD", "COMPUTE", "LOSS"), _kind, ("opcode",))
WAIT = Coverpoint("token taken", ("none", "waited", "already there"), _wait, ("wait",))
SIGNAL = Coverpoint("token sent", ("no", "yes"), lambda s: "yes" if s.instruction.signal else "no", ("signal",))
BEATS = Coverpoint("weight beats", ("one beat", "several beats", "last beat partial"), _beats)
BANKS = Coverpoint("accumulator banks", ("1", "more"), lambda s: "1" if s.chip.accumulator_banks == 1 else "more")

# ---- COMPUTE


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


def _event(sample: Sample) -> str:
    if sample.saturations:
        return "both" if sample.lost else "saturation"
    return "lost update" if sample.lost else "none"


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
EVENT = Coverpoint("event", ("none", "saturation", "lost update", "both"), _event)
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

# ---- LOAD

LOADS = ("kernel", "kernel rotated", "kernel transposed", "kernel transposed, rotated", "vector", "bias")


def _load(sample: Sample) -> str:
    load = sample.load
    if load.destination != Destination.KERNEL:
        return load.destination.name.lower()
    return LOADS[2 * load.transpose + load.rotate]


def _load_count(sample: Sample) -> str:
    load, chip = sample.load, sample.chip
    kernels = min(chip.kernel_registers, chip.lanes) if load.transpose else chip.kernel_registers
    most = {Destination.KERNEL: kernels, Destination.VECTOR: chip.taps, Destination.BIAS: 1}[load.destination]
    return count_class(load.count, most)


def _load_row(sample: Sample) -> str | None:
    load = sample.load
    return None if load.destination == Destination.VECTOR else extent(load.row, load.count, sample.chip.weight_rows)


def _load_source(sample: Sample) -> str | None:
    load = sample.load
    limit = memory_words(sample.chip, load.space)
    return extent(load.source, load.count, limit) if load.destination == Destination.VECTOR else None


def _load_space(sample: Sample) -> str | None:
    return sample.load.space.name if sample.load.destination == Destination.VECTOR else None


LOAD = Coverpoint("operation", LOADS, _load, ("destination", "rotate", "transpose"))
LOAD_COUNT = Coverpoint("count", COUNT, _load_count, ("count",))
LOAD_ROW = Coverpoint("row", EXTENT, _load_row, ("row",))
LOAD_SPACE = Coverpoint("space", tuple(item.name for item in Space), _load_space, ("space",))
LOAD_SOURCE = Coverpoint("source", EXTENT, _load_source, ("source",))

# ---- LOSS

LOSS_COUNTS = ("one", "partial word", "one word", "several, last partial", "several")


def _loss_count(sample: Sample) -> str:
    count, lanes = sample.loss.count, sample.chip.lanes
    if count <= lanes:
        return "one" if count == 1 else "one word" if count == lanes else "partial word"
    return "several, last partial" if count % lanes else "several"


def _label(sample: Sample) -> str | None:
    if sample.label is None:
        return None
    return "in range" if 0 <= sample.label < sample.loss.count else "out of range"


def _fraction(name: str) -> Coverpoint:
    def of(sample: Sample) -> str:
        value = getattr(sample.loss, name)
        return "zero" if value == 0 else "largest" if value == 15 else "middle"

    return Coverpoint(name, SIZE, of, (name,))


def _loss_place(name: str) -> Coverpoint:
    def of(sample: Sample) -> str:
        loss, chip = sample.loss, sample.chip
        memory = Space(1 - loss.space) if name == "target" else loss.space
        used = 1 if name == "label" else words_of(loss.count, chip)
        return extent(getattr(loss, name), used, memory_words(chip, memory))

    return Coverpoint(name, EXTENT, of, (name,))


LOSS_COUNT = Coverpoint("count", LOSS_COUNTS, _loss_count, ("count",))
LABEL = Coverpoint("label's value", ("in range", "out of range"), _label)
LOSS_EVENT = Coverpoint("event", ("none", "saturation"), _event)
SOURCE_FRACTION, TARGET_FRACTION = _fraction("source_fraction"), _fraction("target_fraction")
LOSS_SPACE = member("space", Space)
LOSS_SOURCE, LOSS_LABEL, LOSS_TARGET = (_loss_place(name) for name in ("source", "label", "target"))

REDUCTION_RESERVED = {Reduction.LANES: "reserved: no mode has it, legal.py refuses it"}
"""Members of enums that no coverpoint asks for, with the reason."""
