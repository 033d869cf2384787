"""The area model: fitted to the committed measurements, held against chips that the fit does not see."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from arch.errors import InputError
from estimate.logic import AreaUnits, SynthesisTable, load_table, synthesis_tables
from estimate.structure import structure
from synthesis.chips import FITTED, HELD_OUT
from synthesis.fit import LEAST, fit, held_out, main, make_table, read

AREAS, LIBRARIES = read()
NAMES = [str(row["library"]) for row in LIBRARIES]
CHIPS = {chip.name: chip for chip in (*FITTED, *HELD_OUT)}
MEAN, WORST = 0.05, 0.12
"""Errors of the whole logic's area on held-out chips that are wanted at most."""


@cache
def made(name: str) -> SynthesisTable:
    return make_table(LIBRARIES[NAMES.index(name)], AREAS)


@pytest.mark.parametrize("name", NAMES)
def test_chips_held_out_are_predicted(name):
    table = made(name)
    assert len(table.fitted) >= LEAST and len(table.held_out.chips) >= 3
    assert not set(table.fitted) & set(table.held_out.chips)
    rows = AREAS[AREAS["library"] == name].set_index("chip")
    for chip, error in table.held_out.chips.items():
        whole = rows.loc[chip, "area_um2"].sum()
        assert sum(table.area(CHIPS[chip]).values()) == pytest.approx(whole * (1 + error), rel=1e-4)
    errors = [abs(error) for error in table.held_out.chips.values()]
    assert np.mean(errors) <= MEAN and max(errors) <= WORST


@pytest.mark.parametrize("name", NAMES)
def test_the_fit_does_not_see_the_chips_held_out(name):
    rows = AREAS.loc[AREAS["library"] == name]
    seen = rows.loc[rows["chip"].isin([chip.name for chip in FITTED])]
    assert fit(seen) == fit(rows) == made(name).area_um2


def test_shipped_tables_are_those_of_the_measurements(tmp_path, capsys):
    assert main(["--folder", str(tmp_path)]) == 0
    assert sorted(synthesis_tables()) == sorted(NAMES) == sorted(path.stem for path in tmp_path.glob("*.yaml"))
    for name, shipped in synthesis_tables().items():
        assert load_table(tmp_path / f"{name}.yaml") == shipped
    assert capsys.readouterr().out.count("mean error") == len(NAMES)


def test_areas_that_follow_the_units_are_found_again():
    true = AreaUnits(
        constant=500, register_bit=60, adder_bit=40, select_bit=9, multiplier_bit=20, multiplier_bit2=40,
        mean_error=0, worst_error=0, smallest=0, largest=0,
    )  # fmt: skip
    rows = [
        {"chip": chip.name, "component": name, "area_um2": true.area(units, chip.word_bits)}
        for chip in (*FITTED, HELD_OUT[0], HELD_OUT[-1])
        for name, units in structure(chip).items()
    ]
    areas = pd.DataFrame(rows)
    held = held_out(fit(areas), areas)
    assert set(held.chips) == {"tiny", "paper"}
    assert held.worst_error < 0.002
    areas.loc[areas["chip"] == "tiny", "area_um2"] *= 1.1
    assert held_out(fit(areas), areas).chips["tiny"] == pytest.approx(1 / 1.1 - 1, abs=0.002)


def test_measurements_name_chips_and_components():
    assert set(AREAS["library"]) == set(NAMES)
    for library, chip in set(zip(AREAS["library"], AREAS["chip"], strict=True)):
        rows = AREAS[(AREAS["library"] == library) & (AREAS["chip"] == chip)]
        assert sorted(rows["component"]) == sorted(structure(CHIPS[chip]))
        assert np.all(rows["area_um2"] > rows["sequential_um2"])


def test_too_few_chips_are_refused():
    few = AREAS.loc[AREAS["chip"] == "t4l2"]
    with pytest.raises(InputError, match="1 chips are measured, at least 12"):
        make_table(LIBRARIES[0], few)


def test_what_is_beyond_the_measured_sizes_is_known_and_less_sure():
    table = made(NAMES[0])
    base, paper = CHIPS["t4l2"], CHIPS["paper"]
    assert all(times == pytest.approx(1, abs=1e-3) for times in table.beyond(base).values())
    times = table.beyond(paper)["accumulators"]
    assert times == table.area(paper)["accumulators"] / table.area_um2["accumulators"].largest > 2
    assert table.error(1.0) == table.held_out.worst_error < table.error(2.0) == 2 * table.error(1.0)
