"""The training graph: tensors and the operations on them, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Operator(StrEnum):
    """What an operation computes. Forward names are ONNX's."""

    CONV = "Conv"
    CONV_INPUT_GRADIENT = "ConvInputGradient"
    CONV_WEIGHT_UPDATE = "ConvWeightUpdate"
    CONV_BIAS_UPDATE = "ConvBiasUpdate"
    GEMM = "Gemm"
    GEMM_INPUT_GRADIENT = "GemmInputGradient"
    GEMM_WEIGHT_UPDATE = "GemmWeightUpdate"
    GEMM_BIAS_UPDATE = "GemmBiasUpdate"
    LOSS_GRADIENT = "SoftmaxCrossEntropyLossGradient"


class Role(StrEnum):
    """What a tensor is, which decides the memory it lies in."""

    INPUT = "input"
    LABEL = "label"
    ACTIVATION = "activation"
    GRADIENT = "gradient"
    WEIGHT = "weight"
    BIAS = "bias"


@dataclass(frozen=True)
class Tensor:
    """A value; `shape` is (C, H, W) or (N,) for maps and vectors, (O, I, K, K), (O, I) or (N,) for parameters."""

    name: str
    shape: tuple[int, ...]
    role: Role


@dataclass(frozen=True)
class Operation:
    """One operation of one layer. It reads tensors by name and writes (or updates) `output`.

    `relu` clips the output at zero; `mask` names the activation whose zeros clear the output.
    """

    operator: Operator
    layer: str
    phase: str
    inputs: tuple[str, ...]
    output: str
    weight: str = ""
    bias: str = ""
    relu: bool = False
    mask: str = ""
    padding: int = 0
    macs: int = 0

    @property
    def reads(self) -> tuple[str, ...]:
        """Maps and vectors that must still be there."""
        return self.inputs + ((self.mask,) if self.mask else ())


@dataclass
class Graph:
    """Tensors by name, and operations; the first `forward` operations are inference."""

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    forward: int = 0
    logits: str = ""

    def add(self, name: str, shape: tuple[int, ...], role: Role) -> str:
        """Enter a tensor of a new name and return the name."""
        assert name not in self.tensors, name
        self.tensors[name] = Tensor(name, tuple(shape), role)
        return name
