"""Functional coverage, one level down: what is looked at in an executed instruction, each with its bins.

A coverpoint gives the bin of a sample, or None where the question has no meaning for it. It names the instruction
fields that it looks at, so that a field without a coverpoint is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from arch.chip import Chip
from arch.isa import (
    Compute,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Transfer,
)


@dataclass(frozen=True)
class Sample:
    """One executed instruction and what was seen of it.

    `label` is the label of a LOSS where it is known; `waited`: whether the token that it took came late, None if it
    took none; `beside`: what other engines used while a TRANSFER ran; `steps`, `zeros`: steps of a COMPUTE and its
    products with an operand of zero, None where they are not known.
    """

    chip: Chip
    engine: Engine
    instruction: Instruction
    saturations: int = 0
    lost: int = 0
    label: int | None = None
    waited: bool | None = None
    beside: str | None = None
    steps: int | None = None
    zeros: int | None = None

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

    @property
    def transfer(self) -> Transfer:
        """The instruction, a TRANSFER."""
        assert isinstance(self.instruction, Transfer)
        return self.instruction


@dataclass(frozen=True)
class Coverpoint:
    """A question about a sample: its possible answers, how it is answered, and the fields it looks at."""

    name: str
    bins: tuple[str, ...]
    of: Callable[[Sample], str | None]
    fields: tuple[str, ...] = ()


EXTENT = ("first", "middle", "last")
SIZE = ("zero", "middle", "largest")
COUNT = ("one", "middle", "most")


def flag(name: str) -> Coverpoint:
    """A field of one bit."""
    return Coverpoint(name, ("0", "1"), lambda sample: str(int(getattr(sample.instruction, name))), (name,))


def member(name: str, enum: type[IntEnum]) -> Coverpoint:
    """A field that holds a member of an enum, all of them."""
    bins = tuple(item.name for item in enum)
    return Coverpoint(name, bins, lambda sample: getattr(sample.instruction, name).name, (name,))


def event_class(sample: Sample) -> str:
    """Which of the events that depend on values were seen."""
    if sample.saturations:
        return "both" if sample.lost else "saturation"
    return "lost update" if sample.lost else "none"


def count_class(count: int, most: int) -> str:
    """One, the most there may be, or between."""
    return "one" if count == 1 else "most" if count == most else "middle"


def extent(first: int, used: int, limit: int) -> str:
    """Where something lies in a memory: at its start, at its end, or between."""
    return "last" if first + used == limit else "first" if first == 0 else "middle"


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


_KINDS = ("array HALT", "vector HALT", "dma HALT", "LOAD", "COMPUTE", "LOSS", "TRANSFER")
KIND = Coverpoint("instruction", _KINDS, _kind, ("opcode",))
WAIT = Coverpoint("token taken", ("none", "waited", "already there"), _wait, ("wait",))
SIGNAL = Coverpoint("token sent", ("no", "yes"), lambda s: "yes" if s.instruction.signal else "no", ("signal",))
BEATS = Coverpoint("weight beats", ("one beat", "several beats", "last beat partial"), _beats)
BANKS = Coverpoint("accumulator banks", ("1", "more"), lambda s: "1" if s.chip.accumulator_banks == 1 else "more")
