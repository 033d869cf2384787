"""Power from switching: toggles of nets times capacitance and the library's internal-power tables, and leakage.

A toggle of a net costs C V² / 2, C being the input pins on it (no wires: nothing is placed); a toggle of a cell's
output costs the mean of its rise and fall tables at that load and at `SLEW_S`, averaged over related pins and
conditions; so do toggles of input pins that have tables. A flip-flop's clock pin toggles twice a cycle, behind a clock
gate in those in which it is open; the clock's own tree is not in the netlist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from arch.errors import InputError
from synthesis.liberty import Group, Library
from synthesis.netlist import Cell, Net, Netlist, Waves

_GATE_PINS = ("clock_gate_enable_pin", "clock_gate_clock_pin", "clock_gate_out_pin")
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


@dataclass(frozen=True)
class Tariff:
    """What a netlist's toggles cost: joules of one by net, apart those of clocks: pins of flip-flops and clock gates by
    the net at them, and what a gate's own output takes by that net; watts of leakage."""

    toggle: Mapping[Net, float]
    clock_toggle: Mapping[Net, float]
    leakage_w: float

    @classmethod
    def of(cls, netlist: Netlist) -> Tariff:
        """By the library's tables."""
        loads = capacitances(netlist)
        half = netlist.library.voltage**2 / 2
        toggle = {net: load * half for net, load in loads.items()}
        clock: dict[Net, float] = {}
        for cell in netlist.cells:
            for pin, price in _internals(netlist.library, cell, loads).items():
                net = cell.net(pin)
                toggle[net] = toggle.get(net, 0.0) + price
            for net, price in _clocks(netlist.library, cell):
                clock[net] = clock.get(net, 0.0) + price
        return cls(toggle, clock, sum(leakage(netlist.library, cell.kind) for cell in netlist.cells))

    @property
    def clock(self) -> float:
        """Joules of the clocks in a cycle with every gate open: two toggles of each."""
        return 2 * sum(self.clock_toggle.values())

    def clocks(self, cycles: int, opened: Mapping[Net, int]) -> float:
        """Joules of the clocks in `cycles` cycles; of gated ones `opened` says in how many their gate was open."""
        return 2 * sum(price * opened.get(net, cycles) for net, price in self.clock_toggle.items())

    def energy(self, counts: Mapping[Net, float], cycles: int) -> Energy:
        """The energy of `cycles` cycles in which each net toggles as often as `counts` says."""
        return Energy(self.switching(counts), self.clock * cycles, self.leakage_w)

    def switching(self, counts: Mapping[Net, float]) -> float:
        """Joules of so many toggles by net."""
        return sum(counts.get(net, 0) * price for net, price in self.toggle.items())


def toggles(wave: np.ndarray) -> int:
    """How often a net changes from a cycle to the next."""
    return int(np.count_nonzero(wave[1:] != wave[:-1]))


def energy(netlist: Netlist, counts: Mapping[Net, float], cycles: int) -> Energy:
    """The energy of `cycles` cycles in which each net toggles as often as `counts` says."""
    return Tariff.of(netlist).energy(counts, cycles)


def counted(waves: Waves) -> dict[Net, float]:
    """Toggles by net."""
    return {net: toggles(wave) for net, wave in waves.items()}


def capacitances(netlist: Netlist) -> dict[Net, float]:
    """Farads of the input pins on each net, clock pins apart."""
    loads: dict[Net, float] = {}
    for cell in netlist.cells:
        for pin, farads in _input_pins(netlist.library, cell.kind).items():
            if nets := cell.pins.get(pin):
                loads[nets[0]] = loads.get(nets[0], 0.0) + farads
    return loads


def internal(library: Library, kind: str, pin: str, load: float) -> float:
    """Joules that a toggle of a pin costs inside its cell."""
    curves = _curves(library, kind, pin)
    return float(np.mean([np.interp(load, loads, joules) for loads, joules in curves])) if curves else 0.0


@lru_cache(maxsize=1 << 12)
def leakage(library: Library, kind: str) -> float:
    """Watts of a cell, averaged over its states; 0 for a black box."""
    cell = library.cells.get(kind)
    if cell is None:
        return 0.0
    values = [float(group.attributes["value"]) for group in cell.all("leakage_power") if "value" in group.attributes]
    mean = float(np.mean(values)) if values else cell.number("cell_leakage_power")
    return mean * library.leakage_unit


