"""Each linear operator, on the chip's own integers, bit for bit against PyTorch autograd rounded by apytypes.

Neither oracle shares code with tinycl. Sums are exact in float64, so the only rounding is apytypes'.
"""

import os
from collections import Counter

import apytypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES, Rounding
from arch.layout import Region
from arch.program import Entry, Program
from compiler.emission import Numbers, emit
from compiler.graph import Graph, Operation, Operator, Role
from compiler.placement import place
from sim.fast import FastMachine

if "CI" in os.environ:
    import torch
else:
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle, is not installed: pip install torch==2.13.0")

ROUNDINGS = {
    Rounding.RND: apytypes.QuantizationMode.RND,
    Rounding.RND_CONV: apytypes.QuantizationMode.RND_CONV,
    Rounding.TRN: apytypes.QuantizationMode.TRN,
}
CHIPS = {name: Chip.load(name) for name in ("paper", "wide", "tiny")}
CASES = settings(max_examples=50)


class Case:
    """One operation on random integers: the chip runs it, and the oracle is given the same reals."""

    def __init__(self, chip: Chip, rounding: Rounding, seed: int, extreme: bool):
        self.chip, self.rounding, self.extreme = chip, rounding, extreme
        self.rng = np.random.default_rng(seed)
        self.graph = Graph("case", forward=1)
        self.fractions: dict[str, int] = {}
        self.integers: dict[str, np.ndarray] = {}

    def __repr__(self) -> str:
        shapes = {name: tensor.shape for name, tensor in self.graph.tensors.items()}
        return f"Case({self.chip.name}, {self.rounding.name}, extreme={self.extreme}, {shapes}, {self.fractions})"

    def tensor(self, name: str, shape: tuple[int, ...], role: Role, fraction: int) -> None:
        """Enter a tensor of random integers; shapes are (C, H, W), (O, I, K, K), (O, I) or (N,)."""
        self.graph.add(name, shape, role)
        self.fractions[name] = fraction
        largest = self.chip.largest
        corners = [-largest - 1, largest, 0, 1, -1]
        drawn = self.rng.choice(corners, shape) if self.extreme else self.rng.integers(-largest - 1, largest + 1, shape)
        self.integers[name] = drawn

    def real(self, name: str, gradient: bool = False):
        """The tensor as reals, for PyTorch."""
        values = np.ldexp(self.integers[name].astype(np.float64), -self.fractions[name])
        return torch.tensor(values, requires_grad=gradient)

    def run(self, layer: Operation, operation: Operation, rate: int = 0) -> np.ndarray:
        """The integers that the chip leaves in the operation's output; `layer` is its forward operation."""
        self.graph.operations = [layer]
        regions = self._regions()
        streams = emit([operation], self.graph, regions, self.chip, Numbers(rate, self.rounding, self.rounding))
        image = Image.blank(self.chip)
        for name, region in regions.items():
            values = self.integers[name]
            inner = np.moveaxis(values, 0, -1) if values.ndim == 3 else values.reshape(region.shape)
            image.write(region, inner, self.chip)
        entry = Entry(start={engine.name.lower(): 0 for engine in ENGINES})
        program = Program(self.chip, streams.instructions, streams.steps, {"main": entry}, image, tensors=regions)
        program.check()
        machine = FastMachine(program)
        machine.run("main")
        found = machine.image.read(regions[operation.output], self.chip)
        return np.moveaxis(found, -1, 0) if found.ndim == 3 else found.reshape(self.integers[operation.output].shape)

    def _regions(self) -> dict[str, Region]:
        """Every tensor in words of its own."""
        used: Counter[str] = Counter()
        regions = {}
        for name, item in place(self.graph, self.chip).items():
            fields = {"store": item.store, "kind": item.kind, "shape": item.shape, "pitch": item.pitch}
            regions[name] = Region(name=name, base=used[item.store], fraction=self.fractions[name], **fields)
            used[item.store] += item.units
        return regions

    def rounded(self, values, name: str) -> np.ndarray:
        """`values` as integers of the tensor's format: apytypes' rounding and saturation."""
        bits, fraction = self.chip.word_bits, self.fractions[name]
        array = values.detach().numpy()
        exact = apytypes.APyFixedArray.from_float(array.reshape(-1), int_bits=40, frac_bits=64)
        cast = exact.cast(
            int_bits=bits - fraction,
            frac_bits=fraction,
            quantization=ROUNDINGS[self.rounding],
            overflow=apytypes.OverflowMode.SAT,
        )
        unsigned = np.array(cast.to_bits(), dtype=np.int64)
        return np.where(unsigned >> (bits - 1), unsigned - (1 << bits), unsigned).reshape(array.shape)


@st.composite
def cases(draw):
    """A case on any chip, with any of the roundings that are not random."""
    chip = CHIPS[draw(st.sampled_from(sorted(CHIPS)))]
    rounding = draw(st.sampled_from(sorted(ROUNDINGS)))
    return Case(chip, rounding, draw(st.integers(0, 2**32)), draw(st.booleans()))


