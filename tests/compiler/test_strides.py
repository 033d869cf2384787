"""Walks that strides and dilations are cut into: every position once, all as far apart as a walk can say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.graph import Operation, Operator
from compiler.strides import MOST_STEP, distance, even_ways, phases, step_of, summing_walks
from compiler.walks import Tile

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def places(tile: Tile) -> list[tuple[int, int]]:
    return [
        (tile.top + y * tile.down, tile.left + x * tile.across) for y in range(tile.height) for x in range(tile.width)
    ]


def convolution(kernel, stride, dilation=(1, 1)) -> Operation:
    return Operation(
        Operator.CONV_WEIGHT_GRADIENT, "c", "weight_gradient", ("x", "dy"), "w", kernel=kernel, stride=stride,
        dilation=dilation,
    )  # fmt: skip


@given(SIDES, SIDES)
def test_phases_have_every_position_once(extents, every):
    tile = Tile(2, 3, *extents)
    found = [place for phase in phases(tile, every) for place in places(phase)]
    assert sorted(found) == places(tile)
    assert all(phase.across <= MOST_STEP for phase in phases(tile, every))


@given(SIDES, SIDES)
def test_ways_have_every_position_once_and_even_steps(extents, stride):
    tile = Tile(2, 3, *extents)
    for way in even_ways(tile, stride):
        assert sorted(place for part in way for place in places(part)) == places(tile)
        for part in way:
            step = step_of(part, stride)
            assert step <= MOST_STEP or (part.height == 1 and part.width == 1)
            assert part.height == 1 or part.down * stride[0] == step
            assert part.width == 1 or part.across * stride[1] == step


@given(SIDES, SIDES, st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_summing_walks_meet_every_position_with_every_kernel_row(extents, stride, kernel, dilation):
    operation, tile = convolution(kernel, stride, dilation), Tile(1, 2, *extents)
    walks = summing_walks(operation, tile, range(kernel[0]))
    met = Counter((place, row) for walk in walks for place in places(walk.tile) for row in walk.rows)
    assert set(met.values()) == {1}
    assert sorted(met) == sorted((place, row) for place in places(tile) for row in range(kernel[0]))
    for walk in walks:
        apart = distance(operation, walk.rows, walk.down)
        assert len(walk.rows) == 1 or walk.rows.step * dilation[0] == apart * walk.down
        assert min(len(walk.rows), kernel[1]) == 1 or apart == dilation[1]
        if walk.tile.height > 1:
            assert walk.tile.down * stride[0] == walk.down * stride[1]


@pytest.mark.parametrize(("stride", "count"), [((1, 1), 1), ((2, 2), 1), ((2, 1), 2), ((1, 2), 2), ((3, 2), 6)])
def test_common_strides_take_few_walks(stride, count):
    assert len(summing_walks(convolution((3, 3), stride), Tile(0, 0, 16, 16), range(3))) == count
    assert len(next(even_ways(Tile(0, 0, 16, 16), stride))) == {(3, 2): 6, (2, 1): 2, (1, 2): 2}.get(stride, 1)
