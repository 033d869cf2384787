"""A node of a network: an ONNX operator, what it reads, the shape of its result, its attributes and parameters.

Shapes have no batch: (C, H, W) or (N,). `pads` are zeros around a map as (top, left, bottom, right). A field of two
integers is (along the height, along the width).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from arch.errors import InputError

INPUT = "input"
"""Name of the value that a network is given."""
LABEL = "label"
"""Name of what a loss compares with: a class, or a vector."""


class NetworkError(InputError):
    """A network whose nodes do not follow from each other, or that a chip cannot hold; names the node."""


@dataclass(frozen=True)
class Attributes:
    """What an operator is told beyond its inputs; this base for operators that are told nothing."""


@dataclass(frozen=True)
class ConvAttributes(Attributes):
    """ONNX Conv. Depthwise if `group` is the number of input channels."""

    kernel_shape: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    group: int


@dataclass(frozen=True)
class PoolAttributes(Attributes):
    """ONNX MaxPool and AveragePool; `count_include_pad` says whether an average divides by padding too.

    Rounding up (`ceil_mode`) is said by larger `pads` at the bottom and right. Each pad is below the kernel's extent.
    """

    kernel_shape: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    count_include_pad: bool = False


@dataclass(frozen=True)
class ClipAttributes(Attributes):
    """ONNX Clip to [0, maximum]; ReLU6 has maximum 6."""

    maximum: float


@dataclass(frozen=True)
class LeakyReluAttributes(Attributes):
    """ONNX LeakyRelu: negative values times `alpha`, in [0, 1)."""

    alpha: float


@dataclass(frozen=True)
class BatchNormalizationAttributes(Attributes):
    """ONNX BatchNormalization of inference: weight · (x − mean) / √(variance + epsilon) + bias.

    `momentum` is PyTorch's: the share of a batch in the running statistics after it. Without `statistics` it is a scale
    and shift by constants, in training too.
    """

    epsilon: float
    momentum: float = 0.1
    statistics: bool = True


@dataclass(frozen=True)
class SliceAttributes(Attributes):
    """ONNX Slice with steps 1: from `starts` up to, but without, `ends`, one of each per dimension."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class PadAttributes(Attributes):
    """ONNX Pad of a map with zeros."""

    pads: tuple[int, int, int, int]


@dataclass(frozen=True)
class TransposeAttributes(Attributes):
    """ONNX Transpose: dimension i of the result is dimension `perm[i]` of the input, both without the batch."""

    perm: tuple[int, ...]


@dataclass(frozen=True)
class ChannelShuffleAttributes(Attributes):
    """PyTorch's channel_shuffle: channels as a matrix of `group` rows, transposed. No ONNX operator."""

    group: int


@dataclass(frozen=True)
class DropoutAttributes(Attributes):
    """ONNX Dropout: the identity in inference; `ratio` of the values are cleared in training."""

    ratio: float


@dataclass(frozen=True)
class LRNAttributes(Attributes):
    """ONNX LRN: x / (bias + alpha / size · Σ x²) ** beta, over `size` channels around each."""

    size: int
    alpha: float
    beta: float
    bias: float


PLAIN = Attributes()


@dataclass(frozen=True)
class Node:
    """One operator's application; its result is the value `name`.

    `inputs` are names of nodes before it or "input". `parameters` names its parameters by role: `weight`, `bias`,
    and of a BatchNormalization `running_mean` and `running_var`. Operators are ONNX's, and ChannelShuffle and
    MeanSquaredError. A Gemm flattens its input in row-major order. Losses have shape ().
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Attributes = PLAIN
    parameters: dict[str, str] = field(default_factory=dict)


LOSSES = ("SoftmaxCrossEntropyLoss", "MeanSquaredError")
"""Operators that compare with the label and end a network."""
