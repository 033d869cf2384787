"""Constants of an ONNX graph: initialisers, and what follows from them, folded before anything is translated.

Large tensors are only looked at under another shape, never copied: a filled tensor stays one number. Arithmetic on
small ones is that of ONNX's own reference evaluator.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from compiler.nodes import NetworkError
from compiler.onnx_file import number_type, tensor_values
from compiler.onnx_nodes import OnnxNode
from compiler.shapes import LARGEST_TENSOR

LARGEST_EVALUATED = 4096
"""Elements of all inputs together beyond which arithmetic on constants is refused."""
_EVALUATED = {
    "Add", "Ceil", "Concat", "Div", "Equal", "Floor", "Gather", "Max", "Min", "Mod", "Mul", "Neg", "Pow",
    "Reciprocal", "ReduceProd", "Slice", "Split", "Sqrt", "Sub", "Where",
}  # fmt: skip
_VIEWS = {"Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
_CASTS = {"Cast", "CastLike"}
_SOURCES = {"Constant", "ConstantOfShape", "Expand"}


class Constants:
    """Values of an ONNX graph that depend on no input, by name; `opset` decides where operators keep attributes."""

    def __init__(self, graph: onnx.GraphProto, opset: int, folder: Path | None):
        self.opset = opset
        self._folder = folder
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._values: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self._stored

    def __getitem__(self, name: str) -> np.ndarray:
        """The constant's values, read when first asked for. Raises `NetworkError` if it cannot be read."""
        if name not in self._values:
            self._values[name] = tensor_values(self._stored[name], name, self._folder)
            del self._stored[name]
        return self._values[name]

    def __setitem__(self, name: str, values: np.ndarray) -> None:
        self._values[name] = values

    def fold(self, node: OnnxNode) -> bool:
        """Whether the node's results are constants; if so, they are known from now on. Raises `NetworkError`."""
        like_network = node.operator == "CastLike" and node.inputs[0] in self
        if not like_network and not all(name in self for name in node.inputs if name):
            return False
        if node.operator in _SOURCES:
            results = [self._source(node)]
        elif node.operator in _VIEWS:
            results = [self._view(node)]
        elif node.operator == "Shape":
            results = [extents_of(node, self.required(node, 0).shape)]
        elif node.operator in _CASTS:
            results = [self._cast(node)]
        elif node.operator in _EVALUATED:
            results = self._evaluated(node)
        elif node.operator == "DequantizeLinear":
            return False
        else:
            raise NetworkError(f"{node.name}: works on constants alone; fold them before export")
        self._values.update(zip(node.outputs, results, strict=False))
        return True

    def axes(self, node: OnnxNode, attribute: str, position: int, since: int) -> tuple[int, ...] | None:
        """Integers that are an attribute before operator set `since`, and the input at `position` from then on."""
        if self.opset < since:
            found = node.integers(attribute, ())
            return found if attribute in node.attributes else None
        return self.integers(node, position)

    def integers(self, node: OnnxNode, position: int) -> tuple[int, ...] | None:
        """An input's integers; None if it is not given. Raises `NetworkError` if they depend on the network's input."""
        values = self.values(node, position)
        if values is None:
            return None
        if values.dtype.kind not in "iu" or values.ndim > 1 or values.size > 64:
            raise NetworkError(f"{node.name}: input {position} must be a list of integers")
        return tuple(int(value) for value in values.reshape(-1))

    def values(self, node: OnnxNode, position: int) -> np.ndarray | None:
        """An input's values; None if it is not given. Raises `NetworkError` if they depend on the network's input."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if not name:
            return None
        if name not in self:
            raise NetworkError(f"{node.name}: {name} must be a constant, not computed from the network's input")
        return self[name]

    def required(self, node: OnnxNode, position: int, what: str = "constant") -> np.ndarray:
        """An input's values. Raises `NetworkError` if they depend on the network's input, or are not given."""
        values = self.values(node, position)
        if values is None:
            raise NetworkError(f"{node.name}: its {what} (input {position}) is missing")
        return values

    def _source(self, node: OnnxNode) -> np.ndarray:
        if node.operator == "Constant":
            return self._constant(node)
        if node.operator == "ConstantOfShape":
            tensor = node.tensor("value")
            fill = np.zeros(1, np.float32) if tensor is None else tensor_values(tensor, node.name, self._folder)
        else:
            fill = self.required(node, 0)
        shape = self._shape(node, 0 if node.operator == "ConstantOfShape" else 1)
        try:
            return np.broadcast_to(fill.reshape(()) if fill.size == 1 and node.operator != "Expand" else fill, shape)
        except ValueError:
            raise NetworkError(f"{node.name}: {list(fill.shape)} cannot be expanded to {list(shape)}") from None

    def _constant(self, node: OnnxNode) -> np.ndarray:
        tensor = node.tensor("value")
        if tensor is not None:
            return tensor_values(tensor, node.name, self._folder)
        for name, dtype in (("value_int", np.int64), ("value_float", np.float32)):
            if name in node.attributes:
                return np.array(node.integer(name, 0) if dtype is np.int64 else node.number(name, 0.0), dtype)
        if "value_ints" in node.attributes:
            return np.array(node.integers("value_ints", ()), np.int64)
        if "value_floats" in node.attributes:
            return np.array(node.attributes["value_floats"].floats, np.float32)
        raise NetworkError(f"{node.name}: a constant must be a dense tensor or numbers")

    def _view(self, node: OnnxNode) -> np.ndarray:
        values = self.required(node, 0)
        try:
            if node.operator == "Transpose":
                return values.transpose(node.integers("perm", reversed(range(values.ndim))))
            if node.operator == "Flatten":
                axis = node.integer("axis", 1) % (values.ndim + 1)
                return values.reshape(prod(values.shape[:axis]), -1)
            if node.operator == "Reshape":
                return values.reshape(target(self._shape(node, 1, -1), values.shape, node.name))
            axes = self.axes(node, "axes", 1, 13)
            if node.operator == "Squeeze":
                return values.squeeze(axes)
            return np.expand_dims(values, axes or ())
        except (ValueError, OverflowError) as error:
            raise NetworkError(f"{node.name}: {node.operator} does not fit {list(values.shape)}: {error}") from None

    def _cast(self, node: OnnxNode) -> np.ndarray:
        """Values of another type; CastLike is asked for the type of the network's values only."""
        values, kind = self.required(node, 0), node.integer("to", onnx.TensorProto.FLOAT)
        dtype = number_type(kind, node.name)
        one = values.size > 0 and not any(values.strides)
        with np.errstate(all="ignore"):
            cast = (values.reshape(-1)[0] if one else values).astype(dtype)
        return np.broadcast_to(cast, values.shape)

    def _evaluated(self, node: OnnxNode) -> list[np.ndarray]:
        inputs = {name: self[name] for name in node.inputs if name}
        if sum(values.size for values in inputs.values()) > LARGEST_EVALUATED:
            raise NetworkError(f"{node.name}: {node.operator} of large constants; fold them before export")
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        del proto.input[:]
        proto.input.extend(node.inputs)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(proto, opsets={"": self.opset}).run(None, inputs)
        except Exception as error:  # the evaluator lets whatever numpy raises through
            reason = " ".join(str(error).split())[:120]
            raise NetworkError(f"{node.name}: {node.operator} of constants cannot be evaluated: {reason}") from None
        return [np.asarray(result) for result in results]  # type: ignore[union-attr]

    def _shape(self, node: OnnxNode, position: int, smallest: int = 0) -> tuple[int, ...]:
        shape = self.integers(node, position) or ()
        if any(extent < smallest for extent in shape) or abs(prod(shape)) > LARGEST_TENSOR:
            raise NetworkError(f"{node.name}: {list(shape)} must be extents of at most {LARGEST_TENSOR} elements")
        return shape


def extents_of(node: OnnxNode, shape: tuple[int, ...]) -> np.ndarray:
    """What a Shape node says of a value of that shape, int64."""
    end = node.integer("end", 0) if "end" in node.attributes else None
    return np.array(shape[node.integer("start", 0) : end], np.int64)


def target(wanted: tuple[int, ...], shape: tuple[int, ...], name: str) -> tuple[int, ...]:
    """The extents that ONNX Reshape makes of `shape`: 0 keeps one, −1 takes what is left. Raises `NetworkError`."""
    kept = tuple(shape[i] if extent == 0 and i < len(shape) else extent for i, extent in enumerate(wanted))
    known = prod(extent for extent in kept if extent != -1)
    if kept.count(-1) > 1 or any(extent < -1 for extent in kept) or known < 1:
        raise NetworkError(f"{name}: {list(wanted)} is no shape of {prod(shape)} elements")
    filled = tuple(prod(shape) // known if extent == -1 else extent for extent in kept)
    if prod(filled) != prod(shape):
        raise NetworkError(f"{name}: {list(wanted)} does not have {prod(shape)} elements")
    return filled
