"""Amaranth to Verilog: the text is stable and clean, and the checks find what they are for."""

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from rtl.verilog import NetlistError, check, inspect, to_verilog


class Square(wiring.Component):
    """Squares a signed number, one cycle late, and looks it up in a memory."""

    number: In(signed(8))
    square: Out(signed(16))
    entry: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = memory.Memory(shape=8, depth=16, init=range(16))
        read = table.read_port()
        m.d.sync += self.square.eq(self.number * self.number)
        m.d.comb += [read.addr.eq(self.number[:4]), self.entry.eq(read.data)]
        return m


def test_the_same_hardware_gives_the_same_clean_text():
    text = to_verilog(Square(), name="square")
    assert text == to_verilog(Square(), name="square")
    assert text.startswith("module square(")
    for noise in ("Yosys", "(*", "$auto", "/", "src ="):
        assert noise not in text


def test_a_clean_design_passes_the_check():
    netlist = check(to_verilog(Square(), name="square"))
    assert netlist.top == "square"
    assert netlist.cells["$mul"] == 1
    assert netlist.problems == ()


def test_ports_may_be_given():
    m = Module()
    a, b = Signal(4, name="a"), Signal(4, name="b")
    m.d.comb += b.eq(~a)
    text = to_verilog(m, name="inverter", ports=[a, b])
    assert "input [3:0] a;" in text
    assert "output [3:0] b;" in text


LATCH = "module m(input e, input [3:0] d, output reg [3:0] q); always @* if (e) q = d; endmodule"
LOOP = """
module part(input i, input j, output o); assign o = i & j; endmodule
module m(input a, output c); wire x; part p(.i(x), .j(a), .o(c)); part q(.i(c), .j(a), .o(x)); endmodule
"""
UNDRIVEN = "module m(input a, output c); wire x; assign c = a & x; endmodule"


@pytest.mark.parametrize(
    ("verilog", "problem"),
    [(LATCH, "latch: q"), (LOOP, "logic loop in module m"), (UNDRIVEN, "x is used but has no driver")],
)
def test_problems_are_found(verilog, problem):
    assert any(problem in found for found in inspect(verilog).problems)
    with pytest.raises(NetlistError, match=problem):
        check(verilog)


@pytest.mark.parametrize(
    ("verilog", "reason"),
    [("module m(input a; endmodule", "design.sv:1: .*syntax error"), ("module m; missing x(); endmodule", "missing")],
)
def test_unreadable_verilog_is_an_error_and_not_the_end_of_the_process(verilog, reason):
    with pytest.raises(NetlistError, match=reason):
        inspect(verilog)
