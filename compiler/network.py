"""What a user builds: a chain of layers with names, shapes and float parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np

from arch.errors import InputError
from arch.image import real_numbers

LARGEST_EXTENT = 1023
"""The largest channels, height, width, kernel, filters or outputs."""
LARGEST_TENSOR = 1 << 24
"""Elements beyond which a parameter is refused before anything is allocated."""

_TAKEN = ("input", "label")
"""Names of tensors that are no layer's."""


class NetworkError(InputError):
    """A network whose layers do not follow from each other, or that a chip cannot hold; names the node."""


@dataclass(frozen=True)
class Layer:
    """One node. `shape` is that of its result without the batch: (C, H, W) or (N,)."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Conv(Layer):
    """ONNX Conv: stride 1, square kernel, equal padding on all sides."""

    kernel: int
    padding: int
    bias: bool


@dataclass(frozen=True)
class Relu(Layer):
    """ONNX Relu."""


@dataclass(frozen=True)
class Dense(Layer):
    """ONNX Gemm on the flattened (C, H, W) or (N,) input."""

    bias: bool


@dataclass(frozen=True)
class SoftmaxCrossEntropyLoss(Layer):
    """ONNX SoftmaxCrossEntropyLoss over the classes."""


class Network:
    """A chain of layers, built by calling its methods in order; each returns the network.

    >>> net = Network("digits", (1, 8, 8)).conv(8).relu().dense(10).softmax_cross_entropy()
    >>> net.shapes["conv1.weight"]
    (8, 1, 3, 3)
    """

    def __init__(self, name: str, input_shape: tuple[int, ...]):
        """`input_shape` is (C, H, W) or (N,). Raises `NetworkError` on extents below 1 or above 1023."""
        self.name = name
        self.input_shape = tuple(input_shape)
        self.layers: list[Layer] = []
        if len(self.input_shape) not in (1, 3) or not all(_extent(n) for n in self.input_shape):
            raise NetworkError(
                f"input of {name}: shape must be (C, H, W) or (N,) of 1 to {LARGEST_EXTENT}, not {self.input_shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the last layer's result."""
        return self.layers[-1].shape if self.layers else self.input_shape

    def conv(self, filters: int, *, kernel: int = 3, padding: int = 1, bias: bool = False, name: str = "") -> Self:
        """Convolve with `filters` kernels of kernel x kernel, `padding` zeros on each side, stride 1."""
        name = name or self._numbered("conv", Conv)
        if len(self.shape) != 3:
            raise NetworkError(f"{name}: its input must be a map (C, H, W), not {self.shape}; put it before dense")
        _, height, width = self.shape
        if not (_extent(filters) and _extent(kernel) and _extent(padding + 1)):
            raise NetworkError(f"{name}: filters and kernel must be 1 to {LARGEST_EXTENT}, padding 0 to as many")
        extents = (height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1)
        if not all(_extent(extent) for extent in extents):
            raise NetworkError(f"{name}: kernel {kernel} must fit the {height} x {width} map with padding {padding}")
        return self._add(Conv(name, (filters, *extents), kernel, padding, bias))

    def relu(self, *, name: str = "") -> Self:
        """Replace negative values by zero."""
        return self._add(Relu(name or self._numbered("relu", Relu), self.shape))

    def dense(self, outputs: int, *, bias: bool = False, name: str = "") -> Self:
        """Multiply the flattened input by a matrix of `outputs` rows."""
        name = name or self._numbered("dense", Dense)
        if not _extent(outputs):
            raise NetworkError(f"{name}: outputs must be 1 to {LARGEST_EXTENT}, not {outputs}")
        return self._add(Dense(name, (outputs,), bias))

    def softmax_cross_entropy(self, *, name: str = "loss") -> Self:
        """End with the loss of a label: softmax and cross-entropy."""
        if len(self.shape) != 1 or not self.layers:
            raise NetworkError(f"{name}: its input must be a vector of logits, not {self.shape}; put dense before it")
        return self._add(SoftmaxCrossEntropyLoss(name, ()))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter: `<layer>.weight` (O, I, K, K) or (O, I), `<layer>.bias` (O,)."""
        shapes: dict[str, tuple[int, ...]] = {}
        before = self.input_shape
        for layer in self.layers:
            if isinstance(layer, Conv):
                shapes[f"{layer.name}.weight"] = (layer.shape[0], before[0], layer.kernel, layer.kernel)
            elif isinstance(layer, Dense):
                shapes[f"{layer.name}.weight"] = (layer.shape[0], prod(before))
            if isinstance(layer, Conv | Dense) and layer.bias:
                shapes[f"{layer.name}.bias"] = (layer.shape[0],)
            before = layer.shape
        for name, shape in shapes.items():
            if prod(shape) > LARGEST_TENSOR:
                raise NetworkError(f"{name}: {list(shape)} must have at most {LARGEST_TENSOR} elements")
        return shapes

    def initial(self, seed: int) -> dict[str, np.ndarray]:
        """Random float64 parameters: weights normal with variance 2 / fan-in (He et al., 2015), biases zero."""
        rng = np.random.default_rng(seed)
        return {
            name: np.zeros(shape) if len(shape) == 1 else rng.normal(0.0, np.sqrt(2 / prod(shape[1:])), shape)
            for name, shape in self.shapes.items()
        }

    def checked(self, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The parameters as float64. Raises `InputError` on a missing, misshapen or not finite one."""
        shapes = self.shapes
        for name in parameters:
            if name not in shapes:
                raise NetworkError(f"{name}: no such parameter; the network has {', '.join(shapes)}")
        result = {}
        for name, shape in shapes.items():
            if name not in parameters:
                raise NetworkError(f"{name}: parameter missing")
            values = real_numbers(parameters[name], name)
            if values.shape != shape:
                raise NetworkError(f"{name}: must have shape {list(shape)}, not {list(values.shape)}")
            result[name] = values
        return result

    def _numbered(self, stem: str, kind: type[Layer]) -> str:
        return f"{stem}{1 + sum(isinstance(layer, kind) for layer in self.layers)}"

    def _add(self, layer: Layer) -> Self:
        if "." in layer.name or layer.name in _TAKEN:
            raise NetworkError(f"{layer.name}: a layer's name must have no dot and not be {' or '.join(_TAKEN)}")
        if self.layers and isinstance(self.layers[-1], SoftmaxCrossEntropyLoss):
            raise NetworkError(f"{layer.name}: must come before {self.layers[-1].name}, which ends the network")
        if any(other.name == layer.name for other in self.layers):
            raise NetworkError(f"{layer.name}: the name is taken; names must differ")
        self.layers.append(layer)
        return self


def _extent(value: int) -> bool:
    return isinstance(value, int) and 1 <= value <= LARGEST_EXTENT