def table(group: Group, library: Library, unit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slews (s), loads (F) and values, times `unit`, of a table; an axis that it lacks has one place."""
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
    return slews * library.time_unit, loads * library.capacitance_unit, values.reshape(len(slews), len(loads)) * unit


def at_slew(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Loads and values of a table at `SLEW_S`."""
    slews, loads, values = found
    return loads, np.array([np.interp(SLEW_S, slews, column) for column in values.T])


@dataclass(frozen=True)
class GateCell:
    """A library's cell that gates a rising clock: its kind, and its pins of enable, clock and gated clock.

    `tied` are inputs that test alone uses, tied to 0.
    """

    kind: str
    enable: str
    clock: str
    gated: str
    tied: tuple[str, ...]


def gate_of(library: Library) -> GateCell:
    """The smallest, without inputs for test where there is one. Raises `InputError` where there is none."""
    found = [gate for cell in library.cells.values() if (gate := gate_cell(cell))]
    if not found:
        raise InputError(f"{library.path}: has no cell that gates a rising clock; map without --gates")
    return min(found, key=lambda gate: (len(gate.tied), library.cells[gate.kind].number("area")))


def gate_cell(cell: Group | None) -> GateCell | None:
    """The cell as a clock gate; None if it is none."""
    if cell is None or not cell.attributes.get("clock_gating_integrated_cell", "").startswith("latch_posedge"):
        return None
    pins = {kind: pin.names[0] for kind in _GATE_PINS for pin in cell.all("pin") if pin.attributes.get(kind) == "true"}
    tied = tuple(
        pin.names[0]
        for pin in cell.all("pin")
        if pin.attributes.get("direction") == "input" and pin.names[0] not in pins.values()
    )
    enable, clock, gated = (pins[kind] for kind in _GATE_PINS)
    return GateCell(cell.names[0], enable, clock, gated, tied)


def gate_price(library: Library, gate: GateCell) -> tuple[float, float]:
    """Joules of a cycle in a clock gate that is shut, and in one that is open; not of what its clock drives."""
    shut = 2 * _clock_price(library, gate.kind, gate.clock)
    return shut, shut + 2 * internal(library, gate.kind, gate.gated, 0.0)


def _internals(library: Library, cell: Cell, loads: Mapping[Net, float]) -> dict[str, float]:
    """Joules that a toggle costs inside a cell, by pin, its clock apart."""
    clock = _clock_pin(library, cell.kind)
    return {
        pin: internal(library, cell.kind, pin, loads.get(nets[0], 0.0))
        for pin, nets in cell.pins.items()
        if cell.group is not None and nets and pin != clock
    }


def _clocks(library: Library, cell: Cell) -> Iterator[tuple[Net, float]]:
    """Joules of a toggle of the clocks at a cell, by net."""
    if pin := _clock_pin(library, cell.kind):
        yield cell.net(pin), _clock_price(library, cell.kind, pin)
    if gate := gate_cell(cell.group):
        yield cell.net(gate.gated), internal(library, cell.kind, gate.gated, 0.0)


def _clock_price(library: Library, kind: str, pin: str) -> float:
    """Joules of a toggle of a flip-flop's or clock gate's clock pin, at it and inside."""
    load = _pin(library.cells[kind], pin).number("capacitance") * library.capacitance_unit
    return internal(library, kind, pin, 0.0) + load * library.voltage**2 / 2


@lru_cache(maxsize=1 << 12)
def _input_pins(library: Library, kind: str) -> dict[str, float]:
    """Farads of a cell's inputs, its clock apart."""
    cell = library.cells.get(kind, Group("cell"))
    return {
        pin.names[0]: pin.number("capacitance") * library.capacitance_unit
        for pin in cell.all("pin")
        if pin.attributes.get("direction") == "input" and pin.names[0] != _clock_pin(library, kind)
    }


@lru_cache(maxsize=1 << 12)
def _curves(library: Library, kind: str, pin: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    groups = _pin(library.cells[kind], pin).all("internal_power")
    return tuple(at_slew(table(item, library, library.energy_unit)) for group in groups for item in group.groups)


@lru_cache(maxsize=1 << 12)
def _clock_pin(library: Library, kind: str) -> str | None:
    cell = library.cells.get(kind, Group("cell"))
    if gate := gate_cell(cell):
        return gate.clock
    flop = cell.first("ff")
    return None if flop is None else flop.attributes["clocked_on"].strip("()!' ")


def _pin(cell: Group, name: str) -> Group:
    return next(pin for pin in cell.all("pin") if name in pin.names)
