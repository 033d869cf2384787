"""`tinycl verify`: its exit status, its one line for a difference, and that a replay is the same case."""

import json
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from arch.chip import Chip
from arch.isa import Overflow
from sim.stepping import SteppingMachine
from tinycl.cli import main
from tinycl.verify import Plan, Replay


def call(*arguments: object):
    return CliRunner().invoke(main, ["verify", *(str(item) for item in arguments)])


def wrong_machine(*arguments):
    """A stepping machine that never saturates."""
    machine = SteppingMachine(*arguments)
    machine.tables[1]["overflow"] = Overflow.WRAP
    return machine


def test_equal(tmp_path):
    result = call("--chip", "tiny", "--programs", 6, "-o", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["difference"] is None and set(report["scenarios"].values()) == {1}
    assert not list(tmp_path.iterdir())


def test_a_difference_is_named_and_can_be_replayed(tmp_path):
    with patch("testbenches.lockstep.SteppingMachine", wrong_machine):
        result = call("--chip", "tiny", "--seed", 4, "-o", tmp_path)
    assert result.exit_code == 1, result.output
    assert "COMPUTE" in result.output and "value" in result.output
    replay = tmp_path / "replay.json"
    assert f"tinycl verify --replay {replay}" in result.output
    plan = Plan.of(Replay.load(replay), tmp_path)
    assert (plan.chip, plan.seed, plan.programs, plan.waveform) == (Chip.load("tiny"), 4, 1, True)


@pytest.mark.parametrize("text", [None, "", "{}", '{"chip": {}, "seed": 1, "number": 0, "length": 3}'])
def test_bad_replays_are_one_line(tmp_path, text):
    path = tmp_path / "replay.json"
    if text is not None:
        path.write_text(text)
    result = call("--replay", path)
    assert result.exit_code == 2
    assert result.stderr.startswith("tinycl: ") and result.stderr.count("\n") == 1
