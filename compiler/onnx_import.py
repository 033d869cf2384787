"""An ONNX file as a network and its parameters.

Operators are read as the model's own operator set (7 to 25) defines them: where an attribute became an input, each is
looked for where that version has it. So nothing goes through ONNX's version converter, which refuses some old models
and would write all weights out to convert a few attributes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from compiler import onnx_layers, onnx_quantisation, onnx_reshaping, onnx_windows
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.onnx_constants import Constants, extents_of
from compiler.onnx_file import check_names, operator_set, read_model
from compiler.onnx_nodes import OnnxNode, ordered
from compiler.onnx_translation import Translation

TRANSLATIONS: dict[str, Callable[[Translation, OnnxNode], None]] = {
    "Add": onnx_layers.arithmetic,
    "AveragePool": onnx_windows.pool,
    "BatchNormalization": onnx_layers.batch_normalization,
    "Clip": onnx_layers.clip,
    "Concat": onnx_reshaping.concat,
    "Conv": onnx_windows.conv,
    "DequantizeLinear": onnx_quantisation.dequantize,
    "Div": onnx_layers.arithmetic,
    "Dropout": onnx_layers.dropout,
    "Flatten": onnx_reshaping.flatten,
    "Gemm": onnx_layers.gemm,
    "GlobalAveragePool": onnx_windows.global_pool,
    "GlobalMaxPool": onnx_windows.global_pool,
    "LRN": onnx_layers.lrn,
    "LeakyRelu": onnx_layers.leaky_relu,
    "MatMul": onnx_layers.matmul,
    "MaxPool": onnx_windows.pool,
    "Mul": onnx_layers.arithmetic,
    "PRelu": onnx_layers.leaky_relu,
    "Pad": onnx_reshaping.pad,
    "QuantizeLinear": onnx_quantisation.quantize,
    "ReduceMean": onnx_windows.global_pool,
    "Relu": onnx_layers.relu,
    "Reshape": onnx_reshaping.reshape,
    "SequenceAt": onnx_reshaping.sequence_at,
    "Slice": onnx_reshaping.slice_,
    "Softmax": onnx_layers.softmax,
    "Split": onnx_reshaping.split,
    "SplitToSequence": onnx_reshaping.split_to_sequence,
    "Squeeze": onnx_reshaping.squeeze,
    "Sub": onnx_layers.arithmetic,
    "Sum": onnx_layers.arithmetic,
    "Transpose": onnx_reshaping.transpose,
    "Unsqueeze": onnx_reshaping.squeeze,
}
"""What translates each operator; Identity is left out before, and constants are folded."""

_ACTIVATIONS = ("Elu", "Gelu", "HardSigmoid", "HardSwish", "Mish", "Selu", "Sigmoid", "Softplus", "Swish", "Tanh")
_ENDINGS = ("ArgMax", "ConvTranspose", "LogSoftmax", "NonMaxSuppression", "Resize", "TopK", "Upsample")
_NORMALIZATIONS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "LpNormalization")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def load_onnx(path: str | Path) -> tuple[Network, dict[str, np.ndarray]]:
    """The network in an ONNX file, named like the file, and its parameters as the file has them (float32 or float64).

    The batch must be 1 or open; it is left out. Nodes have the names of ONNX's nodes, or of their results. What is
    quantised by powers of two is read as real numbers, with `network.fractions` the fraction bits. Raises
    `NetworkError`, in one line: on a file that cannot be read, or naming every node that cannot be translated.
    """
    path = Path(path)
    return import_model(read_model(path), path.stem, path.parent)


def import_model(
    model: onnx.ModelProto, name: str, folder: Path | None = None
) -> tuple[Network, dict[str, np.ndarray]]:
    """As `load_onnx`, of a model in memory; `folder` is where its external data lies, if it has any."""
    check_names(model, name)
    graph = model.graph
    constants = Constants(graph, operator_set(model, name), folder)
    if len(graph.output) != 1:
        outputs = ", ".join(output.name for output in graph.output)
        raise NetworkError(f"{name}: must have one output, not {outputs}; keep one when exporting")
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    nodes, output = ordered(graph, inputs.keys() | {tensor.name for tensor in graph.initializer}, name)
    read = [value for value in inputs if value == output or any(value in node.inputs for node in nodes)]
    if len(read) != 1:
        raise NetworkError(f"{name}: must read one input, not {', '.join(read) or 'none'}")
    network = Network(name, _input_shape(inputs[read[0]]))
    at = Translation(network, constants, nodes, read[0], output)
    _translate(at, nodes, name)
    if output in at.quantised:
        raise NetworkError(f"{name}: its output {output} must not be integers; end with DequantizeLinear")
    network.validate()
    return network, at.parameters


def _translate(at: Translation, nodes: list[OnnxNode], name: str) -> None:
    problems = [problem for node in nodes for problem in _incomplete(node, at.constants.opset)]
    if problems:
        raise NetworkError(f"{name}: {'; '.join(problems)}")
    unknown: set[str] = set()
    folded = _fold(at, nodes)
    for node in nodes:
        try:
            if id(node) in at.fused or id(node) in folded:
                continue
            if unknown.intersection(node.inputs):
                unknown.update(node.outputs)
                _known(node)
            else:
                _one(at, node)
        except NetworkError as error:
            unknown.update(node.outputs)
            problems.append(f"{node.name} ({node.operator}): {str(error).removeprefix(f'{node.name}: ')}")
    if problems:
        raise NetworkError(f"{name}: {'; '.join(problems)}")


def _incomplete(node: OnnxNode, opset: int) -> list[str]:
    """What the node lacks of the inputs and results that its operator must have."""
    if not onnx.defs.has(node.operator):
        return []
    try:
        schema = onnx.defs.get_schema(node.operator, opset)
    except onnx.defs.SchemaError:
        return []
    inputs, results = sum(map(bool, node.inputs[: schema.min_input])), sum(map(bool, node.outputs[: schema.min_output]))
    if inputs < schema.min_input or results < schema.min_output:
        return [
            f"{node.name} ({node.operator}): must have {schema.min_input} inputs and {schema.min_output} results, "
            f"not {inputs} and {results}"
        ]
    return []


def _fold(at: Translation, nodes: list[OnnxNode]) -> set[int]:
    """Fold what depends on no input, so that a node can look at what a later one reads; what fails, fails later."""
    folded = set()
    for node in nodes:
        with contextlib.suppress(NetworkError):
            if at.constants.fold(node):
                folded.add(id(node))
    return folded


def _one(at: Translation, node: OnnxNode) -> None:
    if at.constants.fold(node):
        return
    if node.operator == "Shape":
        at.constants[node.outputs[0]] = extents_of(node, at.shape(node))
    else:
        _known(node)(at, node)


def _known(node: OnnxNode) -> Callable[[Translation, OnnxNode], None]:
    """What translates the node. Raises `NetworkError` saying what to use instead if nothing does."""
    translation = TRANSLATIONS.get(node.operator)
    if translation is not None:
        return translation
    if node.operator in _ACTIVATIONS:
        help_ = "train with Relu, LeakyRelu or Clip from 0 to 6 instead"
    elif node.operator in _ENDINGS:
        help_ = "end the network before it when exporting"
    elif node.operator in _NORMALIZATIONS:
        help_ = "use BatchNormalization"
    else:
        help_ = "leave it out or express it by convolution, pooling, addition and ReLU"
    raise NetworkError(f"{node.name}: is not supported, {help_}")


def _input_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Shape of the input without its batch. Raises `NetworkError` unless all but the batch is said."""
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type not in _FLOATS:
        raise NetworkError(f"{value.name}: the input must be of floating-point numbers; cast inside the program")
    extents = [extent.dim_value if extent.HasField("dim_value") else None for extent in tensor.shape.dim]
    if len(extents) == 3 and extents[0] in (1, None):
        raise NetworkError(
            f"{value.name}: the input must be (1, C, H, W) or (1, N), not {extents}; export a signal as "
            "(1, C, 1, length) with kernels of one row"
        )
    if len(extents) not in (2, 4) or extents[0] not in (1, None):
        raise NetworkError(
            f"{value.name}: the input must be (1, C, H, W) or (1, N), not {extents}; export with batch 1"
        )
    if None in extents[1:]:
        raise NetworkError(f"{value.name}: extents {extents} must be said but for the batch; export with a fixed size")
    return tuple(extent or 0 for extent in extents[1:])
