"""Clock gates of a made block: what opens them, in simulation here and by the netlist, with a library and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.errors import InputError
from synthesis.activity import ActivityError, Part, activity
from synthesis.blocks import Block, processed
from synthesis.gates import FAN_OUT, Gated, Opened, Structure, gated, gates_of, opened
from synthesis.liberty import Library
from synthesis.mapping import Recipe, least_of, map_block, mapped_netlist
from synthesis.netlist import Netlist
from synthesis.power import Tariff, gate_of, gate_price

CYCLES = 400
WIDTH = 8
GATE = """  cell (GATE) { area : 9; clock_gating_integrated_cell : "latch_posedge";
    statetable ("CLK EN", "IQ") { table : "L L : - : L"; }
    pin (CLK) { direction : input; clock : true; clock_gate_clock_pin : true; capacitance : 0.01; }
    pin (EN) { direction : input; clock_gate_enable_pin : true; capacitance : 0.01; }
    pin (GCLK) { direction : output; clock_gate_out_pin : true; state_function : "CLK * IQ";
      internal_power () { related_pin : "CLK"; rise_power (energy) { values ("0.25, 0.25", "0.25, 0.25"); }
        fall_power (energy) { values ("0.25, 0.25", "0.25, 0.25"); } } }
  }
"""


_PORTS = {"file0": "own0", "file1": "own1", "plain": "own2", "free": "own3"}
"""Registers by the ports that they stand at."""


class _Made(wiring.Component):
    """A register with an enable; two that are written in two places, and so share muxes; one that always moves."""

    def __init__(self):
        registers = {name: Out(WIDTH) for name in _PORTS}
        super().__init__({"on": In(1), "again": In(1), "which": In(1), "data": In(WIDTH), **registers})

    def elaborate(self, platform):
        m = Module()
        *files, plain, free = (Signal(WIDTH, name=name) for name in _PORTS.values())
        m.d.sync += free.eq(self.data)
        with m.If(self.on):
            m.d.sync += plain.eq(self.data)
        for enable, value in ((self.on, self.data), (self.again, ~self.data)):
            with m.If(enable), m.Switch(self.which):
                for number, file in enumerate(files):
                    with m.Case(number):
                        m.d.sync += file.eq(value)
        for port, state in zip(_PORTS, (*files, plain, free), strict=True):
            m.d.comb += getattr(self, port).eq(state)
        return m


class _Run:
    """The made block on random inputs, simulated here."""

    def __init__(self):
        random = np.random.default_rng(3)
        self.words = {name: random.integers(0, 2, CYCLES) for name in ("on", "again", "which")}
        self.words |= {"data": random.integers(0, 1 << WIDTH, CYCLES), "rst": (random.random(CYCLES) < 0.02) * 1}
        state = dict.fromkeys(_PORTS.values(), 0)
        rows = []
        for row in zip(*self.words.values(), strict=True):
            rows.append(dict(state))
            state = self._next(state, dict(zip(self.words, map(int, row), strict=True)))
        self.words |= {name: np.array([row[name] for row in rows]) for name in state}
        self.words |= {name: self.words[own] for name, own in _PORTS.items()}

    @staticmethod
    def _next(state: dict[str, int], now: dict[str, int]) -> dict[str, int]:
        if now["rst"]:
            return dict.fromkeys(state, 0)
        found = {**state, "own3": now["data"]}
        if now["on"]:
            found |= {"own2": now["data"], f"own{now['which']}": now["data"]}
        if now["again"]:
            found[f"own{now['which']}"] = now["data"] ^ 0xFF
        return found

    @property
    def opened(self) -> list[int]:
        """Cycles in which each register's gate is open, a reset included."""
        on, again, which, reset = (self.words[name] == 1 for name in ("on", "again", "which", "rst"))
        files = [((on | again) & (which == number)) | reset for number in (False, True)]
        return [int(gate.sum()) for gate in (on | reset, *files)]

    cycles = CYCLES

    def scope(self, plain: str) -> str:
        return plain

    def __contains__(self, name: str) -> bool:
        return name.removeprefix("made.") in self.words

    def bits(self, name: str) -> np.ndarray:
        word = self.words[name.removeprefix("made.")]
        width = 1 if name.removeprefix("made.") in ("on", "again", "which", "rst") else WIDTH
        return (word[:, None] >> np.arange(width) & 1).astype(bool)


