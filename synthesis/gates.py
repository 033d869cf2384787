"""Clock gates that the registers of a block can have: which bits share an enable, and when it opens.

An enable is what the RTL says: a register keeps its value where nothing is assigned (`synthesis.enables`). No library
is needed: enables are made of Yosys's own gates and evaluated on a recording of the RTL, which must show that a
register behind a shut gate keeps its value in every cycle.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from arch.chip import Chip
from rtl.verilog import run_yosys
from synthesis.activity import ActivityError, scopes, sources_of
from synthesis.blocks import MULTIPLIER, Block, blocks_of
from synthesis.enables import ENABLED, FIND, FREE, LEGAL, SHUT, add_enables, fresh
from synthesis.liberty import Group, Library
from synthesis.netlist import Cell, Net, Netlist, Waves
from synthesis.recording import Signals

FAN_OUT = 32
"""Register bits that a gate drives at most; a usual bound of clock-tree synthesis, assumed."""
DATA = "data_of_registers"
"""The input that stands for the next values of registers, which enables are not made of."""
_FUNCTIONS = {
    "$_BUF_": "A",
    "$_NOT_": "!A",
    "$_AND_": "A*B",
    "$_NAND_": "!(A*B)",
    "$_OR_": "A+B",
    "$_NOR_": "!(A+B)",
    "$_XOR_": "A^B",
    "$_XNOR_": "!(A^B)",
    "$_ANDNOT_": "A*!B",
    "$_ORNOT_": "A+!B",
    "$_MUX_": "(S*B)+(!S*A)",
}
"""Yosys's gates, as Liberty says functions."""
_ENABLES = (
    "opt_clean",
    "techmap",
    "opt -full",
    "simplemap",
    LEGAL,
    "opt_expr",
    "opt_merge",
    "opt_clean",
)
"""Yosys's commands from there to gates, where nothing is left but what enables are made of."""


@dataclass(frozen=True)
class Gated:
    """A block's registers: `netlist` holds them and what their enables are made of; `groups` are those of each enable.

    `block.count` such blocks stand in the chip.
    """

    block: Block
    netlist: Netlist
    groups: Mapping[Net, tuple[Cell, ...]]

    @property
    def bits(self) -> int:
        """Register bits of one block."""
        return len(self.netlist.flops)

    def structure(self, least: int) -> Structure:
        """Of all blocks, with gates for enables of at least `least` bits."""
        sizes = [len(cells) for cells in self.groups.values() if len(cells) >= least]
        return Structure(self.bits, sum(sizes), sum(map(gates_of, sizes))) * self.block.count


@dataclass(frozen=True)
class Structure:
    """Register bits, those of them behind gates, and gates."""

    bits: int = 0
    gated: int = 0
    gates: int = 0

    def __add__(self, other: Structure) -> Structure:
        return Structure(self.bits + other.bits, self.gated + other.gated, self.gates + other.gates)

    def __mul__(self, count: int) -> Structure:
        return Structure(self.bits * count, self.gated * count, self.gates * count)


def gates_of(bits: int) -> int:
    """Gates for so many bits of one enable."""
    return -(-bits // FAN_OUT)


def gated_blocks(chip: Chip) -> list[Gated]:
    """Every block of `chip` but the multiplier, which has no registers."""
    return [gated(block) for block in blocks_of(chip) if block.name != MULTIPLIER]


def gated(block: Block) -> Gated:
    """The enables of a block. Raises `NetlistError` where Yosys refuses."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, found, cut, done = (folder / part for part in ("block.il", "found.json", "cut.json", "done.json"))
        source.write_text(block.text)
        coarse = f"synth -top {block.top} -flatten -nofsm -noabc -noshare -run begin:fine"
        run_yosys(f"read_rtlil {source}", coarse, *FIND, f"write_json {found}")
        module = json.loads(found.read_text())["modules"][block.top]
        add_enables(module)
        _without_data(module)
        cut.write_text(json.dumps({"modules": {block.top: module}}))
        boxes = [f"read_rtlil {source}", f"delete {block.top}"]
        run_yosys(*boxes, f"read_json {cut}", f"hierarchy -top {block.top}", *_ENABLES, f"write_json {done}")
        netlist = Netlist.of(json.loads(done.read_text())["modules"][block.top], _generic())
    groups: dict[Net, list[Cell]] = defaultdict(list)
    for cell in netlist.flops:
        if cell.kind == ENABLED:
            groups[cell.net("E")].append(cell)
    real = replace(netlist, inputs=tuple(name for name in netlist.inputs if name != DATA))
    return Gated(block, real, {net: tuple(cells) for net, cells in groups.items()})


def _without_data(module: dict) -> None:
    """Leave nothing but registers and what their enables are made of: outputs and inputs of boxes go.

    Each register takes a bit of an input of its own instead of its next value.
    """
    flops = [cell for cell in module["cells"].values() if cell["type"] in (FREE, ENABLED, SHUT)]
    first = fresh(module)
    data = list(range(first, first + len(flops)))
    for cell, bit in zip(flops, data, strict=True):
        cell["connections"]["D"] = [bit]
        cell["attributes"] = {"keep": "1"}
    for cell in module["cells"].values():
        if not cell["type"].startswith("$"):
            ways = cell["port_directions"]
            cell["connections"] = {pin: bits for pin, bits in cell["connections"].items() if ways[pin] == "output"}
    module["ports"] = {name: port for name, port in module["ports"].items() if port["direction"] == "input"}
    module["ports"][DATA] = {"direction": "input", "bits": data}


@dataclass(frozen=True)
class Opened:
    """Over the cycles of a run: bit-cycles in which a bit behind a gate saw the clock, and gate-cycles open."""

    clocked: int = 0
    opened: int = 0

    def __add__(self, other: Opened) -> Opened:
        return Opened(self.clocked + other.clocked, self.opened + other.opened)


def opened(item: Gated, recording: Signals, least: Sequence[int]) -> list[Opened]:
    """What all gates of such blocks let through, for each least number of bits.

    Raises `ActivityError` where a register behind a shut gate changes.
    """
    found = [Opened() for _ in least]
    for scope in scopes(item.block, recording):
        sources = sources_of(item.block, item.netlist, scope, recording)
        waves = item.netlist.evaluate(sources)
        for net, cells in item.groups.items():
            on = np.broadcast_to(waves[net], recording.cycles)
            _check(cells, waves, on, scope)
            count, size = int(on.sum()), len(cells)
            found = [
                one + Opened(count * size, count * gates_of(size)) if size >= bound else one
                for one, bound in zip(found, least, strict=True)
            ]
    return found


def _check(cells: Sequence[Cell], waves: Waves, on: np.ndarray, scope: str) -> None:
    for cell in cells:
        state = waves[cell.net("Q")]
        if ((state[1:] != state[:-1]) & ~on[:-1]).any():
            raise ActivityError(f"{scope or 'the top'}: {cell.name} changes behind a shut gate")


def _generic() -> Library:
    """Yosys's gates and registers as a library without areas, delays and powers."""
    cells = [_gate(kind, function) for kind, function in _FUNCTIONS.items()]
    cells += [Group("cell", (kind,), groups=[Group("ff", attributes={"clocked_on": "C"})]) for kind in (FREE, ENABLED)]
    return Library(Path("generic"), "", Group("library", groups=cells))


def _gate(kind: str, function: str) -> Group:
    pins = [Group("pin", (pin,), {"direction": "input"}) for pin in "ABS" if pin in function]
    return Group("cell", (kind,), groups=[*pins, Group("pin", ("Y",), {"direction": "output", "function": function})])
