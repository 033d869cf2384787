"""The comparison with the paper is made of the model alone: what is varied, and what inside and outside mean."""

from math import exp, log, sqrt

import pytest

from arch.chip import Chip
from estimate.area import area
from estimate.ranges import Range
from estimate.technology import Technology
from tinycl.paper import PAPER_JOULE, Line, lean


def test_a_lean_chip_is_smaller_and_holds_the_network():
    paper, small = Chip.load("paper"), lean(Chip.load("paper"), 40)
    technology = Technology.load("65nm")
    assert area(small, technology).total.central < area(paper, technology).total.central
    words = {"feature_memory": 16 + 2 * 16, "gradient_memory": 2 * 16, "weight_memory": 164}
    for name, kilobytes in words.items():
        assert getattr(small, name).bytes == kilobytes * 1024
    assert small.program_memory.instructions == 40


def test_more_doubts_widen_as_independent():
    found = Range(1.0, 2.0, 4.0).widened(4.0, 1.0, 2.0)
    assert found.high == pytest.approx(2 * exp(sqrt(2) * log(2))) and found.low == pytest.approx(
        2 / exp(sqrt(2) * log(2))
    )


def test_inside_and_outside():
    assert Line("x", "W", Range(1, 2, 3), 3, "").inside and not Line("x", "W", Range(1, 2, 3), 3.1, "").inside
    assert PAPER_JOULE == 0.151


@pytest.mark.parametrize(("value", "shown"), [(2.5e-4, "250 µJ (125 to 500)"), (1.234e-9, "1.23 nJ (0.617 to 2.47)")])
def test_numbers_for_people(value, shown):
    assert Range(value / 2, value, value * 2).described("J") == shown