@pytest.fixture(scope="module")
def block() -> Block:
    text = processed(rtlil.convert(_Made(), name="top", emit_src=False), "top")
    return Block("made", "made", "top", text, 3)


@pytest.fixture(scope="module")
def found(block) -> Gated:
    return gated(block)


@pytest.fixture(scope="module")
def gating(library, tmp_path_factory) -> Library:
    """The made library with a clock gate."""
    path = tmp_path_factory.mktemp("liberty") / "gating.lib"
    path.write_text(library.text.rstrip().removesuffix("}") + GATE + "}\n")
    return Library.load(path)


def test_registers_with_an_enable_are_behind_gates_if_enough_share_it(found):
    """Those of muxes that are shared too; the one that always moves is not."""
    assert found.bits == 4 * WIDTH
    assert found.structure(WIDTH) == Structure(4 * WIDTH, 3 * WIDTH, 3) * 3
    assert found.structure(WIDTH + 1) == Structure(4 * WIDTH, 0, 0) * 3
    assert [gates_of(bits) for bits in (1, FAN_OUT, FAN_OUT + 1)] == [1, 1, 2]


def test_gates_let_through_what_the_registers_semantics_say(found):
    run = _Run()
    assert opened(found, run, [WIDTH, WIDTH + 1]) == [Opened(WIDTH * sum(run.opened), sum(run.opened)), Opened()]


@pytest.mark.parametrize("name", ["own0", "own2"])
def test_a_register_that_changes_behind_a_shut_gate_is_found(found, name):
    run = _Run()
    shut = np.flatnonzero((run.words["on"] | run.words["again"] | run.words["rst"]) == 0)[5]
    run.words[name][shut + 1 :] ^= 1
    with pytest.raises(ActivityError, match="behind a shut gate"):
        opened(found, run, [WIDTH])


def test_mapped_with_gates_the_clock_takes_what_they_let_through(block, gating):
    recipe = Recipe(gates=WIDTH)
    assert map_block(block, gating, recipe).cells["GATE"] == 3
    assert "GATE" not in map_block(block, gating, Recipe()).cells
    assert "GATE" not in map_block(block, gating, Recipe(gates=WIDTH + 1)).cells
    netlist = Netlist.read(mapped_netlist(block, gating, recipe), block.top, gating)
    run = _Run()
    energies, left_out = activity([Part(block, netlist, Tariff.of(netlist))], run)
    assert not left_out and energies["made"].flops == 4 * WIDTH
    pin = 2 * 0.01e-12 * 2.0**2 / 2  # two toggles of 0.01 pF at 2 V
    registers = WIDTH * (CYCLES + sum(run.opened)) * pin
    gates = 3 * CYCLES * pin + sum(run.opened) * 2 * 0.25e-12
    assert energies["made"].clock == pytest.approx(registers + gates)
    assert gate_price(gating, gate_of(gating)) == pytest.approx((pin, pin + 2 * 0.25e-12))


def test_a_mapped_gate_that_opens_otherwise_is_found(block, gating):
    netlist = Netlist.read(mapped_netlist(block, gating, Recipe(gates=WIDTH)), block.top, gating)
    enables = list(_enables(netlist))
    swapped = [
        replace(cell, pins={**cell.pins, "EN": enables[(enables.index(cell.pins["EN"]) + 1) % 3]})
        if cell.kind == "GATE"
        else cell
        for cell in netlist.cells
    ]
    wrong = replace(netlist, cells=tuple(swapped))
    with pytest.raises(ActivityError, match="another value"):
        activity([Part(block, wrong, Tariff.of(wrong))], _Run())


def _enables(netlist: Netlist) -> Iterator[tuple]:
    return (cell.pins["EN"] for cell in netlist.cells if cell.kind == "GATE")


def test_without_a_gate_or_with_a_bad_bound_it_is_refused(block, library: Library, tmp_path: Path):
    with pytest.raises(InputError, match="has no cell that gates a rising clock"):
        map_block(block, library, Recipe(gates=WIDTH))
    with pytest.raises(InputError, match="at least 1"):
        least_of(0)
