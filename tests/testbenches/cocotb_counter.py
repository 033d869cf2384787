"""Cocotb's side of test_verilator.py: the counter counts cycles while it is enabled."""

import os

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge


@cocotb.test()
async def counts_the_enabled_cycles(dut):
    cycles = int(os.environ["CYCLES"])
    dut.rst.value = 1
    dut.control__enable.value = 0
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    dut.control__enable.value = 1
    for expected in range(cycles):
        assert int(dut.count.value) == expected
        await FallingEdge(dut.clk)
    dut.control__enable.value = 0
    for _ in range(3):
        await FallingEdge(dut.clk)
        assert int(dut.count.value) == cycles


@cocotb.test()
async def python_sleeps_until_the_counter_wraps(dut):
    dut.rst.value = 1
    dut.control__enable.value = 1
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.wraps)
    assert int(dut.count.value) == 255
