"""A mapped netlist bit by bit: cells of the library, their pins' nets, and what stands on the nets over time.

Nets are numbers, as Yosys's JSON gives them; constants are "0" and "1". `evaluate` computes every net's value in each
cycle from those of inputs, flip-flops and black boxes: zero delay, so no glitches.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import CodeType

import numpy as np

from rtl.verilog import _run_yosys
from synthesis.functions import expression
from synthesis.liberty import Group, Library

Net = int | str
Waves = dict[Net, np.ndarray]
"""bool[cycles] by net."""


@dataclass(frozen=True)
class Cell:
    """An instance: its name, its cell of the library (None for a black box), the nets at its pins."""

    name: str
    kind: str
    group: Group | None
    pins: Mapping[str, tuple[Net, ...]]

    def net(self, pin: str) -> Net:
        """The net at a pin of one bit."""
        return self.pins[pin][0]


@dataclass(frozen=True)
class Netlist:
    """A mapped block: `ports` and `names` give nets, lowest bit first; `inputs` are the names of input ports."""

    library: Library
    cells: tuple[Cell, ...]
    ports: Mapping[str, tuple[Net, ...]]
    inputs: tuple[str, ...]
    names: Mapping[str, tuple[Net, ...]]

    @classmethod
    def read(cls, rtlil: str, top: str, library: Library) -> Netlist:
        """The netlist that `synthesis.mapping.mapped_netlist` gives as text."""
        module = _json_of(rtlil)["modules"][top]
        cells = [
            Cell(name.removeprefix("\\"), found["type"], library.cells.get(found["type"]), _pins(found["connections"]))
            for name, found in module["cells"].items()
        ]
        inputs = tuple(name for name, port in module["ports"].items() if port["direction"] == "input")
        ports = _pins({name: port["bits"] for name, port in module["ports"].items()})
        names = _pins({name: found["bits"] for name, found in module["netnames"].items()})
        return cls(library, tuple(cells), ports, inputs, names)

    @cached_property
    def flops(self) -> tuple[Cell, ...]:
        """The flip-flops."""
        return tuple(cell for cell in self.cells if cell.group is not None and cell.group.first("ff"))

    @cached_property
    def gates(self) -> tuple[Cell, ...]:
        """What has no state, each after those that drive it. Raises `ValueError` at a loop."""
        gates = [cell for cell in self.cells if cell.group is not None and not cell.group.first("ff")]
        drivers = {net: cell for cell in gates for net in outputs_of(cell).values()}
        ordered: dict[str, Cell] = {}
        state: dict[str, int] = {}
        for first in gates:
            waiting = [first]
            while waiting:
                cell = waiting[-1]
                if state.get(cell.name) == 2:
                    waiting.pop()
                    continue
                ahead = [drivers[net] for net in _input_nets(cell) if net in drivers]
                ahead = [other for other in ahead if state.get(other.name) != 2]
                if not ahead:
                    state[cell.name] = 2
                    ordered[cell.name] = waiting.pop()
                elif state.get(cell.name) == 1:
                    raise ValueError(f"a loop of gates through {cell.name}")
                else:
                    state[cell.name] = 1
                    waiting.extend(ahead)
        return tuple(ordered.values())

    def evaluate(self, sources: Mapping[Net, np.ndarray]) -> Waves:
        """Every net's value in each cycle, from those of input ports, flip-flops' outputs and black boxes."""
        length = len(next(iter(sources.values())))
        waves: Waves = {"0": np.zeros(length, bool), "1": np.ones(length, bool), "x": np.zeros(length, bool), **sources}
        for cell in self.gates:
            pins = {pin: waves[nets[0]] for pin, nets in cell.pins.items() if nets and nets[0] in waves}
            for pin, net in outputs_of(cell).items():
                assert cell.group is not None
                value = eval(_code(cell.group, pin), {"__builtins__": {}}, pins)
                waves[net] = value if isinstance(value, np.ndarray) else np.full(length, bool(value & 1))
        return waves


def outputs_of(cell: Cell) -> dict[str, Net]:
    """The nets at a library cell's outputs that are connected."""
    assert cell.group is not None
    outputs = (pin.names[0] for pin in cell.group.all("pin") if pin.attributes.get("direction") == "output")
    return {pin: cell.pins[pin][0] for pin in outputs if cell.pins.get(pin)}


def _input_nets(cell: Cell) -> list[Net]:
    outputs = set(outputs_of(cell))
    return [net for pin, nets in cell.pins.items() if pin not in outputs for net in nets]


def _code(group: Group, pin: str) -> CodeType:
    found = next(item for item in group.all("pin") if item.names[0] == pin)
    return _compiled(found.attributes["function"])


@cache
def _compiled(function: str) -> CodeType:
    return compile(expression(function), "function", "eval")


def _pins(connections: Mapping[str, list]) -> dict[str, tuple[Net, ...]]:
    return {name.removeprefix("\\"): tuple(bits) for name, bits in connections.items()}


def _json_of(rtlil: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.il"), Path(folder, "out.json")
        source.write_text(rtlil)
        _run_yosys(f"read_rtlil {source}", f"write_json {target}")
        return json.loads(target.read_text())
