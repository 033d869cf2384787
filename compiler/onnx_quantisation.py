"""ONNX quantisation by powers of two: real numbers, with the fraction bits as a hint."""

from __future__ import annotations

import numpy as np
import onnx

from compiler.nodes import NetworkError
from compiler.onnx_file import number_type
from compiler.onnx_nodes import OnnxNode
from compiler.onnx_translation import Translation


def quantize(at: Translation, node: OnnxNode) -> None:
    """QuantizeLinear by a power of two: the value itself, its fraction bits and whether it has 8 bits kept as hints."""
    source, fraction, narrow = at.source(node), _fraction(at, node), _type(at, node) == np.int8
    known = at.network.fractions.get(source), source in at.network.octets
    if source in at.network.fractions and known != (fraction, narrow):
        raise NetworkError(f"{node.name}: {source} is quantised twice, with different scales or types; use one")
    if narrow and not at.read_by(node.inputs[0], "QuantizeLinear"):
        raise NetworkError(
            f"{node.name}: {source} is read unquantised too, beyond the ends of int8; quantise it for all readers"
        )
    at.network.fractions[source] = fraction
    if narrow and source not in at.network.octets:
        at.network.octets.append(source)
    at.quantised.add(node.outputs[0])
    at.alias(node, source)


def dequantize(at: Translation, node: OnnxNode) -> None:
    """DequantizeLinear of a quantised value or of constant integers, by powers of two."""
    if node.inputs and node.inputs[0] not in at.constants:
        source, fraction = at.source(node), _fraction(at, node)
        if at.network.fractions.get(source) != fraction:
            raise NetworkError(f"{node.name}: its scale must be that with which {source} was quantised")
        return at.alias(node, source)
    values, scale = at.constants.required(node, 0, "integers"), at.constants.required(node, 1, "scale")
    zero = at.constants.values(node, 2)
    if not np.all(scale > 0) or not np.all(np.frexp(scale)[0] == 0.5) or (zero is not None and np.any(zero)):
        raise NetworkError(f"{node.name}: must have scales that are powers of two and zero points of 0")
    if scale.size > 1:
        axis = node.integer("axis", 1)
        if scale.ndim != 1 or not -values.ndim <= axis < values.ndim or values.shape[axis] != scale.size:
            raise NetworkError(f"{node.name}: its scales must be one, or one for each index of axis {axis}")
        scale = scale.reshape([-1 if i == axis % values.ndim else 1 for i in range(values.ndim)])
    at.constants[node.outputs[0]] = values.astype(np.float64) * scale.reshape(scale.shape if scale.size > 1 else ())
    return None


def _type(at: Translation, node: OnnxNode) -> np.dtype:
    """The type of what QuantizeLinear makes: its zero point's, or what it names, or uint8."""
    zero = at.constants.values(node, 2)
    if zero is not None:
        made = zero.dtype
    else:
        made = number_type(node.integer("output_dtype", 0) or onnx.TensorProto.UINT8, node.name)
    if made.kind != "i":
        raise NetworkError(
            f"{node.name}: must make signed integers, whose ends the chip has, not {made}; quantise to int8 or int16"
        )
    return made


def _fraction(at: Translation, node: OnnxNode) -> int:
    scale, zero = at.constants.required(node, 1, "scale"), at.constants.values(node, 2)
    if scale.size != 1 or (zero is not None and np.any(zero)):
        raise NetworkError(f"{node.name}: must have one scale and a zero point of 0; quantise symmetrically")
    mantissa, exponent = np.frexp(float(scale.reshape(-1)[0]))
    if mantissa != 0.5:
        raise NetworkError(f"{node.name}: its scale must be a power of two, not {float(scale.reshape(-1)[0])}")
    return 1 - int(exponent)
