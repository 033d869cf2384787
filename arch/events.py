"""What is counted, by each engine on its own, in every execution: the simulators' arrays and the RTL's registers."""

from __future__ import annotations

from enum import IntEnum

COUNTER_BITS = 48
"""Bits of a counter in hardware."""


class Event(IntEnum):
    """One counted event; the value is its column in counter arrays and its place in the register map."""

    INSTRUCTIONS = 0  # instructions retired, HALT included
    BUSY = 1  # cycles from the first to the last of an instruction's execution
    STEPS = 2  # cycles in which the T x L multipliers work
    WINDOW_WORDS = 3  # words shifted into the window, padding counted
    FEATURE_READS = 4  # words read from the feature memory
    FEATURE_WRITES = 5
    GRADIENT_READS = 6
    GRADIENT_WRITES = 7
    WEIGHT_READS = 8
    WEIGHT_WRITES = 9
    REGISTER_WORDS = 10  # words written to the kernel file or the bias register
    ROUNDED_WORDS = 11  # words of L values rounded
    SATURATIONS = 12  # values that did not fit the word when written back
    LOST_UPDATES = 13  # weights that a non-zero update left as they were, not by saturation
    EXTERNAL_READS = 14  # beats read from the external memory
    EXTERNAL_WRITES = 15
    ZERO_PRODUCTS = 16  # of the T x L products of every one of STEPS, those with an operand that is zero


DATA_DEPENDENT = (Event.SATURATIONS, Event.LOST_UPDATES, Event.ZERO_PRODUCTS)
"""Events whose number depends on the values; every other one follows from the instruction (`arch.counts`)."""
UNCOUNTED = -1
"""In place of a count that was not asked for."""
