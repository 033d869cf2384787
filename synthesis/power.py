"""Power from switching: toggles of nets times capacitance and the library's internal-power tables, and leakage.

A toggle of a net costs C V² / 2, C being the input pins on it (no wires: nothing is placed); a toggle of a cell's
output costs the mean of its rise and fall tables at that load and at `SLEW_S`, averaged over related pins and
conditions; so do toggles of input pins that have tables. A flip-flop's clock pin toggles twice a cycle; the clock's
own tree is not in the netlist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthesis.liberty import Group, Library
from synthesis.netlist import Net, Netlist, Waves

SLEW_S = 1e-10
"""Seconds of a transition at an input, for the tables."""


@dataclass(frozen=True)
class Energy:
    """Joules over all cycles: of nets and cells that switch, of flip-flops' clock pins; watts of leakage."""

    switching: float
    clock: float
    leakage_w: float

    @property
    def total(self) -> float:
        """Joules without leakage."""
        return self.switching + self.clock


def toggles(wave: np.ndarray) -> int:
    """How often a net changes from a cycle to the next."""
    return int(np.count_nonzero(wave[1:] != wave[:-1]))


def energy(netlist: Netlist, counts: Mapping[Net, float], cycles: int) -> Energy:
    """The energy of `cycles` cycles in which each net toggles as often as `counts` says."""
    loads = capacitances(netlist)
    half = netlist.library.voltage**2 / 2
    switching = sum(counts.get(net, 0) * load * half for net, load in loads.items())
    clock = 0.0
    for cell in netlist.cells:
        if cell.group is None:
            continue
        clocks = _clock_pin(cell.group)
        for pin, nets in cell.pins.items():
            if not nets:
                continue
            price = internal(netlist.library, cell.kind, pin, loads.get(nets[0], 0.0))
            if pin == clocks:
                pin_load = _pin(cell.group, pin).number("capacitance") * netlist.library.capacitance_unit
                clock += 2 * cycles * (price + pin_load * half)
            else:
                switching += counts.get(nets[0], 0) * price
    return Energy(switching, clock, sum(leakage(netlist.library, cell.kind) for cell in netlist.cells))


def counted(waves: Waves) -> dict[Net, float]:
    """Toggles by net."""
    return {net: toggles(wave) for net, wave in waves.items()}


def capacitances(netlist: Netlist) -> dict[Net, float]:
    """Farads of the input pins on each net, clock pins apart."""
    loads: dict[Net, float] = {}
    unit = netlist.library.capacitance_unit
    for cell in netlist.cells:
        if cell.group is None:
            continue
        for pin in cell.group.all("pin"):
            nets = cell.pins.get(pin.names[0])
            if nets and pin.attributes.get("direction") == "input" and pin.names[0] != _clock_pin(cell.group):
                loads[nets[0]] = loads.get(nets[0], 0.0) + pin.number("capacitance") * unit
    return loads


@lru_cache(maxsize=1 << 16)
def _tables(library: Library, kind: str, pin: str) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    cell = library.cells[kind]
    return tuple(_table(table, library) for group in _pin(cell, pin).all("internal_power") for table in group.groups)


def internal(library: Library, kind: str, pin: str, load: float) -> float:
    """Joules that a toggle of a pin costs inside its cell."""
    tables = _tables(library, kind, pin)
    if not tables:
        return 0.0
    return float(np.mean([_at(table, load) for table in tables]))


@lru_cache(maxsize=1 << 12)
def leakage(library: Library, kind: str) -> float:
    """Watts of a cell, averaged over its states; 0 for a black box."""
    cell = library.cells.get(kind)
    if cell is None:
        return 0.0
    values = [float(group.attributes["value"]) for group in cell.all("leakage_power") if "value" in group.attributes]
    mean = float(np.mean(values)) if values else cell.number("cell_leakage_power")
    return mean * library.leakage_unit


def _pin(cell: Group, name: str) -> Group:
    return next(pin for pin in _pins(cell) if name in pin.names)


def _pins(cell: Group) -> Iterator[Group]:
    return cell.all("pin")


def _clock_pin(cell: Group) -> str | None:
    flop = cell.first("ff")
    return None if flop is None else flop.attributes["clocked_on"].strip("()!' ")


def _table(group: Group, library: Library) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slews, loads and joules of a table; an axis that it lacks has one place."""
    template = next((item for item in library.root.groups if item.names == group.names), None)
    values = np.array([[float(x) for x in row.split(",")] for row in group.lists["values"][0]])
    axes: dict[str, np.ndarray] = {}
    for number in (1, 2):
        text = group.lists.get(f"index_{number}") or (template and template.lists.get(f"index_{number}"))
        name = template.attributes.get(f"variable_{number}", "") if template is not None else ""
        if text:
            axes["load" if "capacitance" in name else "slew"] = np.array([float(x) for x in text[0][0].split(",")])
    order = list(axes)
    values = values.reshape([len(axis) for axis in axes.values()] or [1])
    if order == ["load", "slew"]:
        values = values.T
    slews, loads = axes.get("slew", np.zeros(1)), axes.get("load", np.zeros(1))
    joules = values.reshape(len(slews), len(loads)) * library.energy_unit
    return slews * library.time_unit, loads * library.capacitance_unit, joules


def _at(table: tuple[np.ndarray, np.ndarray, np.ndarray], load: float) -> float:
    slews, loads, joules = table
    row = np.array([np.interp(SLEW_S, slews, joules[:, column]) for column in range(len(loads))])
    return float(np.interp(load, loads, row))
