"""A cell library made up here, and a multiplier mapped to it."""

from __future__ import annotations

import pytest

from synthesis.blocks import MULTIPLIER, Block, multiplier
from synthesis.liberty import Library

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
