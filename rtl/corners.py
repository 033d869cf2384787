"""Where a group's map begins, and how positions and kernel taps lie in it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, ValueLike

from arch.chip import Chip
from arch.isa import Traversal
from rtl.address import PAIR, chosen, distance, minus, plus, scaled
from rtl.gather import grid


def corner_of(m: Module, start: ValueLike, compute: Any, first: Any, pitch: Any, side: int) -> Any:
    """With `start`, the pair of coordinate (-pad_top, -pad_left) of a map with `pitch` whose first word is `first`."""
    corner = Signal(PAIR)
    with m.If(start):
        m.d.comb += corner.eq(first)
        with m.If(compute.traversal != Traversal.BLOCK):
            above = minus(first, scaled(pitch, compute.pad_top, side), side)
            m.d.comb += corner.eq(minus(above, distance(compute.pad_left, side), side))
    return corner


def group_corner(
    m: Module, start: ValueLike, advance: ValueLike, first: Any, ahead: Any, on: ValueLike, side: int
) -> Any:
    """With `start`, `first`; then the pair where the group after this one begins, which `advance` goes to.

    It is `ahead` of this one's where `on`, else `first` again.
    """
    here, beginning, following = Signal(PAIR), Signal(PAIR), Signal(PAIR)
    with m.If(start):
        m.d.comb += following.eq(first)
        m.d.sync += [here.eq(first), beginning.eq(first)]
    with m.Else():
        m.d.comb += following.eq(chosen(on, plus(here, ahead, side), beginning))
        with m.If(advance):
            m.d.sync += here.eq(following)
    return following


def grid_of(m: Module, start: ValueLike, compute: Any, pitch: Any, plane: Any, chip: Chip) -> Any:
    """How positions and kernel taps lie in a map with `pitch`, from the cycle after `start` on."""
    found = Signal(grid(chip))
    side, pixels = chip.kernel, compute.traversal == Traversal.PIXELS
    m.d.comb += found.step.eq(Mux(pixels, compute.step, 1))
    with m.If(start):
        m.d.sync += [
            found.row.eq(chosen(pixels, scaled(pitch, compute.step, side), pitch)),
            found.tap_row.eq(scaled(pitch, compute.dilation, side)),
            found.tap_column.eq(chosen(compute.planes, plane, distance(compute.dilation, side))),
        ]
    return found
