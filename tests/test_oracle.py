"""Every lowered operation, of random shapes and attributes, against PyTorch in float64, rounded by the rule of RND."""

from __future__ import annotations

from dataclasses import replace

import apytypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.isa import Rounding, Space
from compiler.averages import parts, spread
from compiler.graph import Normalisation, Operation, Operator, Role
from compiler.nodes import NetworkError
from tests.compiler.emission_bench import Bench

torch = pytest.importorskip("torch", reason="PyTorch is the oracle; install the extra `torch`")
functional = torch.nn.functional
SMALL = Chip.load("tiny").replace(
    accumulator_banks=3,
    weight_memory={"bytes": 1 << 15, "banks": 1, "pages": 2},
    program_memory={"instructions": 1024},
)
CHIPS = [Chip.load("paper"), SMALL]
SHIFT = 3
WIDE_SHIFT = 14
"""For values that fill the word: most results then fit, some saturate."""
ROUNDINGS = {
    Rounding.RND: apytypes.QuantizationMode.RND,
    Rounding.RND_CONV: apytypes.QuantizationMode.RND_CONV,
    Rounding.TRN: apytypes.QuantizationMode.TRN,
}
F, G = Space.FEATURE, Space.GRADIENT


def rounded(values, chip: Chip, shift: int = SHIFT, rounding: Rounding = Rounding.RND) -> np.ndarray:
    """values / 2**shift as words: apytypes' rounding and saturation."""
    array = np.asarray(values, np.float64)
    exact = apytypes.APyFixedArray.from_float(np.ldexp(array.reshape(-1), -shift), int_bits=44, frac_bits=40)
    saturated = apytypes.OverflowMode.SAT
    cast = exact.cast(int_bits=chip.word_bits, frac_bits=0, quantization=ROUNDINGS[rounding], overflow=saturated)
    unsigned = np.array(cast.to_bits(), dtype=np.int64)
    return np.where(unsigned > chip.largest, unsigned - (1 << chip.word_bits), unsigned).reshape(array.shape)


def integers(rng: np.random.Generator, shape, low: int = -9, high: int = 10) -> np.ndarray:
    return rng.integers(low, high, shape)


def tensor(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values, np.float64))


GRIDS = st.none() | st.tuples(st.integers(1, 6), st.integers(3, 9))
"""Rows and columns of bands; scattering needs as many columns as a kernel has."""


