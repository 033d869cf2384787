"""The lowered graph: tensors, and the operations on them that the array, the vector engine and the DMA execute.

Shapes: a map is (C, H, W), a vector (N,), its elements counting as channels where a rule speaks of channels.
Parameters are (O, I / groups, Kh, Kw) of a convolution, (O, I) of a matrix whose columns are the input flattened in
C-order, (O,) of a bias. No shape has a batch.

What each operator computes, x and y being real numbers, before `relu`, then `mask`, then one rounding:

| operator | inputs → output | value |
|---|---|---|
| Conv | x → y; weight, bias | y[o, p] = bias[o] + Σ_i Σ_k weight[o, i, k] · x[i', p·stride − pads + k·dilation] |
| ConvInputGradient | dy → dx; weight | the transposed Conv of the same attributes |
| ConvWeightGradient | x, dy → weight or its gradient | Σ_p dy[o, p] · x[i', p·stride − pads + k·dilation] |
| ConvBiasGradient | dy → bias or its gradient | Σ_p dy[o, p] |
| Gemm | x → y; weight, bias | y = weight · flat(x) + bias |
| GemmInputGradient | dy → dx; weight | flat(dx) = weightᵀ · dy |
| GemmWeightGradient | x, dy → weight or its gradient | dy ⊗ flat(x) |
| GemmBiasGradient | dy → bias or its gradient | dy |
| Combine | x_1 … x_n → y; factors, bias | y[c, p] = bias[c] + Σ_i factors_i[c] · x_i[c, p + crop] |
| ChannelMap | x_1 … x_n → y; factors, routes | y[t, p] = Σ_i factors_i · Σ_{(t, s) in routes_i} x_i[s, p] |
| GlobalAveragePool | x → y; factors | y[c] = factors_1 · Σ_p x[c, p], the factor being 1 / (H·W) |
| AveragePool | x → y; factors | y[c, p] = factors_1[k] · Σ of the window; k: part of p (`compiler.averages`) |
| AverageShares | x → y; factors | y[c, p] = factors_1[k] · x[c, p]; k: the part of p as an AveragePool's output |
| Broadcast | x → y; factors | y[c, p] = factors_1 · x[c] |
| MaxPool | x → y | the largest value of the window; padding never wins |
| MaxPoolIndex | x → index | its place ky · Kw + kx in the window, the first in row-major order on ties |
| MaxPoolGradient | dy, index → dx | dx[c, q] = Σ of dy[c, p] over the windows p whose index names q |
| SoftmaxCrossEntropyLossGradient | logits, label → gradient | softmax(logits) − onehot(label) |
| Lrn | x → y; `normalisation` | ONNX LRN, across channels; of inference, for `compiler.normalisation` to take apart |
| NeighbourSum | x → y; `normalisation`, factors, bias | y[c, p] = bias[c] + factors_1 · Σ x[s, p], s around c |
| Product | x_1, x_2 → y; bias | y[c, p] = bias[c] + x_1[c, p] · x_2[c, p] |
| Update | r_1 … r_n → parameter or state; factors | Σ_i factors_i · r_i, over rows of memory |
| Normalise | x → y; `statistics` | y[c, p] = (x[c, p] − mean[c]) / √(variance[c] + epsilon) |
| NormaliseGradient | dy, y → dx; `statistics` | the gradient through mean and variance too |

Normalise takes mean and biased variance of a micro-batch in "train", the running ones in "infer"; the micro-batch's
samples are met together, and `compiler.batching` takes it apart.

Reading outside a map gives zero (nothing, for MaxPool): bottom and right padding follow from the output's extents,
which are the output tensor's shape. i' is channel i of the group of o.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from arch.layout import Patches
from compiler.nodes import NetworkError
from compiler.powers import Power

INFER = "infer"
TRAIN = "train"
ACCUMULATE_FIRST = "accumulate_first"
ACCUMULATE = "accumulate"
UPDATE = "update"
MOST_TERMS = 4
"""The most inputs of a Combine or an Update; longer sums are chains of them."""


class Operator(StrEnum):
    """What an operation computes; forward names are ONNX's where ONNX has one."""

    CONV = "Conv"
    CONV_INPUT_GRADIENT = "ConvInputGradient"
    CONV_WEIGHT_GRADIENT = "ConvWeightGradient"
    CONV_BIAS_GRADIENT = "ConvBiasGradient"
    GEMM = "Gemm"
    GEMM_INPUT_GRADIENT = "GemmInputGradient"
    GEMM_WEIGHT_GRADIENT = "GemmWeightGradient"
    GEMM_BIAS_GRADIENT = "GemmBiasGradient"
    COMBINE = "Combine"
    CHANNEL_MAP = "ChannelMap"
    GLOBAL_AVERAGE_POOL = "GlobalAveragePool"
    AVERAGE_POOL = "AveragePool"
    AVERAGE_SHARES = "AverageShares"
    BROADCAST = "Broadcast"
    MAX_POOL = "MaxPool"
    MAX_POOL_INDEX = "MaxPoolIndex"
    MAX_POOL_GRADIENT = "MaxPoolGradient"
    LOSS_GRADIENT = "SoftmaxCrossEntropyLossGradient"
    LRN = "Lrn"
    NEIGHBOUR_SUM = "NeighbourSum"
    PRODUCT = "Product"
    UPDATE = "Update"
    NORMALISE = "Normalise"
    NORMALISE_GRADIENT = "NormaliseGradient"


