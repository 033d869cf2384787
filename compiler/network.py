"""What a user builds: a network of layers with names, shapes and float parameters."""

from __future__ import annotations

from math import prod
from typing import Self

from compiler.dag import Dag
from compiler.nodes import (
    PLAIN,
    Attributes,
    BatchNormalizationAttributes,
    ChannelShuffleAttributes,
    ClipAttributes,
    ConvAttributes,
    DropoutAttributes,
    LeakyReluAttributes,
    LRNAttributes,
    NetworkError,
    PadAttributes,
    PoolAttributes,
    SliceAttributes,
    TransposeAttributes,
)
from compiler.shapes import LARGEST_CHANNELS, four_pads, pair, same_pads, whole, windowed

__all__ = ["Network", "NetworkError"]

Extents = int | tuple[int, int]
"""One extent for height and width, or both."""
Pads = int | tuple[int, int, int, int]
"""Zeros on every side, or (top, left, bottom, right)."""


class Network(Dag):
    """A network, built by calling its methods in order; each appends a node and returns the network.

    A node reads the last node's result, or the value that `after` names; `name` is chosen if not given.

    >>> net = Network("digits", (1, 8, 8)).conv(8).relu().dense(10).softmax_cross_entropy()
    >>> net.shapes["conv1.weight"]
    (8, 1, 3, 3)
    """

    def conv(
        self,
        filters: int,
        kernel: Extents = 3,
        *,
        stride: Extents = 1,
        padding: Pads | None = None,
        dilation: Extents = 1,
        groups: int = 1,
        bias: bool = False,
        name: str = "",
        after: str = "",
    ) -> Self:
        """Convolve with `filters` kernels, each over its group's share of the channels.

        Without `padding`, as many zeros as keep height and width at stride 1, an odd one at the bottom or right.

        >>> Network("net", (4, 8, 8)).conv(16, 3, stride=2).shape
        (16, 4, 4)
        """
        return self._conv("conv", filters, kernel, stride, padding, dilation, groups, bias, name, after)

    def depthwise(
        self,
        kernel: Extents = 3,
        *,
        stride: Extents = 1,
        padding: Pads | None = None,
        dilation: Extents = 1,
        bias: bool = False,
        name: str = "",
        after: str = "",
    ) -> Self:
        """Convolve each channel with its own kernel.

        >>> Network("net", (4, 8, 8)).depthwise().shapes
        {'depthwise1.weight': (4, 1, 3, 3)}
        """
        name, source, (channels, *_) = self._map("depthwise", "Conv", name, after)
        return self._conv("depthwise", channels, kernel, stride, padding, dilation, channels, bias, name, source)

    def dense(self, outputs: int, *, bias: bool = False, name: str = "", after: str = "") -> Self:
        """Multiply the flattened input by a matrix of `outputs` rows.

        >>> Network("net", (4, 8, 8)).dense(10, bias=True).shapes
        {'dense1.weight': (10, 256), 'dense1.bias': (10,)}
        """
        name, source, shape = self._source("dense", "Gemm", name, after)
        if not whole(outputs, LARGEST_CHANNELS):
            raise NetworkError(f"{name}: outputs must be 1 to {LARGEST_CHANNELS}, not {outputs}")
        parameters = {"weight": (outputs, prod(shape))} | ({"bias": (outputs,)} if bias else {})
        return self._append("Gemm", name, (source,), (outputs,), PLAIN, parameters)

    def relu(self, *, name: str = "", after: str = "") -> Self:
        """Replace negative values by zero.

        >>> Network("net", (4, 8, 8)).conv(8).relu().last
        'relu1'
        """
        return self._same("relu", "Relu", name, after)

    def relu6(self, *, name: str = "", after: str = "") -> Self:
        """Replace negative values by zero and those above 6 by 6.

        >>> Network("net", (4, 8, 8)).conv(8).relu6().node("clip1").attributes
        ClipAttributes(maximum=6.0)
        """
        return self.clip(6.0, name=name, after=after)

    def clip(self, maximum: float, *, name: str = "", after: str = "") -> Self:
        """Replace negative values by zero and those above `maximum` by it.

        >>> Network("net", (4, 8, 8)).conv(8).clip(1.5).shape
        (8, 8, 8)
        """
        name = name or self._numbered("clip", "Clip")
        if not 0 < maximum < float("inf"):
            raise NetworkError(f"{name}: maximum must be positive and finite, not {maximum}")
        return self._same("clip", "Clip", name, after, ClipAttributes(float(maximum)))

    def leaky_relu(self, alpha: float = 0.01, *, name: str = "", after: str = "") -> Self:
        """Multiply negative values by `alpha`, 0 <= alpha < 1.

        >>> Network("net", (4, 8, 8)).conv(8).leaky_relu(0.125).shape
        (8, 8, 8)
        """
        name = name or self._numbered("leaky_relu", "LeakyRelu")
        if not 0 <= alpha < 1:
            raise NetworkError(f"{name}: alpha must be at least 0 and below 1, not {alpha}")
        return self._same("leaky_relu", "LeakyRelu", name, after, LeakyReluAttributes(float(alpha)))

    def max_pool(
        self, kernel: Extents = 2, *, stride: Extents | None = None, padding: Pads = 0, name: str = "", after: str = ""
    ) -> Self:
        """The largest value of each window; `stride` is the kernel if not given; padding never wins.

        >>> Network("net", (4, 9, 9)).max_pool(3, stride=2).shape
        (4, 4, 4)
        """
        return self._pool("max_pool", "MaxPool", kernel, stride, padding, False, name, after)

    def average_pool(
        self,
        kernel: Extents = 2,
        *,
        stride: Extents | None = None,
        padding: Pads = 0,
        count_include_pad: bool = False,
        name: str = "",
        after: str = "",
    ) -> Self:
        """The mean of each window; `stride` is the kernel if not given.

        >>> Network("net", (4, 8, 8)).average_pool(2).shape
        (4, 4, 4)
        """
        return self._pool("average_pool", "AveragePool", kernel, stride, padding, count_include_pad, name, after)

    def global_average_pool(self, *, name: str = "", after: str = "") -> Self:
        """The mean of each channel: (C, H, W) to (C, 1, 1).

        >>> Network("net", (4, 8, 8)).global_average_pool().shape
        (4, 1, 1)
        """
        name, source, (channels, *_) = self._map("global_pool", "GlobalAveragePool", name, after)
        return self._append("GlobalAveragePool", name, (source,), (channels, 1, 1))

    def batch_norm(
        self,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        statistics: bool = True,
        name: str = "",
        after: str = "",
    ) -> Self:
        """Normalise each channel by its running mean and variance, then scale and shift it.

        Training by statistics of a micro-batch moves the running ones by `momentum`; without `statistics` these are
        constants.

        >>> list(Network("net", (4, 8, 8)).conv(8).batch_norm(name="bn").shapes)[1:]
        ['bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var']
        """
        name, source, shape = self._source("batch_norm", "BatchNormalization", name, after)
        if not 0 <= epsilon < 1:
            raise NetworkError(f"{name}: epsilon must be at least 0 and below 1, not {epsilon}")
        if not 0 <= momentum <= 1:
            raise NetworkError(f"{name}: momentum must be from 0 to 1, not {momentum}")
        parameters = {f"{role}": shape[:1] for role in ("weight", "bias", "running_mean", "running_var")}
        attributes = BatchNormalizationAttributes(float(epsilon), float(momentum), statistics)
        return self._append("BatchNormalization", name, (source,), shape, attributes, parameters)

    def lrn(
        self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, name: str = "", after: str = ""
    ) -> Self:
        """Local response normalisation over `size` neighbouring channels.

        >>> Network("net", (4, 8, 8)).conv(8).lrn(5).shape
        (8, 8, 8)
        """
        name, source, shape = self._map("lrn", "LRN", name, after)
        if not whole(size, LARGEST_CHANNELS) or not (alpha >= 0 and beta > 0 and bias > 0):
            raise NetworkError(f"{name}: size must be 1 to {LARGEST_CHANNELS}, alpha >= 0, beta and bias positive")
        return self._append("LRN", name, (source,), shape, LRNAttributes(size, alpha, beta, bias))

    def add(self, first: str, second: str, *, name: str = "") -> Self:
        """Add two values of one shape.

        >>> net = Network("net", (8, 8, 8)).conv(8, name="a").conv(8, name="b")
        >>> net.add("a", "b").shape
        (8, 8, 8)
        """
        name = name or self._numbered("add", "Add")
        shapes = [self._value(name, value) for value in (first, second)]
        if shapes[0] != shapes[1]:
            raise NetworkError(f"{name}: {first} {shapes[0]} and {second} {shapes[1]} must have one shape")
        return self._append("Add", name, (first, second), shapes[0])

    def concat(self, *values: str, name: str = "") -> Self:
        """Join maps of one height and width along their channels, or vectors.

        >>> net = Network("net", (8, 8, 8)).conv(8, name="a").conv(4, name="b")
        >>> net.concat("a", "b").shape
        (12, 8, 8)
        """
        name = name or self._numbered("concat", "Concat")
        shapes = [self._value(name, value) for value in values]
        if len(values) < 2 or any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise NetworkError(f"{name}: must join two or more values of one height and width, not {shapes}")
        return self._append("Concat", name, values, (sum(shape[0] for shape in shapes), *shapes[0][1:]))

    def slice(self, starts: tuple[int, ...], ends: tuple[int, ...], *, name: str = "", after: str = "") -> Self:
        """Keep `starts` up to, but without, `ends` of each dimension.

        >>> Network("net", (4, 8, 8)).slice((0, 2, 2), (2, 6, 6)).shape
        (2, 4, 4)
        """
        name, source, shape = self._source("slice", "Slice", name, after)
        starts, ends = tuple(starts), tuple(ends)
        if not len(starts) == len(ends) == len(shape) or not all(
            0 <= start < end <= extent for start, end, extent in zip(starts, ends, shape, strict=True)
        ):
            raise NetworkError(f"{name}: starts {starts} must be below ends {ends}, each within {shape}")
        extents = tuple(end - start for start, end in zip(starts, ends, strict=True))
        return self._append("Slice", name, (source,), extents, SliceAttributes(starts, ends))

    def pad(self, padding: Pads, *, name: str = "", after: str = "") -> Self:
        """Put zeros around a map.

        >>> Network("net", (4, 8, 8)).pad((1, 2, 0, 0)).shape
        (4, 9, 10)
        """
        name, source, (channels, height, width) = self._map("pad", "Pad", name, after)
        pads = four_pads(padding, name)
        shape = (channels, height + pads[0] + pads[2], width + pads[1] + pads[3])
        return self._append("Pad", name, (source,), shape, PadAttributes(pads))

    def flatten(self, *, name: str = "", after: str = "") -> Self:
        """A map as a vector, in row-major order.

        >>> Network("net", (4, 8, 8)).flatten().shape
        (256,)
        """
        name, source, shape = self._source("flatten", "Flatten", name, after)
        return self._append("Flatten", name, (source,), (prod(shape),))

    def reshape(self, shape: tuple[int, ...], *, name: str = "", after: str = "") -> Self:
        """The same values in row-major order under another shape.

        >>> Network("net", (4, 8, 8)).reshape((16, 4, 4)).shape
        (16, 4, 4)
        """
        name, source, before = self._source("reshape", "Reshape", name, after)
        if prod(shape) != prod(before):
            raise NetworkError(f"{name}: {tuple(shape)} must have as many elements as {before}")
        return self._append("Reshape", name, (source,), tuple(shape))

    def transpose(self, perm: tuple[int, ...], *, name: str = "", after: str = "") -> Self:
        """Dimension i of the result is dimension `perm[i]` of the input.

        >>> Network("net", (4, 8, 6)).transpose((0, 2, 1)).shape
        (4, 6, 8)
        """
        name, source, shape = self._source("transpose", "Transpose", name, after)
        if sorted(perm) != list(range(len(shape))):
            raise NetworkError(f"{name}: perm {tuple(perm)} must hold each of {list(range(len(shape)))} once")
        permuted = tuple(shape[axis] for axis in perm)
        return self._append("Transpose", name, (source,), permuted, TransposeAttributes(tuple(perm)))

    def channel_shuffle(self, groups: int, *, name: str = "", after: str = "") -> Self:
        """Deal the channels of `groups` groups out in turn (ShuffleNet).

        >>> Network("net", (4, 8, 8)).channel_shuffle(2).shape
        (4, 8, 8)
        """
        name, source, shape = self._map("shuffle", "ChannelShuffle", name, after)
        if not whole(groups, LARGEST_CHANNELS) or shape[0] % groups:
            raise NetworkError(f"{name}: groups must divide the {shape[0]} channels, not be {groups}")
        return self._append("ChannelShuffle", name, (source,), shape, ChannelShuffleAttributes(groups))

    def dropout(self, ratio: float = 0.5, *, name: str = "", after: str = "") -> Self:
        """Clear `ratio` of the values in training; nothing in inference.

        >>> Network("net", (4, 8, 8)).dense(10).dropout(0.2).shape
        (10,)
        """
        name = name or self._numbered("dropout", "Dropout")
        if not 0 <= ratio < 1:
            raise NetworkError(f"{name}: ratio must be at least 0 and below 1, not {ratio}")
        return self._same("dropout", "Dropout", name, after, DropoutAttributes(float(ratio)))

    def identity(self, *, name: str = "", after: str = "") -> Self:
        """The value itself under another name.

        >>> Network("net", (4, 8, 8)).conv(8).identity(name="seen").last
        'seen'
        """
        return self._same("identity", "Identity", name, after)

    def softmax(self, *, name: str = "", after: str = "") -> Self:
        """End an inference network with probabilities of its classes, (N,) or (N, 1, 1).

        >>> Network("net", (4, 8, 8)).dense(10).softmax().shape
        (10,)
        """
        name, source, shape = self._source("softmax", "Softmax", name, after)
        if shape[1:] not in ((), (1, 1)):
            raise NetworkError(f"{name}: its input must be a vector of logits, not {shape}; put dense before it")
        return self._append("Softmax", name, (source,), shape)

    def softmax_cross_entropy(self, *, name: str = "loss", after: str = "") -> Self:
        """End with the loss of a label: softmax and cross-entropy. A Softmax at the end gives way to it.

        >>> Network("net", (4, 8, 8)).dense(10).softmax_cross_entropy().last
        'loss'
        """
        if self.nodes and self.nodes[-1].operator == "Softmax" and not after:
            del self.values[self.nodes.pop().name]
        name, source, shape = self._source("loss", "SoftmaxCrossEntropyLoss", name, after)
        if len(shape) != 1 or not self.nodes:
            raise NetworkError(f"{name}: its input must be a vector of logits, not {shape}; put dense before it")
        return self._append("SoftmaxCrossEntropyLoss", name, (source,), ())

    def mean_squared_error(self, *, name: str = "loss", after: str = "") -> Self:
        """End with the mean of the squared differences to a target of the last result's shape.

        >>> Network("net", (4, 8, 8)).conv(4).mean_squared_error().shape
        ()
        """
        name, source, _ = self._source("loss", "MeanSquaredError", name, after)
        return self._append("MeanSquaredError", name, (source,), ())

    def _conv(self, stem, filters, kernel, stride, padding, dilation, groups, bias, name, after) -> Self:
        name, source, (channels, *extents) = self._map(stem, "Conv", name, after)
        kernel, stride, dilation = (
            pair(value, name, what) for value, what in ((kernel, "kernel"), (stride, "stride"), (dilation, "dilation"))
        )
        pads = same_pads(kernel, dilation) if padding is None else four_pads(padding, name)
        if not whole(filters, LARGEST_CHANNELS):
            raise NetworkError(f"{name}: filters must be 1 to {LARGEST_CHANNELS}, not {filters}")
        if not whole(groups, channels) or channels % groups or filters % groups:
            raise NetworkError(f"{name}: groups must divide {channels} channels and {filters} filters, not {groups}")
        shape = (filters, *windowed(name, tuple(extents), kernel, stride, pads, dilation))
        parameters = {"weight": (filters, channels // groups, *kernel)} | ({"bias": (filters,)} if bias else {})
        attributes = ConvAttributes(kernel, stride, pads, dilation, groups)
        return self._append("Conv", name, (source,), shape, attributes, parameters)

    def _pool(self, stem, operator, kernel, stride, padding, count_include_pad, name, after) -> Self:
        name, source, (channels, *extents) = self._map(stem, operator, name, after)
        kernel = pair(kernel, name, "kernel")
        strides = kernel if stride is None else pair(stride, name, "stride")
        pads = four_pads(padding, name)
        if any(pad >= extent for pad, extent in zip(pads, kernel * 2, strict=True)):
            raise NetworkError(f"{name}: padding must be below the kernel's {kernel}, not {pads}")
        shape = (channels, *windowed(name, tuple(extents), kernel, strides, pads))
        attributes = PoolAttributes(kernel, strides, pads, count_include_pad)
        return self._append(operator, name, (source,), shape, attributes)

    def _same(self, stem: str, operator: str, name: str, after: str, attributes: Attributes = PLAIN) -> Self:
        name, source, shape = self._source(stem, operator, name, after)
        return self._append(operator, name, (source,), shape, attributes)

    def _map(self, stem: str, operator: str, name: str, after: str) -> tuple[str, str, tuple[int, ...]]:
        name, source, shape = self._source(stem, operator, name, after)
        if len(shape) != 3:
            raise NetworkError(f"{name}: its input must be a map (C, H, W), not {shape}; put it before dense")
        return name, source, shape

    def _source(self, stem: str, operator: str, name: str, after: str) -> tuple[str, str, tuple[int, ...]]:
        """The node's name, the value that it reads, and that value's shape."""
        name = name or self._numbered(stem, operator)
        source = after or self.last
        return name, source, self._value(name, source)

    def _value(self, name: str, value: str) -> tuple[int, ...]:
        if value not in self.values:
            raise NetworkError(f"{name}: reads {value}, which no node before it makes")
        return self.values[value]

    def _numbered(self, stem: str, operator: str) -> str:
        return f"{stem}{1 + sum(node.operator == operator for node in self.nodes)}"
