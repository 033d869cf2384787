"""One tiny counter through Verilator both ways: driven by cocotb, and by C++."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, Signature

from rtl.verilog import to_verilog
from testbenches import verilator
from testbenches.verilator import SimulationError, build_cocotb, build_executable

MODULE = "tests.testbenches.cocotb_counter"


class Counter(wiring.Component):
    control: In(Signature({"enable": Out(1)}))
    count: Out(8)
    wraps: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.wraps.eq(self.count == 255)
        with m.If(self.control.enable):
            m.d.sync += self.count.eq(self.count + 1)
        return m


@pytest.fixture(scope="module")
def verilog():
    return to_verilog(Counter(), name="counter")


def test_cocotb_counts_cycles(verilog):
    log = build_cocotb(verilog, top="counter").run(MODULE, env={"CYCLES": "20"})
    assert "TESTS=2 PASS=2 FAIL=0" in log


def test_a_failed_cocotb_test_raises_with_the_end_of_the_log(verilog):
    simulation = build_cocotb(verilog, top="counter")
    with pytest.raises(SimulationError, match=r"1 of 1 tests failed(.|\n)*assert 0 == 256"):
        simulation.run(MODULE, env={"CYCLES": "300"}, only="counts_the_enabled_cycles")


def test_no_matching_cocotb_test_is_an_error(verilog):
    with pytest.raises(SimulationError, match="at least one cocotb test"):
        build_cocotb(verilog, top="counter").run(MODULE, env={"CYCLES": "1"}, only="no_such_test")


MAIN = """
#include <cstdio>
#include "Vtop.h"
#include "verilated.h"

int main() {
    Vtop top;
    auto cycle = [&] { top.clk = 0; top.eval(); top.clk = 1; top.eval(); };
    top.rst = 1; cycle();
    top.rst = 0; top.control___05Fenable = 1;
    for (int i = 0; i < 1000; i++) cycle();
    std::printf("%d\\n", top.count);
}
"""


def test_cpp_counts_cycles(verilog):
    program = build_executable(verilog, MAIN, top="counter")
    assert int(subprocess.check_output([program])) == 1000 % 256


def test_builds_are_kept_and_made_once(verilog, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCL_CACHE", str(tmp_path))
    made = []
    compile_ = verilator._compile
    monkeypatch.setattr(verilator, "_compile", lambda *given: made.append(given) or compile_(*given))
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: build_executable(verilog, MAIN, top="counter"), range(2))
    assert one == other
    assert one.is_relative_to(tmp_path)
    assert len(made) == 1
    build_executable(verilog, MAIN + "// another\n", top="counter")
    assert len(made) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top": "missing"}, "must have a module missing"),
        ({"top": "counter", "clock": "count"}, "clock must be an input"),
    ],
)
def test_a_wrong_name_is_refused(verilog, given, message):
    with pytest.raises(ValueError, match=message):
        build_cocotb(verilog, **given)


def test_verilog_with_an_error_raises_with_what_verilator_says():
    with pytest.raises(SimulationError, match="syntax error"):
        build_executable("module broken(input a; endmodule", MAIN, top="broken")
