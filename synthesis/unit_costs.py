"""What one unit of logic costs in a library: `python -m synthesis.unit_costs LIBERTY --node NM` writes a logic table.

A multiplier, an adder, a register with an enable and a choice between two words are mapped each by itself; their
energy is that of new random operands in every cycle (uniform over all integers of the width, zero delay, no wires).
The table is one of `estimate/data/logic`: energy of an operation (pJ), area (µm²) and leakage (nW) of a unit.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from amaranth.back import rtlil
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.errors import InputError
from arch.files import write_whole
from rtl.verilog import NetlistError
from synthesis.blocks import MULTIPLIER, Block, multiplier, processed
from synthesis.glitches import Circuit
from synthesis.liberty import Library
from synthesis.mapping import Mapped, Recipe, map_block, mapped_netlist
from synthesis.netlist import Net, Netlist, Waves
from synthesis.power import Energy, Tariff, counted, energy

MULTIPLIERS = (8, 10, 12, 14, 16)
WIDTH = 32
"""Bits of the adder, the register and the choice."""
CYCLES = 2000
_SEED = 1


class _Adder(wiring.Component):
    a: In(signed(WIDTH))
    b: In(signed(WIDTH))
    total: Out(signed(WIDTH + 1))

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.total.eq(self.a + self.b)
        return m


class _Register(wiring.Component):
    enable: In(1)
    a: In(WIDTH)
    held: Out(WIDTH)

    def elaborate(self, platform):
        m = Module()
        held = Signal(WIDTH, reset_less=True)
        m.d.comb += self.held.eq(held)
        with m.If(self.enable):
            m.d.sync += held.eq(self.a)
        return m


class _Choice(wiring.Component):
    a: In(WIDTH)
    b: In(WIDTH)
    enable: In(1)
    chosen: Out(WIDTH)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.chosen.eq(Mux(self.enable, self.a, self.b))
        return m


@dataclass(frozen=True)
class Unit:
    """A unit by itself, mapped, and its energy an operation on random operands."""

    mapped: Mapped
    energy: Energy
    operations: int

    def cost(self, bits: int = 1) -> dict[str, float]:
        """A bit's share, or the whole of one bit, as a logic table says it."""
        return {
            "energy_pj": _rounded(self.energy.switching / self.operations / bits * 1e12),
            "area_um2": _rounded(self.mapped.area / bits),
            "leakage_nw": _rounded(self.energy.leakage_w / bits * 1e9),
        }

    @property
    def clock_pj(self) -> float:
        """pJ a cycle of all its flip-flops' clock pins."""
        return self.energy.clock / (self.operations + 1) * 1e12


@dataclass(frozen=True)
class Driven:
    """A unit's netlist, and what stands at its inputs and flip-flops in each cycle."""

    mapped: Mapped
    netlist: Netlist
    sources: Waves

    def unit(self) -> Unit:
        """What it costs, without delays."""
        counts = counted(self.netlist.evaluate(self.sources))
        return Unit(self.mapped, energy(self.netlist, counts, CYCLES), CYCLES - 1)

    def glitch_factor(self) -> float:
        """Switching energy with the library's delays relative to that without."""
        tariff = Tariff.of(self.netlist)
        still = tariff.switching(counted(self.netlist.evaluate(self.sources)))
        return tariff.switching(Circuit.of(self.netlist).counted(self.sources)) / still


def multiplier_driven(bits: int, library: Library, recipe: Recipe, zero: float = 0.0) -> Driven:
    """A multiplier of signed words under random operands; a share `zero` of the second ones is 0."""
    block = Block(MULTIPLIER, "multipliers", MULTIPLIER, multiplier(bits))
    return _driven(block, library, recipe, lambda netlist, random: _operands(netlist, random, zero))


def multiplier_unit(bits: int, library: Library, recipe: Recipe, zero: float = 0.0) -> Unit:
    """What `multiplier_driven` costs."""
    return multiplier_driven(bits, library, recipe, zero).unit()


def other_driven(name: str, library: Library, recipe: Recipe) -> Driven:
    """The `adder`, the `register`, always enabled, or the `choice`, of `WIDTH` bits, under random operands."""
    text = processed(rtlil.convert(_MAKERS[name](), name=name, emit_src=False), name)
    drive = _written if name == "register" else lambda netlist, random: _operands(netlist, random, 0.0)
    return _driven(Block(name, name, name, text), library, recipe, drive)


def _driven(block: Block, library: Library, recipe: Recipe, drive: Callable) -> Driven:
    mapped = map_block(block, library, recipe)
    netlist = Netlist.read(mapped_netlist(block, library, recipe), block.top, library)
    return Driven(mapped, netlist, drive(netlist, np.random.default_rng(_SEED)))


_MAKERS: dict[str, Callable] = {"adder": _Adder, "register": _Register, "choice": _Choice}


def _operands(netlist: Netlist, random: np.random.Generator, zero: float) -> dict[Net, np.ndarray]:
    """Random bits at every input; those of `b` are 0 in a share `zero` of the cycles."""
    kept = random.random(CYCLES) >= zero
    sources: dict[Net, np.ndarray] = {}
    for name in netlist.inputs:
        for net in netlist.ports[name]:
            bits = random.random(CYCLES) < 0.5
            sources[net] = bits & kept if name == "b" else bits
    return sources


def _written(netlist: Netlist, random: np.random.Generator) -> dict[Net, np.ndarray]:
    """A register that takes a random word in each cycle."""
    sources = _operands(netlist, random, 0.0)
    for net in netlist.ports["enable"]:
        sources[net] = np.ones(CYCLES, bool)
    for source, held in zip(netlist.ports["a"], netlist.ports["held"], strict=True):
        sources[held] = np.concatenate([[False], sources[source][:-1]])
    return sources


def table(library: Library, node_nm: float, source: str, recipe: Recipe) -> dict:
    """The logic table of a library."""
    multipliers = {bits: multiplier_unit(bits, library, recipe) for bits in MULTIPLIERS}
    others = {name: other_driven(name, library, recipe).unit() for name in _MAKERS}
    return {
        "name": library.name,
        "source": source,
        "node_nm": node_nm,
        "voltage": library.voltage,
        "multiplier": {bits: unit.cost() for bits, unit in multipliers.items()},
        "adder": {WIDTH: others["adder"].cost()},
        "register_bit": others["register"].cost(WIDTH),
        "clock_pj": _rounded(others["register"].clock_pj / WIDTH),
        "select_bit": others["choice"].cost(WIDTH),
        "borrowed": [],
    }


def zero_share(library: Library, recipe: Recipe, bits: int = 16) -> float:
    """Energy of a product with a zero operand relative to one without, where half of all have one, in random order."""
    full = multiplier_unit(bits, library, recipe).energy.switching
    half = multiplier_unit(bits, library, recipe, zero=0.5).energy.switching
    return 2 * half / full - 1


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.unit_costs", description="A logic table of a library.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    parser.add_argument("--node", type=float, required=True, help="the process's node in nm")
    parser.add_argument("--source", default="", help="where the library comes from")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, YAML")
    given = parser.parse_args(arguments)
    try:
        library = Library.load(given.liberty)
        source = f"{given.source or library.path.name}; synthesised, random operands, zero delay, no wires"
        found = table(library, given.node, source, Recipe())
        share = zero_share(library, Recipe())
    except (InputError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    write_whole(given.output, yaml.safe_dump(found, sort_keys=False, width=120).encode())
    print(f"wrote {given.output}; a 16-bit product with a zero operand takes {share:.3f} of one without")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