@st.composite
def convolutions(draw):
    """A case with the tensors of a convolution and its two gradients."""
    case = draw(cases())
    chip = case.chip
    banks = min(chip.accumulator_banks, chip.kernel_registers, chip.lanes)
    channels, filters = draw(st.integers(1, chip.lanes)), draw(st.integers(1, chip.lanes))
    if min(channels, filters) > banks:
        channels = banks
    padding = draw(st.integers(0, chip.kernel - 1))
    least = max(1, chip.kernel - 2 * padding)
    height, width = draw(st.integers(least, 9)), draw(st.integers(least, 9))
    outer = tuple(extent + 2 * padding - chip.kernel + 1 for extent in (height, width))
    x, w, y = (draw(st.integers(low, 12)) for low in (4, 4, 0))
    case.tensor("x", (channels, height, width), Role.ACTIVATION, x)
    case.tensor("w", (filters, channels, chip.kernel, chip.kernel), Role.WEIGHT, w)
    case.tensor("b", (filters,), Role.BIAS, draw(st.integers(0, x + w)))
    case.tensor("y", (filters, *outer), Role.ACTIVATION, min(y, x + w))
    case.tensor("dy", (filters, *outer), Role.GRADIENT, draw(st.integers(4, 12)))
    case.tensor("dx", (channels, height, width), Role.GRADIENT, draw(st.integers(0, 4 + w)))
    relu = draw(st.booleans())
    return case, Operation(Operator.CONV, "conv", "forward", ("x",), "y", "w", "b", relu=relu, padding=padding)


@st.composite
def dense_layers(draw):
    """A case with the tensors of a dense layer on a map or a vector."""
    case = draw(cases())
    chip = case.chip
    outputs = draw(st.integers(1, min(12, chip.multipliers)))
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, chip.lanes), st.integers(1, 7), st.integers(1, 7)), st.tuples(st.integers(1, 60))
        )
    )
    x, w, y = (draw(st.integers(low, 12)) for low in (4, 4, 0))
    case.tensor("x", shape, Role.ACTIVATION, x)
    case.tensor("w", (outputs, int(np.prod(shape))), Role.WEIGHT, w)
    case.tensor("b", (outputs,), Role.BIAS, draw(st.integers(0, x + w)))
    case.tensor("y", (outputs,), Role.ACTIVATION, min(y, x + w))
    case.tensor("dy", (outputs,), Role.GRADIENT, draw(st.integers(4, 12)))
    case.tensor("dx", shape, Role.GRADIENT, draw(st.integers(0, 4 + w)))
    return case, Operation(Operator.GEMM, "dense", "forward", ("x",), "y", "w", "b", relu=draw(st.booleans()))


def forward(case: Case, layer: Operation, gradient: bool = False):
    """PyTorch's result of the layer before ReLU, and its leaves x, w, b."""
    x, w, b = (case.real(name, gradient) for name in "xwb")
    if layer.operator == Operator.CONV:
        return torch.nn.functional.conv2d(x[None], w, b, padding=layer.padding)[0], x, w, b
    return torch.nn.functional.linear(x.reshape(-1), w, b), x, w, b


LAYERS = st.one_of(convolutions(), dense_layers())


@CASES
@given(LAYERS)
def test_forward_equals_pytorch(given_layer):
    case, layer = given_layer
    found = case.run(layer, layer)
    result = forward(case, layer)[0]
    expected = case.rounded(torch.relu(result) if layer.relu else result, "y")
    np.testing.assert_array_equal(found, expected)


@CASES
@given(LAYERS, st.booleans())
def test_input_gradient_equals_autograd(given_layer, masked):
    case, layer = given_layer
    kind = Operator.CONV_INPUT_GRADIENT if layer.operator == Operator.CONV else Operator.GEMM_INPUT_GRADIENT
    mask = "x" if masked else ""
    operation = Operation(kind, "layer", "input_gradient", ("dy",), "dx", "w", mask=mask, padding=layer.padding)
    found = case.run(layer, operation)
    result, x, _, _ = forward(case, layer, gradient=True)
    result.backward(case.real("dy"))
    # the mask is the chip's own: x is the output of a ReLU, and passes gradients where it is above zero
    assert x.grad is not None
    gradient = x.grad * (x > 0) if masked else x.grad
    np.testing.assert_array_equal(found, case.rounded(gradient, "dx"))


@CASES
@given(LAYERS, st.integers(0, 8), st.sampled_from(["w", "b"]))
def test_update_equals_autograd(given_layer, rate, parameter):
    case, layer = given_layer
    conv = layer.operator == Operator.CONV
    if parameter == "w":
        kind = Operator.CONV_WEIGHT_UPDATE if conv else Operator.GEMM_WEIGHT_UPDATE
        inputs = ("x", "dy")
    else:
        kind = Operator.CONV_BIAS_UPDATE if conv else Operator.GEMM_BIAS_UPDATE
        inputs = ("dy",)
    # an update needs a shift of at least 0, and a base that leaves the accumulator room
    total = sum(case.fractions[name] for name in inputs) + rate
    case.fractions[parameter] = min(max(case.fractions[parameter], total - 20), total)
    operation = Operation(kind, "layer", "weight_gradient", inputs, parameter, "w", "b", padding=layer.padding)
    found = case.run(layer, operation, rate)
    result, _, w, b = forward(case, layer, gradient=True)
    result.backward(case.real("dy"))
    leaf = w if parameter == "w" else b
    np.testing.assert_array_equal(found, case.rounded(leaf - 2.0**-rate * leaf.grad, parameter))
