"""The standard's own node tests, with inputs and outputs in the onnx package, on every operator that is imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compiler.nodes import NetworkError
from compiler.onnx_import import TRANSLATIONS, import_model

pytest.importorskip("torch", reason="PyTorch evaluates the imported network: pip install torch==2.13.0")
FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data"
EXECUTED = 86
"""Tests that the import accepts; the others need what is refused by name."""


def _tensors(folder: Path, stem: str) -> list[np.ndarray]:
    paths = sorted(folder.glob(f"{stem}_*.pb"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    return [numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())) for path in paths]


def _agrees(folder: Path) -> bool:
    """Whether the test could be imported; its first input stays one, the others become constants."""
    from tests.compiler.evaluate import evaluate

    model = onnx.load(folder / "model.onnx")
    inputs = _tensors(folder / "test_data_set_0", "input")
    expected = _tensors(folder / "test_data_set_0", "output")[0]
    for value, values in list(zip(model.graph.input, inputs, strict=False))[1:]:
        model.graph.initializer.append(numpy_helper.from_array(values, value.name))
    del model.graph.output[1:]
    # Samples of a batch are independent: the first is enough. What these tests use did not change from version 6 to 7.
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.opset_import[0].version = max(7, model.opset_import[0].version)
    try:
        network, parameters = import_model(model, folder.name)
    except NetworkError:
        return False
    result = evaluate(network, parameters, inputs[0][0])[network.last]
    np.testing.assert_allclose(result, expected[0], rtol=1e-3, atol=1e-5, err_msg=folder.name)
    return True


def test_the_standards_node_tests_agree():
    executed = 0
    for folder in sorted(FOLDER.glob("node/*")) + sorted(FOLDER.glob("pytorch-*/*")):
        graph = onnx.load(folder / "model.onnx").graph
        tensors = graph.input and all(value.type.tensor_type.shape.dim for value in (*graph.input, *graph.output))
        if tensors and {node.op_type for node in graph.node} <= {*TRANSLATIONS, "Identity", "Constant"}:
            executed += _agrees(folder)
    assert executed == EXECUTED
