"""Channels that go from map to map, of random routes, against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.graph import Operation, Operator, Role
from tests.compiler.emission_bench import Bench
from tests.oracle.cases import (
    CHIPS,
    GRIDS,
    F,
    G,
    integers,
)


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