@st.composite
def convolutions(draw):
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    pads = (draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1)))
    least = [(k - 1) * dilation + 1 for k in kernel]
    size = tuple(draw(st.integers(extent, extent + 9)) for extent in least)
    if draw(st.booleans()):  # what windows serve
        kernel, stride, dilation, pads = (3, 3), 1, 1, (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        size = (draw(st.integers(3, 12)), draw(st.integers(3, 12)))
    channels, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    groups = draw(st.sampled_from(["one", "one", "depthwise", "several"]))
    parts = {"one": 1, "depthwise": channels, "several": draw(st.integers(2, 6))}[groups]
    if groups == "depthwise":
        outputs = channels
    if groups == "several":
        channels, outputs = parts * draw(st.sampled_from([1, 2, 4, 5, 8])), parts * draw(st.integers(1, 8))
    return {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "pads": pads,
        "size": size,
        "channels": channels,
        "outputs": outputs,
        "groups": parts,
        "seed": draw(st.integers(0, 1 << 30)),
        "chip": draw(st.sampled_from(CHIPS)),
        "rounding": draw(st.sampled_from(sorted(ROUNDINGS))),
        "wide": draw(st.booleans()),
        "grid": draw(GRIDS),
    }


def small_enough(case) -> bool:
    """Whether the case's tensors fit the smaller chip's memories."""
    if case["chip"].name != SMALL.name:
        return True
    words = -(-case["channels"] // 3) * (case["size"][0] + 4) * (case["size"][1] + 6)
    return words < 100 and case["kernel"][1] <= 4 and case["outputs"] <= 6 and case["channels"] <= 6


def grouped_alone(case) -> bool:
    """Whether no lane of the case's maps is of two groups, or the convolution is depthwise."""
    parts, lanes = case["groups"], case["chip"].lanes
    apart = case["channels"] // parts % lanes == 0 and case["outputs"] // parts % lanes == 0
    return parts == 1 or apart or parts == case["channels"] == case["outputs"]


def operation_of(case, operator: Operator, inputs, output, **more) -> Operation:
    return Operation(
        operator,
        "layer",
        "phase",
        inputs,
        output,
        kernel=case["kernel"],
        stride=(case["stride"],) * 2,
        dilation=(case["dilation"],) * 2,
        pads=case["pads"],
        groups=case["groups"],
        **more,
    )


def forward(case, x, w):
    """PyTorch's convolution and the output's extents."""
    return functional.conv2d(
        x, w, stride=case["stride"], padding=case["pads"], dilation=case["dilation"], groups=case["groups"]
    )


@settings(max_examples=80, deadline=None)
@given(convolutions())
def test_convolution_and_its_gradients(case):
    chip, rng, rounding = case["chip"], np.random.default_rng(case["seed"]), case["rounding"]
    if not small_enough(case):
        return
    low, high = (-chip.largest - 1, chip.largest + 1) if case["wide"] else (-9, 10)
    shift = WIDE_SHIFT if case["wide"] else SHIFT
    shape = (case["outputs"], case["channels"] // case["groups"], *case["kernel"])
    x, w = integers(rng, (case["channels"], *case["size"]), low, high), integers(rng, shape, low, high)
    bias = integers(rng, case["outputs"], low, high)
    tx, tw = tensor(x[None]).requires_grad_(), tensor(w).requires_grad_()
    ty = forward(case, tx, tw)
    y_shape = tuple(ty.shape[1:])
    roles = {"x": (x.shape, Role.ACTIVATION), "w": (shape, Role.WEIGHT)}
    fractions = {"x": 2, "w": 3, "b": 3, "y": 5 - shift, "dy": 2, "dx": 5 - shift}

    op = operation_of(case, Operator.CONV, ("x",), "y", weight="w", bias="b", relu=True)
    tensors = roles | {"b": ((case["outputs"],), Role.BIAS), "y": (y_shape, Role.ACTIVATION)}
    bench = Bench(chip, op, tensors, 0, rounding, case["grid"])
    found, _ = bench.run({"x": x, "w": w, "b": bias}, fractions, {"x": F, "y": F})
    expected = rounded(ty.detach()[0] + tensor(bias)[:, None, None] * 4, chip, shift, rounding)
    assert np.array_equal(found, np.maximum(expected, 0))
    dy = integers(rng, y_shape, low, high)
    ty.backward(tensor(dy[None]))
    mask = integers(rng, x.shape, -1, 2)
    op = operation_of(case, Operator.CONV_INPUT_GRADIENT, ("dy",), "dx", weight="w", mask="m")
    maps = {"dy": (y_shape, Role.GRADIENT), "dx": (x.shape, Role.GRADIENT), "m": (x.shape, Role.ACTIVATION)}
    bench = Bench(chip, op, maps | {"w": (shape, Role.WEIGHT)}, 0, rounding, case["grid"])
    found, _ = bench.run({"dy": dy, "w": w, "m": mask}, fractions | {"m": 0}, {"dy": G, "dx": G, "m": F})
    assert np.array_equal(found, rounded(tx.grad[0], chip, shift, rounding) * (mask > 0))

    op = operation_of(case, Operator.CONV_WEIGHT_GRADIENT, ("x", "dy"), "w", weight="w", update=True)
    bench = Bench(chip, op, roles | {"dy": (y_shape, Role.GRADIENT)}, shift - 1, rounding)
    if grouped_alone(case):
        found, _ = bench.run({"x": x, "w": w, "dy": dy}, fractions, {"x": F, "dy": G})
        assert np.array_equal(found, rounded(w * 2.0**shift - np.asarray(tw.grad), chip, shift, rounding))
        if case["grid"] and not case["wide"]:  # a sum over bands, rounded after each: exact without a shift
            bench = Bench(chip, op, roles | {"dy": (y_shape, Role.GRADIENT)}, 0, rounding, case["grid"])
            found, _ = bench.run({"x": x, "w": w, "dy": dy}, fractions | {"w": 4}, {"x": F, "dy": G})
            assert np.array_equal(found, w - np.asarray(tw.grad))
    else:
        with pytest.raises(NetworkError, match="layer: training needs groups"):
            bench.run({}, fractions, {"x": F, "dy": G})

    op = operation_of(case, Operator.CONV_BIAS_GRADIENT, ("dy",), "b", bias="b", update=True)
    tensors = {"dy": (y_shape, Role.GRADIENT), "b": ((case["outputs"],), Role.BIAS)}
    found, _ = Bench(chip, op, tensors, shift + 1, rounding).run({"b": bias, "dy": dy}, fractions, {"dy": G})
    assert np.array_equal(found, rounded(bias * 2.0**shift - dy.sum((1, 2)), chip, shift, rounding))
    if case["grid"] and not case["wide"]:
        found, _ = Bench(chip, op, tensors, 1, rounding, case["grid"]).run({"b": bias, "dy": dy}, fractions, {"dy": G})
        assert np.array_equal(found, bias - dy.sum((1, 2)))


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 5), st.integers(1, 4)), PAIRS, PAIRS, st.integers(1, 20), GRIDS, st.data())
def test_strides_and_dilations_that_differ(kernel, stride, dilation, channels, grid, data):
    pads = tuple(data.draw(st.integers(0, k - 1)) for k in kernel)
    size = tuple(data.draw(st.integers((k - 1) * d + 1, 14)) for k, d in zip(kernel, dilation, strict=True))
    depthwise, outputs = data.draw(st.booleans()), data.draw(st.integers(1, 12))
    chip, rng = CHIPS[0], np.random.default_rng(channels)
    outputs, groups = (channels, channels) if depthwise else (outputs, 1)
    x, w = integers(rng, (channels, *size)), integers(rng, (outputs, channels // groups, *kernel))
    expected = functional.conv2d(tensor(x[None]), tensor(w), None, stride, pads, dilation, groups)[0]
    attributes = {"kernel": kernel, "stride": stride, "pads": pads, "dilation": dilation, "groups": groups}
    op = Operation(Operator.CONV, "layer", "forward", ("x",), "y", weight="w", **attributes)
    roles = {"x": (x.shape, Role.ACTIVATION), "w": (w.shape, Role.WEIGHT), "y": (expected.shape, Role.ACTIVATION)}
    fractions = {"x": 2, "w": 3, "y": 5 - SHIFT}
    found, _ = Bench(chip, op, roles, grid=grid).run({"x": x, "w": w}, fractions, {"x": F, "y": F})
    assert np.array_equal(found, rounded(expected, chip))
    pads = tuple(min(pad, k // 2) for pad, k in zip(pads, kernel, strict=True))
    expected = functional.max_pool2d(tensor(x[None]), kernel, stride, pads)[0]
    op = Operation(Operator.MAX_POOL, "pool", "forward", ("x",), "y", kernel=kernel, stride=stride, pads=pads)
    roles = {"x": (x.shape, Role.ACTIVATION), "y": (expected.shape, Role.ACTIVATION)}
    found, _ = Bench(chip, op, roles, grid=grid).run({"x": x}, {"x": 2, "y": 2}, {"x": F, "y": F})
    assert np.array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 5), st.integers(1, 5)), PAIRS, st.integers(1, 20), GRIDS, st.data())
def test_averages_of_what_is_in_the_map(kernel, stride, channels, grid, data):
    pads = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(data.draw(st.integers(k, 14)) for k in kernel)
    chip, rng = CHIPS[0], np.random.default_rng(channels)
    x = integers(rng, (channels, *size))
    average = functional.avg_pool2d(tensor(x[None]), kernel, stride, pads, False, False)[0]
    op = Operation(Operator.AVERAGE_POOL, "a", "forward", ("x",), "y", kernel=kernel, stride=stride, pads=pads)
    counts = np.array([inside for _, inside in parts(op, x.shape, tuple(average.shape))])
    shares = np.floor(2.0**14 / counts + 0.5) / 2**14
    sums = functional.avg_pool2d(tensor(x[None]), kernel, stride, pads, False, True, 1)[0]
    exact = np.asarray(sums) * spread(op, x.shape, tuple(average.shape), shares)
    np.testing.assert_allclose(exact, average, atol=0.01)
    op = replace(op, factors=("f",))
    roles = {"x": (x.shape, Role.ACTIVATION), "y": (average.shape, Role.ACTIVATION)}
    roles |= {"f": (counts.shape, Role.CONSTANT)}
    bench = Bench(chip, op, roles, grid=grid)
    found, _ = bench.run({"x": x}, {"x": 0, "y": 4, "f": 14}, {"x": F, "y": F}, {"f": shares})
    assert np.array_equal(found, rounded(exact * 2**14, chip, 10))


@st.composite
def pools(draw):
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return {
        "kernel": kernel,
        "stride": draw(st.integers(1, 3)),
        "pads": (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2))),
        "size": (draw(st.integers(3, 12)), draw(st.integers(3, 12))),
        "channels": draw(st.integers(1, 20)),
        "seed": draw(st.integers(0, 1 << 30)),
        "grid": draw(GRIDS),
    }


