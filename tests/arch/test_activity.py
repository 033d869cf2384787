"""What counts say of activity, against products summed one by one."""

import numpy as np
import pytest

from arch.activity import accumulations, external_beats, idle, multiplications, reduction_additions
from arch.chip import Chip
from arch.events import Event
from arch.isa import Reduction
from arch.modes import MODES

PAPER, TINY = Chip.load("paper"), Chip.load("tiny")
AXES = {Reduction.BOTH: (0, 1), Reduction.TAPS: (0,), Reduction.LANES: (1,)}


def counts(**given: int) -> list[int]:
    return [given.get(event.name, 0) for event in Event]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chip", [PAPER, TINY], ids=lambda chip: chip.name)
def test_additions_and_accumulations_of_every_mode(mode: str, chip: Chip):
    products = np.ones((chip.taps, chip.lanes), int)
    sums = np.sum(products, axis=AXES.get(MODES[mode].reduction, ()))
    assert accumulations({mode: 5}, chip) == 5 * sums.size
    assert reduction_additions({mode: 5}, chip) == 5 * int(np.sum(sums - 1))  # a sum of n values takes n - 1


def test_modes_add_up():
    assert accumulations({"dense": 3, "dense_bias": 2}, PAPER) == 3 + 2 * 72
    assert reduction_additions({"dense": 3, "dense_bias": 2}, PAPER) == 3 * 71


def test_multiplications_by_operands():
    assert multiplications(counts(STEPS=10, ZERO_PRODUCTS=100), PAPER) == (620, 100)


def test_beats_and_idle_cycles():
    moved = counts(EXTERNAL_READS=7, EXTERNAL_WRITES=2, BUSY=30)
    assert external_beats(moved) == 9
    assert idle(50, moved) == 20
