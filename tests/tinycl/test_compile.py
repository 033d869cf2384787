"""`tinycl compile`: every kind of model and option, and its one-line refusals."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from arch.program import Program
from compiler.bounds import Bounds, limit_of
from compiler.report import SCHEMA, Report, Row
from compiler.report_tensors import Check, TensorRow
from tinycl.cli import main
from tinycl.models import BUILT

VECTOR = """name: vector
input: [6]
layers:
  - dense: {outputs: 6, bias: true}
"""
NORMALISED = """name: normalised
input: [2, 6, 6]
layers:
  - conv: {filters: 4}
  - batch_norm
  - relu
  - conv: {filters: 4, kernel: 1, name: point}
  - dense: {outputs: 3}
"""


def call(*arguments: object):
    return CliRunner().invoke(main, ["compile", *(str(item) for item in arguments)])


def reports(*arguments: object) -> dict[str, Report]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return {name: Report.model_validate(item) for name, item in json.loads(result.stdout).items()}


def test_a_field_of_the_chip_is_set(tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text(VECTOR)
    plain, narrow = reports(path), reports(path, "--set", "lanes=4", "--set", "program_memory.instructions=64")
    assert plain["infer"].chip == "paper" and "lanes=4" in narrow["infer"].chip
    refused(["lanse", "must be a field"], path, "--set", "lanse=4")
    refused(["lanes", "FIELD=VALUE"], path, "--set", "lanes")
    refused(["lanes", "integer"], path, "--set", "lanes=many")


def refused(words: list[str], *arguments: object) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def write(path, text: str):
    path.write_text(text)
    return path


@pytest.fixture
def normalised(tmp_path):
    return write(tmp_path / "normalised.yaml", NORMALISED)


@pytest.fixture
def vector(tmp_path):
    return write(tmp_path / "vector.yaml", VECTOR)


def model(path, *operators: str, filled: bool = False):
    """An ONNX file: a convolution and the operators, one after the other."""
    weight = np.ones((4, 2, 3, 3)) if filled else np.random.default_rng(0).normal(0, 0.3, (4, 2, 3, 3))
    nodes = [helper.make_node("Conv", ["x", "w"], ["v0"], "first", pads=[1, 1, 1, 1])]
    nodes += [helper.make_node(name, [f"v{i}"], [f"v{i + 1}"], f"{name}_{i}") for i, name in enumerate(operators)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("name", list(BUILT))
def test_shipped_networks_are_known_by_name(name, tmp_path):
    output = tmp_path / "net.tcl"
    found = reports(name, "-o", output)
    assert set(found) == {"infer"} and found["infer"].network == name
    assert set(Program.load(output).entries) == {"infer"}


@pytest.mark.parametrize("name", ["ds_cnn", "autoencoder"])
def test_torchs_networks_are_known_by_name(name):
    for package in ("torch", "onnxscript"):
        pytest.importorskip(package, reason="PyTorch and its exporter make them: pip install 'tinycl[torch]'")
    found = reports(name)
    assert found["infer"].network == name and found["infer"].macs > 200_000


def test_an_onnx_file_brings_its_weights(tmp_path):
    path = model(tmp_path / "net.onnx", "Relu", "GlobalAveragePool")
    result = call(path, "--check", 1)
    assert result.exit_code == 0, result.output
    assert "net on chip paper: one infer pass" in result.stdout and "beside float64" in result.stdout
    assert "random" not in result.stderr and "no --calibration" in result.stderr


def test_a_file_without_weights_gets_random_ones_and_says_so(tmp_path):
    result = call(model(tmp_path / "net.onnx", "Relu", filled=True))
    assert result.exit_code == 0
    assert "each weight in the file is one number repeated; random ones instead" in result.stderr


def test_every_unsupported_node_is_named_in_one_line(tmp_path):
    path = model(tmp_path / "net.onnx", "Sigmoid", "Relu", "Tanh", "Elu")
    refused(["Sigmoid_0", "Tanh_2", "Elu_3", "Relu, LeakyRelu or Clip"], path)
    dropped = "  - dropout: {name: first}\n  - lrn: {size: 3, name: second}\n  - dropout: {name: third}\n  - dense"
    layers = NORMALISED.replace("  - dense", dropped)
    refused(["first", "second", "third"], write(tmp_path / "net.yaml", layers), "--train")


def test_training_adds_the_loss_that_is_lacking(vector, normalised):
    assert set(reports(normalised)) == {"infer"}
    found = reports(normalised, "--train")
    assert set(found) == {"infer", "train"}
    assert [row.phase for row in found["train"].rows].count("loss") == 1
    squared = reports(vector, "--train", "--loss", "mse")["train"]
    assert "loss" in {row.layer for row in squared.rows} and {item.role for item in squared.tensors} >= {"target"}
    refused(["digits", "SoftmaxCrossEntropyLoss", "--loss mse"], "digits", "--train", "--loss", "mse")
    refused(["--loss", "--train"], vector, "--loss", "mse")


def test_a_result_of_one_pixel_is_a_vector_of_logits(tmp_path):
    path = model(tmp_path / "net.onnx", "Relu", "GlobalAveragePool")
    assert {"loss"} <= {row.phase for row in reports(path, "--train")["train"].rows}


def test_options_of_training_reach_the_program(normalised):
    plain = reports(normalised, "--train")["train"]
    moving = reports(normalised, "--train", "--momentum", 0.5, "--weight-decay", 0.001)["train"]
    assert "state" not in {item.role for item in plain.tensors} and "state" in {item.role for item in moving.tensors}
    assert moving.cycles > plain.cycles
    folded = reports(normalised, "--train", "--batch-norm", "folded")["train"]
    assert {row.layer for row in plain.rows} - {row.layer for row in folded.rows} == {"batch_norm1"}
    assert set(reports(normalised, "--train", "--micro-batch", 2)) == {
        "infer",
        "accumulate_first",
        "accumulate",
        "update",
    }
    assert reports(normalised, "--train", "--skip")["train"].estimated and not plain.estimated


def test_calibration_decides_formats(vector, tmp_path):
    path = tmp_path / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(path, samples=rng.uniform(-30, 30, (9, 6)), labels=rng.integers(0, 6, 9))
    bits = {item.name: item.fraction_bits for item in reports(vector)["infer"].tensors}
    result = call(vector, "--calibration", path, "--json")
    large = {item["name"]: item["fraction_bits"] for item in json.loads(result.stdout)["infer"]["tensors"]}
    assert bits["input"] == large["input"] + 5
    assert "calibration" not in result.stderr
    for arrays, words in (
        ({"labels": np.zeros(9, int)}, ["samples"]),
        ({"samples": np.zeros((9, 6))}, ["labels"]),
        ({"samples": np.zeros((9, 5)), "labels": np.zeros(9, int)}, ["samples", "[6]"]),
        ({"samples": np.zeros((0, 6)), "labels": np.zeros(0, int)}, ["samples", "[0, 6]"]),
        ({"samples": np.array(3.0), "labels": np.zeros(9, int)}, ["samples"]),
        ({"samples": np.zeros((9, 6)), "labels": np.full(9, 6)}, ["label", "0 to 5"]),
    ):
        np.savez(path, allow_pickle=False, **arrays)
        refused(words, vector, "--train", "--calibration", path)


def test_a_mean_squared_error_is_calibrated_on_targets(vector, tmp_path):
    path = tmp_path / "data.npz"
    samples = np.random.default_rng(0).uniform(0, 1, (4, 6))
    np.savez(path, samples=samples, labels=samples)
    assert reports(vector, "--train", "--loss", "mse", "--calibration", path)
    np.savez(path, samples=samples, labels=samples[:, :3])
    refused(["4 targets of 6 numbers"], vector, "--train", "--loss", "mse", "--calibration", path)


def test_the_check_says_how_far_the_chip_is_from_float64(normalised):
    found = reports(normalised, "--train", "--check", 3)
    for report in found.values():
        checks = {item.name: item.check for item in report.tensors if item.check}
        assert {"conv1.weight", "conv1", "point", "dense1", "dense1.gradient", "point.gradient"} <= set(checks)
        assert all(check.samples == 3 and check.saturated == 0 for check in checks.values())
        assert checks["conv1"].elements == 3 * 4 * 36
        assert all(0 < check.rms_error < 8 and check.rms_error < 0.02 * check.rms_value for check in checks.values())
    refused(["--check", "--micro-batch 1"], normalised, "--train", "--check", 1, "--micro-batch", 2)


@pytest.mark.parametrize("shape", [[8, 80, 80], [56, 3, 200]])
def test_the_check_sees_what_comes_and_goes(shape, tmp_path):
    """Maps too large for the chip pass by in bands of rows, or of columns too; still every element is compared."""
    layers = "".join(f"  - conv: {{filters: {shape[0]}, name: c{i}}}\n  - relu\n" for i in range(3))
    path = write(tmp_path / "large.yaml", f"name: large\ninput: {shape}\nlayers:\n{layers}")
    report = reports(path, "--check", 1)["infer"]
    assert report.traffic["external"].reads > 0 and report.dma_cycles > 0
    checks = {item.name: item.check for item in report.tensors if item.role == "activation"}
    assert set(checks) == {"c0", "c1", "c2"}
    for check in checks.values():
        assert check and check.elements == prod(shape) and check.rms_error < 3 and check.largest_error < 30


def test_the_check_keeps_sums_that_stay_in_the_accumulators(tmp_path):
    """Two groups of outputs of a matrix beyond the weight memory: their products are summed piece by piece."""
    layers = "  - dense: {outputs: 200}\n  - relu\n  - dense: {outputs: 10}\n"
    path = write(tmp_path / "fat.yaml", f"name: fat\ninput: [864]\nlayers:\n{layers}")
    found = reports(path, "--check", 1)["infer"]
    assert found.used_bytes["external"] > 300_000
    checks = {item.name: item.check for item in found.tensors if item.role == "activation"}
    assert set(checks) == {"dense1", "dense2"}
    assert all(check and check.rms_error < 3 and check.rms_value > 500 for check in checks.values())


def test_reports_are_of_this_schema_and_whole(normalised):
    for report in reports(normalised, "--train").values():
        assert report.schema_version == SCHEMA == 2
        assert sum(row.cycles for row in report.rows) == report.cycles
        assert sum(row.macs for row in report.rows) == report.macs
        assert report.rows[-1].layer == "end"
        assert all(row.busy <= row.cycles for row in report.rows)
        names = [item.name for item in report.tensors]
        assert len(set(names)) == len(names) and {"input", "conv1.weight", "dense1"} <= set(names)
        assert all(item.largest <= item.limit for item in report.tensors)
        for store, count in report.used_bytes.items():
            assert (count > 0) == (report.traffic[store].reads + report.traffic[store].writes > 0)


def test_the_page_documents_the_schema():
    """Each table of docs/report.md names the fields that `--json` writes, and no other; and every limit."""
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    sections = {part.partition("\n")[0]: part.partition("\n")[2] for part in re.split(r"^## ", page, flags=re.M)[1:]}
    row, limits = sections["A row"].split("`limited_by` is one of:")
    tensor, check = sections["A tensor"].split("`--check N` runs")
    for text, kind in ((sections["An entry"], Report), (row, Row), (tensor, TensorRow), (check, Check)):
        named = [name for cell in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall(r"`(\w+)`", cell)]
        assert sorted(named) == sorted(kind.model_fields)
    told = re.findall(r"^\| `([\w ]+)` \|", limits, re.M)
    none = dict.fromkeys(("taps", "lanes", "weight_port", "map_port", "dma"), 0.0)
    lost = [limit_of(Bounds(cycles=100, ideal=50, **none | {name: 40.0})) for name in none]
    reached = [*lost, *(limit_of(Bounds(cycles=100, ideal=ideal, **none)) for ideal in (0, 50, 99))]
    assert sorted(told) == sorted(reached)


def test_dense_layers_have_their_bandwidth_bound(tmp_path):
    path = write(tmp_path / "dense.yaml", "name: d\ninput: [720]\nlayers:\n  - dense: {outputs: 64}\n")
    row = next(row for row in reports(path)["infer"].rows if row.layer == "dense1")
    assert row.weight_port_cycles == 720 // 72 * 64 and row.external_cycles == 0
    one_port = next(row for row in reports(path, "--chip", "paper-one-port")["infer"].rows if row.layer == "dense1")
    assert one_port.weight_port_cycles == 9 * row.weight_port_cycles <= one_port.cycles
    shown = call(path, "--chip", "paper-one-port").stdout
    assert f"{one_port.weight_port_cycles:,} weights" in shown


def test_many_notes_are_a_few_lines():
    result = call("resnet8")
    assert result.exit_code == 0
    assert "folded into the weights of conv" in result.stderr and "and 4 more changes of this kind" in result.stderr
    assert len(result.stderr.splitlines()) == 6


def test_models_that_are_none_are_refused(tmp_path):
    refused(["nothing.txt", ".onnx", "resnet8"], "nothing.txt")
    refused(["none.onnx", "No such file"], tmp_path / "none.onnx")
    refused(["bad.onnx"], write(tmp_path / "bad.onnx", "not a model"))
    refused(["must be a power of two"], "digits", "--train", "--learning-rate", 0.3)
    refused(["momentum"], "digits", "--train", "--momentum", 2)
    refused(["mapping", "none.yaml"], "digits", "--mapping", tmp_path / "none.yaml")