PARAMETER_GRADIENTS = frozenset(
    {
        Operator.CONV_WEIGHT_GRADIENT,
        Operator.CONV_BIAS_GRADIENT,
        Operator.GEMM_WEIGHT_GRADIENT,
        Operator.GEMM_BIAS_GRADIENT,
    }
)
"""Operators whose output is a parameter (`update`) or its gradient."""
AVERAGES = (Operator.AVERAGE_POOL, Operator.AVERAGE_SHARES)
"""Operators with a factor for each part of an average's output."""


class Role(StrEnum):
    """What a tensor is, which decides the memory it lies in."""

    INPUT = "input"
    LABEL = "label"
    TARGET = "target"
    ACTIVATION = "activation"
    INDEX = "index"
    GRADIENT = "gradient"
    WEIGHT = "weight"
    BIAS = "bias"
    CONSTANT = "constant"
    PARAMETER_GRADIENT = "parameter_gradient"
    STATE = "state"
    STATISTIC = "statistic"


ROWS = frozenset({Role.WEIGHT, Role.BIAS, Role.CONSTANT, Role.PARAMETER_GRADIENT, Role.STATE, Role.STATISTIC})
"""Roles of tensors that have a first value (`Graph.values`) and stay in memory from run to run; the others are values
of one run. PARAMETER_GRADIENT and STATE (momentum, running statistics) have their parameter's shape and should be laid
out like it. A STATISTIC is computed anew in each run: sums over a micro-batch and what follows from them."""


@dataclass(frozen=True)
class Tensor:
    """A value. CONSTANT: (O, I / groups, Kh, Kw) as a Conv's weight, (C,) as bias or factor, (1,) as a scalar factor.

    `parameter` names the rows that a PARAMETER_GRADIENT or STATE is laid out like. An INDEX has the shape of the pooled
    map and fraction 0, a LABEL (a class) shape (1,) and fraction 0, a TARGET the shape of the logits. The tensor that a
    loss compares with is named "label", whichever of the two it is.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    parameter: str = ""


@dataclass(frozen=True)
class Normalisation:
    """ONNX LRN's attributes: y = x / (bias + alpha / size · Σ x²)**beta, summed over `size` channels around."""

    size: int
    alpha: float
    beta: float
    bias: float

    @property
    def before(self) -> int:
        """Channels before the one in the middle."""
        return (self.size - 1) // 2


@dataclass(frozen=True)
class Statistics:
    """Of a batch normalisation: the STATE tensors of its running statistics, (C,), and how they follow the batches'.

    running = (1 − momentum) · running + momentum · that of the micro-batch, the variance unbiased, as PyTorch has it.
    """

    mean: str
    variance: str
    epsilon: float
    momentum: float


