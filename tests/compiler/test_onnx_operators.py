"""Each ONNX operator, imported and evaluated by PyTorch, against ONNX's own reference evaluator on the file."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from compiler.network import Network
from compiler.onnx_import import TRANSLATIONS, import_model

pytest.importorskip("torch", reason="PyTorch evaluates the imported network: pip install torch==2.13.0")


def graph(nodes, shape, constants=None, opset=20, batch: int | str = 1) -> onnx.ModelProto:
    """A model of `nodes` from x [batch, *shape] to y; `constants` are initialisers by name."""
    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in (constants or {}).items()]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *shape])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_graph(list(nodes), "g", [value], [result], tensors)
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def agree(model: onnx.ModelProto, shape, seed=0) -> Network:
    """Import the model; its last value must be the reference evaluator's y on random numbers."""
    from tests.compiler.evaluate import evaluate

    rng = np.random.default_rng(seed)
    sample = rng.normal(size=shape).astype(np.float32)
    # The evaluator's LRN computes as many channels as the batch has samples, so an open batch gets as many.
    samples = np.stack([sample] * (1 if model.graph.input[0].type.tensor_type.shape.dim[0].dim_value else shape[0]))
    (expected,) = ReferenceEvaluator(model).run(None, {"x": samples})  # type: ignore[misc]
    network, parameters = import_model(model, "g")
    parameters = network.checked(parameters)
    result = evaluate(network, parameters, sample)[network.last]
    assert result.shape == np.shape(expected)[1:]
    np.testing.assert_allclose(result, np.asarray(expected)[0], rtol=2e-5, atol=2e-5)
    return network


def random(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def node(operator, inputs="x", output="y", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), **attributes)


def whole(*values):
    return np.array(values, np.int64)