@settings(max_examples=60, deadline=None)
@given(pools())
def test_maximum_pooling_its_index_and_gradient(case):
    chip, rng, grid = CHIPS[0], np.random.default_rng(case["seed"]), case["grid"]
    x = integers(rng, (case["channels"], *case["size"]), -3, 4)
    tx = tensor(x[None]).requires_grad_()
    ty, places = functional.max_pool2d(tx, case["kernel"], case["stride"], case["pads"], return_indices=True)
    shape = tuple(ty.shape[1:])
    attributes = {"kernel": case["kernel"], "stride": (case["stride"],) * 2, "pads": case["pads"]}
    maps = {"x": (x.shape, Role.ACTIVATION), "y": (shape, Role.ACTIVATION)}
    fractions = {"x": 2, "y": 2, "i": 0, "dy": 4, "dx": 4}
    op = Operation(Operator.MAX_POOL, "pool", "forward", ("x",), "y", **attributes)
    found, _ = Bench(chip, op, maps, grid=grid).run({"x": x}, fractions, {"x": F, "y": F})
    assert np.array_equal(found, ty.detach()[0])
    op = Operation(Operator.MAX_POOL_INDEX, "pool", "forward", ("x",), "i", **attributes)
    maps = {"x": (x.shape, Role.ACTIVATION), "i": (shape, Role.INDEX)}
    index, _ = Bench(chip, op, maps, grid=grid).run({"x": x}, fractions, {"x": F, "i": F})
    assert np.array_equal(index, _index_in_window(places[0].numpy(), case, shape))
    dy = integers(rng, shape)
    ty.backward(tensor(dy[None]))
    op = Operation(Operator.MAX_POOL_GRADIENT, "pool", "input_gradient", ("dy", "i"), "dx", **attributes)
    maps = {"dy": (shape, Role.GRADIENT), "i": (shape, Role.INDEX), "dx": (x.shape, Role.GRADIENT)}
    found, _ = Bench(chip, op, maps, grid=grid).run({"dy": dy, "i": index}, fractions, {"dy": G, "dx": G, "i": F})
    assert np.array_equal(found, tx.grad[0])


