"""Energies of events: a fit finds again what made data follow, and the committed runs are predicted within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from arch.errors import InputError
from estimate.structure import structure
from synthesis import programs, validation
from synthesis.energy_fit import ACTIVITY, LIMIT, RUNS, fit, operations
from synthesis.validation import CHIPS, FITTED, HELD_OUT, compared

PRICES = np.array([0.02, 0.05, 0.01, 3.0, 1.0, 0.0004])
"""pJ of each operation, made up."""


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return pd.read_csv(RUNS)


@pytest.fixture(scope="module")
def energies() -> pd.DataFrame:
    return pd.read_csv(ACTIVITY)


@pytest.fixture
def made(runs) -> pd.DataFrame:
    """What the committed runs would take at `PRICES`."""
    rows = [
        {"chip": run["chip"], "program": run["program"], "component": name, "switching_nj": worked @ PRICES * 1e-3}
        for run in runs.to_dict("records")
        for name, worked in operations(CHIPS[run["chip"]], run).items()
    ]
    return pd.DataFrame(rows).assign(delayed_nj=np.nan, clock_nj=1.0)


def _largest(errors: Any) -> float:
    return float(np.abs(np.asarray(errors)).max())


def test_energies_that_follow_the_operations_are_found_again(made, runs):
    table = compared(made, runs)
    assert _largest(table["error"]) < 1e-3
    high = made["program"].isin(programs.HELD_OUT)
    made.loc[high, "switching_nj"] *= 1.25
    table = compared(made, runs)
    held = table["program"].isin(programs.HELD_OUT)
    assert table.loc[held, "error"].to_numpy() == pytest.approx(1 / 1.25 - 1, abs=2e-3)
    assert _largest(table.loc[~held, "error"]) < 1e-3


def test_products_with_a_zero_are_told_apart(runs):
    run = next(item for item in runs.to_dict("records") if item["zero_products"])
    chip = CHIPS[run["chip"]]
    products = operations(chip, run)["multipliers"]
    assert products[4] == run["zero_products"]
    assert products[3] + products[4] == run["steps"] * chip.multipliers


def test_the_measurements_are_whole(energies, runs):
    assert set(FITTED) <= set(energies["chip"]) <= {*FITTED, *HELD_OUT}
    assert {*programs.FITTED, *programs.HELD_OUT} == set(energies["program"])
    keys = set(zip(runs["chip"], runs["program"], strict=True))
    assert keys == set(zip(energies["chip"], energies["program"], strict=True))
    for (chip, _), rows in energies.groupby(["chip", "program"]):
        assert sorted(rows["component"]) == sorted(structure(CHIPS[chip]))
    known = energies.dropna()
    assert len(known) > 0
    assert (known["delayed_nj"] >= known["switching_nj"]).all()


def test_runs_outside_the_fit_are_predicted(energies, runs):
    """The bounds are those that docs/estimation-logic.md states: of switching, and with the clock's pins."""
    table = compared(energies, runs)
    held = table[table["held_out"] != ""]
    assert len(held) >= 5
    assert np.abs(held["error"].to_numpy()).mean() < 0.11
    assert _largest(held["error"]) < 0.17
    assert _largest(held["error_with_clock"]) < LIMIT / 10


def test_bad_calls_are_one_line(capsys, library):
    for arguments in (["none.lib"], [str(library.path)], [str(library.path), "nosuch"]):
        assert validation.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(InputError, match="no run of the fit is measured"):
        fit(pd.DataFrame(columns=["chip", "program", "switching_nj"]), pd.DataFrame(), CHIPS)
