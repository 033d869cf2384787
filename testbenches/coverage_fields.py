"""What the coverage model knows of the instruction set: a field, member, mode or opcode that is new has to be said."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from arch import fields
from arch.isa import EXECUTED, KINDS, Instruction
from arch.modes import MODES
from testbenches.coverage_groups import GROUPS
from testbenches.nest_coverpoints import MODE_FIELDS

UNUSED_MEMBERS = {
    ("moving_route", "LANE"): "no mode spreads one tap's word of the moving operand",
}
"""Members of a field's enum that no legal instruction has, with the reason."""


def unknown() -> Iterator[str]:
    """Everything that an executed instruction may hold and that no coverpoint asks for; reserved fields hold 0."""
    for opcode in EXECUTED:
        kind = KINDS[opcode]
        known = covered_fields(kind)
        if not known:
            yield f"{opcode.name}: no group asks for this instruction"
        for field in fields.layout(kind):
            if field.name not in known and not field.reserved:
                yield f"{opcode.name}.{field.name}: no coverpoint looks at this field"
            elif field.enum is not None and field.name in known:
                for member in field.enum:
                    if not _asked(kind, field.name, member):
                        yield f"{opcode.name}.{field.name}: no bin asks for {member.name}"


def covered_fields(kind: type[Instruction]) -> set[str]:
    """The fields of an instruction class that some coverpoint looks at."""
    return {name for group in GROUPS if kind in group.kinds for axis in group.axes for name in axis.fields}


def _asked(kind: type[Instruction], name: str, member: IntEnum) -> bool:
    if (name, member.name) in UNUSED_MEMBERS or name == "opcode":
        return True
    if name in MODE_FIELDS:
        return any(getattr(mode, name) == member for mode in MODES.values())
    bins = {
        item
        for group in GROUPS
        if kind in group.kinds
        for axis in group.axes
        if name in axis.fields
        for item in axis.bins
    }
    return any(member.name.lower() in item.lower() for item in bins)
