"""Instructions as hardware sees them: the fields of `arch.isa` at their bits, and what follows from them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value, unsigned
from amaranth.lib import data

from arch import fields
from arch.isa import (
    INSTRUCTION_BITS,
    Base,
    Emission,
    Instruction,
    Moving,
    Reduction,
    Route,
    Stationary,
    Traversal,
)
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


# Each of these says something of a COMPUTE, in one bit.


def moves_map(compute: Any) -> Value:
    """Operand a is words of a map."""
    return (compute.moving == Moving.WINDOW) | (compute.moving == Moving.BLOCK)


def takes_pixels(compute: Any) -> Value:
    """Operand b is made of words of a second map."""
    return (compute.stationary == Stationary.PIXEL) | (compute.stationary == Stationary.MATCH)


def loads(compute: Any) -> Value:
    """Words of a map are brought to its operands."""
    return moves_map(compute) | takes_pixels(compute)


def walks_blocks(compute: Any) -> Value:
    """A position of the nest is T words."""
    return (compute.traversal == Traversal.BLOCK) | (compute.traversal == Traversal.PIXELS)


def scatters(compute: Any) -> Value:
    """Products are added to the outputs around a position."""
    return compute.moving == Moving.KERNEL


def by_lane(compute: Any) -> Value:
    """A mode of `arch.modes.BY_LANE`: an outer group, not an inner one, has its own moving map."""
    summed = (compute.reduction == Reduction.BOTH) | (compute.reduction == Reduction.LANES)
    alike = (compute.stationary_route == Route.FULL) | (compute.stationary_route == Route.LANE)
    return (compute.moving_route == Route.FULL) & alike & ~summed


def keeps_largest(compute: Any) -> Value:
    """An accumulator keeps the largest product and the inner step that brought it."""
    return (compute.reduction == Reduction.MAXIMUM) | (compute.reduction == Reduction.INDEX)


def writes_rows(compute: Any) -> Value:
    """Weight rows are written; otherwise words of a map are."""
    products = (compute.reduction == Reduction.NONE) & (compute.emission != Emission.POSITION)
    return products | drains_rows(compute)


def drains_rows(compute: Any) -> Value:
    """Rows are written by drain steps at the end of each group."""
    sums = (compute.reduction == Reduction.TAPS) & (compute.stationary == Stationary.PIXEL)
    return (compute.emission == Emission.END) & ((compute.reduction == Reduction.NONE) | sums)


def streams_rows(compute: Any) -> Value:
    """Every step takes a weight row."""
    updates = (compute.base == Base.ROW) & (compute.emission != Emission.END)
    return (compute.stationary == Stationary.STREAM) | updates


def uses_rows(compute: Any) -> Value:
    """Weight rows are read."""
    return streams_rows(compute) | (drains_rows(compute) & ~compute.hold) | compute.reload


def skips_masked(compute: Any) -> Value:
    """A position's mask word decides which of its iterations are made, and comes as pixels do."""
    return compute.skip & compute.mask & (compute.moving == Moving.WINDOW) & (compute.stationary == Stationary.KERNEL)
