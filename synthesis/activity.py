"""Energy of a real run: the mapped netlist of every block under the values that the RTL had in each cycle.

The RTL's recording gives inputs, flip-flops and what comes from memories and other blocks; the netlist gives every
gate's output between them, and must then say each flip-flop's next value as the RTL does: that is checked. Zero delay:
no glitches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from arch.chip import Chip
from synthesis.blocks import MULTIPLIER, Block, blocks_of
from synthesis.liberty import Library
from synthesis.mapping import Recipe, mapped_netlist
from synthesis.netlist import Cell, Net, Netlist, Waves
from synthesis.power import Energy, counted, energy
from synthesis.recording import Recording

_OUTPUTS = {MULTIPLIER: "Y", "memory": "RD_DATA"}


@dataclass(frozen=True)
class Active:
    """A component's energy over the cycles of a run, in joules; `flops` flip-flops were checked in each."""

    switching: float
    clock: float
    leakage_w: float
    flops: int

    def __add__(self, other: Active) -> Active:
        return Active(
            self.switching + other.switching,
            self.clock + other.clock,
            self.leakage_w + other.leakage_w,
            self.flops + other.flops,
        )


class ActivityError(ValueError):
    """The netlist does not do what the RTL did, or the recording lacks a signal."""


def activity(chip: Chip, library: Library, recipe: Recipe, recording: Recording) -> dict[str, Active]:
    """The energy of each component of `chip`. Raises `ActivityError` where netlist and RTL differ."""
    found: dict[str, Active] = {}
    blocks = {block.name: block for block in blocks_of(chip)}
    multiplier = blocks.pop(MULTIPLIER)
    product = Netlist.read(mapped_netlist(multiplier, library, recipe), multiplier.top, library)
    for block in blocks.values():
        netlist = Netlist.read(mapped_netlist(block, library, recipe), block.top, library)
        for scope in _scopes(block, recording):
            waves = _waves(netlist, block, scope, recording)
            flops = _check(netlist, waves, scope)
            parts = [_active(energy(netlist, counted(waves), recording.cycles), flops)]
            parts += [_active(item, 0) for item in _products(netlist, waves, product, recording.cycles)]
            for part in parts:
                found[block.component] = found.get(block.component, Active(0, 0, 0, 0)) + part
    return found


def _active(item: Energy, flops: int) -> Active:
    return Active(item.switching, item.clock, item.leakage_w, flops)


def _scopes(block: Block, recording: Recording) -> Iterator[str]:
    """The scopes of a block's instances: every bank of a memory."""
    if block.name.endswith(".bank"):
        yield from (f"{recording.scope(block.name[:-5])}.bank{number}" for number in range(block.count))
    else:
        yield recording.scope("" if block.component == "interconnect" else block.name)


def _waves(netlist: Netlist, block: Block, scope: str, recording: Recording) -> Waves:
    """Every net of a block in each cycle."""
    prefix = f"{scope}." if scope else ""
    sources: Waves = {}
    for name in netlist.inputs:
        if name != "clk":
            _put(sources, netlist.ports[name], recording.bits(prefix + block.original(name)))
    _put_state(sources, netlist, block, prefix, recording)
    boxes = [cell for cell in netlist.cells if cell.group is None]
    for cell in boxes:
        _put_box(sources, cell, block, prefix, recording)
    for net in netlist.ports.get("clk", ()):
        sources.setdefault(net, np.zeros(recording.cycles, bool))
    waves = netlist.evaluate(sources)
    products = [cell for cell in boxes if cell.kind == MULTIPLIER]
    if products:
        for cell in products:
            _put(sources, cell.pins["Y"], _product(waves, cell))
        waves = netlist.evaluate(sources)
    return waves


def _put(sources: Waves, nets: tuple[Net, ...], bits: np.ndarray) -> None:
    for place, net in enumerate(nets):
        if not isinstance(net, str):
            sources[net] = np.ascontiguousarray(bits[:, place])


def _put_state(sources: Waves, netlist: Netlist, block: Block, prefix: str, recording: Recording) -> None:
    """What the flip-flops hold, by the names of the nets at their outputs."""
    wanted = {net for cell in netlist.flops for pin, nets in cell.pins.items() if pin.startswith("Q") for net in nets}
    for name, nets in netlist.names.items():
        full = prefix + block.original(name)
        if wanted.intersection(nets) and full in recording:
            _put(sources, nets, recording.bits(full))
    for cell in netlist.flops:
        direct = cell.pins.get("Q", ())
        inverted = cell.pins.get("Q_N") or cell.pins.get("QN") or ()
        for one, other in ((direct, inverted), (inverted, direct)):
            if one and other and one[0] in sources and other[0] not in sources:
                sources[other[0]] = ~sources[one[0]]
    missing = [net for net in wanted if net not in sources]
    if missing:
        names = sorted(name for name, nets in netlist.names.items() if set(missing).intersection(nets))
        raise ActivityError(f"the recording of {prefix or 'the top'} lacks {len(missing)} bits of {names[:8]}")


def _put_box(sources: Waves, cell: Cell, block: Block, prefix: str, recording: Recording) -> None:
    """What comes out of a memory or another block."""
    if cell.kind == MULTIPLIER:
        for net in cell.pins["Y"]:
            sources[net] = np.zeros(recording.cycles, bool)
        return
    for pin, nets in cell.pins.items():
        full = f"{prefix}{block.original(cell.name)}.{pin}"
        if cell.kind == "memory":
            full = f"{prefix}instruction" if pin == _OUTPUTS["memory"] else ""
        if full in recording and any(net not in sources for net in nets):
            bits = recording.bits(full)
            _put(sources, nets, bits)


def _product(waves: Waves, cell: Cell) -> np.ndarray:
    a, b = (_number(np.stack([waves[net] for net in cell.pins[pin]], axis=1)) for pin in "AB")
    width = len(cell.pins["Y"])
    return ((a * b)[:, None] >> np.arange(width) & 1).astype(bool)


def _number(bits: np.ndarray) -> np.ndarray:
    """int64[cycles] of two's complement bits."""
    weights = 1 << np.arange(bits.shape[1], dtype=np.int64)
    weights[-1] = -weights[-1]
    return bits.astype(np.int64) @ weights


def _products(netlist: Netlist, waves: Waves, product: Netlist, cycles: int) -> Iterator[Energy]:
    """The energy of each multiplier under its operands."""
    for cell in netlist.cells:
        if cell.kind == MULTIPLIER:
            sources: Waves = {}
            for pin, port in (("A", "a"), ("B", "b")):
                _put(sources, product.ports[port], np.stack([waves[net] for net in cell.pins[pin]], axis=1))
            for name in product.inputs:
                for net in product.ports[name]:
                    sources.setdefault(net, np.zeros(cycles, bool))
            yield energy(product, counted(product.evaluate(sources)), cycles)


def _check(netlist: Netlist, waves: Waves, scope: str) -> int:
    """Compare each flip-flop's next value with the RTL's; how many there are."""
    for cell in netlist.flops:
        data, held = waves[cell.net("D")], waves.get(cell.pins["Q"][0]) if cell.pins.get("Q") else None
        if held is None:
            held = ~waves[(cell.pins.get("Q_N") or cell.pins["QN"])[0]]
        wrong = np.flatnonzero(data[:-1] != held[1:])
        if len(wrong):
            raise ActivityError(f"{scope or 'the top'}: a flip-flop takes another value than the RTL, cycle {wrong[0]}")
    return len(netlist.flops)