def _index_in_window(places: np.ndarray, case, shape) -> np.ndarray:
    """PyTorch's index in the whole map as one in the window."""
    width = case["size"][1]
    rows = places // width - np.arange(shape[1])[:, None] * case["stride"] + case["pads"][0]
    columns = places % width - np.arange(shape[2]) * case["stride"] + case["pads"][1]
    return rows * case["kernel"][1] + columns


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 20), st.booleans(), st.booleans(), st.booleans(), GRIDS, st.integers(0, 1 << 30)
)
def test_sums_of_maps(count, channels, vectors, per_channel, biased, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    shape = (channels,) if vectors else (channels, *rng.integers(1, 9, 2))
    values = {f"x{i}": integers(rng, shape) for i in range(count)}
    factors = {f"f{i}": integers(rng, channels if per_channel else 1) / 8 for i in range(count)}
    tensors: dict[str, tuple[tuple[int, ...], Role]] = dict.fromkeys((*values, "y"), (shape, Role.ACTIVATION))
    tensors |= {name: (value.shape, Role.CONSTANT) for name, value in factors.items()}
    bias = integers(rng, channels)
    wide = (channels,) + (1,) * (len(shape) - 1)
    exact = sum(
        values[f"x{i}"] * np.broadcast_to(factors[f"f{i}"] * 8, (channels,)).reshape(wide) for i in range(count)
    )
    if biased:
        tensors["b"] = ((channels,), Role.BIAS)
        exact, values["b"] = exact + bias.reshape(wide) * 2, bias
    spaces = {name: F if rng.integers(2) else G for name in values} | {"y": F}
    fractions = dict.fromkeys(tensors, 0) | dict.fromkeys(factors, 3) | {"y": 3 - SHIFT, "b": 2}
    op = Operation(
        Operator.COMBINE, "add", "forward", tuple(f"x{i}" for i in range(count)), "y", factors=tuple(factors),
        bias="b" if biased else "",
    )  # fmt: skip
    found, _ = Bench(chip, op, tensors, grid=grid).run(values, fractions, spaces, factors)
    assert np.array_equal(found, rounded(exact, chip))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 9), GRIDS, st.integers(0, 1 << 30))
