"""How an instruction's fields are declared and packed into bits: lowest field first, the header before the rest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from arch.chip import Chip

ROW_BITS = 16
BANK_BITS = 4


@dataclass(frozen=True)
class Field:
    """One field of an instruction.

    `kind` is `number` (unsigned), `enum` or `address`: a linear word address or distance of the feature and gradient
    memories, which is stored as (bank, row) = (address mod K, address div K) so that no hardware divides by K. `place`
    says that it names words or rows, or their distance: no cycle and no count depends on it.
    """

    name: str
    bits: int
    kind: str
    offset: int
    enum: type[IntEnum] | None
    reserved: bool
    place: bool
    doc: str

    @property
    def limit(self) -> int:
        """One more than the largest value, as far as the bits go."""
        return 1 << self.bits


def number(bits: int, doc: str, default: int = 0, *, reserved: bool = False) -> Any:
    """Declare an unsigned field of `bits` bits; a reserved one must be 0 in this version."""
    return dataclasses.field(default=default, metadata=_meta(bits, "number", doc, reserved))


def address(doc: str) -> Any:
    """Declare a word address (or a distance between words) of a feature or gradient memory."""
    return dataclasses.field(default=0, metadata=_meta(ROW_BITS + BANK_BITS, "address", doc) | {"place": True})


def place(bits: int, doc: str) -> Any:
    """Declare a weight row or a word outside, or a distance between such."""
    return dataclasses.field(default=0, metadata=_meta(bits, "number", doc) | {"place": True})


def choice(enum: type[IntEnum], bits: int, doc: str, default: int = 0, *, reserved: bool = False) -> Any:
    """Declare a field that holds a member of `enum`; a reserved one must be 0 in this version."""
    return dataclasses.field(default=enum(default), metadata=_meta(bits, "enum", doc, reserved) | {"enum": enum})


def _meta(bits: int, kind: str, doc: str, reserved: bool = False) -> dict[str, Any]:
    return {"bits": bits, "kind": kind, "doc": doc, "reserved": reserved}


@cache
def layout(kind: type) -> tuple[Field, ...]:
    """The fields of an instruction class with their bit offsets, the opcode's first."""
    fields = []
    offset = 0
    for item in dataclasses.fields(kind):
        meta = item.metadata
        kind_of, enum = meta["kind"], meta.get("enum")
        place = meta.get("place", False)
        fields.append(Field(item.name, meta["bits"], kind_of, offset, enum, meta["reserved"], place, meta["doc"]))
        offset += meta["bits"]
    return tuple(fields)


def width(kind: type) -> int:
    """Bits that an instruction class takes."""
    last = layout(kind)[-1]
    return last.offset + last.bits


def pack(instruction: Any, chip: Chip) -> int:
    """The instruction's bits as an integer. Values are taken as legal (see `arch.legal`)."""
    bits = 0
    for field in layout(type(instruction)):
        value = int(getattr(instruction, field.name))
        if field.kind == "address":
            value = value // chip.kernel << BANK_BITS | value % chip.kernel
        bits |= value << field.offset
    return bits


def unpack(kind: type, bits: int, chip: Chip) -> Any:
    """The instruction of class `kind` in `bits`. Raises `ValueError` on a value no member of an enum has."""
    values: dict[str, Any] = {}
    for field in layout(kind):
        value = bits >> field.offset & (field.limit - 1)
        if field.kind == "address":
            value = (value >> BANK_BITS) * chip.kernel + (value & (1 << BANK_BITS) - 1)
        values[field.name] = field.enum(value) if field.enum else value
    return kind(**values)
