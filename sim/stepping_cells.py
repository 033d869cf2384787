"""How the units' functions are compiled, and the two loops that move cells between registers and memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

COMPILED: dict[str, Any] = {"_nrt": False}
"""Options of all compiled code here: nothing allocates, so nothing counts references."""


def clocked(function: Callable) -> Callable:
    """Compile a function into the clock that calls it.

    What touches memories is inlined: a call with them as arguments costs as much as the work that it does in a cycle.
    """
    return njit(forceinline=True, **COMPILED)(function)


def called(function: Callable) -> Callable:
    """Compile a function that is called: work on registers alone, so that the clock stays small and compiles soon."""
    return njit(**COMPILED)(function)


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