def test_padding_and_cropping(channels, top, left, extent, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    x = integers(rng, (channels, 5, 6))
    framed = np.zeros((channels, 40, 40), int)
    framed[:, 10:15, 10:16] = x
    expected = framed[:, 10 + top : 10 + top + extent, 10 + left : 10 + left + extent + 1]
    op = Operation(Operator.COMBINE, "pad", "forward", ("x",), "y", factors=("f",), crop=(top, left))
    tensors = {"x": (x.shape, Role.ACTIVATION), "y": (expected.shape, Role.ACTIVATION), "f": ((1,), Role.CONSTANT)}
    bench = Bench(chip, op, tensors, grid=grid)
    found, _ = bench.run({"x": x}, {"x": 1, "y": 1, "f": 0}, {"x": F, "y": G}, {"f": np.ones(1)})
    assert np.array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(convolutions(), st.integers(5, 13), st.integers(1, 3))
def test_kernels_wider_than_the_taps(case, width, height):
    """Forward, on the chip of four taps: a kernel row lies in several rows of the weight memory."""
    case |= {"chip": SMALL, "kernel": (height, width), "pads": (height // 2, width // 2), "size": (4, 6 + width // 2)}
    case |= {"stride": min(case["stride"], 2), "dilation": 1}
    case |= {"channels": min(case["channels"], 4), "outputs": min(case["outputs"], 5)}
    depthwise = case["groups"] > 1 and case["groups"] % 2
    case |= {"groups": case["channels"], "outputs": case["channels"]} if depthwise else {"groups": 1}
    rng = np.random.default_rng(case["seed"])
    shape = (case["outputs"], case["channels"] // case["groups"], height, width)
    x, w = integers(rng, (case["channels"], *case["size"])), integers(rng, shape)
    ty = forward(case, tensor(x[None]), tensor(w))
    op = operation_of(case, Operator.CONV, ("x",), "y", weight="w")
    tensors = {"x": (x.shape, Role.ACTIVATION), "w": (shape, Role.WEIGHT), "y": (tuple(ty.shape[1:]), Role.ACTIVATION)}
    fractions = {"x": 2, "w": 3, "y": 5 - SHIFT}
    found, _ = Bench(SMALL, op, tensors, grid=case["grid"]).run({"x": x, "w": w}, fractions, {"x": F, "y": G})
    assert np.array_equal(found, rounded(ty[0], SMALL))
    gradient = operation_of(case, Operator.CONV_INPUT_GRADIENT, ("y",), "x", weight="w")
    with pytest.raises(NetworkError, match="training needs kernels of at most 4 columns"):
        Bench(SMALL, gradient, tensors).run({"y": np.zeros(ty.shape[1:], int), "w": w}, fractions, {"x": F, "y": G})


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.booleans(),
    st.booleans(),
    st.sampled_from(sorted(ROUNDINGS)),
    st.sampled_from(CHIPS),
    GRIDS,
    st.integers(0, 1 << 30),
)
def test_products_of_maps(channels, biased, relu, rounding, chip, grid, seed):
    rng = np.random.default_rng(seed)
    shape = (min(channels, 6 if chip is SMALL else 20), *rng.integers(1, 6 if chip is SMALL else 9, 2))
    most = chip.largest + 1
    values = {"x": integers(rng, shape, -most, most), "u": integers(rng, shape, -most, most)}
    exact = tensor(values["x"]) * tensor(values["u"])
    fractions = {"x": 3, "u": 15, "y": 18 - WIDE_SHIFT, "b": 14}
    tensors: dict[str, tuple[tuple[int, ...], Role]] = dict.fromkeys(("x", "u", "y"), (shape, Role.ACTIVATION))
    if biased:
        values["b"] = integers(rng, shape[0], -most, most)
        tensors["b"] = ((shape[0],), Role.BIAS)
        exact = exact + tensor(values["b"]).reshape(-1, 1, 1) * 2**4
    spaces = {"x": F, "u": G, "y": F if rng.integers(2) else G}
    op = Operation(Operator.PRODUCT, "p", "forward", ("x", "u"), "y", bias="b" if biased else "", relu=relu)
    found, _ = Bench(chip, op, tensors, rounding=rounding, grid=grid).run(values, fractions, spaces)
    exact = torch.relu(exact) if relu else exact
    assert np.array_equal(found, rounded(exact, chip, WIDE_SHIFT, rounding))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 33), st.booleans(), GRIDS, st.integers(0, 1 << 30))
def test_sums_over_neighbouring_channels(channels, size, biased, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    x = integers(rng, (channels, *rng.integers(1, 8, 2)), -3000, 3000)
    values, factor = {"x": x}, 5
    around = torch.zeros(channels, channels, 1, 1, dtype=torch.float64)
    for c in range(channels):
        around[c, max(0, c - (size - 1) // 2) : c + size // 2 + 1] = factor
    exact = functional.conv2d(tensor(x)[None], around)[0]
    tensors: dict[str, tuple[tuple[int, ...], Role]] = dict.fromkeys(("x", "y"), (x.shape, Role.ACTIVATION))
    tensors["f"] = ((1,), Role.CONSTANT)
    if biased:
        values["b"] = integers(rng, channels, -500, 500)
        tensors["b"] = ((channels,), Role.BIAS)
        exact = exact + tensor(values["b"]).reshape(-1, 1, 1) * 2
    fractions = {"x": 0, "f": 3, "y": 3 - SHIFT, "b": 2}
    normalisation = Normalisation(size, 1.0, 1.0, 1.0)
    op = Operation(
        Operator.NEIGHBOUR_SUM, "s", "forward", ("x",), "y", bias="b" if biased else "", factors=("f",),
        normalisation=normalisation,
    )  # fmt: skip
    spaces = {"x": F if rng.integers(2) else G, "y": F if rng.integers(2) else G}
    bench = Bench(chip, op, tensors, grid=grid)
    found, _ = bench.run(values, fractions, spaces, {"f": np.array([factor / 8])})
    assert np.array_equal(found, rounded(exact, chip))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=3), GRIDS, st.integers(0, 1 << 30))
def test_channels_go_where_routes_say(channels, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    names = [f"x{i}" for i in range(len(channels))]
    values = {name: integers(rng, (c, 3, 5)) for name, c in zip(names, channels, strict=True)}
    targets = int(rng.integers(1, 21))
    routes, expected = [], np.zeros((targets, 3, 5))
    for name, count in zip(names, channels, strict=True):
        pairs = {(int(rng.integers(targets)), int(rng.integers(count))) for _ in range(8)}
        routes.append(tuple(sorted(pairs)))
        for target, source in pairs:
            expected[target] += values[name][source]
    factors = {f"f{i}": np.ones(1) for i in range(len(names))}
    tensors = {name: (value.shape, Role.ACTIVATION) for name, value in values.items()}
    tensors |= {"y": (expected.shape, Role.ACTIVATION)} | dict.fromkeys(factors, ((1,), Role.CONSTANT))
    op = Operation(
        Operator.CHANNEL_MAP, "concat", "forward", tuple(names), "y", factors=tuple(factors), routes=tuple(routes)
    )
    spaces = dict.fromkeys([*names, "y"], F)
    found, _ = Bench(chip, op, tensors, grid=grid).run(values, dict.fromkeys(tensors, 0), spaces, factors)
    assert np.array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1, 5, 8, 16, 24, 40]), min_size=1, max_size=4), st.booleans(), st.integers(0, 1 << 30))
