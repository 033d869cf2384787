"""Sums and products of maps and of channels, of random shapes and factors, against float64, rounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.graph import Normalisation, Operation, Operator, Role
from tests.compiler.emission_bench import Bench
from tests.oracle.cases import (
    CHIPS,
    GRIDS,
    ROUNDINGS,
    SHIFT,
    SMALL,
    WIDE_SHIFT,
    F,
    G,
    functional,
    integers,
    rounded,
    tensor,
    torch,
)


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
