"""What clock gates let through: a fit finds again what made data follow, and committed runs are predicted in bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from estimate.clocking import OPENED_BY, clocking
from estimate.structure import structure
from estimate.usage import DRIVERS, moving
from synthesis import gating, programs
from synthesis.gating_fit import BOUNDS, CHIPS, FITTED, HELD_OUT, LEAST, compared, fitted, make_table, predicted, read

SHARE = 0.3
"""Of every component at every driver, made up."""


@pytest.fixture(scope="module")
def measured() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return read(LEAST)


def test_shares_that_runs_follow_are_found_again(measured):
    rows, gates, runs = measured
    events = {(run["chip"], run["program"]): run for run in runs.to_dict("records")}
    made = [
        moving(CHIPS[row["chip"]])[row["component"]].register_bits
        * SHARE
        * sum(events[row["chip"], row["program"]][driver] for driver in OPENED_BY[row["component"]])
        for row in rows.to_dict("records")
    ]
    found = fitted(rows.assign(clocked=made), gates, runs)
    for name, drivers in OPENED_BY.items():
        driven = [driver for driver in drivers if runs[runs["chip"].isin(FITTED)][driver].any()]
        assert [found[name].opened[driver] for driver in driven] == pytest.approx([SHARE] * len(driven), rel=0.02)


def test_what_is_predicted_is_free_bits_gates_and_what_opens_them():
    chip, found = CHIPS["t4l2"], clocking()
    run = {**dict.fromkeys(DRIVERS, 0.0), "cycles": 100.0}
    bits = {name: units.register_bits for name, units in structure(chip).items()}
    still = sum(bits[name] * (part.free + (1 - part.free) * part.gates) for name, part in found.components.items())
    always = sum(
        part.opened.get("cycles", 0) * moving(chip)[name].register_bits for name, part in found.components.items()
    )
    assert predicted(chip, run, found) == pytest.approx(still + always)
    more = predicted(chip, {**run, "fills": 50.0}, found) - predicted(chip, run, found)
    reached = {name: part.opened["fills"] * moving(chip)[name].register_bits for name, part in _filled(found)}
    assert more == pytest.approx(0.5 * sum(reached.values())) and more > 0


def _filled(found):
    return ((name, part) for name, part in found.components.items() if "fills" in part.opened)


def test_the_committed_table_is_the_fit():
    assert clocking() == make_table()


@pytest.mark.parametrize("least", BOUNDS)
def test_the_measurements_are_whole(least):
    rows, gates, runs = read(least)
    assert set(FITTED) <= set(gates["chip"]) <= {*FITTED, *HELD_OUT} and set(rows["chip"]) <= set(gates["chip"])
    for chip, part in gates.groupby("chip"):
        bits = {name: units.register_bits for name, units in structure(CHIPS[str(chip)]).items()}
        found = dict(zip(part["component"], part["bits"], strict=True))
        assert found.keys() == bits.keys() and all(found[name] <= bits[name] for name in bits)
        assert sum(found.values()) > 0.97 * sum(bits.values())  # registers of constants are gone
    assert (gates["gated"] <= gates["bits"]).all() and (gates["gates"] * least <= gates["gated"]).all()
    keys = set(zip(runs["chip"], runs["program"], strict=True))
    assert set(zip(rows["chip"], rows["program"], strict=True)) <= keys
    cycles = runs.set_index(["chip", "program"])["cycles"]
    held = gates.set_index(["chip", "component"])[["gated", "gates"]]
    for row in rows.to_dict("records"):
        most, run = held.loc[(row["chip"], row["component"])], cycles[row["chip"], row["program"]]
        assert row["clocked"] <= most["gated"] * run and row["opened"] <= most["gates"] * run


def test_fewer_bits_are_behind_gates_that_must_hold_more():
    shares = []
    for least in BOUNDS:
        _, gates, _ = read(least)
        shares.append(gates["gated"].sum() / gates["bits"].sum())
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


def test_runs_outside_the_fit_are_predicted(measured):
    """The bounds are those that docs/estimation-logic.md states."""
    table = compared(*measured, clocking())
    held = table[table["held_out"] != ""]
    assert len(held) >= 47 and set(held["held_out"]) == {"chip", "program", "chip program"}
    assert np.abs(held["error"].to_numpy()).mean() < 0.07
    assert np.abs(held["error"].to_numpy()).max() < 0.15
    networks = held[held["program"].str.split().str[0].isin(list(programs.NETWORKS))]
    assert np.abs(networks["error"].to_numpy()).max() < 0.10


def test_bad_calls_are_one_line(capsys, library):
    for arguments in (["nosuch"], ["--liberty", "none.lib"], ["--liberty", str(library.path)]):
        assert gating.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
