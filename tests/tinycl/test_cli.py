"""The command line: what it prints, and that bad input is one line, exit status 2 and nothing half-written."""

import json
import zipfile
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tinycl.cli import main

NETWORK = """name: small
input: [1, 6, 6]
layers:
  - conv: {filters: 4, bias: true}
  - relu
  - dense: {outputs: 3}
  - softmax_cross_entropy
"""


def call(*arguments: object):
    return CliRunner().invoke(main, [str(item) for item in arguments])


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(NETWORK)
    return path


@pytest.fixture
def program(network, tmp_path):
    path = tmp_path / "net.tcl"
    result = call("compile", network, "--train", "-o", path)
    assert result.exit_code == 0, result.output
    return path


def test_help_names_every_command():
    result = call("--help")
    assert result.exit_code == 0
    assert all(name in result.output for name in ("compile", "demo", "rtl", "simulate"))


def test_compile_reports_and_simulate_agrees(network, program, tmp_path):
    result = call("compile", network, "--train", "--json")
    report = json.loads(result.stdout)
    assert set(report) == {"infer", "train"}
    fast = json.loads(call("simulate", program, "--entry", "train", "--steps", 3, "--json").stdout)
    slow = json.loads(call("simulate", program, "--entry", "train", "--steps", 3, "--stepped", "--json").stdout)
    assert fast == slow
    assert fast["cycles"] == report["train"]["cycles"]


def test_simulate_saves_what_was_learnt(program, tmp_path):
    after = tmp_path / "after.tcl"
    assert call("simulate", program, "--entry", "train", "--steps", 5, "-o", after).exit_code == 0
    assert after.read_bytes() != program.read_bytes()
    assert call("simulate", after).exit_code == 0


def _write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, t: ("compile", t / "none.yaml"), ["none.yaml", "No such file"]),
        (lambda n, t: ("compile", _write(t / "a.yaml", NETWORK.replace("4", "0"))), ["conv1", "filters", "not 0"]),
        (lambda n, t: ("compile", _write(t / "a.yaml", NETWORK.replace("conv:", "pool:"))), ["layers"]),
        (lambda n, t: ("compile", n, "--chip", "none"), ["none", "paper"]),
        (lambda n, t: ("compile", n, "--chip", _write(t / "c.yaml", "lanes: 0")), ["lanes", "taps"]),
        (lambda n, t: ("compile", n, "--train", "--learning-rate", 0.1), ["learning_rate", "power of two"]),
        (lambda n, t: ("compile", n, "--parameters", n), ["npz"]),
        (lambda n, t: ("compile", n, "--mapping", _write(t / "m.yaml", "conv1: {walk: 3}")), ["conv1.walk", "window"]),
        (lambda n, t: ("compile", n, "--mapping", _write(t / "m.yaml", "conv9: {}")), ["conv9", "conv1, dense1"]),
        (lambda n, t: ("compile", n, "--calibration", t / "no.npz"), ["no.npz", "No such file"]),
    ],
)
def test_bad_input_to_compile(network, tmp_path, change, words):
    output = tmp_path / "out" / "net.tcl"
    result = call(*change(network, tmp_path), "-o", output)
    _refused(result, words)
    assert not output.parent.exists()


def test_nan_weights_are_refused(network, tmp_path):
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in (("conv1.weight", np.full((4, 1, 3, 3), np.nan)), ("dense1.weight", np.zeros((3, 144)))):
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, array)
    _refused(call("compile", network, "--parameters", path, "-o", tmp_path / "x.tcl"), ["conv1.weight", "NaN"])


def test_bad_programs_are_refused(program, tmp_path):
    _refused(call("simulate", program, "--chip", "tiny"), ["built for chip paper", "tiny"])
    _refused(call("simulate", program, "--entry", "fly"), ["entry", "infer, train"])
    cut = tmp_path / "cut.tcl"
    cut.write_bytes(program.read_bytes()[:-100])
    _refused(call("simulate", cut), ["cut.tcl", "truncated or altered"])
    _refused(call("simulate", tmp_path / "none.tcl"), ["none.tcl", "No such file"])
    bad = tmp_path / "d.npz"
    np.savez(bad, samples=np.zeros((4, 1, 5, 5)), labels=np.zeros(4, int))
    _refused(call("simulate", program, "--data", bad), ["samples", "[1, 6, 6]"])


def test_labels_must_be_classes(program, tmp_path):
    path = tmp_path / "d.npz"
    for labels in (np.array([0, 1, 2, 3]), np.array([0, 1, 2, -1]), np.array([70000] * 4), np.zeros(4), np.array(3)):
        np.savez(path, samples=np.zeros((4, 1, 6, 6)), labels=labels)
        _refused(call("simulate", program, "--data", path), ["labels must be 4 integers from 0 to 2"])


