"""Numbers: rounding against exact fractions, overflow, random bits, and the softmax's error bound."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.isa import Overflow, Rounding
from arch.numerics import advance, dither, fits, narrowed, rounded, seeded
from arch.softmax import TABLE, exponential, probability, probability_error, reciprocal

VALUES = st.integers(-(2**47), 2**47 - 1)


@given(VALUES, st.integers(0, 47))
def test_rounding_is_that_of_ap_fixed(value, shift):
    exact = Fraction(value, 1 << shift)
    assert rounded(value, shift, Rounding.RND, 1) == floor(exact + Fraction(1, 2))
    assert rounded(value, shift, Rounding.TRN, 1) == floor(exact)
    assert rounded(value, shift, Rounding.RND_CONV, 1) == round(exact)


@given(VALUES, st.integers(0, 47), st.integers(1, 2**32 - 1))
def test_stochastic_rounding_is_one_of_the_neighbours(value, shift, state):
    exact = Fraction(value + dither(state, shift), 1 << shift)
    assert rounded(value, shift, Rounding.STOCHASTIC, state) == floor(exact)
    assert 0 <= dither(state, shift) < 1 << shift


def test_stochastic_rounding_is_unbiased():
    state, total, count = 12345, 0, 40_000
    for _ in range(count):
        total += rounded(300, 10, Rounding.STOCHASTIC, state)
        state = advance(state)
    assert total / count == pytest.approx(300 / 1024, abs=4 * 0.5 / count**0.5)


@given(st.integers(-(2**40), 2**40), st.integers(8, 16))
def test_overflow(value, bits):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    assert narrowed(value, bits, Overflow.SAT) == max(low, min(high, value))
    wrapped = narrowed(value, bits, Overflow.WRAP)
    assert low <= wrapped <= high
    assert (wrapped - value) % (1 << bits) == 0
    assert fits(value, bits) == (low <= value <= high)


def test_the_generator_is_marsaglias_and_never_stops():
    assert advance(2463534242) == 723471715  # the first number of Marsaglia's paper (2003), section 4
    state = 1
    for _ in range(100_000):
        state = advance(state)
        assert 0 < state < 1 << 32
    states = seeded(7, 9, 8)
    assert states.min() > 0 and np.unique(states).size == 72
    assert not np.array_equal(states, seeded(8, 9, 8))


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=72), st.integers(6, 15))
def test_softmax_is_within_its_bound(logits, fraction):
    values = np.array(logits)
    distances = values.max() - values
    terms = np.array([exponential(int(d), fraction, TABLE) for d in distances])
    assert terms.max() == 1 << 16
    inverse = reciprocal(int(terms.sum()))
    found = np.array([probability(int(t), inverse, 15) for t in terms]) / 2**15
    exact = np.exp(-distances / 2.0**fraction)
    exact /= exact.sum()
    assert np.abs(found - exact).max() <= probability_error(len(logits)) + 2.0**-16
