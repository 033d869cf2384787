"""The Pareto front against its definition, written out, on random tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas import DataFrame

from arch.errors import InputError
from explore.pareto import pareto

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20)


def beats(a, b) -> bool:
    """a has less of the first two and more of the third, or as much, and is better in one."""
    better = (a[0] < b[0], a[1] < b[1], a[2] > b[2])
    worse = (a[0] > b[0], a[1] > b[1], a[2] < b[2])
    return any(better) and not any(worse)


@given(ROWS)
def test_is_what_none_beats(rows):
    table = DataFrame(rows, columns=["cycles", "area", "accuracy"])
    found = pareto(table, minimise=["cycles", "area"], maximise=["accuracy"])
    assert sorted(found.index) == [i for i, row in enumerate(rows) if not any(beats(other, row) for other in rows)]
    assert found["cycles"].is_monotonic_increasing


@given(ROWS)
def test_within_a_column_each_value_has_its_own_front(rows):
    """The third number is what the row belongs to."""
    table = DataFrame(rows, columns=["cycles", "area", "network"])
    found = pareto(table, minimise=["cycles", "area"], within="network")
    alone = [pareto(part, ["cycles", "area"]) for _, part in table.groupby("network", sort=False)]
    assert found.index.tolist() == [index for front in alone for index in front.index]


def test_leaves_out_rows_without_numbers():
    table = DataFrame({"cycles": [3, None, 5], "energy": [1.0, 0.5, np.nan]})
    assert pareto(table, ["cycles", "energy"]).index.tolist() == [0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [(["watts"], "watts must be one of"), (["chip"], "must hold numbers"), ([], "needs a column")],
)
def test_refuses_columns(columns, message):
    with pytest.raises(InputError, match=message):
        pareto(DataFrame({"cycles": [1], "chip": ["paper"]}), columns)
