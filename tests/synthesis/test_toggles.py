"""Power of a mapped netlist in Verilog from a SAIF file of it, in the made-up library, against a sum by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from arch.errors import InputError
from synthesis import toggles
from synthesis.saif import Saif
from synthesis.toggles import energy_of, verilog_netlist

_VERILOG = """
module half (input a, output [1:0] y);
  INV first (.A(a), .Y(y[0]));
  NAND2 second (.A(a), .B(y[0]), .Y(y[1]));
endmodule
module top (input clk, input d, output [1:0] out);
  wire held;
  DFF keep (.CLK(clk), .D(d), .Q(held));
  half inner (.a(held), .y(out));
endmodule
"""
_NETS = {"clk": 200, "d": 50, "held": 40, "out\\[0\\]": 40, "out\\[1\\]": 80}


@pytest.fixture
def netlist(library, tmp_path):
    path = tmp_path / "top.v"
    path.write_text(_VERILOG)
    return verilog_netlist(path, library)


def saif(path: Path, nets: dict[str, int]) -> Saif:
    lines = "".join(f"({name} (T0 50) (T1 50) (TC {count}))" for name, count in nets.items())
    path.write_text(f"(SAIFILE (TIMESCALE 10 ns) (DURATION 100) (INSTANCE bench (INSTANCE dut (NET {lines}))))")
    return Saif.read(path)


def test_toggles_are_priced(netlist, tmp_path):
    found = energy_of(netlist, saif(tmp_path / "x.saif", _NETS), "bench.dut")
    # 0.01 pF of every input pin at 2 V, and 0.25 pJ inside for a toggle of a gate's output
    pins = 50 + 2 * 40 + 40
    assert found.switching == pytest.approx(pins * 0.01e-12 * 2 + (40 + 80) * 0.25e-12)
    assert found.clock == pytest.approx(200 * 0.01e-12 * 2)
    assert found.leakage_w == pytest.approx(3.0e-9)


def test_a_file_without_a_net_is_refused(netlist, tmp_path):
    few = {name: count for name, count in _NETS.items() if name != "held"}
    with pytest.raises(InputError, match="lacks 1 of 5 nets, such as "):
        energy_of(netlist, saif(tmp_path / "x.saif", few), "bench.dut")
    with pytest.raises(InputError, match="name the netlist's scope with --instance"):
        energy_of(netlist, saif(tmp_path / "x.saif", _NETS), "bench")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("module a (input b, output c); OTHER x (.A(b), .Y(c)); endmodule", "mapped to cells of made, not OTHER"),
        ("module a (input b, output c); endmodule", "mapped to cells of made, and has none"),
        ("module a (input b", "ERROR"),
    ],
)
def test_what_is_no_mapped_netlist_is_one_line(library, tmp_path, text, message, capsys):
    path = tmp_path / "x.v"
    path.write_text(text)
    saif(tmp_path / "x.saif", _NETS)
    assert toggles.main([str(library.path), str(path), str(tmp_path / "x.saif")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert message in told