@dataclass(frozen=True)
class Operation:
    """One operation of one layer. It reads tensors by name and writes `output`; see the table above.

    `layer` is the network's node, `phase` one of forward, loss, input_gradient, gradient_sum, weight_gradient,
    bias_gradient, update, recompute. `weight` and `bias` name the parameter or CONSTANT tensor read ("" for none); a
    gradient of a parameter names it too, but reads it only if `update`.

    `factors` names one CONSTANT for each input: of shape (1,), one number for all channels, or (C,). ChannelMap,
    Update, GlobalAveragePool and Broadcast have scalar factors only. `routes` of a ChannelMap has one tuple of pairs
    (target channel, source channel) for each input; a target without a pair is zero, several pairs sum.

    `relu` clips the output at zero; `mask` names an activation of the output's shape whose values <= 0 clear it. A
    `ceiling`, if not 0, clips the output too: on the chip the end of its format does, which is not beyond it.

    `kernel`, `stride`, `pads` (top, left), `dilation` (each rows, columns) and `groups` are a convolution's or a
    pooling's; a gradient has those of its forward operation. `extents` are the height and width of the map that an
    average is taken of. A convolution is depthwise if `groups` equals its input's
    and its output's channels. `crop` is the source coordinate (row, column) of a Combine's output (0, 0): negative, or
    an output larger than the input, pads with zeros; it is (0, 0) with equal shapes unless there is exactly one input.

    `update`, of a parameter's gradient: output is the parameter, and the value is output − learning_rate · gradient,
    rounded once. `accumulate`, of a parameter's gradient or an Update: the value is output + the operator's value,
    rounded once. Otherwise output is overwritten. An Update may read its own output: a row is read before written.

    `macs` are the nominal multiply-accumulates of convolutions and matrices, padding included; 0 for all else.
    """

    operator: Operator
    layer: str
    phase: str
    inputs: tuple[str, ...]
    output: str
    weight: str = ""
    bias: str = ""
    factors: tuple[str, ...] = ()
    routes: tuple[tuple[tuple[int, int], ...], ...] = ()
    relu: bool = False
    ceiling: float = 0.0
    mask: str = ""
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    extents: tuple[int, int] = (1, 1)
    crop: tuple[int, int] = (0, 0)
    update: bool = False
    accumulate: bool = False
    normalisation: Normalisation | None = None
    statistics: Statistics | None = None
    macs: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Every tensor whose value before the operation decides its result."""
        names = [*self.inputs, *self.factors, self.mask]
        if self.operator not in PARAMETER_GRADIENTS:
            names += [self.weight, self.bias]
        if self.update or self.accumulate:
            names.append(self.output)
        return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True)
class Optimiser:
    """Stochastic gradient descent as PyTorch's: g the gradient of the mean loss of `micro_batch` samples,
    v = momentum · v + g + weight_decay · w, w = w − learning_rate · v.

    `learning_rate` is 2**-k, 0 <= k <= 24. Without momentum, decay and micro-batch the update is the write-back of a
    gradient.
    """

    learning_rate: float = 2.0**-6
    momentum: float = 0.0
    weight_decay: float = 0.0
    micro_batch: int = 1

    @property
    def plain(self) -> bool:
        """Whether the update is fused into the gradients."""
        return self.momentum == 0 and self.weight_decay == 0 and self.micro_batch == 1


def sample_name(name: str, sample: int | str) -> str:
    """The name of a tensor of one sample, from 0 on, of a micro-batch that runs at once; of all, what it begins with if
    `sample` is ""."""
    return f"{name}@{sample}"


@dataclass
class Graph:
    """Tensors by name, and what to run for each entry, in order.

    `entries`: "infer" always; for training "train" (forward, backward and update of one sample), or, if
    `optimiser.micro_batch` > 1, "accumulate_first" (a sample whose gradients overwrite), "accumulate" (whose gradients
    add) and "update"; or, if a batch is normalised, "train" of all `samples` of a micro-batch at once, whose inputs and
    labels are named by `sample_name`. `values` has the first float64 value of every tensor whose role is in `ROWS`.
    `logits` is the result, (N,) or a map; `loss` the network's loss operator or "". `fractions` holds the fraction bits
    of tensors whose format is already decided, `octets` names tensors whose elements have 8 bits; `notes` say, a line
    each, what was changed and why.

    `patches`, if the host lays the input as the windows of a convolution: then the tensor "input" is the map of these.
    `given` has the shapes in which users give and read tensors that have another one here. `powers` has the polynomial
    of each normalisation, by the name of its result. `copies` has the first map's name for each that is made again, or
    of another sample: they have one format.
    """

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    entries: dict[str, list[Operation]] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    logits: str = ""
    loss: str = ""
    optimiser: Optimiser | None = None
    fractions: dict[str, int] = field(default_factory=dict)
    octets: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    patches: Patches | None = None
    given: dict[str, tuple[int, ...]] = field(default_factory=dict)
    powers: dict[str, Power] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    samples: int = 1

    def given_shape(self, name: str) -> tuple[int, ...]:
        """The shape in which users give and read a tensor."""
        return self.given.get(name, self.tensors[name].shape)

    @property
    def operations(self) -> list[Operation]:
        """Every operation of any entry once, in the order of first appearance."""
        return list(dict.fromkeys(operation for entry in self.entries.values() for operation in entry))

    def add(self, name: str, shape: tuple[int, ...], role: Role, parameter: str = "") -> str:
        """Enter a tensor of a new name and return the name. Raises `NetworkError` if the name is taken."""
        if name in self.tensors:
            raise NetworkError(f"{name}: the name is needed for a tensor; rename the node or parameter of that name")
        self.tensors[name] = Tensor(name, tuple(shape), role, parameter)
        return name

    def add_row(self, name: str, value: np.ndarray, role: Role, parameter: str = "") -> str:
        """Enter a tensor of a role in `ROWS` with its first value, and return the name."""
        self.add(name, value.shape, role, parameter)
        self.values[name] = np.asarray(value, dtype=np.float64)
        return name
