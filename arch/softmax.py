"""The gradient of softmax cross-entropy in integers: tables, constants, and the scalar functions the engines compute.

For logits y with f fraction bits, m = max y and d = m - y >= 0:
    u = d * LOG2E                           log2(e) * d in f + 14 fraction bits
    q, x = u >> (f + 14), the next 12 bits  e**-d = 2**-q * 2**-(x / 4096)
    e = (T[i] - ((T[i] - T[i+1]) * r >> 6)) >> min(q, 17),  i = x >> 6, r = x & 63;  T[i] = 2**(16 - i/64)
    S = sum of e, R = 2**40 div S, p = RND(e * R / 2**(40 - g)) in g fraction bits
and the gradient is p - 2**g at the label, p elsewhere, saturated. `probability_error` gives the error bound.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LOG2E = round(np.log2(np.e) * (1 << 14))
"""log2(e) in 14 fraction bits."""
LOG2E_FRACTION = 14
INDEX_BITS = 6
BETWEEN_BITS = 6
ONE_BITS = 16
"""Fraction bits of e; e = 2**16 for the largest logit."""
MAX_EXPONENT = ONE_BITS + 1
RECIPROCAL_BITS = 40
"""R = 2**40 div S."""
DIVIDER_CYCLES = RECIPROCAL_BITS - ONE_BITS + 1
"""Quotient bits, one a cycle: S >= 2**16, so the divider starts with remainder 2**15 and quotient 0."""
TABLE = np.round(2.0 ** (ONE_BITS - np.arange(2**INDEX_BITS + 1) / 2**INDEX_BITS)).astype(np.int64)
"""T[i] = 2**(16 - i/64), i = 0 ... 64."""


@njit(inline="always")
def exponential(distance, fraction, table):
    """e**(-distance / 2**fraction) in 16 fraction bits; 0 <= distance < 2**16, 0 <= fraction < 16; `table` is TABLE."""
    power = distance * LOG2E
    point = fraction + LOG2E_FRACTION
    whole = min(power >> point, MAX_EXPONENT)
    part = power >> (point - INDEX_BITS - BETWEEN_BITS) & ((1 << (INDEX_BITS + BETWEEN_BITS)) - 1)
    index = part >> BETWEEN_BITS
    between = part & ((1 << BETWEEN_BITS) - 1)
    value = table[index] - ((table[index] - table[index + 1]) * between >> BETWEEN_BITS)
    return value >> whole


@njit(inline="always")
def reciprocal(total):
    """2**40 div total; total >= 2**16."""
    return (1 << RECIPROCAL_BITS) // total


@njit(inline="always")
def probability(value, inverse, fraction):
    """e * R in `fraction` bits, rounded half up; 0 <= fraction < 16."""
    shift = RECIPROCAL_BITS - fraction
    return (value * inverse + (1 << (shift - 1))) >> shift


def probability_error(count: int) -> float:
    """A bound on |p - softmax| before the last rounding, for `count` logits.

    A logit loses less than 2**-12 of a power in x and d * 2**-15 in LOG2E (d <= 12 matters: beyond it e is 0 or a
    step); each e errs by at most 3 steps of 2**-16 (table, interpolation, last floor), and so does each term of S.
    """
    relative = np.log(2) * (2.0**-12 + 12 * 2.0**-15)
    return relative + (3 + 3 * count) * 2.0**-ONE_BITS
