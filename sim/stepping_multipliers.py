"""Stage X's datapath: T x L operands routed and multiplied, products reduced."""

from __future__ import annotations

import numpy as np

from arch.isa import Moving, Reduction, Route, Stationary, Traversal
from sim.stepping_cells import called, clocked, copy, fill
from sim.stepping_state import PLANE, Plane


@clocked
def multiply(s, i, stage):
    """Products of the step's routed operands, reduced, into the stage's slot; how many had an operand that is zero."""
    count = s.chip.multipliers
    lanes = s.chip.lanes
    moving, stationary = operands(s, i)
    a = s.cells[moving : moving + count]
    b = s.cells[stationary : stationary + count]
    reduced = s.step.reduced[stage * PLANE : (stage + 1) * PLANE]
    s.step.zeros[stage] = _zero_products(a, b)
    sign = -1 if i.negate else 1
    if i.reduction == Reduction.BOTH:
        reduced[0] = sign * _dot(a, b, 0, count)
    elif i.reduction == Reduction.TAPS:
        _reduce_taps(s, a, b, reduced, sign)
    elif i.reduction == Reduction.LANES:
        for tap in range(s.chip.taps):
            reduced[tap] = sign * _dot(a, b, tap * lanes, lanes)
    else:
        for cell in range(count):
            reduced[cell] = sign * np.int64(a[cell]) * np.int64(b[cell])


@clocked
def operands(s, i):
    """Where in `cells` the step's T x L routed operands a and b begin."""
    moving = _route(s, i, _moving_plane(s, i), i.moving_route, Plane.ROUTED_MOVING + 0)
    stationary = _route(s, i, _stationary_plane(s, i), i.stationary_route, Plane.ROUTED_STATIONARY + 0)
    return moving, stationary


@clocked
def kernel_tap(s, i):
    """The kernel tap u of the step's inner step; 0 if the walk is not PIXELS."""
    if i.traversal != Traversal.PIXELS:
        return 0
    step = s.step
    return i.tap + step.kernel_row * i.tap_row + step.kernel_column * i.tap_column + step.outer * i.tap_outer


@clocked
def _zero_products(a, b):
    zeros = 0
    for cell in range(a.size):
        zeros += (a[cell] == 0) | (b[cell] == 0)
    return zeros


@clocked
def _dot(a, b, first, count):
    x = a[first : first + count]
    y = b[first : first + count]
    total = 0
    for cell in range(count):
        total += np.int64(x[cell]) * np.int64(y[cell])
    return total


@clocked
def _reduce_taps(s, a, b, reduced, sign):
    lanes = s.chip.lanes
    for lane in range(lanes):
        reduced[lane] = 0
    for tap in range(s.chip.taps):
        x = a[tap * lanes : (tap + 1) * lanes]
        y = b[tap * lanes : (tap + 1) * lanes]
        for lane in range(lanes):
            reduced[lane] += sign * np.int64(x[lane]) * np.int64(y[lane])


@clocked
def _moving_plane(s, i):
    if i.moving == Moving.VECTOR:
        return Plane.KERNEL + 0
    if i.moving == Moving.ONE:
        return Plane.ONE + 0
    if i.moving == Moving.UNIT:
        return Plane.UNIT + 0
    if i.moving == Moving.KERNEL:
        return Plane.KERNEL + s.step.j * s.chip.multipliers
    return Plane.WINDOW + 0


@clocked
def _stationary_plane(s, i):
    if i.stationary == Stationary.KERNEL:
        return Plane.KERNEL + s.step.j * s.chip.multipliers
    if i.stationary == Stationary.STREAM:
        return Plane.ROW + 0
    if i.stationary == Stationary.PIXEL:
        return Plane.PIXEL + 0
    if i.stationary == Stationary.MATCH:
        _match(s, i)
        return Plane.ROUTED_STATIONARY + 0
    return Plane.KERNEL + 0


@called
def _match(s, i):
    """1 where the pixel words hold the kernel tap's number, else 0."""
    tap = kernel_tap(s, i)
    pixels = s.cells[Plane.PIXEL : Plane.PIXEL + s.chip.multipliers]
    matches = s.cells[Plane.ROUTED_STATIONARY : Plane.ROUTED_STATIONARY + s.chip.multipliers]
    for cell in range(s.chip.multipliers):
        matches[cell] = pixels[cell] == tap


@clocked
def _route(s, i, source, route, routed):
    """Where the operand's T x L values begin in `cells`: at `source` itself if FULL, else written to `routed`."""
    if route == Route.FULL:
        return source
    lanes = s.chip.lanes
    j = s.step.j
    if route == Route.SCALAR:
        fill(s.cells, routed, s.chip.multipliers, s.cells[source + j])
        return routed
    word = source + kernel_tap(s, i) * lanes
    for tap in range(s.chip.taps):
        if route == Route.TAP:
            fill(s.cells, routed + tap * lanes, lanes, s.cells[source + tap * lanes + j])
        else:
            copy(s.cells, word, s.cells, routed + tap * lanes, lanes)
    return routed
