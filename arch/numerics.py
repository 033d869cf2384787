"""What numbers mean: rounding, overflow and random bits, on plain integers.

Every function is numba-compiled scalar code on 64-bit integers, called by the simulators; the RTL builds the same in
gates. Names are those of ap_fixed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from arch.isa import Overflow, Rounding

RANDOM_BITS = 32
"""Bits of the state of one rounder's generator."""
_RND, _RND_CONV, _STOCHASTIC, _WRAP = (
    int(Rounding.RND),
    int(Rounding.RND_CONV),
    int(Rounding.STOCHASTIC),
    int(Overflow.WRAP),
)
_MASK = 0xFFFFFFFF


@njit(inline="always")
def advance(state):
    """The next state of a rounder's 32-bit generator (Marsaglia's xorshift, triple 13, 17, 5); `state` is not 0.

    It advances once for every value that is rounded stochastically, after its use.
    """
    state ^= state << 13 & _MASK
    state ^= state >> 17
    state ^= state << 5 & _MASK
    return state


@njit(inline="always")
def dither(state, shift):
    """A number in [0, 2**shift): the upper bits of the 32-bit `state`, zeros below them if shift > 32."""
    if shift > 32:
        return state << (shift - 32)
    return state >> (32 - shift)


@njit(inline="always")
def rounded(value, shift, rounding, state):
    """value / 2**shift as an integer, 0 <= shift < 48, |value| < 2**62.

    RND: floor(v + 1/2). RND_CONV: to the nearest, ties to even. TRN: floor. STOCHASTIC: floor(v + r), r uniform in
    [0, 1) from `state`.
    """
    if shift == 0:
        return value
    half = 1 << (shift - 1)
    if rounding == _RND:
        return (value + half) >> shift
    if rounding == _RND_CONV:
        return (value + half - 1 + (value >> shift & 1)) >> shift
    if rounding == _STOCHASTIC:
        return (value + dither(state, shift)) >> shift
    return value >> shift


@njit(inline="always")
def fits(value, bits):
    """Whether a two's complement word of `bits` bits holds `value`."""
    half = 1 << (bits - 1)
    return -half <= value < half


@njit(inline="always")
def narrowed(value, bits, overflow):
    """`value` as a word of `bits` bits: clipped to the nearest end (SAT) or modulo 2**bits (WRAP)."""
    half = 1 << (bits - 1)
    if overflow == _WRAP:
        return ((value + half) & ((1 << bits) - 1)) - half
    return min(max(value, -half), half - 1)


def seeded(seed: int, taps: int, lanes: int) -> np.ndarray:
    """The rounders' first states, uint32[taps, lanes], none of them 0, from a seed of up to 64 bits.

    Numbers of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), their upper halves.
    """
    states = np.empty(taps * lanes, dtype=np.uint32)
    mask = (1 << 64) - 1
    counter = seed & mask
    for i in range(states.size):
        value = 0
        while not value >> 32:
            counter = counter + 0x9E3779B97F4A7C15 & mask
            value = counter
            value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & mask
            value = (value ^ value >> 27) * 0x94D049BB133111EB & mask
            value ^= value >> 31
        states[i] = value >> 32
    return states.reshape(taps, lanes)
