"""Mapping, simulation and prices of small blocks with a library made up here, and how bad input is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arch.errors import InputError
from estimate.scaling import scaling
from synthesis import campaign, run
from synthesis.blocks import MULTIPLIER, Block, multiplier
from synthesis.chips import FITTED
from synthesis.functions import expression, pins_of, truth
from synthesis.liberty import Library
from synthesis.mapping import Mapped, Recipe, map_block, mapped_netlist
from synthesis.measure import Measured
from synthesis.netlist import Netlist
from synthesis.power import capacitances, counted, energy

_TABLE = 'values ("0.25, 0.25", "0.25, 0.25");'
_LIBERTY = """
library (made) {
  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; leakage_power_unit : "1nW"; nom_voltage : 2.0;
  capacitive_load_unit (1, pf);
  power_lut_template (energy) {
    variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 1.0"); index_2 ("0.001, 1.0");
  }
  lu_table_template (delay) {
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 1.0"); index_2 ("0.001, 1.0");
  }
"""


def _cell(name: str, area: float, function: str, inputs: str) -> str:
    timing = " ".join(f'{kind} (delay) {{ values ("0.1, 1.0", "0.2, 2.0"); }}' for kind in _EDGES)
    arcs = "".join(f'timing () {{ related_pin : "{pin}"; timing_sense : negative_unate; {timing} }}' for pin in inputs)
    powers = f"rise_power (energy) {{ {_TABLE} }} fall_power (energy) {{ {_TABLE} }}"
    power = "".join(f'internal_power () {{ related_pin : "{pin}"; {powers} }}' for pin in inputs)
    pins = "".join(f"pin ({pin}) {{ direction : input; capacitance : 0.01; }}" for pin in inputs)
    return f"""  cell ({name}) {{ area : {area}; cell_leakage_power : 1.5; {pins}
    pin (Y) {{ direction : output; function : "{function}"; max_capacitance : 1.0; {arcs} {power} }} }}
"""


_CELLS = {
    "INV": (2.0, "!A", "A"),
    "INV2": (3.0, "!A", "A"),
    "BUF": (4.0, "A", "A"),
    "NAND2": (4.0, "!(A B)", "AB"),
    "NOR2": (5.0, "!(A+B)", "AB"),
    "AOI21": (6.0, "!((A B)+C)", "ABC"),
}
_EDGES = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    text = _LIBERTY + "".join(_cell(name, *fields) for name, fields in _CELLS.items())
    text += """  cell (DFF) { area : 20; ff (IQ, IQN) { next_state : "D"; clocked_on : "CLK"; }
    pin (CLK) { direction : input; clock : true; capacitance : 0.01; }
    pin (D) { direction : input; capacitance : 0.01; }
    pin (Q) { direction : output; function : "IQ"; } }
}
"""
    path = tmp_path_factory.mktemp("liberty") / "made.lib"
    path.write_text(text)
    return Library.load(path)


@pytest.fixture(scope="module")
def eight(library) -> Block:
    return Block(MULTIPLIER, "multipliers", MULTIPLIER, multiplier(8))


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
    assert mapped.area == sum(count * _CELLS[name][0] for name, count in mapped.cells.items()) > 0
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
    run.show(found)
    printed = capsys.readouterr().out
    for text in ("host", "100,000", "1,500", "1,234", f"{plain['nand2']:,.0f} NAND2", plain["recipe"]):
        assert text in printed