POSITIVE = np.abs(random(6)) + np.float32(0.5)
MAP = (6, 7, 5)
CASES = {
    "add": ([node("Relu", "x", "a"), node("Add", "x a")], MAP, {}),
    "add to itself": ([node("Add", "x x")], MAP, {}),
    "add constant": ([node("Add", "c x")], MAP, {"c": random(6, 1, 1)}),
    "sum": ([node("Relu", "x", "a"), node("Sum", "x a")], MAP, {}),
    "subtract constant": ([node("Sub", "x c")], MAP, {"c": random(1, 6, 1, 1)}),
    "multiply by number": ([node("Mul", "x c")], MAP, {"c": np.float32(0.3)}),
    "multiply vector": ([node("Mul", "x c")], (6,), {"c": random(6)}),
    "divide by constant": ([node("Div", "x c")], MAP, {"c": POSITIVE.reshape(6, 1, 1)}),
    "affine": ([node("Mul", "x c", "a"), node("Add", "a d")], MAP, {"c": random(6, 1, 1), "d": random(6, 1, 1)}),
    "affine read twice": (
        [node("Mul", "x c", "a"), node("Add", "a d", "b"), node("Add", "a b")],
        MAP,
        {"c": random(6, 1, 1), "d": random(6, 1, 1)},
    ),
    "batch normalisation": (
        [node("BatchNormalization", "x w b m v", epsilon=0.01)],
        MAP,
        {"w": random(6), "b": random(6, seed=2), "m": random(6, seed=3), "v": POSITIVE},
    ),
    "clip": ([node("Clip", "x lo hi")], MAP, {"lo": np.float32(0), "hi": np.float32(1.5)}),
    "clip without maximum": ([node("Clip", "x lo")], MAP, {"lo": np.float32(0)}),
    "concatenation": ([node("Relu", "x", "a"), node("Concat", "x a x", axis=1)], MAP, {}),
    "concatenation of vectors": ([node("Relu", "x", "a"), node("Concat", "a x", axis=-1)], (5,), {}),
    "dropout": ([node("Dropout", "x r")], MAP, {"r": np.float32(0.3)}),
    "flatten": ([node("Flatten")], MAP, {}),
    "flatten after reshape": ([node("Reshape", "x s", "a"), node("Flatten", "a")], MAP, {"s": whole(0, 2, 3, -1)}),
    "gemm": ([node("Gemm", "x w c", transB=1, alpha=0.5, beta=2.0)], (6,), {"w": random(4, 6), "c": random(4)}),
    "gemm as stored": ([node("Gemm", "x w")], (6,), {"w": random(6, 4)}),
    "gemm of one bias": ([node("Gemm", "x w c")], (6,), {"w": random(6, 4), "c": random(1, 1)}),
    "matmul": ([node("MatMul", "x w")], (6,), {"w": random(6, 4)}),
    "matmul and bias": ([node("MatMul", "x w", "a"), node("Add", "c a")], (6,), {"w": random(6, 4), "c": random(4)}),
    "matmul of transposed": ([node("Transpose", "w", "t"), node("MatMul", "x t")], (6,), {"w": random(4, 6)}),
    "global average": ([node("GlobalAveragePool")], MAP, {}),
    "global maximum": ([node("GlobalMaxPool")], MAP, {}),
    "mean": ([node("ReduceMean", "x a", keepdims=1)], MAP, {"a": whole(-1, 2)}),
    "mean as vector": ([node("ReduceMean", "x a", keepdims=0)], MAP, {"a": whole(2, 3)}),
    "identity": ([node("Identity", "x", "a"), node("Relu", "a", "b"), node("Identity", "b")], MAP, {}),
    "normalisation across channels": ([node("LRN", size=3, alpha=0.1, beta=0.5, bias=2.0)], MAP, {}),
    "even normalisation": ([node("LRN", size=4, alpha=0.3)], MAP, {}),
    "leaky": ([node("LeakyRelu", alpha=0.2)], MAP, {}),
    "leaky by constant": ([node("PRelu", "x s")], MAP, {"s": np.full((6, 1, 1), 0.25, np.float32)}),
    "padding": ([node("Pad", "x p")], MAP, {"p": whole(0, 0, 1, 2, 0, 0, 3, 4)}),
    "padding by axes": ([node("Pad", "x p v a")], MAP, {"p": whole(1, 2), "v": np.float32(0), "a": whole(3)}),
    "relu": ([node("Relu")], MAP, {}),
    "shape arithmetic": (
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Unsqueeze", "n zero1", "n1"),
            node("Concat", "n1 rest", "t", axis=0),
            node("Reshape", "x t"),
        ],
        MAP,
        {"zero": np.int64(0), "zero1": whole(0), "rest": whole(-1)},
    ),
    "reshape of batch": ([node("Reshape", "x s")], (12,), {"s": whole(-1, 3, 2, 2)}),
    "shuffle": (
        [node("Reshape", "x s", "a"), node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]), node("Reshape", "b t")],
        MAP,
        {"s": whole(1, 2, 3, 7, 5), "t": whole(1, 6, 7, 5)},
    ),
    "shuffle without batch": (
        [node("Reshape", "x s", "a"), node("Transpose", "a", "b", perm=[1, 0, 2]), node("Reshape", "b t")],
        MAP,
        {"s": whole(3, 2, 35), "t": whole(-1, 6, 7, 5)},
    ),
    "slice": (
        [node("Slice", "x s e a")],
        MAP,
        {"s": whole(1, -4), "e": whole(2**31, -1), "a": whole(1, -2)},
    ),
    "softmax": ([node("Softmax", axis=1)], (9,), {}),
    "softmax of pixels": ([node("Softmax", axis=1)], (9, 1, 1), {}),
    "split": ([node("Split", "x p", "a b c", axis=1), node("Concat", "c a", axis=1)], MAP, {"p": whole(1, 3, 2)}),
    "even split": ([node("Split", "x", "a b", axis=2, num_outputs=2), node("Concat", "b b", axis=1)], MAP, {}),
    "sequence": (
        [
            node("SplitToSequence", "x p", "q", axis=1),
            node("SequenceAt", "q i", "a"),
            node("SequenceAt", "q j", "b"),
            node("Concat", "b a", axis=1),
        ],
        MAP,
        {"p": np.int64(4), "i": np.int64(0), "j": np.int64(-1)},
    ),
    "squeeze": ([node("GlobalAveragePool", "x", "a"), node("Squeeze", "a s")], MAP, {"s": whole(2, 3)}),
    "unsqueeze": ([node("Unsqueeze", "x s")], (9,), {"s": whole(-1, 2)}),
    "transpose": ([node("Transpose", perm=[0, 2, 3, 1])], MAP, {}),
    "channels last into a matrix": (
        [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Reshape", "a s", "b"), node("MatMul", "b w")],
        MAP,
        {"s": whole(-1, 210), "w": random(210, 4)},
    ),
    "columns first into a matrix": (
        [node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Flatten", "a", "b"), node("Gemm", "b w", transB=1)],
        MAP,
        {"w": random(4, 210)},
    ),
    "filled weights": (
        [node("ConstantOfShape", "s", "w", value=helper.make_tensor("v", 1, [1], [0.25])), node("Conv", "x w")],
        MAP,
        {"s": whole(2, 6, 3, 3)},
    ),
    "expanded bias": (
        [node("Expand", "c s", "b"), node("Conv", "x w b")],
        MAP,
        {"c": np.float32(0.7), "s": whole(2), "w": random(2, 6, 1, 1)},
    ),
    "quantised": (
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("DequantizeLinear", "wq ws", "w", axis=0),
            node("Conv", "d w"),
        ],
        MAP,
        {
            "s": np.float32(2.0**-20),
            "z": np.int16(0),
            "wq": np.arange(-6, 6, dtype=np.int8).reshape(2, 6, 1, 1),
            "ws": np.array([0.25, 0.5], np.float32),
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_operator_means_what_onnx_says(case):
    nodes, shape, constants = case
    if "QuantizeLinear" in {made.op_type for made in nodes}:
        # The hint keeps no rounding: compare with a quantisation too fine to matter, of values within its range.
        constants = {**constants, "s": np.float32(2.0**-24), "z": np.int32(0)}
        nodes = nodes[2:]
        nodes[-1] = node("Conv", "x w")
    batch = "N" if nodes[0].op_type == "LRN" else 1
    agree(graph(nodes, shape, constants, batch=batch), shape)


def test_every_operator_has_a_case():
    used = {made.op_type for nodes, _, _ in CASES.values() for made in nodes}
    assert set(TRANSLATIONS) - used == {"AveragePool", "MaxPool"}


OLD = {
    "clip": (7, [node("Clip", min=0.0, max=6.0)], MAP, {}),
    "clip to relu": (9, [node("Clip", min=0.0)], MAP, {}),
    "pad": (9, [node("Pad", pads=[0, 0, 1, 0, 0, 0, 2, 3])], MAP, {}),
    "slice": (9, [node("Slice", starts=[1, 0], ends=[3, -1], axes=[1, 3])], MAP, {}),
    "squeeze": (11, [node("GlobalAveragePool", "x", "a"), node("Squeeze", "a", axes=[2, 3])], MAP, {}),
    "unsqueeze": (11, [node("Unsqueeze", axes=[2, 3])], (4,), {}),
    "dropout": (11, [node("Dropout", ratio=0.2)], MAP, {}),
    "mean": (13, [node("ReduceMean", axes=[2, 3])], MAP, {}),
    "softmax": (9, [node("Softmax")], (4,), {}),
    "split": (11, [node("Split", "x", "a b", axis=1, split=[2, 4]), node("Concat", "b a", axis=1)], MAP, {}),
    "newest": (25, [node("Relu")], MAP, {}),
}


@pytest.mark.parametrize("case", OLD.values(), ids=OLD.keys())
def test_an_operator_means_what_its_own_version_says(case):
    opset, nodes, shape, constants = case
    agree(graph(nodes, shape, constants, opset), shape)


@settings(max_examples=60)
@given(data=st.data())
def test_convolutions_agree(data):
    draw = data.draw
    group, share, filters = draw(st.sampled_from([(1, 3, 4), (2, 2, 2), (3, 1, 1), (3, 1, 2), (1, 1, 1)]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    attributes = {
        "strides": draw(st.lists(st.integers(1, 3), min_size=2, max_size=2)),
        "dilations": draw(st.lists(st.integers(1, 2), min_size=2, max_size=2)),
        "group": group,
    }
    automatic = draw(st.sampled_from(["", "SAME_UPPER", "SAME_LOWER"]))
    if automatic:
        # The evaluator's automatic padding knows neither dilations nor strides: those are tested below.
        attributes |= {"auto_pad": automatic, "dilations": [1, 1], "strides": [1, 1]}
    else:
        attributes["pads"] = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
    shape = (group * share, draw(st.integers(7, 11)), draw(st.integers(7, 11)))
    constants = {"w": random(group * filters, share, *kernel)}
    if draw(st.booleans()):
        constants["b"] = random(group * filters)
    network = agree(graph([node("Conv", " ".join(["x", *constants]), **attributes)], shape, constants), shape)
    assert prod(network.shapes["y.weight"]) == constants["w"].size


@settings(max_examples=100)
@given(data=st.data())
def test_poolings_are_those_of_pytorch(data):
    import torch

    from tests.compiler.evaluate import evaluate

    draw = data.draw
    kernel, stride = ([draw(st.integers(1, 4)), draw(st.integers(1, 4))] for _ in range(2))
    padding = [draw(st.integers(0, extent // 2)) for extent in kernel]
    operator, ceil = draw(st.sampled_from(["MaxPool", "AveragePool"])), draw(st.booleans())
    counted = operator == "AveragePool" and not ceil and draw(st.booleans())
    shape = (2, draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": padding * 2, "ceil_mode": int(ceil)}
    if counted:
        attributes["count_include_pad"] = 1
    network, _ = import_model(graph([node(operator, **attributes)], shape), "g")
    sample = random(*shape)
    if operator == "MaxPool":
        expected = torch.nn.functional.max_pool2d(torch.from_numpy(sample), kernel, stride, padding, ceil_mode=ceil)
    else:
        expected = torch.nn.functional.avg_pool2d(torch.from_numpy(sample), kernel, stride, padding, ceil, counted)
    np.testing.assert_allclose(evaluate(network, {}, sample)["y"], expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("automatic", "extent", "kernel", "stride", "pads"),
    [
        ("VALID", 8, 3, 2, (0, 0)),
        ("SAME_UPPER", 7, 3, 2, (1, 1)),
        ("SAME_UPPER", 8, 3, 2, (0, 1)),
        ("SAME_LOWER", 8, 3, 2, (1, 0)),
        ("SAME_LOWER", 8, 2, 2, (0, 0)),
        ("SAME_UPPER", 5, 1, 3, (0, 0)),
        ("SAME_UPPER", 49, 10, 2, (4, 5)),
    ],
)
def test_automatic_padding_is_that_of_tensorflow(automatic, extent, kernel, stride, pads):
    conv = node("Conv", "x w", auto_pad=automatic, strides=[stride, 1])
    network, _ = import_model(graph([conv], (1, extent, 4), {"w": random(2, 1, kernel, 1)}), "g")
    assert network.nodes[0].attributes.pads == (pads[0], 0, pads[1], 0)


def test_a_quantised_value_keeps_its_fraction():
    nodes, shape, constants = CASES["quantised"]
    network, parameters = import_model(graph(nodes, shape, {**constants, "s": np.float32(2.0**-7)}), "g")
    assert network.fractions == {"input": 7}
    assert [made.operator for made in network.nodes] == ["Conv"]
    assert parameters["y.weight"][0, 0, 0, 0] == -1.5


def test_names_are_those_of_nodes_or_results_and_numbered_if_taken():
    nodes = [helper.make_node("Relu", ["x"], ["a"], name="block/relu"), node("Relu", "a", "b"), node("Relu", "b")]
    nodes[2].name = "block/relu"
    network, _ = import_model(graph(nodes, MAP), "g")
    assert [made.name for made in network.nodes] == ["block/relu", "b", "block/relu_1"]


def test_shuffle_affine_and_bias_are_one_node_each():
    for case, operator in (
        ("shuffle", "ChannelShuffle"),
        ("affine", "BatchNormalization"),
        ("matmul and bias", "Gemm"),
    ):
        nodes, shape, constants = CASES[case]
        network, _ = import_model(graph(nodes, shape, constants), "g")
        assert [made.operator for made in network.nodes] == [operator]
