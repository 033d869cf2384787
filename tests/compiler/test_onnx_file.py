"""Files that are damaged, hostile or too large, and models that cannot be meant: one line, and nothing allocated."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compiler.nodes import NetworkError
from compiler.onnx_import import import_model, load_onnx

WEIGHT = np.arange(8, dtype=np.float32).reshape(2, 4)


def node(operator, inputs="x", output="y", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), **attributes)


def model(*nodes, shape=(1, 4), tensors=(), opset=20, outputs=("y",), kind=TensorProto.FLOAT) -> onnx.ModelProto:
    """From x of `shape`, batch included, to y; one Gemm unless nodes are given."""
    nodes = nodes or (node("Gemm", "x w", transB=1),)
    tensors = list(tensors) or [numpy_helper.from_array(WEIGHT, "w")]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def tensors(**values) -> list[TensorProto]:
    return [numpy_helper.from_array(np.array(value), name) for name, value in values.items()]


def huge(**fields) -> TensorProto:
    """A weight that claims 10^9 elements and holds none."""
    return TensorProto(name="w", dims=[250_000_000, 4], data_type=TensorProto.FLOAT, **fields)


def external(location: str, **entries) -> onnx.ModelProto:
    tensor = TensorProto(name="w", dims=[2, 4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model(tensors=[tensor])


def refused(action) -> str:
    """The one line with which the action is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(NetworkError) as error:
            action()
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_file_is_read(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(model().SerializeToString())
    network, parameters = load_onnx(path)
    assert network.name == "small" and network.shapes == {"y.weight": (2, 4)}
    np.testing.assert_array_equal(parameters["y.weight"], WEIGHT)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "no graph"),
        (b"not protobuf at all", "no ONNX file"),
        (model().SerializeToString()[:-20], "cut off"),
        (b"\x08\x0a", "no graph"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data, word):
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    assert str(path) in (message := refused(lambda: load_onnx(path))) and word in message


