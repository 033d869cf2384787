"""ONNX operators that slide a window over a map, as nodes of a network: convolution and pooling."""

from __future__ import annotations

from compiler.nodes import NetworkError
from compiler.onnx_nodes import OnnxNode
from compiler.onnx_translation import Translation
from compiler.shapes import LARGEST_EXTENT


def conv(at: Translation, node: OnnxNode) -> None:
    """Conv of two dimensions."""
    source, shape = at.source(node), at.shape(node)
    weight, bias = at.constants.required(node, 1, "weight"), at.constants.values(node, 2)
    if len(shape) != 4 or weight.ndim != 4:
        raise NetworkError(f"{node.name}: must convolve over two dimensions, not with weights {list(weight.shape)}")
    kernel = _pair(node, "kernel_shape", weight.shape[2:])
    strides, dilations = _pair(node, "strides", (1, 1)), _pair(node, "dilations", (1, 1))
    pads = _pads(node, at.spatial(node)[1:], kernel, strides, dilations)
    at.network.conv(
        weight.shape[0],
        kernel,
        stride=strides,
        padding=pads,
        dilation=dilations,
        groups=node.integer("group", 1),
        bias=bias is not None,
        name=at.name(node),
        after=source,
    )
    at.done(node, weight=weight, **({} if bias is None else {"bias": bias}))


def pool(at: Translation, node: OnnxNode) -> None:
    """MaxPool and AveragePool of two dimensions."""
    extents = at.spatial(node)[1:]
    if _pair(node, "dilations", (1, 1)) != (1, 1) or node.integer("storage_order", 0):
        raise NetworkError(f"{node.name}: must have no dilations and row-major order")
    if len(node.outputs) > 1 and at.needed(node.outputs[1]):
        raise NetworkError(f"{node.name}: its indices are read; only the maxima are computed")
    kernel, strides = _pair(node, "kernel_shape", ()), _pair(node, "strides", (1, 1))
    pads = _pads(node, extents, kernel, strides, (1, 1))
    padded = bool(node.integer("count_include_pad", 0)) and any(pads)
    if node.integer("ceil_mode", 0):
        wider = _ceiling(extents, kernel, strides, pads)
        if padded and wider != pads:
            raise NetworkError(f"{node.name}: must not both count padding and round up; set ceil_mode to 0")
        pads = wider
    options = {"stride": strides, "padding": pads, "name": at.name(node), "after": at.source(node)}
    if node.operator == "MaxPool":
        at.network.max_pool(kernel, **options)
    else:
        at.network.average_pool(kernel, count_include_pad=padded, **options)
    at.done(node)


def global_pool(at: Translation, node: OnnxNode) -> None:
    """GlobalAveragePool, GlobalMaxPool, and ReduceMean over height and width."""
    _, height, width = at.spatial(node)
    if node.operator == "GlobalMaxPool":
        at.network.max_pool((height, width), name=at.name(node), after=at.source(node))
        return at.done(node)
    if node.operator == "ReduceMean":
        axes = at.constants.axes(node, "axes", 1, 18) or ()
        if sorted(at.axis(node, axis) for axis in axes) != [2, 3]:
            raise NetworkError(f"{node.name}: must be the mean over height and width, not over axes {axes}")
    keep = node.operator != "ReduceMean" or node.integer("keepdims", 1)
    at.network.global_average_pool(name=at.name(node, "" if keep else ".mean"), after=at.source(node))
    if not keep:
        at.network.flatten(name=at.name(node))
    return at.done(node)


def _pair(node: OnnxNode, name: str, default: tuple[int, ...]) -> tuple[int, int]:
    values = node.integers(name, default)
    if len(values) != 2 or not all(1 <= value <= LARGEST_EXTENT for value in values):
        raise NetworkError(f"{node.name}: {name} must be two integers from 1 to {LARGEST_EXTENT}, not {list(values)}")
    return values[0], values[1]


def _pads(node: OnnxNode, extents, kernel, strides, dilations) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), which is ONNX's own order of two dimensions' pads."""
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("NOTSET", ""):
        pads = node.integers("pads", (0, 0, 0, 0))
        if len(pads) != 4:
            raise NetworkError(f"{node.name}: pads must be four integers, not {list(pads)}")
        return pads[0], pads[1], pads[2], pads[3]
    if automatic == "VALID":
        return 0, 0, 0, 0
    if automatic not in ("SAME_UPPER", "SAME_LOWER"):
        raise NetworkError(f"{node.name}: auto_pad must be NOTSET, VALID or SAME_…, not {automatic:.20}")
    spans = [dilation * (taps - 1) + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    total = [
        max(0, (-(-extent // stride) - 1) * stride + span - extent)
        for extent, stride, span in zip(extents, strides, spans, strict=True)
    ]
    small, large = [pad // 2 for pad in total], [pad - pad // 2 for pad in total]
    first, last = (small, large) if automatic == "SAME_UPPER" else (large, small)
    return first[0], first[1], last[0], last[1]


def _ceiling(extents, kernel, strides, pads) -> tuple[int, int, int, int]:
    """The pads with which rounding down gives what rounding up gives without; a window begins on map or first pad."""
    after = []
    for extent, taps, stride, before, behind in zip(extents, kernel, strides, pads[:2], pads[2:], strict=True):
        outputs = -(-(extent + before + behind - taps) // stride) + 1
        if (outputs - 1) * stride >= extent + before:
            outputs -= 1
        after.append(max(behind, (outputs - 1) * stride + taps - extent - before))
    return pads[0], pads[1], after[0], after[1]
