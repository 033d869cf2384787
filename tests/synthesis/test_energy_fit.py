"""Energies of events: a fit finds again what made data follow, and the committed runs are predicted within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from arch.errors import InputError
from estimate.structure import structure
from estimate.switching import switching
from estimate.usage import DRIVERS, USED
from synthesis import programs, validation
from synthesis.energy_fit import ACTIVITY, RUNS, EnergyFit, fit
from synthesis.validation import CHIPS, FITTED, HELD_OUT, compared, make_table

SHARE = 0.03
"""Of every component at every driver, made up."""


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return pd.read_csv(RUNS)


@pytest.fixture(scope="module")
def energies() -> pd.DataFrame:
    return pd.read_csv(ACTIVITY)


@pytest.fixture
def made(runs) -> pd.DataFrame:
    """What the committed runs would take if every driver moved `SHARE` of each component."""
    shares = {name: dict.fromkeys(drivers, SHARE) for name, drivers in USED.items()}
    rows = [
        {"chip": run["chip"], "program": run["program"], "component": name, "switching_nj": joules}
        for run in runs.to_dict("records")
        for name, joules in EnergyFit(shares, 1.0).switching(CHIPS[run["chip"]], run).items()
    ]
    return pd.DataFrame(rows).assign(delayed_nj=np.nan, clock_nj=1.0)


def _largest(errors: Any) -> float:
    return float(np.abs(np.asarray(errors)).max())


def test_shares_that_energies_follow_are_found_again(made, runs):
    table = compared(made, runs)
    assert _largest(table["error"]) < 1e-3
    high = made["program"].isin(programs.HELD_OUT)
    made.loc[high, "switching_nj"] *= 1.25
    table = compared(made, runs)
    held = table["program"].isin(programs.HELD_OUT)
    assert table.loc[held, "error"].to_numpy() == pytest.approx(1 / 1.25 - 1, abs=2e-3)
    assert _largest(table.loc[~held, "error"]) < 1e-3


def test_a_component_takes_its_units_costs():
    """The window's, which has no banks or pages: every unit at the library's costs, at a share for each fill."""
    chip, part = CHIPS["t4l2"], structure(CHIPS["t4l2"])["window"]
    one = part.register_bits * 0.01681 + part.adder_bits * 0.7575 / 32 + part.select_bits * 0.01046
    shares = {name: dict.fromkeys(drivers, 0.0) for name, drivers in USED.items()}
    shares["window"]["fills"] = 0.5
    run = {**dict.fromkeys(DRIVERS, 7.0), "fills": 20.0}
    found = EnergyFit(shares, 1.0).switching(chip, run)
    assert found.pop("window") == pytest.approx(20 * 0.5 * one * 1e-3)
    assert not any(found.values())


def test_the_committed_table_is_the_fit(energies, runs):
    assert switching() == make_table(energies, runs)


def test_the_measurements_are_whole(energies, runs):
    assert set(FITTED) <= set(energies["chip"]) <= {*FITTED, *HELD_OUT}
    assert {*programs.FITTED, *programs.HELD_OUT} == set(energies["program"])
    keys = set(zip(runs["chip"], runs["program"], strict=True))
    assert keys >= set(zip(energies["chip"], energies["program"], strict=True))  # gates are measured in more
    for (chip, _), rows in energies.groupby(["chip", "program"]):
        assert sorted(rows["component"]) == sorted(structure(CHIPS[chip]))
    known = energies.dropna()
    assert len(known) > 0
    assert (known["delayed_nj"] >= known["switching_nj"]).all()


def test_runs_outside_the_fit_are_predicted(energies, runs):
    """The bounds are those that docs/estimation-logic.md states: of switching, and with the clock's pins."""
    table = compared(energies, runs)
    held = table[table["held_out"] != ""]
    assert set(held["held_out"]) == {"program", "chip", "chip program"} and len(held) >= 75
    assert np.abs(held["error"].to_numpy()).mean() < 0.10
    assert _largest(held["error"]) < 0.29
    networks = held[held["program"].map(programs.is_network)]
    assert len(networks) >= 27
    assert np.abs(networks["error"].to_numpy()).mean() < 0.07
    assert _largest(networks["error"]) < 0.21
    assert _largest(held["error_with_clock"]) < 0.04


def test_bad_calls_are_one_line(capsys, library):
    for arguments in (["none.lib"], [str(library.path)], [str(library.path), "nosuch"]):
        assert validation.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(InputError, match="no run of the fit is measured"):
        fit(pd.DataFrame(columns=["chip", "program", "switching_nj"]), pd.DataFrame(), CHIPS)
