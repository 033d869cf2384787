"""ONNX operators that only move values, as nodes of a network: reshaping, joining, cutting, padding, shuffling."""

from __future__ import annotations

from itertools import accumulate
from math import prod

import numpy as np

from compiler.nodes import NetworkError
from compiler.onnx_constants import target
from compiler.onnx_nodes import OnnxNode
from compiler.onnx_translation import Translation


def reshape(at: Translation, node: OnnxNode) -> None:
    """Reshape to a map or a vector, and the Reshape, Transpose, Reshape that shuffles channels."""
    extents = target(at.constants.integers(node, 1) or (), at.shape(node), node.name)
    if not _shuffle(at, node, extents):
        _to(at, node, extents)


def squeeze(at: Translation, node: OnnxNode) -> None:
    """Squeeze and Unsqueeze."""
    shape = at.shape(node)
    axes = at.constants.axes(node, "axes", 1, 13)
    if node.operator == "Squeeze":
        gone = (
            {at.axis(node, axis) for axis in axes} if axes is not None else {i for i, n in enumerate(shape) if n == 1}
        )
        if any(shape[axis] != 1 for axis in gone):
            raise NetworkError(f"{node.name}: must leave out only extents of 1 of {shape}, not axes {sorted(gone)}")
        return _to(at, node, tuple(n for axis, n in enumerate(shape) if axis not in gone))
    rank = len(shape) + len(axes or ())
    new = {axis % rank for axis in axes or ()}
    rest = iter(shape)
    return _to(at, node, tuple(1 if axis in new else next(rest, 1) for axis in range(rank)))


def flatten(at: Translation, node: OnnxNode) -> None:
    """Flatten of everything but the batch."""
    shape = at.shape(node)
    axis = node.integer("axis", 1)
    if axis not in (1, 1 - len(shape)):
        raise NetworkError(f"{node.name}: axis must be 1, not {axis}, to keep the batch")
    _to(at, node, (1, prod(shape)))


def transpose(at: Translation, node: OnnxNode) -> None:
    """Transpose that keeps the batch."""
    rank = len(at.shape(node))
    perm = node.integers("perm", reversed(range(rank)))
    if sorted(perm) != list(range(rank)) or perm[0] != 0:
        raise NetworkError(f"{node.name}: perm must hold every axis once, the batch at 0, not {list(perm)}")
    if _into_matrix(at, node, perm):
        return
    at.network.transpose(tuple(axis - 1 for axis in perm[1:]), name=at.name(node), after=at.source(node))
    at.done(node)


def concat(at: Translation, node: OnnxNode) -> None:
    """Concat along channels."""
    if at.axis(node, node.integer("axis", 1)) != 1:
        raise NetworkError(f"{node.name}: must join along axis 1, the channels")
    sources = [at.source(node, position) for position in range(len(node.inputs))]
    if len(sources) == 1:
        return at.alias(node, sources[0])
    at.network.concat(*sources, name=at.name(node))
    return at.done(node)


def slice_(at: Translation, node: OnnxNode) -> None:
    """Slice with steps of 1."""
    shape = at.shape(node)
    starts, ends = (at.constants.axes(node, name, i, 10) for i, name in enumerate(("starts", "ends"), 1))
    axes, steps = at.constants.axes(node, "axes", 3, 10), at.constants.axes(node, "steps", 4, 10)
    if starts is None or ends is None or any(step != 1 for step in steps or ()):
        raise NetworkError(f"{node.name}: must have starts, ends and steps of 1")
    axes = tuple(range(len(starts))) if axes is None else axes
    if not len(starts) == len(ends) == len(axes):
        raise NetworkError(f"{node.name}: starts, ends and axes must be equally many")
    bounds = [(0, extent) for extent in shape]
    for start, end, axis in zip(starts, ends, (at.axis(node, axis) for axis in axes), strict=True):
        bounds[axis] = slice(start, end).indices(shape[axis])[:2]
    if bounds[0] != (0, 1):
        raise NetworkError(f"{node.name}: must keep the batch")
    _cut(at, node, bounds[1:], at.name(node))
    at.done(node)


