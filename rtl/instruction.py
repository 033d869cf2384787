"""Instructions as hardware sees them: the fields of `arch.isa` at their bits, and what follows from them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value, unsigned
from amaranth.lib import data

from arch import fields
from arch.isa import INSTRUCTION_BITS, Base, Emission, Instruction, Moving, Reduction, Stationary
from rtl.address import PAIR


def instruction_layout(kind: type[Instruction]) -> data.FlexibleLayout:
    """The fields of an instruction class in the `INSTRUCTION_BITS` bits of the program memory."""
    return data.FlexibleLayout(
        INSTRUCTION_BITS,
        {
            field.name: data.Field(PAIR if field.kind == "address" else unsigned(field.bits), field.offset)
            for field in fields.layout(kind)
        },
    )


def loads(compute: Any) -> Value:
    """Whether a COMPUTE brings words of a map to its operands (1 bit)."""
    return (
        (compute.moving == Moving.WINDOW) | (compute.moving == Moving.BLOCK) | (compute.stationary == Stationary.PIXEL)
    )


def uses_rows(compute: Any) -> Value:
    """Whether a COMPUTE reads weight rows (1 bit)."""
    return (compute.stationary == Stationary.STREAM) | (compute.base == Base.ROW)


def writes_rows(compute: Any) -> Value:
    """Whether a COMPUTE replaces weight rows; otherwise it emits words of a map (1 bit)."""
    return (compute.reduction == Reduction.NONE) & (compute.emission != Emission.POSITION)


def drains_rows(compute: Any) -> Value:
    """Whether rows are read and written by drain steps after the last position (1 bit)."""
    return (compute.reduction == Reduction.NONE) & (compute.emission == Emission.END)