def test_a_missing_or_huge_file_is_refused(tmp_path):
    assert "No such file" in refused(lambda: load_onnx(tmp_path / "none.onnx"))
    assert "directory" in refused(lambda: load_onnx(tmp_path))
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate((1 << 31) + 1)
    assert "at most 2 GiB" in refused(lambda: load_onnx(path))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path, data):
    convolution = [
        node("Conv", "x w b", "a", pads=[1, 1, 1, 1], strides=[2, 1], name="conv"),
        node("Reshape", "a s", "c"),
        node("Softmax", "c"),
    ]
    constants = {"w": np.ones((2, 3, 3, 3), np.float32), "b": np.ones(2, np.float32), "s": np.array([1, -1])}
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    content = bytearray(model(*convolution, shape=(1, 3, 5, 4), tensors=tensors).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.onnx"
    path.write_bytes(content)
    try:
        load_onnx(path)
    except NetworkError as error:
        assert "\n" not in str(error)


NAN = numpy_helper.from_array(np.where(WEIGHT == 3, np.nan, WEIGHT).astype(np.float32), "w")
CASES = {
    "cycle": (model(node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")), ["own result", "cycle"]),
    "cycle of identities": (
        model(node("Identity", "b", "a"), node("Identity", "a", "b"), node("Add", "x a")),
        ["own result"],
    ),
    "old operators": (model(opset=6), ["operator set", "7 to 25", "[6]"]),
    "unknown operators": (model(opset=99), ["operator set", "[99]"]),
    "open extent": (model(node("Relu"), shape=("N", 3, "H", 8)), ["x", "None", "fixed size"]),
    "batch": (model(shape=(8, 4)), ["x", "[8, 4]"]),
    "no shape": (model(node("Relu"), shape=None), ["x", "(1, C, H, W)"]),
    "negative extent": (model(node("Relu"), shape=(1, -4)), ["input of g", "-4"]),
    "integers": (model(node("Relu"), kind=TensorProto.INT64), ["x", "floating-point"]),
    "NaN": (model(tensors=[NAN]), ["y (Gemm)", "y.weight", "NaN"]),
    "infinity": (
        model(tensors=[numpy_helper.from_array(np.where(WEIGHT == 3, -np.inf, WEIGHT).astype(np.float32), "w")]),
        ["y.weight", "infinity"],
    ),
    "huge weight": (model(tensors=[huge()]), ["y (Gemm)", "w", "268435456"]),
    "huge raw weight": (model(tensors=[huge(raw_data=b"0000")]), ["w", "268435456"]),
    "negative weight": (
        model(tensors=[TensorProto(name="w", dims=[-1, 4], data_type=1)]),
        ["w", "[-1, 4]"],
    ),
    "short weight": (
        model(tensors=[TensorProto(name="w", dims=[2, 4], data_type=1, raw_data=b"0000")]),
        ["w", "32 bytes", "4 are"],
    ),
    "short list": (
        model(tensors=[TensorProto(name="w", dims=[2, 4], data_type=1, float_data=[1.0])]),
        ["w", "8 numbers", "1 are"],
    ),
    "strings": (
        model(tensors=[TensorProto(name="w", dims=[1], data_type=TensorProto.STRING, string_data=[b"a"])]),
        ["w", "real numbers"],
    ),
    "integer weight": (model(tensors=[numpy_helper.from_array(WEIGHT.astype(int), "w")]), ["y", "floating-point"]),
    "huge fill": (
        model(
            node("ConstantOfShape", "s", "w"),
            node("Gemm", "x w"),
            tensors=[numpy_helper.from_array(np.array([4, 10**9]), "s")],
        ),
        ["w (ConstantOfShape)", "268435456"],
    ),
    "two outputs": (
        model(node("Relu"), node("Relu", "x", "z"), outputs=("y", "z")),
        ["g", "one output", "y, z"],
    ),
    "made twice": (model(node("Relu"), node("Relu", "x", "y")), ["already made"]),
    "name of two lines": (model(helper.make_node("Relu", ["x"], ["y"], name="a\nb")), ["g", "a\\nb", "printable"]),
    "nothing makes it": (model(node("Add", "x z")), ["y", "reads z"]),
    "input alone": (model(node("Identity")), ["at least one layer"]),
    "slice of the batch": (
        model(
            node("Slice", "x s e"),
            tensors=[numpy_helper.from_array(np.array([value]), name) for name, value in (("s", 1), ("e", 2))],
        ),
        ["y (Slice)", "keep the batch"],
    ),
    "no shuffle": (
        model(
            node("Reshape", "x s", "a", name="split"),
            node("Transpose", "a", "b", perm=[0, 1, 2, 4, 3]),
            node("Reshape", "b t"),
            shape=(1, 4, 3, 3),
            tensors=[
                numpy_helper.from_array(np.array([1, 2, 2, 3, 3]), "s"),
                numpy_helper.from_array(np.array([1, 4, 3, 3]), "t"),
            ],
        ),
        ["split (Reshape)", "map"],
    ),
    "too few inputs": (model(node("Gemm", "x")), ["y (Gemm)", "2 inputs"]),
    "wrong attribute": (model(node("Gemm", "x w", transB=1.5)), ["y (Gemm)", "transB", "INT"]),
    "wrong shape": (model(node("Gemm", "x w", transB=0)), ["y (Gemm)", "weight", "shape"]),
    "another domain": (
        model(helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")),
        ["y (com.microsoft.FusedConv)", "not supported"],
    ),
    "every problem at once": (
        model(
            node("Sigmoid", "x", "a"),
            node("Relu", "a", "b"),
            node("Tanh", "b", "c"),
            node("LeakyRelu", "x", "d", alpha=2.0),
            node("Add", "c d", "e"),
            node("Resize", "e"),
        ),
        ["a (Sigmoid): ", "Clip", "; c (Tanh): ", "; d (LeakyRelu): alpha", "; y (Resize): ", "end the network"],
    ),
    "scale": (
        model(
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s"),
            tensors=tensors(s=np.float32(0.3), z=np.int8(0)),
        ),
        ["q (QuantizeLinear)", "power of two", "0.3"],
    ),
    "integers read": (
        model(
            node("QuantizeLinear", "x s z", "q"),
            node("Relu", "q"),
            tensors=tensors(s=np.float32(0.5), z=np.int8(0)),
        ),
        ["y (Relu)", "DequantizeLinear"],
    ),
    "twice": (
        model(
            node("QuantizeLinear", "x s z", "q"),
            node("QuantizeLinear", "x s w", "r"),
            node("DequantizeLinear", "q s z", "d"),
            node("DequantizeLinear", "r s w", "e"),
            node("Add", "d e"),
            tensors=tensors(s=np.float32(0.5), z=np.int8(0), w=np.int16(0)),
        ),
        ["r (QuantizeLinear)", "quantised twice", "types"],
    ),
    "unsigned": (
        model(node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s"), tensors=tensors(s=np.float32(0.5))),
        ["q (QuantizeLinear)", "signed", "uint8", "int8 or int16"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_model_that_cannot_be_meant_is_refused(case):
    made, words = case
    message = refused(lambda: import_model(made, "g"))
    assert all(word in message for word in words), message


def test_a_deep_graph_needs_no_deep_stack():
    nodes = [node("Relu", f"v{i}", f"v{i + 1}") for i in range(5000)]
    message = refused(lambda: import_model(model(node("Relu", "x", "v0"), *nodes, outputs=("v5000",)), "g"))
    assert "at most 4096 nodes" in message


def test_external_data_is_read_inside_the_folder(tmp_path):
    (tmp_path / "data.bin").write_bytes(b"\0" * 16 + WEIGHT.tobytes())
    path = tmp_path / "model.onnx"
    path.write_bytes(external("data.bin", offset=16, length=32).SerializeToString())
    np.testing.assert_array_equal(load_onnx(path)[1]["y.weight"], WEIGHT)


@pytest.mark.parametrize(
    ("location", "entries", "words"),
    [
        ("none.bin", {}, ["missing"]),
        ("../outside.bin", {}, ["outside", "move it"]),
        ("link.bin", {}, ["outside"]),
        ("loop.bin", {}, ["loop.bin"]),
        ("inside/../../outside.bin", {}, ["outside"]),
        ("/etc/hostname", {}, ["relative"]),
        ("", {}, ["relative"]),
        ("inside", {}, ["missing"]),
        ("data.bin", {"offset": 16}, ["32 bytes", "file of 32"]),
        ("data.bin", {"offset": -8}, ["32 bytes"]),
        ("data.bin", {"offset": 10**30}, ["32 bytes"]),
        ("data.bin", {"length": 10**12}, ["32 bytes"]),
        ("data.bin", {"offset": "x"}, ["integers"]),
        ("pipe", {}, ["missing"]),
    ],
)
def test_external_data_elsewhere_or_short_is_refused(tmp_path, location, entries, words):
    folder = tmp_path / "model"
    (folder / "inside").mkdir(parents=True)
    (tmp_path / "outside.bin").write_bytes(WEIGHT.tobytes())
    (folder / "data.bin").write_bytes(WEIGHT.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    os.mkfifo(folder / "pipe")
    path = folder / "model.onnx"
    path.write_bytes(external(location, **entries).SerializeToString())
    message = refused(lambda: load_onnx(path))
    assert "y (Gemm): w" in message and all(word in message for word in words), message


def test_external_data_needs_a_folder():
    assert "relative" in refused(lambda: import_model(external("data.bin"), "g"))
