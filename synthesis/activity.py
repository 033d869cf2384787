"""Energy of a real run: the mapped netlist of every block under the values that the RTL had in each cycle.

The RTL's recording gives inputs, flip-flops and what comes from memories and other blocks; the netlist gives every
gate's output between them, and must then say each flip-flop's next value as the RTL does: that is checked. Zero delay:
no glitches; with `delays` they are simulated beside it (`synthesis.glitches`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from arch.chip import Chip
from arch.errors import InputError
from rtl.verilog import NetlistError
from synthesis.blocks import MULTIPLIER, TOP, Block, blocks_of
from synthesis.glitches import Circuit
from synthesis.liberty import Library
from synthesis.mapping import Recipe, least_of, mapped_netlist
from synthesis.netlist import Cell, Net, Netlist, Waves
from synthesis.power import Tariff, counted, gate_cell
from synthesis.recording import Recording, Signals
from synthesis.saif import Saif, Statistics

_PRODUCT = {"A": "a", "B": "b", "Y": "product"}
"""Ports of a multiplier by the pins of its black box."""


RUNNING = "trace__running"
"""The signal that says in which cycles a program runs."""


@dataclass(frozen=True)
class Active:
    """A component's energy over the cycles of a run, in joules; `flops` flip-flops were checked in each.

    `delayed` is `switching` with glitches, 0 where they were not asked for.
    """

    switching: float = 0.0
    delayed: float = 0.0
    clock: float = 0.0
    leakage_w: float = 0.0
    flops: int = 0

    def __mul__(self, factor: float) -> Active:
        return Active(self.switching * factor, self.delayed * factor, self.clock * factor, self.leakage_w, self.flops)

    def __add__(self, other: Active) -> Active:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Active(*(a + b for a, b in pairs))


class ActivityError(ValueError):
    """The netlist does not do what the RTL did."""


class RecodedError(ActivityError):
    """Flip-flops of a block hold what no signal of the RTL is: Yosys has coded a state machine anew."""


@dataclass(frozen=True)
class Part:
    """A mapped block of a chip, the array's multipliers inside the block that they belong to."""

    block: Block
    netlist: Netlist
    tariff: Tariff

    @cached_property
    def gates(self) -> dict[Net, Net]:
        """The enable of each gated clock, by net."""
        pairs = ((cell, gate_cell(cell.group)) for cell in self.netlist.cells)
        return {cell.net(gate.gated): cell.net(gate.enable) for cell, gate in pairs if gate}

    @cached_property
    def circuit(self) -> Circuit:
        """The netlist with delays."""
        return Circuit.of(self.netlist)


def parts_of(chip: Chip, library: Library, recipe: Recipe) -> list[Part]:
    """The blocks of `chip`, mapped. Raises `NetlistError` where Yosys refuses."""
    blocks = {block.name: block for block in blocks_of(chip)}
    netlists = {
        name: Netlist.read(mapped_netlist(block, library, recipe), block.top, library) for name, block in blocks.items()
    }
    product = netlists.pop(MULTIPLIER)
    whole = {name: item.inlined(MULTIPLIER, product, _PRODUCT) for name, item in netlists.items()}
    return [Part(blocks[name], item, Tariff.of(item)) for name, item in whole.items()]


def activity(
    parts: Sequence[Part], recording: Signals, delays: bool = False, check: bool = True
) -> tuple[dict[str, Active], dict[str, str]]:
    """The energy of each component, and the blocks that cannot be followed, with the reason.

    Of these the clock, with every gate open, and leakage are known and counted. Raises `ActivityError` where netlist
    and RTL differ; they are compared with `check`, which statistics cannot stand.
    """
    found: dict[str, Active] = {}
    left_out: dict[str, str] = {}
    for part in parts:
        for scope in scopes(part.block, recording):
            try:
                active = _followed(part, scope, recording, delays, check)
            except RecodedError as error:
                left_out[part.block.name] = str(error)
                active = Active(clock=part.tariff.clock * recording.cycles)
            still = Active(leakage_w=part.tariff.leakage_w)
            found[part.block.component] = found.get(part.block.component, Active()) + active + still
    return found, left_out


def _followed(part: Part, scope: str, recording: Signals, delays: bool, check: bool) -> Active:
    """What switches in one instance of a block."""
    sources = sources_of(part.block, part.netlist, scope, recording)
    waves = part.netlist.evaluate(sources)
    gates = {net: np.broadcast_to(waves[enable], recording.cycles) for net, enable in part.gates.items()}
    flops = _check(part.netlist, waves, gates, scope) if check else 0
    clock = part.tariff.clocks(recording.cycles, {net: int(on.sum()) for net, on in gates.items()})
    delayed = part.tariff.switching(part.circuit.counted(sources)) if delays else 0.0
    return Active(part.tariff.switching(counted(waves)), delayed, clock, flops=flops)


def scopes(block: Block, recording: Signals) -> Iterator[str]:
    """The scopes of a block's instances: every bank of a memory."""
    if block.name.endswith(".bank"):
        yield from (f"{recording.scope(block.name[:-5])}.bank{number}" for number in range(block.count))
    else:
        yield recording.scope("" if block.component == "interconnect" else block.name)


def sources_of(block: Block, netlist: Netlist, scope: str, recording: Signals) -> Waves:
    """What comes into a block, and what its flip-flops hold, in each cycle. Raises `RecodedError`."""
    prefix = f"{scope}." if scope else ""
    sources: Waves = {}
    for name in netlist.inputs:
        if name != "clk":
            _put(sources, netlist.ports[name], recording.bits(prefix + block.original(name)))
    _put_state(sources, netlist, block, prefix, recording)
    for cell in netlist.cells:
        if cell.group is None:
            _put_box(sources, cell, block, prefix, recording)
    for net in netlist.ports.get("clk", ()):
        sources.setdefault(net, np.zeros(recording.cycles, bool))
    return sources


