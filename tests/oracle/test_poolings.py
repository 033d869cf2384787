"""Poolings and their gradients, of random shapes and attributes, against PyTorch in float64, rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.averages import parts, spread
from compiler.graph import Operation, Operator, Role
from tests.compiler.emission_bench import Bench
from tests.oracle.cases import (
    CHIPS,
    GRIDS,
    SHIFT,
    STRIDES,
    F,
    G,
    functional,
    integers,
    rounded,
    tensor,
)


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 5), st.integers(1, 5)), STRIDES, st.integers(1, 20), GRIDS, st.data())
def test_averages_of_what_is_in_the_map(kernel, stride, channels, grid, data):
    pads = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(data.draw(st.integers(k, 14)) for k in kernel)
    chip, rng = CHIPS[0], np.random.default_rng(channels)
    x = integers(rng, (channels, *size))
    average = functional.avg_pool2d(tensor(x[None]), kernel, stride, pads, False, False)[0]
    attributes = {"kernel": kernel, "stride": stride, "pads": pads, "extents": size}
    op = Operation(Operator.AVERAGE_POOL, "a", "forward", ("x",), "y", **attributes)
    counts = np.array([inside for _, inside in parts(op, tuple(average.shape))])
    shares = np.floor(2.0**14 / counts + 0.5) / 2**14
    tx = tensor(x[None]).requires_grad_()
    sums = functional.avg_pool2d(tx, kernel, stride, pads, False, True, 1)
    shared = spread(op, tuple(average.shape), shares)
    exact = np.asarray(sums.detach()[0]) * shared
    np.testing.assert_allclose(exact, average, atol=0.01)
    op = replace(op, factors=("f",))
    roles = {"x": (x.shape, Role.ACTIVATION), "y": (average.shape, Role.ACTIVATION)}
    roles |= {"f": (counts.shape, Role.CONSTANT)}
    bench = Bench(chip, op, roles, grid=grid)
    found, _ = bench.run({"x": x}, {"x": 0, "y": 4, "f": 14}, {"x": F, "y": F}, {"f": shares})
    assert np.array_equal(found, rounded(exact * 2**14, chip, 10))
    dy, ones = integers(rng, average.shape, -900, 900), np.ones((channels, 1, *kernel), int)
    op = Operation(
        Operator.AVERAGE_SHARES, "a", "input_gradient", ("dy",), "s", factors=("f",), groups=channels, **attributes
    )
    roles = {"dy": (dy.shape, Role.GRADIENT), "s": (dy.shape, Role.GRADIENT), "f": (counts.shape, Role.CONSTANT)}
    fractions = {"dy": 0, "s": 4, "f": 14, "w": 0, "dx": 1}
    share, _ = Bench(chip, op, roles, grid=grid).run({"dy": dy}, fractions, {"dy": G, "s": F}, {"f": shares})
    assert np.array_equal(share, rounded(dy * shared * 2**14, chip, 10))
    sums.backward(tensor(share[None]))
    op = replace(op, operator=Operator.CONV_INPUT_GRADIENT, inputs=("s",), output="dx", weight="w", factors=())
    roles = {"s": (dy.shape, Role.GRADIENT), "dx": (x.shape, Role.GRADIENT), "w": (ones.shape, Role.CONSTANT)}
    bench = Bench(chip, op, roles, grid=grid)
    found, _ = bench.run({"s": share, "w": ones}, fractions, {"s": F, "dx": G})
    assert np.array_equal(found, rounded(tx.grad[0], chip, 3))


@st.composite
def pools(draw):
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return {
        "kernel": kernel,
        "stride": draw(STRIDES),
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
    attributes = {"kernel": case["kernel"], "stride": case["stride"], "pads": case["pads"]}
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
    rows = places // width - np.arange(shape[1])[:, None] * case["stride"][0] + case["pads"][0]
    columns = places % width - np.arange(shape[2]) * case["stride"][1] + case["pads"][1]
    return rows * case["kernel"][1] + columns


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