def test_planes_that_move_whole_are_copied_several_at_a_time(channels, backward, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    starts = np.cumsum([0, *channels])
    total, extents, aligned = int(starts[-1]), tuple(map(int, rng.integers(1, 9, 2))), not (starts[:-1] % 8).any()
    sources = {"x": total} if backward else {f"x{i}": count for i, count in enumerate(channels)}
    values = {name: integers(rng, (count, *extents)) for name, count in sources.items()}
    ranges = [tuple((int(first) + c, c) for c in range(n)) for first, n in zip(starts, channels, strict=False)]
    expected = np.concatenate(list(values.values()))
    if backward:  # the gradient of the last part
        ranges = [tuple((c, t) for t, c in ranges[-1])]
        expected = expected[starts[-2] :]
    factors = {f"f{i}": np.ones(1) for i in range(len(ranges))}
    tensors = {name: (value.shape, Role.ACTIVATION) for name, value in values.items()}
    tensors |= {"y": (expected.shape, Role.ACTIVATION), "m": (expected.shape, Role.ACTIVATION)}
    mask = integers(rng, expected.shape, -1, 2)
    op = Operation(
        Operator.CHANNEL_MAP,
        "c",
        "forward",
        tuple(sources),
        "y",
        factors=tuple(factors),
        routes=tuple(ranges),
        mask="m",
    )
    bench = Bench(chip, op, tensors | dict.fromkeys(factors, ((1,), Role.CONSTANT)))
    spaces = dict.fromkeys([*sources, "y"], G) | {"m": F}
    found, instructions = bench.run(values | {"m": mask}, dict.fromkeys([*tensors, *factors], 0), spaces, factors)
    assert np.array_equal(found, expected * (mask > 0))
    if aligned:
        assert len(instructions) == len(ranges)
        assert all(item.iterations == 1 for item in instructions)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1 << 30))
