"""ONNX files and the tensors in them, read with every size checked before anything is allocated."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from compiler.nodes import NetworkError
from compiler.shapes import LARGEST_TENSOR

LARGEST_FILE = 1 << 31
"""Bytes of a model file or of a file of external data beyond which it is refused unread."""
OPSETS = range(7, 26)
"""Versions of ONNX's operator set whose operators are read as their own version says."""
_KINDS = "fiub"


def read_model(path: Path) -> onnx.ModelProto:
    """The model in a file. Raises `NetworkError` on a file that is none, is cut off or has over 2 GiB."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise NetworkError(f"{path}: must be at most 2 GiB; save its weights as external data")
        data = path.read_bytes()
    except OSError as error:
        raise NetworkError(f"{path}: {error.strerror}") from None
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        raise NetworkError(f"{path}: is no ONNX file, or is cut off; export it again") from None
    if not model.graph.node or not model.graph.output:
        raise NetworkError(f"{path}: holds no graph with nodes and an output; is it an ONNX model?")
    return model


def check_names(model: onnx.ModelProto, where: str) -> None:
    """Raises `NetworkError` unless every name in the model is printable text; a damaged file's may be neither."""
    graph = model.graph
    names = [opset.domain for opset in model.opset_import]
    names += [value.name for value in (*graph.input, *graph.output)]
    for tensor in graph.initializer:
        names += [tensor.name, *(text for entry in tensor.external_data for text in (entry.key, entry.value))]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    for name in names:
        if not isinstance(name, str) or not name.isprintable():
            raise NetworkError(f"{where}: the name {name!r:.80} must be printable text; rename it, or export again")


def operator_set(model: onnx.ModelProto, where: str) -> int:
    """Version of the model's ONNX operators. Raises `NetworkError` on one whose meaning is not known here."""
    versions = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise NetworkError(
            f"{where}: operator set must be {OPSETS[0]} to {OPSETS[-1]}, not {versions or 'missing'}; "
            "export with opset_version=20"
        )
    return versions[0]


def tensor_values(tensor: onnx.TensorProto, name: str, folder: Path | None) -> np.ndarray:
    """The numbers of a tensor, those of 16 bits as float32; `folder` is where its external data may lie, if anywhere.

    Raises `NetworkError` naming the tensor if it is too large, of a type that is no number, or not whole.
    """
    shape = tuple(tensor.dims)
    if any(extent < 0 for extent in shape) or prod(shape) > LARGEST_TENSOR:
        raise NetworkError(f"{name}: {list(shape)} must be extents of at most {LARGEST_TENSOR} elements")
    dtype = _stored_type(tensor.data_type, name)
    count = prod(shape)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        values = _external(tensor, name, dtype, count, folder)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
        if len(data) != count * dtype.itemsize:
            raise NetworkError(f"{name}: {list(shape)} needs {count * dtype.itemsize} bytes, but {len(data)} are there")
        values = np.frombuffer(data, dtype)
    else:
        values = _listed(tensor, name, count)
    return values.astype(number_type(tensor.data_type, name), copy=False).reshape(shape)


def check_finite(values: np.ndarray, name: str) -> None:
    """Raises `NetworkError` naming the tensor if a value is NaN or infinite."""
    if values.size and values.dtype.kind == "f":
        least, greatest = (values.min(), values.max()) if any(values.strides) else (values.reshape(-1)[0],) * 2
        if not np.isfinite(least) or not np.isfinite(greatest):
            raise NetworkError(f"{name}: must be finite, but holds NaN or infinity; export a trained model")


def number_type(kind: int, name: str) -> np.dtype:
    """numpy's type of an ONNX element type, float32 of those of 16 bits. Raises `NetworkError` on no real number."""
    dtype = _stored_type(kind, name)
    return np.dtype(np.float32) if dtype.itemsize == 2 and dtype.kind not in "iu" else dtype


def _stored_type(kind: int, name: str) -> np.dtype:
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, TypeError, ValueError):
        dtype = None
    if dtype is None or (dtype.kind not in _KINDS and kind != onnx.TensorProto.BFLOAT16):
        raise NetworkError(f"{name}: must be of real numbers of 8 to 64 bits, not of ONNX type {kind}")
    return dtype


def _listed(tensor: onnx.TensorProto, name: str, count: int) -> np.ndarray:
    listed = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    if len(listed) != count:
        raise NetworkError(f"{name}: {list(tensor.dims)} needs {count} numbers, but {len(listed)} are there")
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, OverflowError) as error:
        raise NetworkError(f"{name}: cannot be read: {_line(error)}") from None


def _external(tensor: onnx.TensorProto, name: str, dtype: np.dtype, count: int, folder: Path | None) -> np.ndarray:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _external_path(entries.get("location", ""), name, folder)
    needed = count * dtype.itemsize
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", needed))
    except ValueError:
        raise NetworkError(f"{name}: offset and length of its external data must be integers") from None
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE or offset < 0 or length != needed or offset + needed > size:
            raise NetworkError(
                f"{name}: {list(tensor.dims)} needs {needed} bytes, but its external data has {length} from {offset} "
                f"in a file of {size} (at most {LARGEST_FILE}); save the model again"
            )
        return np.fromfile(path, dtype, count, offset=offset)
    except OSError as error:
        raise NetworkError(f"{name}: external data {path.name}: {error.strerror}") from None


def _external_path(location: str, name: str, folder: Path | None) -> Path:
    """The file of a tensor's data: a regular file, and inside the model's folder even when links are followed."""
    if folder is None or not location or "\0" in location or Path(location).is_absolute():
        raise NetworkError(f"{name}: external data {location!r:.80} must be a file name relative to the model's folder")
    home = folder.resolve()
    try:
        path = (home / location).resolve()
    except (OSError, RuntimeError):
        raise NetworkError(f"{name}: external data {location!r:.80} cannot be followed") from None
    if not path.is_relative_to(home):
        raise NetworkError(f"{name}: external data {location!r:.80} lies outside the model's folder; move it there")
    if not path.is_file():
        raise NetworkError(f"{name}: external data {location!r:.80} is missing; put it beside the model")
    return path


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
