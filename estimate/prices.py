"""What a technology's units cost once every open question has an answer, and the answers to vary one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from estimate.clocking import clocking
from estimate.switching import switching
from estimate.technology import MemoryUse, Spread, Technology

Pick = Literal["low", "central", "high"]


@dataclass(frozen=True)
class Answers:
    """Which table and which end of each spread is taken.

    A table of None is the technology's central one, or without one the geometric mean of all.
    """

    logic: int | None = None
    logic_scale: Pick = "central"
    unseen: Pick = "central"
    memory: int | None = None
    memory_scale: Pick = "central"
    voltage: Pick = "central"
    turning: Pick = "central"
    gate: Pick = "central"
    gating: Pick = "central"
    gate_bits: Pick = "central"
    tree: Pick = "central"
    events: Pick = "central"
    leakage: Pick = "central"
    density: Pick = "central"
    fit: Pick = "central"


CENTRAL = Answers()
_ENDS = (
    "voltage",
    "logic_scale",
    "unseen",
    "memory_scale",
    "turning",
    "gate",
    "gating",
    "gate_bits",
    "tree",
    "events",
    "leakage",
    "density",
    "fit",
)


@lru_cache(maxsize=64)
def variations(technology: Technology, stated: bool) -> dict[str, tuple[Answers, ...]]:
    """The sources of doubt by name, and the answers that each could have beside the central one.

    A supply that a user has `stated` is no doubt.
    """
    ends = {
        name: (replace(CENTRAL, **{name: "low"}), replace(CENTRAL, **{name: "high"}))
        for name in _ENDS
        if name != "voltage" or not stated
    }
    tables = {
        name: tuple(replace(CENTRAL, **{name: place}) for place in range(len(uses)))
        for name, uses in (("logic", technology.logic), ("memory", technology.memory))
        if len(uses) > 1
    }
    return tables | ends


_COMBINATIONAL = slice(1, 4)
"""Rows of units in which glitches and wires come: adders, choices, multipliers."""
_ENERGIES = [0, 2]
"""Columns of a table's units that are energy and leakage."""
NOTHING = 1e-30
"""Stands for 0 where logarithms are taken."""


@dataclass(frozen=True)
class Prices:
    """Costs of units at one set of answers.

    `units` float64[4, 2]: register, adder and select bit, multiplier; pJ an operation, nW. Areas are of components
    (`estimate.cells`), not of units.
    `clock_pj` a register bit that sees a cycle, with its share of the tree; `tree` is the tree's part of it. `gate`:
    what a clock gate takes in a cycle, in such bits; `gating`: a factor, how far what gates let through may be off;
    `gate_bits`: another of all that gated registers see, for how many of them a gate needs at least. `turning`: share
    of bits that turn, where no run counted them; `events`: a factor, how far what is measured of events may be off.
    `memory_tables` are places in the technology's list, whose geometric mean is taken, with factors of energy, leakage
    and area.
    """

    units: np.ndarray
    clock_pj: float
    tree: float
    gate: float
    gating: float
    gate_bits: float
    turning: float
    events: float
    memory_tables: tuple[int, ...]
    memory_factors: tuple[tuple[float, float, float], ...]


@lru_cache(maxsize=1 << 12)
def prices(technology: Technology, word_bits: int, voltage: float | None, answers: Answers) -> Prices:
    """The costs at these answers; `voltage` (V) in place of the technology's, None for its own."""
    volts = voltage if voltage is not None else taken(technology.voltage, answers.voltage)
    square = (volts / technology.voltage.central) ** 2
    cube = (volts / technology.voltage.central) ** 3
    tables = list(_logic(technology, word_bits, answers))
    units = np.exp(np.mean([np.log(table) for table, _ in tables], axis=0))
    clock = float(np.exp(np.mean([np.log(pin) for _, pin in tables])))
    units[:, 0] *= square
    units[:, 1] *= cube * taken(technology.logic_leakage, answers.leakage)
    tree = taken(technology.clock.tree, answers.tree)
    few, many = clocking().bounds
    places = tuple(range(len(technology.memory))) if answers.memory is None else (answers.memory,)
    return Prices(
        units,
        clock * square * (1 + tree),
        tree / (1 + tree),
        taken(technology.clock.gate, answers.gate),
        _within(clocking().held_out.worst, answers.gating),
        dict(zip(("low", "central", "high"), (few, 1.0, many), strict=True))[answers.gate_bits],
        taken(technology.turning, answers.turning),
        _within(switching().held_out.worst, answers.events),
        places,
        tuple(_memory_factors(technology.memory[place], volts, answers) for place in places),
    )


def _within(error: float, pick: Pick) -> float:
    """A factor that may be off by a relative error, either way."""
    return {"low": 1 / (1 + error), "central": 1.0, "high": 1 + error}[pick]


def logic_places(technology: Technology, answers: Answers) -> list[int]:
    """The logic tables taken, as places in the technology's list: one, or those of the central estimate."""
    if answers.logic is not None:
        return [answers.logic]
    return [i for i, use in enumerate(technology.logic) if technology.central in (None, use.table)]


def _logic(technology: Technology, word_bits: int, answers: Answers) -> Iterator[tuple[np.ndarray, float]]:
    """Units and clock of the tables taken, brought to the node and its central voltage."""
    for place in logic_places(technology, answers):
        scale = taken(technology.logic_factors()[place][0], answers.logic_scale)
        units, clock = _table(technology, word_bits, place)
        scaled = units * scale
        scaled[_COMBINATIONAL, 0] *= taken(technology.logic[place].unseen, answers.unseen)
        yield scaled, clock * scale


@lru_cache(maxsize=256)
def _table(technology: Technology, word_bits: int, place: int) -> tuple[np.ndarray, float]:
    """Energy and leakage of units, none of them 0, and clock of one of the technology's tables as it is."""
    table = technology.logic_tables()[place]
    return np.maximum(table.units(word_bits)[:, _ENERGIES], NOTHING), max(table.clock_pj, NOTHING)


def _memory_factors(use: MemoryUse, volts: float, answers: Answers) -> tuple[float, float, float]:
    """Of energy, leakage and area: from the table's own voltage and node to these."""
    ratio = volts / use.volts
    energy, area = taken(use.energy, answers.memory_scale), taken(use.area, answers.memory_scale)
    return ratio**2 * energy, ratio**3 * taken(use.leakage, answers.leakage), area


def taken(spread: Spread, pick: Pick) -> float:
    """The end of a spread that is picked."""
    return getattr(spread, pick)