def test_global_average_and_its_gradient(channels, height, width, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    x, factor = integers(rng, (channels, height, width)), {"f": np.array([5 / 16])}
    tensors = {"x": (x.shape, Role.ACTIVATION), "y": ((channels,), Role.ACTIVATION), "f": ((1,), Role.CONSTANT)}
    op = Operation(Operator.GLOBAL_AVERAGE_POOL, "mean", "forward", ("x",), "y", factors=("f",))
    fractions = {"x": 2, "f": 4, "y": 6 - SHIFT, "dy": 2, "dx": 6 - SHIFT, "m": 0}
    found, _ = Bench(chip, op, tensors).run({"x": x}, fractions, {"x": F, "y": F}, factor)
    assert np.array_equal(found, rounded(x.sum((1, 2)) * 5, chip))
    dy, mask = integers(rng, channels), integers(rng, x.shape, -1, 2)
    op = Operation(Operator.BROADCAST, "mean", "input_gradient", ("dy",), "dx", factors=("f",), mask="m")
    tensors = {"dy": ((channels,), Role.GRADIENT), "dx": (x.shape, Role.GRADIENT), "f": ((1,), Role.CONSTANT)}
    bench = Bench(chip, op, tensors | {"m": (x.shape, Role.ACTIVATION)})
    found, _ = bench.run({"dy": dy, "m": mask}, fractions, {"dy": G, "dx": G, "m": F}, factor)
    assert np.array_equal(found, rounded(np.broadcast_to(dy[:, None, None] * 5, x.shape), chip) * (mask > 0))


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.integers(1, 170), st.sampled_from(sorted(ROUNDINGS)), st.integers(0, 1 << 30))
def test_matrices_and_their_gradients(maps, outputs, rounding, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    shape = tuple(map(int, rng.integers(1, 10, 3))) if maps else (int(rng.integers(1, 400)),)
    outputs = min(outputs, chip.multipliers) if maps else outputs
    x, w = integers(rng, shape), integers(rng, (outputs, int(np.prod(shape))))
    b, dy = integers(rng, outputs), integers(rng, outputs)
    roles = {"x": (shape, Role.ACTIVATION), "w": (w.shape, Role.WEIGHT), "b": ((outputs,), Role.BIAS)}
    fractions = {"x": 2, "w": 3, "b": 3, "y": 5 - SHIFT, "dy": 2, "dx": 5 - SHIFT, "m": 0, "g": 4 - SHIFT}
    op = Operation(Operator.GEMM, "fc", "forward", ("x",), "y", weight="w", bias="b")
    bench = Bench(chip, op, roles | {"y": ((outputs,), Role.ACTIVATION)}, 0, rounding)
    found, _ = bench.run({"x": x, "w": w, "b": b}, fractions, {"x": F, "y": F})
    assert np.array_equal(found, rounded(w @ x.reshape(-1) + b * 4, chip, SHIFT, rounding))
    mask = integers(rng, shape, -1, 2)
    op = Operation(Operator.GEMM_INPUT_GRADIENT, "fc", "input_gradient", ("dy",), "dx", weight="w", mask="m")
    maps_of = {"dy": ((outputs,), Role.GRADIENT), "dx": (shape, Role.GRADIENT), "m": (shape, Role.ACTIVATION)}
    bench = Bench(chip, op, maps_of | {"w": (w.shape, Role.WEIGHT)}, 0, rounding)
    found, _ = bench.run({"dy": dy, "w": w, "m": mask}, fractions, {"dy": G, "dx": G, "m": F})
    assert np.array_equal(found, rounded((dy @ w).reshape(shape), chip, SHIFT, rounding) * (mask > 0))
    op = Operation(Operator.GEMM_WEIGHT_GRADIENT, "fc", "weight_gradient", ("x", "dy"), "w", weight="w", update=True)
    bench = Bench(
        chip, op, {name: roles[name] for name in "xw"} | {"dy": ((outputs,), Role.GRADIENT)}, rate=2, rounding=rounding
    )
    found, _ = bench.run({"x": x, "w": w, "dy": dy}, fractions, {"x": F, "dy": G})
    flat = found.reshape(outputs, -1)
    assert np.array_equal(flat, rounded(w * 8.0 - np.outer(dy, x.reshape(-1)), chip, 3, rounding))


def test_updates_of_rows():
    chip, rng = CHIPS[0], np.random.default_rng(0)
    shape = (16, 8, 3, 3)
    w, v, g = (integers(rng, shape, -99, 100) for _ in range(3))
    factors = {"f0": np.array([0.875]), "f1": np.array([1.0])}
    tensors = {"w": (shape, Role.WEIGHT), "v": (shape, Role.STATE), "g": (shape, Role.PARAMETER_GRADIENT)}
    conv = Operation(Operator.CONV, "c", "forward", ("x",), "y", weight="w")
    fractions = {"w": 5, "v": 4, "g": 4, "f0": 3, "f1": 3}
    op = Operation(Operator.UPDATE, "c", "update", ("v", "g"), "v", factors=("f0", "f1"))
    found = _updated(
        chip,
        op,
        conv,
        tensors | {"f0": ((1,), Role.CONSTANT), "f1": ((1,), Role.CONSTANT)},
        {"w": w, "v": v, "g": g},
        fractions,
        factors,
    )
    assert np.array_equal(found, rounded(7 * v + 8 * g, chip, 3))
    op = Operation(Operator.UPDATE, "c", "update", ("v",), "w", factors=("f0",), accumulate=True)
    found = _updated(
        chip,
        op,
        conv,
        tensors | {"f0": ((1,), Role.CONSTANT)},
        {"w": w, "v": v, "g": g},
        fractions,
        {"f0": np.array([-0.25])},
    )
    assert np.array_equal(found, rounded(-2 * v + 4 * w, chip, 2))


def _updated(chip, op, conv, tensors, values, fractions, factors):
    bench = Bench(chip, op, tensors)
    bench.graph.entries["infer"] = [conv, op]
    for name in ("v", "g"):
        role = bench.graph.tensors[name].role
        bench.graph.tensors[name] = type(bench.graph.tensors[name])(name, tensors[name][0], role, "w")
    return bench.run(values, fractions, {}, factors)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 8), st.integers(3, 8), st.integers(0, 2), st.integers(0, 2), GRIDS, st.integers(0, 1 << 30))