def test_data_says_what_it_lacks(program, tmp_path):
    data = tmp_path / "data.npz"
    for name, shape, words in (
        ("x", (2, 1, 6, 6), "must hold an array named samples, not only x"),
        ("samples", (2, 6, 6), "samples must have shape [n, [1, 6, 6]], not [2, 6, 6]"),
        ("samples", (2, 1, 6, 6), "labels must be 2 integers from 0 to 2; they are missing"),
    ):
        arrays: dict[str, Any] = {name: np.zeros(shape)}
        np.savez(data, **arrays)
        result = call("simulate", program, "--entry", "train", "--data", data)
        assert result.exit_code == 2 and words in result.stderr, result.stderr


def test_simulate_says_that_results_saturate(network, tmp_path):
    """Formats fit a few steps towards one class, and many steps go to another."""
    data, path = tmp_path / "data.npz", tmp_path / "tight.tcl"
    np.savez(data, samples=np.full((4, 1, 6, 6), 0.5), labels=np.zeros(4, int))
    options = "--train", "--calibration", data, "--headroom", 1, "--learning-rate", 0.25, "-o", path
    assert call("compile", network, *options).exit_code == 0
    rng = np.random.default_rng(0)
    np.savez(data, samples=rng.uniform(0, 0.5, (64, 1, 6, 6)), labels=rng.integers(0, 3, 64))
    command = "simulate", path, "--entry", "train", "--data", data, "--steps", 500
    assert "of all results saturated" in call(*command).stderr
    assert json.loads(call(*command, "--json").stdout)["saturated"] > 0.001


def test_a_mean_squared_error_is_simulated_on_targets(tmp_path):
    network = _write(tmp_path / "net.yaml", "name: n\ninput: [6]\nlayers:\n  - dense: {outputs: 4}\n")
    program, path = tmp_path / "net.tcl", tmp_path / "d.npz"
    assert call("compile", network, "--train", "--loss", "mse", "-o", program).exit_code == 0
    assert call("simulate", program, "--entry", "train", "--steps", 3).exit_code == 0
    np.savez(path, samples=np.zeros((5, 6)), labels=np.ones((5, 4)))
    result = call("simulate", program, "--entry", "train", "--steps", 5, "--data", path, "--json")
    assert json.loads(result.stdout)["steps"] == 5
    np.savez(path, samples=np.zeros((5, 6)), labels=np.ones((5, 3)))
    _refused(call("simulate", program, "--data", path), ["5 targets of shape [4]"])


def test_inference_needs_no_labels(network, tmp_path):
    program, path = tmp_path / "net.tcl", tmp_path / "d.npz"
    assert call("compile", network, "-o", program).exit_code == 0
    np.savez(path, samples=np.zeros((2, 1, 6, 6)))
    assert call("simulate", program, "--steps", 2, "--data", path).exit_code == 0


def test_unwritable_outputs_are_refused(network, program, tmp_path):
    (tmp_path / "dir").mkdir()
    for command in (("compile", network), ("rtl", "--chip", "tiny"), ("simulate", program)):
        _refused(call(*command, "-o", tmp_path / "dir"), ["dir", "is a directory"])
    _refused(call("compile", network, "-o", network / "x.tcl"), ["cannot be written"])


def test_sizes_that_cannot_fit_are_refused_unallocated(tmp_path):
    path = _write(tmp_path / "a.yaml", NETWORK.replace("[1, 6, 6]", "[1023, 1023, 1023]"))
    _refused(call("compile", path, "-o", tmp_path / "x.tcl"), ["input of small", "268435456 elements"])
    large = _write(tmp_path / "a.yaml", NETWORK.replace("[1, 6, 6]", "[1023, 500, 500]"))
    _refused(call("compile", large, "--chip", "wide", "-o", tmp_path / "x.tcl"), ["wide", "external_memory"])


def test_a_chip_alone_says_by_how_many_bytes(tmp_path):
    """tiny's map memories have 3,072 bytes; 3 channels of 24 x 24 take 3,456."""
    path = _write(tmp_path / "a.yaml", NETWORK.replace("[1, 6, 6]", "[3, 24, 24]"))
    _refused(
        call("compile", path, "--chip", "tiny", "--set", "external_memory=null"), ["input of small", "384 bytes too"]
    )


def test_rtl_is_written_whole(tmp_path):
    path = tmp_path / "chip.v"
    assert call("rtl", "--chip", "tiny", "-o", path).exit_code == 0
    assert "module tinycl" in path.read_text()


def _refused(result, words):
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert "Traceback" not in result.output
    assert all(word in result.stderr for word in words), result.stderr
