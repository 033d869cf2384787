"""Programs that aim at holes of the functional coverage: instructions with the fields that holes name, on data that
brings the event which they lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from arch.chip import Chip
from arch.isa import ENGINE_OF, Base, Compute, Instruction, Load, Loss, Overflow, Rounding, Storage, Transfer
from arch.legal import problems
from arch.modes import MODES
from arch.program import Program
from testbenches.coverage import Coverage
from testbenches.coverage_groups import GROUPS
from testbenches.generate import KINDS, LOADS, existing, random_instruction, random_program
from testbenches.images import IMAGES
from testbenches.transfers import TRANSFERS

_CANDIDATES = 12
"""Draws of an instruction; the one that hits most holes is taken, or the first that can bring the event."""
_LENGTH = 8
_ENUMS: dict[str, type[IntEnum]] = {
    "rounding": Rounding,
    "overflow": Overflow,
    "base": Base,
    "storage": Storage,
    "target_storage": Storage,
}
_FLAGS = ("mask", "relu", "negate")
_EVENTS = {
    ("event", "saturation"): "extremes",
    ("event", "lost update"): "scales",
    ("event", "both"): "scales",
    ("products with a zero", "none"): "no zeros",
    ("products with a zero", "all"): "zeros",
    ("skipped", "some"): "sparse",
    ("skipped", "all but one a unit"): "sparse",
    ("skipped", "nothing"): "no zeros",
}
"""The image on which a bin is likely, of those that depend on data."""


class Aim(NamedTuple):
    """A hole: kinds of instructions that may hit it, fields that they need, an event or "", and the image for it."""

    kinds: tuple[str, ...]
    fields: dict[str, int]
    event: str
    image: str


def aims(reached: Coverage, chip: Chip) -> list[Aim]:
    """An aim for every hole of the groups of instructions that the chip may hit."""
    holes = reached.holes()
    found = [
        _aim(dict(zip((axis.name for axis in group.axes), point, strict=True)), group.kinds)
        for group in GROUPS
        for point in holes.get(group.name, ())
    ]
    return [aim for aim in found if existing(aim.kinds, chip)]


def _aim(point: dict[str, str], kinds: tuple[type[Instruction], ...]) -> Aim:
    names = {Compute: tuple(MODES), Load: LOADS, Loss: ("loss",), Transfer: TRANSFERS}
    some = (point["mode"],) if "mode" in point else tuple(name for kind in kinds for name in names.get(kind, ()))
    fields: dict[str, int] = {name: enum[point[name]] for name, enum in _ENUMS.items() if name in point}
    fields |= {name: int(point[name]) for name in _FLAGS if name in point}
    if point.get("skipped", "off") != "off":
        fields["skip"] = 1
    name, event = next((item for item in point.items() if item in _EVENTS), ("", ""))
    return Aim(some, fields, event, _EVENTS.get((name, event), "mixed"))


def aimed_program(chip: Chip, rng: np.random.Generator, reached: Coverage) -> Program:
    """A legal program whose instructions aim at holes that one image can serve; without holes any program."""
    found = aims(reached, chip)
    if not found:
        return random_program(chip, rng, int(rng.integers(3, 10)))
    _, _, event, image = found[rng.integers(len(found))]
    alike = [aim for aim in found if (aim.event, aim.image) == (event, image)]

    def draw(chip: Chip, rng: np.random.Generator, kind: str) -> Instruction:
        own = [aim for aim in alike if kind in aim.kinds]
        if not own:
            return random_instruction(chip, rng, kind)
        aim = own[rng.integers(len(own))]
        drawn = (_toward(random_instruction(chip, rng, kind), aim, chip) for _ in range(_CANDIDATES))
        if not event:
            return max(drawn, key=lambda item: reached.new(chip, ENGINE_OF[item.opcode][0], item))
        item = next(drawn)
        return item if _brings(item, event) else next((other for other in drawn if _brings(other, event)), item)

    named = {kind for aim in alike for kind in aim.kinds}
    kinds = existing([kind for kind in KINDS if kind in named or kind in LOADS], chip)
    made = IMAGES[image if rng.random() < 0.8 else "mixed"]
    length = min(_LENGTH, chip.program_memory.instructions - 2)
    return random_program(chip, rng, length, kinds=_weighed(kinds, named), draw=draw, image=made)


def _weighed(kinds: Sequence[str], named: set[str]) -> list[str]:
    """The kinds, those that are named as often as all others together."""
    others = [kind for kind in kinds if kind not in named]
    aimed = [kind for kind in kinds if kind in named]
    return others + aimed * max(1, -(-len(others) // len(aimed)))


def _toward(item: Instruction, aim: Aim, chip: Chip) -> Instruction:
    """The instruction with the aim's fields, if it is legal with them."""
    changed = replace(item, **aim.fields)
    return item if any(problems(changed, chip)) else changed


def _brings(item: Instruction, event: str) -> bool:
    """Whether an event is likely: an update is lost, or is too large, where the old weight weighs as much as one step
    of the result or a little more."""
    if not isinstance(item, Compute) or event not in ("saturation", "lost update", "both"):
        return True
    if event == "saturation":
        return item.shift <= 2 or item.base_shift > item.shift
    return item.base == Base.ROW and 1 < item.shift <= item.base_shift <= item.shift + 4