def test_zeros_left_out_change_nothing(channels, outputs, top, left, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    size = (int(rng.integers(3, 9)), int(rng.integers(3, 40)))
    case = {"kernel": (3, 3), "stride": 1, "dilation": 1, "pads": (top, left), "groups": 1}
    x = integers(rng, (channels, *size)) * rng.integers(0, 2, (channels, *size))
    w = integers(rng, (outputs, channels, 3, 3))
    tx, tw = tensor(x[None]).requires_grad_(), tensor(w).requires_grad_()
    ty = forward(case, tx, tw)
    shape = tuple(ty.shape[1:])
    fractions = {"x": 2, "w": 3, "y": 5 - SHIFT, "dy": 2, "dx": 5 - SHIFT, "m": 0}
    densities = {"x": 0.01, "y": 0.5}
    conv = operation_of(case, Operator.CONV, ("x",), "y", weight="w")
    maps = {"x": (x.shape, Role.ACTIVATION), "y": (shape, Role.ACTIVATION), "w": (w.shape, Role.WEIGHT)}
    bench = Bench(chip, conv, maps, grid=grid)
    found, instructions = bench.run({"x": x, "w": w}, fractions, {"x": F, "y": F}, densities=densities)
    assert np.array_equal(found, rounded(ty.detach()[0], chip))
    assert all(item.skip for item in instructions)
    dy = integers(rng, shape)
    ty.backward(tensor(dy[None]))
    mask = integers(rng, x.shape, -1, 2)
    op = operation_of(case, Operator.CONV_INPUT_GRADIENT, ("dy",), "dx", weight="w", mask="m")
    maps |= {"dy": (shape, Role.GRADIENT), "dx": (x.shape, Role.GRADIENT), "m": (x.shape, Role.ACTIVATION)}
    bench = Bench(chip, op, maps, grid=grid)
    bench.graph.entries["infer"] = [conv, op]
    spaces = {"dy": G, "dx": G, "m": F, "x": F, "y": F}
    found, instructions = bench.run({"dy": dy, "w": w, "m": mask}, fractions, spaces, densities=densities)
    assert np.array_equal(found, rounded(tx.grad[0], chip) * (mask > 0))
    assert all(item.skip for item in instructions)
    op = operation_of(case, Operator.CONV_WEIGHT_GRADIENT, ("x", "dy"), "w", weight="w", update=True)
    bench = Bench(chip, op, maps, rate=2)
    bench.graph.entries["infer"] = [conv, op]
    found, instructions = bench.run({"x": x, "w": w, "dy": dy}, fractions, spaces, densities=densities)
    assert np.array_equal(found, rounded(w * 2.0**3 - np.asarray(tw.grad), chip, 3))
    assert all(item.skip for item in instructions)
