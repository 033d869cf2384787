"""Energies of events fitted to netlists' activity: what a component's switching takes for the operations of its units.

A component's energy in a run is a sum of the operations that `estimate.usage` derives from the run's events, each at
an energy ≥ 0 of its own: register bits, adder bits, choices, products with and without a zero operand, and register
bits times cycles (what moves whether there is an event or not, such as counters). Least squares of errors relative to
the whole run's switching. The clock's pins take one energy a register bit and cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from arch.chip import Chip
from arch.errors import InputError
from arch.events import Event
from estimate.logic import TABLES
from estimate.logic_table import LogicTable
from estimate.usage import FEATURES, hardware, uses

ACTIVITY = TABLES / "activity.csv"
"""Of each component in a run: nJ of switching without delays and with, nJ of the clock's pins."""
RUNS = TABLES / "runs.csv"
"""Events, array steps by mode and cycles of each run."""
OPERATIONS = ("register_bit", "adder_bit", "select_bit", "product", "zero_product", "register_cycle")
"""What a component's energy is linear in."""
_UNUSED = (Event.SATURATIONS, Event.LOST_UPDATES)
LIMIT = 0.15
"""Of the error of a run that the fit did not see."""


@dataclass(frozen=True)
class EnergyFit:
    """pJ of an operation by component, in the order of `OPERATIONS`; pJ of the clock a register bit and cycle."""

    operations: Mapping[str, tuple[float, ...]]
    clock_pj: float

    def switching(self, chip: Chip, run: Mapping) -> dict[str, float]:
        """nJ of each component of `chip` in a run, a row of `RUNS`."""
        worked = operations(chip, run)
        return {name: float(worked[name] @ prices) * 1e-3 for name, prices in self.operations.items() if name in worked}

    def clock(self, chip: Chip, run: Mapping) -> float:
        """nJ of the clock's pins."""
        return self.clock_pj * register_cycles(chip, run) * 1e-3


def columns() -> dict[str, int]:
    """Columns of `RUNS` and their places in `estimate.usage.FEATURES`; what uses no units has none."""
    names = [feature.name.lower() if isinstance(feature, Event) else feature for feature in FEATURES]
    return {name: place for place, name in enumerate(names) if FEATURES[place] not in _UNUSED}


def operations(chip: Chip, run: Mapping) -> dict[str, np.ndarray]:
    """Operations of each component's units in a run, float64[6] as `OPERATIONS`."""
    counts = np.zeros(len(FEATURES))
    for name, place in columns().items():
        counts[place] = run[name]
    found = {}
    worked = np.einsum("cfu,f->cu", uses(chip), counts)
    for (name, own), units in zip(hardware(chip).items(), worked, strict=True):
        zero = min(counts[Event.ZERO_PRODUCTS], units[3]) if name == "multipliers" else 0.0
        found[name] = np.array([*units[:3], units[3] - zero, zero, own.register_bits * float(run["cycles"])])
    return found


def by_unit_costs(chip: Chip, run: Mapping, table: LogicTable) -> dict[str, float]:
    """nJ of each component at the costs that single units have on random operands, zeros not told apart."""
    register, adder, select, product = table.units(chip.word_bits)[:, 0]
    prices = np.array([register, adder, select, product, product, 0.0])
    return {name: float(worked @ prices) * 1e-3 for name, worked in operations(chip, run).items()}


def register_cycles(chip: Chip, run: Mapping) -> float:
    """Register bits of the whole chip times cycles."""
    return sum(units.register_bits for units in hardware(chip).values()) * float(run["cycles"])


def fit(activity: pd.DataFrame, runs: pd.DataFrame, chips: Mapping[str, Chip]) -> EnergyFit:
    """The energies from rows of `ACTIVITY` and those of `RUNS`. Raises `InputError` where there are none."""
    if activity.empty:
        raise InputError("no run of the fit is measured; `python -m synthesis.validation LIBERTY` measures them")
    whole = _by_run(activity, "switching_nj")
    events = {(row["chip"], row["program"]): row for row in runs.to_dict("records")}
    worked = {key: operations(chips[key[0]], events[key]) for key in whole}
    prices = {}
    for component, rows in activity.groupby("component"):
        name, keys = str(component), list(zip(rows["chip"], rows["program"], strict=True))
        weights = 1 / np.array([whole[key] for key in keys])
        inputs = np.array([worked[key][name] for key in keys]) * weights[:, None]
        prices[name] = tuple(_non_negative(inputs, rows["switching_nj"].to_numpy() * weights) * 1e3)
    clock = _by_run(activity, "clock_nj")
    shares = [energy / register_cycles(chips[key[0]], events[key]) for key, energy in clock.items()]
    return EnergyFit(prices, float(np.mean(shares)) * 1e3)


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


def _non_negative(inputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The coefficients ≥ 0 whose combination of the inputs is nearest to what is wanted."""
    scale = np.maximum(inputs.max(axis=0), 1e-30)
    model = LinearRegression(positive=True, fit_intercept=False).fit(inputs / scale, wanted)
    return model.coef_ / scale
