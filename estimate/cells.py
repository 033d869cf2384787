"""µm² of the cells of each component of a chip, as each logic table of a technology has them.

A library that was synthesised with has coefficients fitted to whole chips (`estimate.logic`), and they are taken.
Another table has only costs of units by themselves, and synthesis merges much of what the RTL's text asks for, selects
above all; so its components are units times costs, times what was left of that in the libraries with both.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from arch.chip import Chip
from estimate.logic import SynthesisTable, synthesis_tables
from estimate.logic_table import FOLDER, LogicTable
from estimate.prices import Answers, logic_places, taken
from estimate.technology import Technology
from estimate.usage import hardware

_AREA = 1
"""Column of `LogicTable.units`."""
_NEAR = 1.1
"""Times beyond the sizes of the fit that are not worth a word; the range is wider by them all the same."""


@lru_cache(maxsize=1 << 12)
def cells(technology: Technology, chip: Chip, answers: Answers) -> np.ndarray:
    """µm² of placed area of each component of `chip` at these answers, float64[components]."""
    logs = []
    for place in logic_places(technology, answers):
        area, errors = _table(technology, chip, place)
        ends = {"low": 1 / (1 + errors), "central": 1.0, "high": 1 + errors}
        scale = taken(technology.logic_factors()[place][1], answers.logic_scale)
        logs.append(np.log(area * ends[answers.fit] * scale))
    return np.exp(np.mean(logs, axis=0)) / taken(technology.density, answers.density)


def beyond(technology: Technology, chip: Chip) -> dict[str, float]:
    """The components of `chip` well outside the sizes of the fit, and how many times; the least of all libraries."""
    own = [synthesis_tables()[use.table] for use in technology.logic if use.table in synthesis_tables()]
    found = [table.beyond(chip) for table in own or synthesis_tables().values()]
    least = {name: min(item[name] for item in found) for name in hardware(chip)}
    return {name: times for name, times in least.items() if times > _NEAR}


@lru_cache(maxsize=256)
def _table(technology: Technology, chip: Chip, place: int) -> tuple[np.ndarray, np.ndarray]:
    """µm² of each component at the table's own node, and how far off it may be, relative; float64[components] both."""
    own = synthesis_tables().get(technology.logic[place].table)
    if own is not None:
        return _fitted(own, chip)
    left, errors = merged(chip)
    return _units(technology.logic_tables()[place], chip) * left, errors


def _fitted(table: SynthesisTable, chip: Chip) -> tuple[np.ndarray, np.ndarray]:
    area, times = table.area(chip), table.beyond(chip)
    errors = [table.error(times[name]) for name in area]
    return np.array(list(area.values())), np.array(errors)


def _units(table: LogicTable, chip: Chip) -> np.ndarray:
    units = np.array([part.values() for part in hardware(chip).values()], np.float64)
    return units @ table.units(chip.word_bits)[:, _AREA]


@lru_cache(maxsize=256)
def merged(chip: Chip) -> tuple[np.ndarray, np.ndarray]:
    """What synthesis leaves of each component beside units times costs, the geometric mean of all libraries that have
    both; and how far from it any of them may be. float64[components] both.
    """
    ratios, errors = [], []
    for name, table in synthesis_tables().items():
        area, error = _fitted(table, chip)
        ratios.append(area / _units(_shipped(name), chip))
        errors.append(error)
    logs = np.log(ratios)
    mean = logs.mean(axis=0)
    return np.exp(mean), ((1 + np.array(errors)) * np.exp(np.abs(logs - mean))).max(axis=0) - 1


@lru_cache(maxsize=16)
def _shipped(name: str) -> LogicTable:
    """The costs of a shipped library's units, read once: each chip of a sweep asks for them."""
    return LogicTable.load(FOLDER / f"{name}.yaml")
