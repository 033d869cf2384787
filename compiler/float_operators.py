"""The operators of the graph on float64 arrays, one sample at a time, by matrix products over gathered windows.

Maps are (C, H, W). An operator takes the operation and the arrays of its inputs, a convolution also its weight, a
Combine and ChannelMap their factors; `extents` are the height and width, `shape` is the whole shape of the result.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from compiler.graph import Normalisation, Operation

Shape = tuple[int, ...]


def conv(operation: Operation, x: np.ndarray, weight: np.ndarray, extents: Shape) -> np.ndarray:
    """The convolution without bias: (O, *extents)."""
    windows = _windows(operation, x, extents)
    if _depthwise(operation, x, weight):
        return np.einsum("ckpq,ck->cpq", windows, weight.reshape(len(x), -1), optimize=False)
    groups = operation.groups
    columns = windows.reshape(groups, -1, extents[0] * extents[1])
    return np.matmul(weight.reshape(groups, len(weight) // groups, -1), columns).reshape(-1, *extents)


def conv_input_gradient(operation: Operation, dy: np.ndarray, weight: np.ndarray, shape: Shape) -> np.ndarray:
    """The gradient to an input of `shape` (C, H, W)."""
    extents = dy.shape[1:]
    if operation.groups == shape[0] == len(weight):
        columns = weight.reshape(shape[0], -1, 1, 1) * dy[:, None]
    else:
        groups = operation.groups
        kernels = weight.reshape(groups, len(weight) // groups, -1).transpose(0, 2, 1)
        columns = np.matmul(kernels, dy.reshape(groups, len(dy) // groups, -1))
    return _scatter(operation, columns.reshape(shape[0], -1, *extents), shape)


def conv_weight_gradient(operation: Operation, x: np.ndarray, dy: np.ndarray, shape: Shape) -> np.ndarray:
    """The gradient of a weight of `shape` (O, I / groups, Kh, Kw)."""
    windows = _windows(operation, x, dy.shape[1:])
    groups = operation.groups
    if groups == len(x) == shape[0]:
        return np.einsum("ckpq,cpq->ck", windows, dy, optimize=False).reshape(shape)
    columns = windows.reshape(groups, -1, dy[0].size)
    return np.matmul(dy.reshape(groups, len(dy) // groups, -1), columns.transpose(0, 2, 1)).reshape(shape)


def combine(
    operation: Operation, inputs: Sequence[np.ndarray], factors: Sequence[np.ndarray], shape: Shape
) -> np.ndarray:
    """The sum of scaled inputs, or one scaled input cropped or padded to `shape`."""
    if operation.crop != (0, 0) or inputs[0].shape != shape:
        inputs = [_cropped(inputs[0], operation.crop, shape)]
    result = _per_channel(factors[0], shape) * inputs[0]
    for factor, x in zip(factors[1:], inputs[1:], strict=True):
        result = result + _per_channel(factor, shape) * x
    return result


def channel_map(
    operation: Operation, inputs: Sequence[np.ndarray], factors: Sequence[np.ndarray], shape: Shape
) -> np.ndarray:
    """Channels moved, summed where several meet."""
    result = np.zeros(shape)
    for x, factor, routes in zip(inputs, factors, operation.routes, strict=True):
        if routes:
            targets, sources = np.array(routes).T
            if len(set(targets.tolist())) == len(targets):
                result[targets] += factor[0] * x[sources]
            else:
                np.add.at(result, targets, factor[0] * x[sources])
    return result


def window_sum(operation: Operation, x: np.ndarray, shape: Shape) -> np.ndarray:
    """The sum of each window, beyond the map 0."""
    return _windows(operation, x, shape[1:]).sum(axis=1)


def max_pool(operation: Operation, x: np.ndarray, shape: Shape) -> np.ndarray:
    """The largest value of each window."""
    return _windows(operation, x, shape[1:], -np.inf).max(axis=1)


def max_pool_index(operation: Operation, x: np.ndarray, shape: Shape) -> np.ndarray:
    """The place of the largest value in each window, the first on ties."""
    return _windows(operation, x, shape[1:], -np.inf).argmax(axis=1).astype(np.float64)


def max_pool_gradient(operation: Operation, dy: np.ndarray, index: np.ndarray, shape: Shape) -> np.ndarray:
    """The gradient to a pooling's input of `shape`."""
    taps = operation.kernel[0] * operation.kernel[1]
    chosen = np.where(index[:, None] == np.arange(taps).reshape(1, -1, 1, 1), dy[:, None], 0.0)
    return _scatter(operation, chosen, shape)


