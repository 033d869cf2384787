"""Delays and glitches of small netlists in the made-up library, against values at rest and a case drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from synthesis.blocks import MULTIPLIER
from synthesis.delays import delays
from synthesis.glitches import Circuit
from synthesis.mapping import Recipe, mapped_netlist
from synthesis.netlist import Cell, Netlist
from synthesis.power import counted


def operands(netlist: Netlist, vectors: int) -> dict:
    """Random bits at every input but the clock."""
    random = np.random.default_rng(2)
    nets = [net for name in netlist.inputs for net in netlist.ports[name]]
    return {net: random.random(vectors) < 0.5 for net in nets}


@pytest.fixture(scope="module")
def netlist(library, eight) -> Netlist:
    return Netlist.read(mapped_netlist(eight, library, Recipe()), MULTIPLIER, library)


def test_without_delays_toggles_are_those_of_the_values_at_rest(netlist):
    sources = operands(netlist, 200)
    waves = netlist.evaluate(sources)
    still = Circuit.of(netlist, np.zeros((len(netlist.gates), 2)))
    found = still.counted(sources)
    assert found == {net: count for net, count in counted(waves).items() if net in found}
    assert sum(found.values()) > 10_000


def test_delays_add_glitches_in_pairs(netlist):
    sources = operands(netlist, 200)
    rest = counted(netlist.evaluate(sources))
    moved = Circuit.of(netlist).counted(sources)
    more = {net: count - rest[net] for net, count in moved.items()}
    assert min(more.values()) == 0
    assert sum(more.values()) > 0.2 * sum(rest.values())
    assert all(count % 2 == 0 for count in more.values())  # whoever ends where it would have is off by pairs


def chain(library) -> Netlist:
    """`a` and, an inverter later, its opposite at a NAND: a pulse where the NAND is fast enough to see it."""
    pins = [
        ("INV", {"A": (1,), "Y": (2,)}),
        ("NAND2", {"A": (1,), "B": (2,), "Y": (3,)}),
    ]
    cells = tuple(Cell(kind, kind, library.cells[kind], nets) for kind, nets in pins)
    return Netlist(library, cells, {"a": (1,), "y": (3,)}, ("a",), {})


@pytest.mark.parametrize(("inverter", "nand", "pulses"), [(3.0, 1.0, 2), (1.0, 3.0, 0), (2.0, 2.0, 0)])
def test_a_pulse_shorter_than_a_gate_is_lost(library, inverter, nand, pulses):
    found = Circuit.of(chain(library), np.array([[inverter] * 2, [nand] * 2]))
    assert found.counted({1: np.array([0, 1, 1, 0], bool)}) == {1: 2, 2: 2, 3: pulses}


def test_delays_are_the_tables(library):
    found = delays(chain(library))
    # at 0.1 ns of slew and 0.01 pF, of the NAND's pin B: 1/11 of the way from 0.1 to 0.2, and 1/111 to the next load
    slew, load = (0.1 - 0.01) / (1.0 - 0.01), (0.01 - 0.001) / (1.0 - 0.001)
    low, high = 0.1 + slew * 0.1, 1.0 + slew * 1.0
    assert found[0] == pytest.approx((low + load * (high - low)) * 1e-9)
    assert found[1] == pytest.approx(low * 1e-9)
