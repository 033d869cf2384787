"""Which iterations of a unit are made: all, or with `skip` those whose deciding value is not zero."""

from __future__ import annotations

from arch.isa import Moving, Stationary
from sim.stepping_cells import called, clocked
from sim.stepping_state import Plane


@clocked
def masks_by_pixels(i):
    """Whether the pixel map of COMPUTE `i` is the mask map, whose lanes above zero are the iterations made."""
    return i.skip == 1 and i.moving == Moving.WINDOW and i.stationary == Stationary.KERNEL


@clocked
def first_made(s, i):
    """The unit's first iteration: 0 if none is asked for."""
    if not i.skip:
        return 0
    j = next_made(s, i, 0)
    return 0 if j == i.iterations else j


@called
def next_made(s, i, j):
    """The first iteration from `j` on that is made; `iterations` if there is none."""
    if i.skip:
        source = Plane.PIXEL + 0
        if i.moving == Moving.VECTOR or i.stationary == Stationary.VECTOR:
            source = Plane.KERNEL + 0
        if masks_by_pixels(i):
            while j < i.iterations and s.cells[source + j] <= 0:
                j += 1
        else:
            while j < i.iterations and s.cells[source + j] == 0:
                j += 1
    return j
