"""How the units' functions are compiled, and the two loops that move cells between registers and memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

COMPILED: dict[str, Any] = {"_nrt": False}
"""Options of all compiled code here: nothing allocates, so nothing counts references."""


def clocked(function: Callable) -> Callable:
    """Compile a function into the clock that calls it.

    Everything is inlined: a call with the memories as arguments costs as much as the work that it does in a cycle.
    """
    return njit(forceinline=True, **COMPILED)(function)


@clocked
def copy(source, start, target, place, count):
    """target[place ...] = source[start ...], `count` cells; the two do not overlap."""
    a = source[start : start + count]
    b = target[place : place + count]
    for cell in range(count):
        b[cell] = a[cell]


@clocked
def fill(target, place, count, value):
    """target[place ...] = value, `count` cells."""
    b = target[place : place + count]
    for cell in range(count):
        b[cell] = value
