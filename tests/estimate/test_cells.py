"""Areas of components: fitted where a library was synthesised with, of units and what was left of them elsewhere."""

import numpy as np
import pytest

from arch.chip import Chip
from estimate.area import area
from estimate.cells import beyond, cells, merged
from estimate.logic import synthesis_tables
from estimate.logic_table import FOLDER, LogicTable
from estimate.prices import CENTRAL, Answers
from estimate.structure import structure
from estimate.technology import Technology
from tests.estimate.made import PAPER

IHP = "sg13g2_stdcell"
TINY = Chip.load("tiny")


@pytest.mark.parametrize("chip", [TINY, PAPER], ids=lambda chip: chip.name)
def test_a_synthesised_library_gives_what_was_fitted(chip):
    table, made = synthesis_tables()[IHP], Technology.load("ihp130")
    expected = np.array(list(table.area(chip).values())) / made.density.central
    assert cells(made, chip, CENTRAL) == pytest.approx(expected)
    high = cells(made, chip, Answers(fit="high"))
    times = np.array(list(table.beyond(chip).values()))
    assert high / expected - 1 == pytest.approx(table.held_out.worst_error * (1 + np.log2(times)))
    assert high * cells(made, chip, Answers(fit="low")) == pytest.approx(expected**2)


def test_what_synthesis_leaves_is_between_what_the_libraries_say():
    ratios = []
    for name, table in synthesis_tables().items():
        unit = LogicTable.load(FOLDER / f"{name}.yaml").units(TINY.word_bits)[:, 1]
        alone = [np.dot(part.values(), unit) for part in structure(TINY).values()]
        ratios.append(np.array(list(table.area(TINY).values())) / alone)
    left, errors = merged(TINY)
    assert left == pytest.approx(np.prod(ratios, axis=0) ** (1 / len(ratios)))
    assert np.all(errors >= max(table.held_out.worst_error for table in synthesis_tables().values()) - 1e-12)
    assert np.all(left * (1 + errors) >= np.max(ratios, axis=0) - 1e-12)


def test_beyond_the_measured_sizes_the_range_widens_and_says_so():
    made = Technology.load("ihp130")
    assert not beyond(made, TINY) and area(PAPER, made).beyond == beyond(made, PAPER)
    assert beyond(made, PAPER)["accumulators"] > 2
    small, large = area(TINY, made), area(PAPER, made)
    assert large.doubts["fit"][1] > small.doubts["fit"][1] > 1
