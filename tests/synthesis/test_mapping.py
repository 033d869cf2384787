"""Mapping, simulation and prices of small blocks with a library made up here, and how bad input is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arch.errors import InputError
from estimate.scaling import scaling
from synthesis import campaign, run
from synthesis.blocks import MULTIPLIER
from synthesis.chips import FITTED
from synthesis.functions import expression, pins_of, truth
from synthesis.mapping import Mapped, Recipe, map_block, mapped_netlist
from synthesis.measure import Measured
from synthesis.netlist import Netlist
from synthesis.power import capacitances, counted, energy


def test_library(library):
    assert library.nand2 == 4.0
    assert library.driver == "INV2"
    assert library.output_load == pytest.approx(40.0)  # fF
    assert library.energy_unit == pytest.approx(1e-12)


@pytest.mark.parametrize(
    ("function", "pins", "table"),
    [("!(A B)", "AB", 0b0111), ("A'+B*C", "ABC", 0b11010101), ("A^B", "AB", 0b0110), ("(A|B)&!S", "ABS", 0b00001110)],
)
def test_functions(function, pins, table):
    assert pins_of(function) == list(pins)
    assert truth(function, list(pins)) == table


def test_malformed_functions_are_refused():
    for function in ("(A", "A +", "A)"):
        with pytest.raises(ValueError):
            expression(function)


def test_multiplier_multiplies_and_is_priced(library, eight):
    mapped = map_block(eight, library, Recipe())
    assert mapped.area == sum(count * library.cells[name].number("area") for name, count in mapped.cells.items()) > 0
    netlist = Netlist.read(mapped_netlist(eight, library, Recipe()), MULTIPLIER, library)
    random = np.random.default_rng(1)
    a, b = random.integers(-128, 128, (2, 300))
    sources = {net: np.zeros(300, bool) for name in netlist.inputs for net in netlist.ports[name]}
    for port, values in (("a", a), ("b", b)):
        sources |= {net: (values >> place & 1).astype(bool) for place, net in enumerate(netlist.ports[port])}
    waves = netlist.evaluate(sources)
    bits = [waves[net].astype(int) << place for place, net in enumerate(netlist.ports["product"])]
    assert np.array_equal((sum(bits) ^ 1 << 15) - (1 << 15), a * b)
    counts = counted(waves)
    found = energy(netlist, counts, 300)
    outputs = sum(counts[cell.net("Y")] for cell in netlist.cells)
    nets = sum(counts[net] * load for net, load in capacitances(netlist).items() if net in counts)
    assert found.switching == pytest.approx(outputs * 0.25e-12 + nets * 2.0)  # C V^2 / 2 at 2 V
    assert found.clock == 0
    assert found.leakage_w == pytest.approx(1.5e-9 * len(netlist.cells))


def test_scaling():
    factors = scaling(130, 65, 1.2, 1.1)
    assert factors["area"].low == pytest.approx(1.5 / 6.4)
    assert factors["area"].high == pytest.approx(0.25)
    assert factors["energy"].low < factors["energy"].central < factors["energy"].high
    assert scaling(45, 65, 0.9, 1.1)["energy"].high == pytest.approx(2.41, abs=0.01)
    with pytest.raises(InputError, match="no scaling is known for 28 nm"):
        scaling(130, 28, 1.2, 0.9)


@pytest.mark.parametrize("command", [run.main, campaign.main])
def test_bad_libraries_are_one_line(command, tmp_path: Path, capsys):
    text = tmp_path / "x.lib"
    text.write_text("module m; endmodule")
    for path in (text, tmp_path / "none.lib"):
        assert command([str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_report_has_components_beside_the_model_and_the_multiplier(library, capsys):
    chip = next(chip for chip in FITTED if chip.name == "w8")
    block = Mapped(area=5e4, sequential=1e4, cells={"NAND2": 700, "DFF": 50}, delay_ps=1234.5)
    measured = [Measured("host", "host", 1, block), Measured("feature", "feature.bank", 2, block)]
    found = run.report(chip, library, Recipe(), measured)
    assert found["area_um2"] == 15e4 and found["nand2"] == 15e4 / 4
    assert found["components"]["feature"] == {
        "area_um2": 1e5, "sequential_um2": 2e4, "cells": 1500, "delay_ps": 1234.5, "model_um2": None,
    }  # fmt: skip
    plain, booth = (found["multiplier"][way] for way in ("plain", "booth"))
    assert plain["nand2"] == plain["area_um2"] / 4 and "-booth" in booth["recipe"] and "-booth" not in plain["recipe"]
    small = found["multiplier"]["small"]
    assert small["area_um2"] <= plain["area_um2"] and "nf" in small["recipe"] and "-booth" not in small["recipe"]
    run.show(found)
    printed = capsys.readouterr().out
    for text in ("host", "100,000", "1,500", "1,234", f"{plain['nand2']:,.0f} NAND2", plain["recipe"]):
        assert text in printed