def split(at: Translation, node: OnnxNode) -> None:
    """Split along channels, height or width, as one Slice for each result that is read."""
    parts = len(node.outputs)
    extent = at.shape(node)[at.axis(node, node.integer("axis", 0))]
    share = -(-extent // parts)
    even = tuple(min(share, extent - share * part) for part in range(parts))
    bounds = _parts(at, node, at.constants.axes(node, "split", 1, 13) or even)
    if len(bounds) != parts:
        raise NetworkError(f"{node.name}: must have as many results as parts, {len(bounds)}, not {parts}")
    for part, value in enumerate(node.outputs):
        if value and at.needed(value):
            _cut(at, node, bounds[part], at.name(node, f".{part}"))
            at.values[value] = at.network.last


def split_to_sequence(at: Translation, node: OnnxNode) -> None:
    """SplitToSequence, whose parts SequenceAt takes out."""
    extent = at.shape(node)[at.axis(node, node.integer("axis", 0))]
    sizes = at.constants.integers(node, 1) or ()
    if not at.constants.required(node, 1, "split").ndim and min(sizes) > 0:
        sizes = tuple(min(*sizes, extent - begin) for begin in range(0, extent, min(sizes)))
    at.sequences[node.outputs[0]] = node, _parts(at, node, sizes)


def sequence_at(at: Translation, node: OnnxNode) -> None:
    """SequenceAt of what SplitToSequence cuts, as a Slice."""
    if not node.inputs or node.inputs[0] not in at.sequences:
        raise NetworkError(f"{node.name}: must take from the result of SplitToSequence")
    cutter, bounds = at.sequences[node.inputs[0]]
    position = int(at.scalar(node, 1, 0.0))
    if not -len(bounds) <= position < len(bounds):
        raise NetworkError(f"{node.name}: position {position} must be one of {len(bounds)}")
    _cut(at, cutter, bounds[position], at.name(node))
    at.done(node)


def _parts(at: Translation, node: OnnxNode, sizes: tuple[int, ...]) -> list[list[tuple[int, int]]]:
    """Bounds of (C, H, W) or (N,) for each part of `sizes` along the node's axis."""
    shape = at.shape(node)
    axis = at.axis(node, node.integer("axis", 0))
    if axis == 0 or sum(sizes) != shape[axis] or any(size < 1 for size in sizes):
        raise NetworkError(f"{node.name}: its parts must make up axis {axis} of {shape}, which must not be the batch")
    ends = list(accumulate(sizes))
    whole = [(0, extent) for extent in shape[1:]]
    return [[*whole[: axis - 1], (end - size, end), *whole[axis:]] for end, size in zip(ends, sizes, strict=True)]


def pad(at: Translation, node: OnnxNode) -> None:
    """Pad of height and width with zeros."""
    rank = len(at.shape(node))
    at.spatial(node)
    pads = at.constants.axes(node, "pads", 1, 11) or ()
    fill = node.number("value", 0.0) if at.constants.opset < 11 else at.scalar(node, 2, 0.0)
    axes = at.constants.axes(node, "axes", 3, 18) or tuple(range(rank))
    if node.text("mode", "constant") != "constant" or fill != 0:
        raise NetworkError(f"{node.name}: must pad with zeros")
    if len(pads) != 2 * len(axes):
        raise NetworkError(f"{node.name}: must have two pads for each of its axes, not {list(pads)}")
    around = {at.axis(node, axis): (pads[i], pads[i + len(axes)]) for i, axis in enumerate(axes)}
    if any(around.get(axis, (0, 0)) != (0, 0) for axis in (0, 1)):
        raise NetworkError(f"{node.name}: must pad height and width alone, not batch or channels")
    (top, bottom), (left, right) = around.get(2, (0, 0)), around.get(3, (0, 0))
    at.network.pad((top, left, bottom, right), name=at.name(node), after=at.source(node))
    at.done(node)


def _cut(at: Translation, node: OnnxNode, bounds: list[tuple[int, int]], name: str) -> None:
    starts, ends = zip(*bounds, strict=True)
    at.network.slice(starts, ends, name=name, after=at.source(node))


def _to(at: Translation, node: OnnxNode, extents: tuple[int, ...]) -> None:
    """The node's input under the shape `extents`, which begins with the batch."""
    source, before = at.source(node), at.shape(node)
    if extents[:1] != (1,) or len(extents) not in (2, 4):
        raise NetworkError(f"{node.name}: must give a map (1, C, H, W) or a vector (1, N), not {extents}")
    if extents == before:
        return at.alias(node, source)
    if len(extents) == 2:
        at.network.flatten(name=at.name(node), after=source)
    else:
        at.network.reshape(extents[1:], name=at.name(node), after=source)
    return at.done(node)


def _shuffle(at: Translation, node: OnnxNode, extents: tuple[int, ...]) -> bool:
    """Translate node, Transpose and Reshape as one channel shuffle if they are one, and say whether they are."""
    swap = at.only_user(node.outputs[0], "Transpose")
    back = at.only_user(swap.outputs[0], "Reshape") if swap else None
    shape = at.shape(node)
    if swap is None or back is None or len(shape) != 4 or back.inputs[1] not in at.constants:
        return False
    perm = swap.integers("perm", ())
    if extents[0] == 1 and perm[:1] == (0,):
        extents, perm = extents[1:], tuple(axis - 1 for axis in perm[1:])
    groups, swapped = extents[0], (extents[1], extents[0], *extents[2:])
    if (
        perm != (1, 0, *range(2, len(extents)))
        or groups * extents[1] != shape[1]
        or target(at.constants.integers(back, 1) or (), (1, *swapped), back.name) != shape
    ):
        return False
    at.network.channel_shuffle(groups, name=at.name(node), after=at.source(node))
    at.done(node)
    at.alias_fused(swap)
    at.alias_fused(back)
    return True


def _into_matrix(at: Translation, node: OnnxNode, perm: tuple[int, ...]) -> bool:
    """Leave out a Transpose that is flattened for one constant matrix, whose columns change places instead.

    So end the maps of tools that have channels last. Says whether it is such a Transpose.
    """
    flat = at.only_user(node.outputs[0], "Flatten") or at.only_user(node.outputs[0], "Reshape")
    if flat is None:
        return False
    dense = at.only_user(flat.outputs[0], "Gemm") or at.only_user(flat.outputs[0], "MatMul")
    shape = at.shape(node)
    moved = tuple(shape[axis] for axis in perm)
    if dense is None or dense.inputs[0] != flat.outputs[0] or _flattened(at, flat, moved) != (1, prod(shape)):
        return False
    at.network.flatten(name=at.name(flat), after=at.source(node))
    at.alias_fused(flat)
    at.orders[flat.outputs[0]] = np.arange(prod(shape)).reshape(shape).transpose(perm).reshape(-1)
    return True


def _flattened(at: Translation, flat: OnnxNode, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a Flatten or Reshape makes of a value of `shape`; () if that is not known."""
    if flat.operator == "Flatten":
        return (1, prod(shape)) if flat.integer("axis", 1) in (1, 1 - len(shape)) else ()
    if len(flat.inputs) < 2 or flat.inputs[1] not in at.constants:
        return ()
    return target(at.constants.integers(flat, 1) or (), shape, flat.name)
