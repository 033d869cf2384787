"""Matrix products, their gradients and updates of rows, against float64, rounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.graph import Operation, Operator, Role
from tests.compiler.emission_bench import Bench
from tests.oracle.cases import (
    CHIPS,
    ROUNDINGS,
    SHIFT,
    F,
    G,
    integers,
    rounded,
)


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
