"""Energies of events fitted to netlists' activity: what share of a component's units switches at each of its drivers.

A component's energy in a run is a sum over its drivers (`estimate.usage`): their counts, times shares ≥ 0, times what
all its units take by themselves on random operands in the library. Least squares of errors relative to the whole run's
switching. The clock's pins take one share of what the register bits' do by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from arch.chip import Chip
from arch.errors import InputError
from estimate.logic import TABLES
from estimate.logic_table import LogicTable, logic_file
from estimate.usage import USED, hardware, moving

LIBRARY = "sg13g2_stdcell"
"""The library of the committed measurements."""
ACTIVITY = TABLES / "activity.csv"
"""Of each component in a run: nJ of switching without delays and with, nJ of the clock's pins."""
RUNS = TABLES / "runs.csv"
"""Cycles and drivers of each run."""
LIMIT = 0.15
"""Of the error of a run that the fit did not see."""
_DIGITS = 4


@dataclass(frozen=True)
class EnergyFit:
    """Shares by component and driver, and of the clock's pins."""

    shares: Mapping[str, Mapping[str, float]]
    clock_share: float

    def switching(self, chip: Chip, run: Mapping) -> dict[str, float]:
        """nJ of each component of `chip` in a run, a row of `RUNS`."""
        whole = at_once(chip)
        return {
            name: whole[name] * sum(share * run[driver] for driver, share in self.shares[name].items())
            for name in hardware(chip)
        }

    def clock(self, chip: Chip, run: Mapping) -> float:
        """nJ of the clock's pins."""
        return self.clock_share * clock_pins(chip, run)


def at_once(chip: Chip) -> dict[str, float]:
    """nJ of each component if all units that events reach work once on random operands, as each does by itself."""
    costs = _table().units(chip.word_bits)[:, 0] * 1e-3
    return {name: float(np.array(units.values()) @ costs) for name, units in moving(chip).items()}


def clock_pins(chip: Chip, run: Mapping) -> float:
    """nJ of the clock in the chip's register bits, each as it is by itself."""
    bits = sum(units.register_bits for units in hardware(chip).values())
    return bits * float(run["cycles"]) * _table().clock_pj * 1e-3


def _table() -> LogicTable:
    return LogicTable.load(logic_file(LIBRARY, Path()))


def fit(activity: pd.DataFrame, runs: pd.DataFrame, chips: Mapping[str, Chip]) -> EnergyFit:
    """The shares from rows of `ACTIVITY` and those of `RUNS`. Raises `InputError` where there are none."""
    if activity.empty:
        raise InputError("no run of the fit is measured; `python -m synthesis.validation LIBERTY` measures them")
    whole = _by_run(activity, "switching_nj")
    events = {(row["chip"], row["program"]): row for row in runs.to_dict("records")}
    shares = {}
    for component, rows in activity.groupby("component"):
        name, keys = str(component), list(zip(rows["chip"], rows["program"], strict=True))
        weights = np.array([at_once(chips[chip])[name] / whole[chip, program] for chip, program in keys])
        inputs = np.array([[events[key][driver] for driver in USED[name]] for key in keys]) * weights[:, None]
        wanted = rows["switching_nj"].to_numpy() / np.array([whole[key] for key in keys])
        shares[name] = dict(zip(USED[name], non_negative(inputs, wanted), strict=True))
    clock = _by_run(activity, "clock_nj")
    pins = [energy / clock_pins(chips[key[0]], events[key]) for key, energy in clock.items()]
    return EnergyFit({name: shares[name] for name in USED if name in shares}, short(float(np.mean(pins))))


def _by_run(activity: pd.DataFrame, column: str) -> dict[tuple[str, str], float]:
    """Sums of a column over the components of each chip's program."""
    sums: dict[tuple[str, str], float] = {}
    for row in activity.to_dict("records"):
        key = row["chip"], row["program"]
        sums[key] = sums.get(key, 0.0) + row[column]
    return sums


def errors(found: EnergyFit, activity: pd.DataFrame, runs: pd.DataFrame, chips: Mapping[str, Chip]) -> pd.DataFrame:
    """A row a run: nJ of switching and with the clock's pins, measured and predicted, and relative errors."""
    events = {(row["chip"], row["program"]): row for row in runs.to_dict("records")}
    rows = []
    for chip, program in _by_run(activity, "switching_nj"):
        group = activity[(activity["chip"] == chip) & (activity["program"] == program)]
        run = events[chip, program]
        known = found.switching(chips[chip], run)
        switching = sum(known[name] for name in group["component"])
        clock = found.clock(chips[chip], run)
        measured, pins = group["switching_nj"].sum(), group["clock_nj"].sum()
        rows.append(
            {
                "chip": chip,
                "program": program,
                "switching_nj": measured,
                "delayed_nj": float(np.sum(group["delayed_nj"].to_numpy())),
                "clock_nj": pins,
                "predicted_nj": switching,
                "error": switching / measured - 1,
                "error_with_clock": (switching + clock) / (measured + pins) - 1,
            }
        )
    return pd.DataFrame(rows)


def non_negative(inputs: np.ndarray, wanted: np.ndarray) -> list[float]:
    """The coefficients ≥ 0 whose combination of the inputs is nearest to what is wanted."""
    scale = np.maximum(inputs.max(axis=0), 1e-30)
    model = LinearRegression(positive=True, fit_intercept=False).fit(inputs / scale, wanted)
    return [short(value) for value in model.coef_ / scale]


def short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
