"""A power of a sum as a polynomial, and how far fixed point with words of some bits is from it.

f(u) = (bias + range · (1 + u) / 2)**−beta for u in [−1, 1], as local response normalisation needs it. The polynomial
is the one through Chebyshev's points, at most a little worse than the best of its degree; it is evaluated by Horner's
rule, a product and a sum rounded once a step, as the array does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp

import numpy as np
from numpy.polynomial import chebyshev, polynomial

MOST_DEGREE = 14
"""Beyond it coefficients grow faster than the fit gains."""
LARGEST_ERROR = 2.0**-9
"""What the power may miss at most, of its largest value."""
_POINTS = np.linspace(-1, 1, 4097)


@dataclass(frozen=True)
class Power:
    """A polynomial Σ coefficients[i] · u**i; on 4,097 points it is within `error` of f, whose largest value is `top`.

    `reach[i]` is the largest magnitude after i + 1 steps of Horner's rule; `slope` that of f's derivative.
    """

    coefficients: tuple[float, ...]
    error: float
    top: float
    slope: float
    reach: tuple[float, ...]


def fitted(bias: float, extent: float, beta: float, word_bits: int) -> Power:
    """The polynomial of the degree, at most `MOST_DEGREE`, with which words of `word_bits` come nearest to f; the first
    that fits within half a step of what they can say is near enough."""
    best: Power | None = None
    for degree in range(MOST_DEGREE + 1):
        power = _of_degree(degree, bias, extent, beta)
        if best is None or expected_error(power, word_bits) < expected_error(best, word_bits):
            best = power
        if power.error <= 2.0 ** -(fraction_of(power.top, word_bits) + 1):
            break
    assert best is not None
    return best


def expected_error(power: Power, word_bits: int) -> float:
    """What the power misses at most where every number has all the fraction bits that its magnitude allows."""
    coefficients = [2.0 ** -fraction_of(abs(value), word_bits) for value in power.coefficients]
    return horner_error(power, coefficients, [2.0 ** -fraction_of(most, word_bits) for most in power.reach])


def horner_error(power: Power, coefficients: Sequence[float], results: Sequence[float]) -> float:
    """What the polynomial misses at most beside f: the fit, and half a step of every coefficient and result.

    `coefficients` are the steps of the coefficients, constant first, `results` those of Horner's results in order.
    Since |u| <= 1, no step of the rule makes an error larger.
    """
    return power.error + sum(coefficients) / 2 + sum(results) / 2


def fraction_of(magnitude: float, word_bits: int) -> int:
    """The fraction bits, at most as many as the word's, with which a magnitude fits."""
    return min(word_bits, word_bits - 1 - frexp(magnitude)[1])


def _of_degree(degree: int, bias: float, extent: float, beta: float) -> Power:
    def f(u: np.ndarray) -> np.ndarray:
        return (bias + extent * (1 + u) / 2) ** -beta

    points = chebyshev.chebpts1(degree + 1)
    coefficients = chebyshev.cheb2poly(chebyshev.chebfit(points, f(points), degree))
    coefficients = np.pad(coefficients, (0, degree + 1 - len(coefficients)))
    value = np.full_like(_POINTS, coefficients[-1])
    reach = []
    for coefficient in coefficients[-2::-1]:
        value = value * _POINTS + coefficient
        reach.append(float(np.abs(value).max()))
    slope = np.abs(polynomial.polyval(_POINTS, polynomial.polyder(coefficients))).max()
    error = float(np.abs(value - f(_POINTS)).max())
    return Power(tuple(map(float, coefficients)), error, float(bias**-beta), float(slope), tuple(reach))
