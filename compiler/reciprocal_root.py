"""1 / √w of one value a channel, in fixed point: a polynomial as first guess, then Newton's steps.

With 1 / RANGE <= w <= 1 and ρ = 1 / (16 √w), from 1/16 to 2:

    z = w − 1 / RANGE, not below 0
    w = z + 1 / RANGE, at most 1
    ρ = a polynomial of z, by Horner's rule
    ρ = ρ · (3/2 − 128 w ρ²), some times

What is beyond the range is treated as its end: below by a ReLU, above by the end of a format. A step turns the relative
error e of ρ into −3/2 e² − 1/2 e³ (Newton's iteration for w − 1/ρ² = 0; Goldschmidt, 1964, has the same steps).
"""

from __future__ import annotations

from functools import cache
from math import log2
from typing import NamedTuple

import numpy as np
from numpy.polynomial import Polynomial, chebyshev

from compiler.channel_values import ChannelValues
from compiler.powers import fraction_of

RANGE = 1024
"""The largest w over the smallest."""
SCALE = 16.0
"""ρ is 1 / √w in parts of this."""
_DEGREE = 3
"""A larger one saves steps, but its coefficients outgrow words: the sum of both is about the same."""
_POINTS = np.linspace(0, 1, 4097)


class Guess(NamedTuple):
    """Coefficients of z, constant first; `reach[i]` is the largest magnitude after i + 1 steps of Horner's rule; and
    Newton's `steps` that leave an error below half a step of words."""

    coefficients: tuple[float, ...]
    reach: tuple[float, ...]
    steps: int


@cache
def guess(word_bits: int) -> Guess:
    """The polynomial nearest to ρ by relative error, about, and how often to improve on it."""
    points = (chebyshev.chebpts1(512) + 1) / 2
    fit = Polynomial.fit(points, _root(points), _DEGREE, w=1 / _root(points)).convert()
    value, reach = np.full_like(_POINTS, fit.coef[-1]), []
    for coefficient in fit.coef[-2::-1]:
        value = value * _POINTS + coefficient
        reach.append(float(np.abs(value).max()))
    # half a step of every coefficient and result: |z| <= 1, so that Horner's rule makes none of them larger
    rounding = sum(2.0 ** -fraction_of(abs(number), word_bits) / 2 for number in (*fit.coef, *reach))
    error, steps = np.stack([value - rounding, value + rounding]) / _root(_POINTS) - 1, 0
    while np.abs(error).max() > 2.0**-word_bits:
        error, steps = -1.5 * error**2 - 0.5 * error**3, steps + 1
    return Guess(tuple(map(float, fit.coef)), tuple(reach), steps)


def _root(z: np.ndarray) -> np.ndarray:
    return 1 / (SCALE * np.sqrt(z + 1 / RANGE))


def reciprocal_root(values: ChannelValues, prefix: str, ones: str, row: str, more: np.ndarray, word_bits: int) -> str:
    """The value ρ of w = row + more, of which the row (C, 1, 1, 1) is computed and `more` [C] is constant.

    `ones` is a value of ones. Names begin with `prefix`.
    """
    bits = word_bits - 1
    above = values.value(f"{prefix}.above", bits)
    values.scaled(above, ones, row, more - 1 / RANGE, relu=True, ceiling=1.0)
    share = values.combine(values.value(f"{prefix}.share", bits), above, 1.0, 1 / RANGE, ceiling=1.0)
    whole = int(log2(SCALE))
    steep = values.combine(values.value(f"{prefix}.steep", bits + 1 - 2 * whole), share, -(SCALE**2) / 2)
    root = _guessed(values, prefix, above, word_bits)
    for step in range(guess(word_bits).steps):
        half = values.product(values.value(f"{prefix}.half{step}", bits - whole), steep, root)
        change = values.product(values.value(f"{prefix}.change{step}", bits - 1), half, root, 1.5)
        root = values.product(values.value(f"{prefix}.root{step}", bits - 1, aside=True), root, change)
    return root


def _guessed(values: ChannelValues, prefix: str, z: str, word_bits: int) -> str:
    """Horner's rule."""
    coefficients, reach, _ = guess(word_bits)
    *lower, last = coefficients
    value = ""
    for number, coefficient in enumerate(reversed(lower)):
        name = values.value(f"{prefix}.guess{number}", fraction_of(reach[number], word_bits), aside=True)
        if number:
            value = values.product(name, value, z, coefficient)
        else:
            value = values.combine(name, z, last, coefficient)
    return value


def root_error(w: np.ndarray, wrong: np.ndarray | float, word_bits: int) -> np.ndarray:
    """By how much ρ misses 1 / (16 √w) at most, of its value, if the w that is given is off by `wrong` at most.

    The root's slope halves relative errors of w, which is rounded once more. Newton's last step has an error of its
    half (128 w ρ, which is multiplied by ρ once more), of the change and of the result: half a step each.
    What is left of the guess is squared in it, and below half a word's step.
    """
    half, root = 2.0**-word_bits, 1 / (SCALE * np.sqrt(w))
    return 0.5 * (wrong + half) / w + SCALE * half * root + 2 * half + 2 * half / root + half
