"""The points of a table that no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from arch.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def pareto(table: DataFrame, minimise: Sequence[str] = (), maximise: Sequence[str] = (), within: str = "") -> DataFrame:
    """The rows that no other row beats: none is at least as good in every named column and better in one.

    `minimise` and `maximise` are columns. With `within`, a column such as "network", rows are compared with those of
    the same value there alone, and each value has a front, in the order in which the values first appear. Rows without
    a number in one of the columns are left out; of equal rows all stay. Sorted by the named columns in their order, the
    index kept. Raises `InputError` on a column that is not there or holds no numbers.

    >>> from pandas import DataFrame
    >>> table = DataFrame({"cycles": [10, 20, 30], "area_mm2": [3.0, 1.0, 2.0]})
    >>> pareto(table, minimise=["cycles", "area_mm2"]).index.tolist()
    [0, 1]
    >>> two = table.assign(network=["a", "a", "b"])
    >>> pareto(two, minimise=["cycles", "area_mm2"], within="network").index.tolist()
    [0, 1, 2]
    """
    from pandas.api.types import is_numeric_dtype

    names = [*minimise, *maximise]
    if not names:
        raise InputError("pareto needs a column to minimise or to maximise")
    for name in [*names, *([within] if within else [])]:
        if name not in table.columns:
            raise InputError(f"pareto: {name} must be one of the columns {', '.join(map(str, table.columns))}")
        if name != within and not is_numeric_dtype(table[name]):
            raise InputError(f"pareto: {name} must hold numbers")
    known = table.dropna(subset=names)
    signs = [1.0] * len(minimise) + [-1.0] * len(maximise)
    costs = known[names].to_numpy(np.float64) * signs
    belongs = known[within].to_list() if within else [None] * len(known)
    places = [np.flatnonzero([item == value for item in belongs]) for value in dict.fromkeys(belongs)]
    return known.iloc[[place for rows in places for place in rows[_undominated(costs[rows])]]]


def _undominated(costs: np.ndarray) -> list[int]:
    """Places of the rows, in lexical order, of float64[rows, columns] that none beats; less is better.

    In that order only an earlier row can beat one.
    """
    kept: list[int] = []
    front = np.empty((0, costs.shape[1]))
    for index in np.lexsort(costs.T[::-1]):
        row = costs[index]
        if not ((front <= row).all(axis=1) & (front < row).any(axis=1)).any():
            kept.append(int(index))
            front = np.vstack([front, row])
    return kept
