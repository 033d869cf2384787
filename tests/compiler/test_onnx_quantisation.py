"""A quantised ONNX model on the chip against onnx's own evaluator: every integer equal, saturated ones too."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from arch.chip import Chip
from arch.isa import Rounding
from arch.program import Program
from compiler import Bits, Calibration, NetworkError, Options, compile_network
from compiler.onnx_import import import_model
from sim.fast import FastMachine

PAPER = Chip.load("paper")
INPUT_STEP, HIDDEN_STEP, OUTPUT_STEP, WEIGHT_STEP = 2.0**-6, 2.0**-3, 2.0**-1, 2.0**-5
STEPS = {"s": INPUT_STEP, "h": HIDDEN_STEP, "o": OUTPUT_STEP, "w": WEIGHT_STEP}


def _node(operator: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


QUANTISED = [_node("QuantizeLinear", "x s z", "xq"), _node("DequantizeLinear", "xq s z", "xd")]
"""The input x in steps of s, xd."""


def model(nodes: list[onnx.NodeProto], result: tuple[int, ...], **tensors) -> onnx.ModelProto:
    """From x, 3 x 6 x 6, to y of a shape, batch included."""
    made = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])


def results(made: onnx.ModelProto, rng: np.random.Generator, bits: Bits) -> tuple[np.ndarray, np.ndarray, Program]:
    """The chip's integers, what onnx's evaluator gives, and the program, of five samples in steps of the input."""
    samples = rng.integers(-128, 128, (5, 3, 6, 6)) * INPUT_STEP
    network, parameters = import_model(made, "quantised")
    options = Options(train=False, rounding=Rounding.RND_CONV, bits=bits)
    program = compile_network(network, PAPER, parameters, Calibration(samples, np.zeros(5, int), 5), options).program
    assert program
    integers = (samples / INPUT_STEP).astype(np.int64).transpose(0, 2, 3, 1)
    found = FastMachine(program).run("infer", {"input": integers}, steps=5, collect=("logits",)).outputs["logits"]
    evaluator = ReferenceEvaluator(made)
    expected = [y for x in samples for y in evaluator.run(None, {"x": x[None].astype(np.float32)})]
    return found, np.concatenate(expected), program


@pytest.mark.parametrize("kind", [np.int8, np.int16])
@pytest.mark.parametrize("bits", [Bits(), Bits(weights=8), Bits(weights=8, activations=8)], ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_every_integer_is_that_of_onnx(kind, bits, seed):
    """Convolution, ReLU, pooling and a matrix, with int8 weights, and values of `kind` between them."""
    rng = np.random.default_rng(seed)
    tensors = {
        **{name: np.float32(step) for name, step in STEPS.items()},
        "z": kind(0),
        "w1": rng.integers(-128, 128, (5, 3, 3, 3)).astype(np.int8),
        "b1": (rng.integers(-60, 60, 5) * INPUT_STEP * WEIGHT_STEP).astype(np.float32),
        "w2": rng.integers(-128, 128, (7, 5 * 3 * 3)).astype(np.int8),
    }
    nodes = [
        *QUANTISED,
        _node("DequantizeLinear", "w1 w", "w1d"),
        _node("Conv", "xd w1d b1", "c", pads=[1, 1, 1, 1]),
        _node("Relu", "c", "r"),
        _node("QuantizeLinear", "r h z", "rq"),
        _node("DequantizeLinear", "rq h z", "rd"),
        _node("MaxPool", "rd", "m", kernel_shape=[2, 2], strides=[2, 2]),
        _node("Flatten", "m", "f"),
        _node("DequantizeLinear", "w2 w", "w2d"),
        _node("Gemm", "f w2d", "g", transB=1),
        _node("QuantizeLinear", "g o z", "gq"),
        _node("DequantizeLinear", "gq o z", "y"),
    ]
    found, expected, program = results(model(nodes, (1, 7), **tensors), rng, bits)
    assert np.array_equal(found * OUTPUT_STEP, expected)
    assert kind is np.int16 or np.count_nonzero(np.abs(found + 0.5) == 127.5), "some saturate"
    assert program.outputs["logits"].bits == (8 if kind is np.int8 else 16)


@pytest.mark.parametrize("steps", [(2.0**-4, 2.0**-3), (2.0**-3, 2.0**-4), (2.0**-3, 2.0**-3)])
def test_a_relu_between_quantisations(steps):
    """What is quantised before and after it differently is no one tensor."""
    rng = np.random.default_rng(0)
    nodes = [
        *QUANTISED,
        _node("Conv", "xd w", "c", pads=[1, 1, 1, 1]),
        _node("QuantizeLinear", "c a z", "cq"),
        _node("DequantizeLinear", "cq a z", "cd"),
        _node("Relu", "cd", "r"),
        _node("QuantizeLinear", "r b z", "rq"),
        _node("DequantizeLinear", "rq b z", "y"),
    ]
    weights = (rng.integers(-127, 128, (5, 3, 3, 3)) * WEIGHT_STEP).astype(np.float32)
    named = {name: np.float32(step) for name, step in zip("sab", (INPUT_STEP, *steps), strict=True)}
    found, expected, _ = results(model(nodes, (1, 5, 6, 6), **named, z=np.int8(0), w=weights), rng, Bits())
    assert np.array_equal(found * steps[1], expected.transpose(0, 2, 3, 1))


def test_a_value_that_is_read_unquantised_too_is_refused():
    nodes = [
        *QUANTISED,
        _node("Add", "xd x", "y"),
    ]
    with pytest.raises(NetworkError, match="input is read unquantised too, beyond the ends of int8"):
        import_model(model(nodes, (1, 3, 6, 6), s=np.float32(INPUT_STEP), z=np.int8(0)), "quantised")
