"""Convolutions and their gradients, of random shapes and attributes, against PyTorch in float64, rounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.graph import Operation, Operator, Role
from compiler.grouping import merged_groups
from tests.compiler.emission_bench import Bench
from tests.oracle.cases import (
    CHIPS,
    GRIDS,
    ROUNDINGS,
    SHIFT,
    SMALL,
    STRIDES,
    WIDE_SHIFT,
    F,
    G,
    functional,
    integers,
    rounded,
    tensor,
)

DILATIONS = st.integers(1, 2).map(lambda side: (side, side)) | st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw):
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 4)))
    stride, dilation = draw(STRIDES), draw(DILATIONS)
    pads = (draw(st.integers(0, kernel[0] - 1)), draw(st.integers(0, kernel[1] - 1)))
    least = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(draw(st.integers(extent, extent + 9)) for extent in least)
    if draw(st.booleans()):  # what windows serve
        kernel, stride, dilation, pads = (3, 3), (1, 1), (1, 1), (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
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
        "bits": draw(st.sampled_from([16, 16, 8])),
    }


def small_enough(case) -> bool:
    """Whether the case's tensors fit the smaller chip's memories."""
    if case["chip"].name != SMALL.name:
        return True
    words = -(-case["channels"] // 3) * (case["size"][0] + 4) * (case["size"][1] + 6)
    return words < 100 and case["kernel"][1] <= 4 and case["outputs"] <= 6 and case["channels"] <= 6


def alone(case, values: np.ndarray, number: int, count: int) -> np.ndarray:
    """Values of channels, all of them zero but those of every `count`-th group, from group `number` on."""
    group = np.arange(len(values)) // (len(values) // case["groups"])
    return values * (group % count == number)[:, None, None]


def operation_of(case, operator: Operator, inputs, output, **more) -> Operation:
    return Operation(
        operator,
        "layer",
        "phase",
        inputs,
        output,
        kernel=case["kernel"],
        stride=case["stride"],
        dilation=case["dilation"],
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
    bits = case["bits"]
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
    bench = Bench(chip, op, tensors, 0, rounding, case["grid"], bits)
    found, _ = bench.run({"x": x, "w": w, "b": bias}, fractions, {"x": F, "y": F})
    expected = rounded(ty.detach()[0] + tensor(bias)[:, None, None] * 4, chip, shift, rounding, bits)
    assert np.array_equal(found, np.maximum(expected, 0))
    dy = integers(rng, y_shape, low, high)
    ty.backward(tensor(dy[None]))
    mask = integers(rng, x.shape, -1, 2)
    op = operation_of(case, Operator.CONV_INPUT_GRADIENT, ("dy",), "dx", weight="w", mask="m")
    maps = {"dy": (y_shape, Role.GRADIENT), "dx": (x.shape, Role.GRADIENT), "m": (x.shape, Role.ACTIVATION)}
    bench = Bench(chip, op, maps | {"w": (shape, Role.WEIGHT)}, 0, rounding, case["grid"], bits)
    found, _ = bench.run({"dy": dy, "w": w, "m": mask}, fractions | {"m": 0}, {"dy": G, "dx": G, "m": F})
    assert np.array_equal(found, rounded(tx.grad[0], chip, shift, rounding, bits) * (mask > 0))

    op = operation_of(case, Operator.CONV_WEIGHT_GRADIENT, ("x", "dy"), "w", weight="w", update=True)
    merged = merged_groups(case["groups"], shape[1], case["outputs"] // case["groups"], chip.lanes)
    count, found = 1 if shape[1] == 1 and case["groups"] == case["outputs"] else merged, w
    bits = 16 if case["wide"] and count > 1 else bits  # weights of other groups are rounded again
    bench = Bench(chip, op, roles | {"dy": (y_shape, Role.GRADIENT)}, shift - 1, rounding, bits=bits)
    for number in range(count):  # of groups that are merged one after the other, the others' channels being zero
        values = {"x": alone(case, x, number, count), "w": found, "dy": alone(case, dy, number, count)}
        found, _ = bench.run(values, fractions, {"x": F, "dy": G})
    assert np.array_equal(found, rounded(w * 2.0**shift - np.asarray(tw.grad), chip, shift, rounding, bits))
    if case["grid"] and not case["wide"] and count == 1:  # a sum over bands, rounded after each: exact without a shift
        bench = Bench(chip, op, roles | {"dy": (y_shape, Role.GRADIENT)}, 0, rounding, case["grid"])
        found, _ = bench.run({"x": x, "w": w, "dy": dy}, fractions | {"w": 4}, {"x": F, "dy": G})
        assert np.array_equal(found, w - np.asarray(tw.grad))

    op = operation_of(case, Operator.CONV_BIAS_GRADIENT, ("dy",), "b", bias="b", update=True)
    tensors = {"dy": (y_shape, Role.GRADIENT), "b": ((case["outputs"],), Role.BIAS)}
    found, _ = Bench(chip, op, tensors, shift + 1, rounding).run({"b": bias, "dy": dy}, fractions, {"dy": G})
    assert np.array_equal(found, rounded(bias * 2.0**shift - dy.sum((1, 2)), chip, shift, rounding))
    if case["grid"] and not case["wide"]:
        found, _ = Bench(chip, op, tensors, 1, rounding, case["grid"]).run({"b": bias, "dy": dy}, fractions, {"dy": G})
        assert np.array_equal(found, bias - dy.sum((1, 2)))


@settings(max_examples=30, deadline=None)
@given(convolutions(), st.integers(5, 13), st.integers(1, 3))
def test_kernels_wider_than_the_taps(case, width, height):
    """On the chip of four taps: a kernel row lies in several rows of the weight memory."""
    case |= {"chip": SMALL, "kernel": (height, width), "pads": (height // 2, width // 2), "size": (4, 6 + width // 2)}
    case |= {"stride": tuple(min(side, 2) for side in case["stride"]), "dilation": (1, 1)}
    case |= {"channels": min(case["channels"], 4), "outputs": min(case["outputs"], 5)}
    depthwise = case["groups"] > 1 and case["groups"] % 2
    case |= {"groups": case["channels"], "outputs": case["channels"]} if depthwise else {"groups": 1}
    rng = np.random.default_rng(case["seed"])
    shape = (case["outputs"], case["channels"] // case["groups"], height, width)
    x, w = integers(rng, (case["channels"], *case["size"])), integers(rng, shape)
    tx, tw = tensor(x[None]).requires_grad_(), tensor(w).requires_grad_()
    ty = forward(case, tx, tw)
    op = operation_of(case, Operator.CONV, ("x",), "y", weight="w")
    tensors = {"x": (x.shape, Role.ACTIVATION), "w": (shape, Role.WEIGHT), "y": (tuple(ty.shape[1:]), Role.ACTIVATION)}
    fractions = {"x": 2, "w": 3, "y": 5 - SHIFT}
    found, _ = Bench(SMALL, op, tensors, grid=case["grid"]).run({"x": x, "w": w}, fractions, {"x": F, "y": G})
    assert np.array_equal(found, rounded(ty.detach()[0], SMALL))
    dy = integers(rng, tuple(ty.shape[1:]))
    ty.backward(tensor(dy[None]))
    gradient = operation_of(case, Operator.CONV_INPUT_GRADIENT, ("y",), "x", weight="w")
    fractions = {"x": 5 - SHIFT, "w": 3, "y": 2}
    found, _ = Bench(SMALL, gradient, tensors, grid=case["grid"]).run({"y": dy, "w": w}, fractions, {"x": F, "y": G})
    assert np.array_equal(found, rounded(tx.grad[0], SMALL))
    gradient = operation_of(case, Operator.CONV_WEIGHT_GRADIENT, ("x", "y"), "w", weight="w", update=True)
    found, _ = Bench(SMALL, gradient, tensors, SHIFT - 1).run(
        {"x": x, "y": dy, "w": w}, {"x": 2, "w": 3, "y": 2}, {"x": F, "y": G}
    )
    assert np.array_equal(found, rounded(w * 2.0**SHIFT - np.asarray(tw.grad), SMALL))


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 8), st.integers(3, 8), st.integers(0, 2), st.integers(0, 2), GRIDS, st.integers(0, 1 << 30))
def test_zeros_left_out_change_nothing(channels, outputs, top, left, grid, seed):
    chip, rng = CHIPS[0], np.random.default_rng(seed)
    size = (int(rng.integers(3, 9)), int(rng.integers(3, 40)))
    case = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "pads": (top, left), "groups": 1}
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