def loss_gradient(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """softmax(logits) - onehot(label), of the logits' shape."""
    flat = logits.reshape(-1)
    exponentials = np.exp(flat - flat.max())
    gradient = exponentials / exponentials.sum()
    gradient[int(label[0])] -= 1.0
    return gradient.reshape(logits.shape)


def lrn(operation: Operation, x: np.ndarray) -> np.ndarray:
    """ONNX LRN: channels floor((size - 1) / 2) before to ceil((size - 1) / 2) after."""
    assert operation.normalisation
    norm = operation.normalisation
    spread = norm.bias + norm.alpha / norm.size * neighbour_sum(norm, x * x)
    return x / spread**norm.beta


def neighbour_sum(norm: Normalisation, x: np.ndarray) -> np.ndarray:
    """The sum over each channel and those around it."""
    padded = np.pad(x, ((norm.before, norm.size - 1 - norm.before), (0, 0), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, norm.size, axis=0).sum(axis=-1)


def _per_channel(values: np.ndarray, shape: Shape) -> np.ndarray:
    return values.reshape(-1, *[1] * (len(shape) - 1))


def _depthwise(operation: Operation, x: np.ndarray, weight: np.ndarray) -> bool:
    return operation.groups == len(x) == len(weight)


def _windows(operation: Operation, x: np.ndarray, extents: Shape, outside: float = 0.0) -> np.ndarray:
    """A view (C, Kh * Kw, *extents), copied: the windows' values, `outside` beyond the map."""
    padded = _cropped(x, (-operation.pads[0], -operation.pads[1]), (len(x), *_reach(operation, extents)), outside)
    (kh, kw), (sh, sw), (dh, dw) = operation.kernel, operation.stride, operation.dilation
    c, h, w = padded.strides
    view = as_strided(padded, (len(x), kh, kw, *extents), (c, h * dh, w * dw, h * sh, w * sw), writeable=False)
    return view.reshape(len(x), kh * kw, *extents)


def _scatter(operation: Operation, columns: np.ndarray, shape: Shape) -> np.ndarray:
    """The transpose of `_windows`: values (C, Kh * Kw, *extents) summed where windows overlap."""
    extents = columns.shape[2:]
    (kh, kw), (sh, sw), (dh, dw) = operation.kernel, operation.stride, operation.dilation
    padded = np.zeros((shape[0], *_reach(operation, extents)))
    for k in range(kh * kw):
        top, left = k // kw * dh, k % kw * dw
        rows = slice(top, top + (extents[0] - 1) * sh + 1, sh)
        padded[:, rows, left : left + (extents[1] - 1) * sw + 1 : sw] += columns[:, k]
    return _cropped(padded, operation.pads, shape)


def _reach(operation: Operation, extents: Shape) -> Shape:
    """Height and width that the windows cover, from the first padding on."""
    across = zip(extents, operation.stride, operation.dilation, operation.kernel, strict=True)
    return tuple((count - 1) * stride + dilation * (taps - 1) + 1 for count, stride, dilation, taps in across)


def _cropped(x: np.ndarray, first: tuple[int, int], shape: Shape, outside: float = 0.0) -> np.ndarray:
    """The `shape` of map x whose (0, 0) is x's `first`; `outside` beyond x."""
    if first == (0, 0) and x.shape == shape:
        return x
    result = np.full(shape, outside)
    (top, bottom), (left, right) = (
        (max(start, 0), max(min(start + count, extent), max(start, 0)))
        for start, count, extent in zip(first, shape[1:], x.shape[1:], strict=True)
    )
    rows = slice(top - first[0], bottom - first[0])
    result[:, rows, left - first[1] : right - first[1]] = x[:, top:bottom, left:right]
    return result
