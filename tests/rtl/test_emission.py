"""The Verilog of every shipped chip: no latch, no loop, nothing undriven; and another compiler than ours takes it."""

import os
import shutil
import subprocess

import pytest

from arch.chip import CHIPS, Chip
from rtl.verilog import check
from testbenches.bench import CHIP_TOP
from testbenches.session import chip_verilog

NAMES = sorted(path.stem for path in CHIPS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_netlist_is_clean(name):
    netlist = check(chip_verilog(Chip.load(name)), top=CHIP_TOP)
    assert netlist.cells["$mul"] >= Chip.load(name).multipliers


@pytest.mark.parametrize("name", NAMES)
def test_icarus_compiles_it(name, tmp_path):
    if shutil.which("iverilog") is None:
        reason = "Icarus Verilog (iverilog) is not installed"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    source = tmp_path / "chip.sv"
    source.write_text(chip_verilog(Chip.load(name)))
    command = ["iverilog", "-g2012", "-t", "null", "-s", CHIP_TOP, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
