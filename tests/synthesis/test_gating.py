"""What clock gates let through: a fit finds again what made data follow, and committed runs are predicted in bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from estimate.clocking import OPENED_BY, clocking, free_bits, gates
from estimate.structure import structure
from estimate.usage import DRIVERS, moving
from synthesis import gating
from synthesis.energy_fit import LIMIT
from synthesis.gated_energy import gated_energies
from synthesis.gating_fit import (
    BOUNDS,
    CHIPS,
    FITTED,
    HELD_OUT,
    LEAST,
    Measured,
    compared,
    fitted,
    make_table,
    predicted,
)

SHARE = 0.3
"""Of every component at every driver, made up."""


@pytest.fixture(scope="module")
def measured() -> Measured:
    return Measured.read(LEAST)


def test_shares_that_runs_follow_are_found_again(measured):
    made = {run: _made(run[0], measured.runs[run]) for run in measured.opened}
    found = fitted(replace(measured, opened=made))
    for name, drivers in OPENED_BY.items():
        driven = [driver for driver in drivers if any(measured.runs[run][driver] for run in made if run[0] in FITTED)]
        assert [found[name].opened[driver] for driver in driven] == pytest.approx([SHARE] * len(driven), rel=0.02)


def _made(chip: str, run: Mapping) -> dict[str, float]:
    """Cycles that bits of each component would see behind gates if every driver opened `SHARE` of them."""
    reached = {name: SHARE * units.register_bits for name, units in moving(CHIPS[chip]).items()}
    return {name: reached[name] * sum(run[driver] for driver in drivers) for name, drivers in OPENED_BY.items()}


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
    found = Measured.read(least)
    assert set(FITTED) <= set(found.held) <= {*FITTED, *HELD_OUT}
    assert {chip for chip, _ in found.opened} <= set(found.held)
    for chip, parts in found.held.items():
        bits = {name: units.register_bits for name, units in structure(CHIPS[chip]).items()}
        assert parts.keys() == bits.keys() and all(part.bits <= bits[name] for name, part in parts.items())
        assert sum(part.bits for part in parts.values()) > 0.97 * sum(bits.values())  # registers of constants are gone
        assert all(part.gates * least <= part.gated <= part.bits for part in parts.values())
    for run, opened in found.opened.items():
        parts, cycles = found.held[run[0]], found.runs[run]["cycles"]
        assert opened.keys() == parts.keys()
        assert all(0 <= count <= parts[name].gated * cycles for name, count in opened.items())


def test_bits_and_gates_of_a_chip_ten_times_as_large_are_predicted():
    """The paper's, which the fit does not see: its free bits, and its gates."""
    parts = Measured.read(LEAST).held["paper"].values()
    bits, chip = sum(part.bits for part in parts), CHIPS["paper"]
    assert abs(free_bits(chip, clocking()) - sum(part.bits - part.gated for part in parts)) < 0.005 * bits
    assert gates(chip, clocking()) == pytest.approx(sum(part.gates for part in parts), rel=0.10)


def test_fewer_bits_are_behind_gates_that_must_hold_more():
    held = [sum(part.gated for part in Measured.read(least).held["t4l2"].values()) for least in BOUNDS]
    assert held == sorted(held, reverse=True) and held[0] > held[-1]
    few, many = clocking().bounds
    assert few < 1 < many


def test_runs_outside_the_fit_are_predicted(measured):
    """The bounds are those that docs/estimation-logic.md states."""
    table = compared(measured, clocking())
    held = table[table["held_out"] != ""]
    assert len(held) >= 88 and set(held["held_out"]) == {"chip", "program", "chip program"}
    errors = dict(zip(zip(held["chip"], held["program"], strict=True), np.abs(held["error"].to_numpy()), strict=True))
    assert np.mean(list(errors.values())) < 0.08
    large = {program: error for (chip, program), error in errors.items() if chip == "paper"}
    assert len(large) == 11 and max(large.values()) < 0.29
    assert max(error for program, error in large.items() if program.endswith("train")) < 0.15
    assert max(error for (chip, _), error in errors.items() if chip != "paper") < 0.15


def test_the_energy_with_gates_of_runs_outside_the_fit_is_within_the_limit():
    table = gated_energies(clocking())
    held = table.loc[table["held_out"] != ""]
    sizes = held["error"].abs()
    assert len(held) == 75 and sizes.max() <= LIMIT and sizes.mean() < 0.06
    whole = held["switching_nj"] + held["clock_nj"]
    assert (held["clock_nj"] / whole > 0.3).all() and (held["clock_nj"] / whole < 0.95).all()


def test_bad_calls_are_one_line(capsys, library):
    for arguments in (["nosuch"], ["--liberty", "none.lib"], ["--liberty", str(library.path)]):
        assert gating.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1