def _put(sources: Waves, nets: tuple[Net, ...], bits: np.ndarray) -> None:
    for place, net in enumerate(nets):
        if not isinstance(net, str):
            sources[net] = np.ascontiguousarray(bits[:, place])


def _put_state(sources: Waves, netlist: Netlist, block: Block, prefix: str, recording: Signals) -> None:
    """What the flip-flops hold, by the names of the nets at their outputs."""
    wanted = {net for cell in netlist.flops for pin, nets in cell.pins.items() if pin.startswith("Q") for net in nets}
    for name, nets in netlist.names.items():
        full = prefix + block.original(name)
        if wanted.intersection(nets) and full in recording:
            bits = recording.bits(full)
            if bits.shape[1] >= len(nets):  # high bits that nothing reads are gone
                _put(sources, nets, bits)
    for cell in netlist.flops:
        direct = cell.pins.get("Q", ())
        inverted = cell.pins.get("Q_N") or cell.pins.get("QN") or ()
        for one, other in ((direct, inverted), (inverted, direct)):
            if one and other and one[0] in sources and other[0] not in sources:
                sources[other[0]] = ~sources[one[0]]
    missing = [net for net in wanted if net not in sources]
    if missing:
        names = sorted(name for name, nets in netlist.names.items() if set(missing).intersection(nets))
        raise RecodedError(f"the recording of {prefix or 'the top'} lacks {len(missing)} bits of {names[:8]}")


def _put_box(sources: Waves, cell: Cell, block: Block, prefix: str, recording: Signals) -> None:
    """What comes out of a memory or another block."""
    for pin, nets in cell.pins.items():
        full = f"{prefix}{block.original(cell.name)}.{pin}"
        if cell.kind == "memory":
            full = f"{prefix}instruction" if pin == "RD_DATA" else ""
        if full in recording and any(net not in sources for net in nets):
            bits = recording.bits(full)
            _put(sources, nets, bits)


def _check(netlist: Netlist, waves: Waves, gates: Mapping[Net, np.ndarray], scope: str) -> int:
    """Compare each flip-flop's next value with the RTL's, the old one behind a shut gate; how many there are."""
    for cell in netlist.flops:
        data, held = waves[cell.net("D")], waves.get(cell.pins["Q"][0]) if cell.pins.get("Q") else None
        if held is None:
            held = ~waves[(cell.pins.get("Q_N") or cell.pins["QN"])[0]]
        on = next((gates[nets[0]] for nets in cell.pins.values() if nets and nets[0] in gates), None)
        value = data if on is None else np.where(on, data, held)
        wrong = np.flatnonzero(value[:-1] != held[1:])
        if len(wrong):
            raise ActivityError(f"{scope or 'the top'}: a flip-flop takes another value than the RTL, cycle {wrong[0]}")
    return len(netlist.flops)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.activity", description="Energy of a recorded run.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    parser.add_argument("recording", type=Path, help="a VCD or SAIF file of a run on the chip's RTL")
    parser.add_argument("--chip", required=True, help="the chip that ran: a shipped one or a YAML file")
    parser.add_argument("--gates", type=int, help="map with clock gates for enables of at least so many register bits")
    parser.add_argument("--delays", action="store_true", help="with glitches too, which takes longer")
    given = parser.parse_args(arguments)
    try:
        chip, library = Chip.load(given.chip), Library.load(given.liberty)
        if not given.recording.is_file():
            raise InputError(f"{given.recording}: no such file; `run_native(..., trace=FILE)` writes one")
        parts = parts_of(chip, library, Recipe(gates=least_of(given.gates)))
        if given.recording.suffix == ".saif":
            found, left_out, cycles = _by_statistics(parts, given.recording, given.delays)
        else:
            found, left_out, cycles = _by_cycles(parts, given.recording, given.delays)
    except (InputError, NetlistError, ActivityError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    _show(found, left_out, cycles)
    return 0


def _by_cycles(parts: Sequence[Part], path: Path, delays: bool) -> tuple[dict[str, Active], dict[str, str], int]:
    """Each component, what is left out, and the cycles of the run."""
    recording = Recording(path, TOP, RUNNING)
    return *activity(parts, recording, delays), recording.cycles


def _by_statistics(parts: Sequence[Part], path: Path, delays: bool) -> tuple[dict[str, Active], dict[str, str], int]:
    """The same from a SAIF file of all its cycles. Raises `InputError` where it is not of this chip."""
    statistics = Statistics(Saif.read(path), TOP)
    try:
        found, left_out = activity(parts, statistics, delays, check=False)
    except KeyError as error:
        raise InputError(f"{path}: lacks {error}, which the chip has; record a run of this chip") from None
    return {name: item * statistics.scale for name, item in found.items()}, left_out, round(statistics.whole)


def _show(found: dict[str, Active], left_out: dict[str, str], cycles: int) -> None:
    whole = sum(found.values(), Active())
    for name, item in [*found.items(), (f"{cycles} cycles", whole)]:
        delayed = f"  with glitches {item.delayed * 1e9:9.3f} nJ" if whole.delayed else ""
        print(f"{name:14} switching {item.switching * 1e9:9.3f} nJ{delayed}  clock pins {item.clock * 1e9:9.3f} nJ")
    known = f"{whole.flops} flip-flops equal the RTL's in every cycle" if whole.flops else "bits taken as independent"
    print(f"leakage {whole.leakage_w * 1e6:.2f} uW; {known}")
    for name, reason in left_out.items():
        print(f"switching of {name} left out: {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
