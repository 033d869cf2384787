"""A mapped netlist bit by bit: cells of the library, their pins' nets, and what stands on the nets over time.

Nets are numbers, as Yosys's JSON gives them; constants are "0" and "1". `evaluate` computes every net's value in each
cycle from those of inputs, flip-flops and black boxes: zero delay, so no glitches.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import numpy as np

from rtl.verilog import run_yosys
from synthesis.functions import expression, pins_of
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


class Gate(NamedTuple):
    """An output of a cell without state: its net, its cell's kind and pin, its function, the nets at its inputs."""

    net: Net
    kind: str
    pin: str
    function: str
    inputs: tuple[tuple[str, Net], ...]


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
        return cls.of(_json_of(rtlil)["modules"][top], library)

    @classmethod
    def of(cls, module: dict, library: Library) -> Netlist:
        """The netlist of a module of Yosys's JSON."""
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
    def gates(self) -> tuple[Gate, ...]:
        """What has no state, each after those that drive it. Raises `ValueError` at a loop."""
        gates = [gate for cell in self.cells for gate in _gates(cell)]
        drivers = {gate.net: place for place, gate in enumerate(gates)}
        ordered: list[Gate] = []
        state = [0] * len(gates)
        for first in range(len(gates)):
            waiting = [first]
            while waiting:
                place = waiting[-1]
                if state[place] == 2:
                    waiting.pop()
                    continue
                ahead = [drivers[net] for _, net in gates[place].inputs if net in drivers]
                ahead = [other for other in ahead if state[other] != 2]
                if not ahead:
                    state[place] = 2
                    ordered.append(gates[waiting.pop()])
                elif state[place] == 1:
                    raise ValueError(f"a loop of gates through a {gates[place].kind}")
                else:
                    state[place] = 1
                    waiting.extend(ahead)
        return tuple(ordered)

    def evaluate(self, sources: Mapping[Net, np.ndarray]) -> Waves:
        """Every net's value in each cycle, from those of input ports, flip-flops' outputs and black boxes."""
        length = len(next(iter(sources.values())))
        waves: Waves = {"0": np.zeros(length, bool), "1": np.ones(length, bool), "x": np.zeros(length, bool), **sources}
        names: dict = {"__builtins__": {}}
        for gate in self.gates:
            value = eval(_compiled(gate.function), names, {pin: waves[net] for pin, net in gate.inputs})
            waves[gate.net] = value if isinstance(value, np.ndarray) else np.full(length, bool(value & 1))
        return waves

    def inlined(self, kind: str, inner: Netlist, ports: Mapping[str, str]) -> Netlist:
        """With the cells of `inner` in place of each black box `kind`; `ports` names the port of `inner` for each pin.

        Raises `ValueError` where a net of `inner` stands at two ports.
        """
        boxes = [cell for cell in self.cells if cell.kind == kind and cell.group is None]
        others = [cell for cell in self.cells if cell.kind != kind or cell.group is not None]
        first = 1 + max((net for nets in self.names.values() for net in nets if isinstance(net, int)), default=0)
        stride = 1 + max((net for nets in inner.names.values() for net in nets if isinstance(net, int)), default=0)
        for number, box in enumerate(boxes):
            outer = _joined(box, inner, ports)
            base = first + number * stride
            others += [_moved(cell, box.name, base, outer) for cell in inner.cells]
        return replace(self, cells=tuple(others))


def _joined(box: Cell, inner: Netlist, ports: Mapping[str, str]) -> dict[Net, Net]:
    """The nets of `inner` at its ports, and those at the pins of `box`."""
    pairs = [pair for pin, port in ports.items() for pair in zip(inner.ports[port], box.pins[pin], strict=True)]
    outer = dict(pairs)
    if len(outer) != len(pairs):
        raise ValueError(f"a net of {box.kind} stands at two of its ports")
    return outer


def _moved(cell: Cell, prefix: str, base: int, outer: Mapping[Net, Net]) -> Cell:
    def move(net: Net) -> Net:
        return outer[net] if net in outer else base + net if isinstance(net, int) else net

    pins = {pin: tuple(map(move, nets)) for pin, nets in cell.pins.items()}
    return replace(cell, name=f"{prefix}.{cell.name}", pins=pins)


def _gates(cell: Cell) -> Iterator[Gate]:
    if cell.group is None or cell.group.first("ff"):
        return
    for pin in cell.group.all("pin"):
        nets = cell.pins.get(pin.names[0])
        if nets and pin.attributes.get("direction") == "output" and "function" in pin.attributes:
            function = pin.attributes["function"]
            inputs = tuple((name, cell.net(name)) for name in _inputs(function))
            yield Gate(nets[0], cell.kind, pin.names[0], function, inputs)


@cache
def _inputs(function: str) -> list[str]:
    return pins_of(function)


@cache
def _compiled(function: str) -> CodeType:
    return compile(expression(function), "function", "eval")


def _pins(connections: Mapping[str, list]) -> dict[str, tuple[Net, ...]]:
    return {name.removeprefix("\\"): tuple(bits) for name, bits in connections.items()}


def _json_of(rtlil: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.il"), Path(folder, "out.json")
        source.write_text(rtlil)
        run_yosys(f"read_rtlil {source}", f"write_json {target}")
        return json.loads(target.read_text())
