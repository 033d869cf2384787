"""What a memory macro costs: interpolated inside a grid of CACTI's answers, or tiled of a process's own macros.

A macro is one read-write port of `bits` bits and `words` words: a page of a bank of a chip's memory. Nothing is
extrapolated.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import log
from pathlib import Path

import numpy as np

from arch.errors import InputError

FOLDER = Path(__file__).parent / "data" / "memories"
CACTI_VOLTAGE = {
    (22, "hp"): 0.8,
    (22, "lstp"): 0.8,
    (22, "lop"): 0.6,
    (32, "hp"): 0.9,
    (32, "lstp"): 1.0,
    (32, "lop"): 0.6,
    (45, "hp"): 1.0,
    (45, "lstp"): 1.1,
    (45, "lop"): 0.7,
    (65, "hp"): 1.1,
    (65, "lstp"): 1.2,
    (65, "lop"): 0.8,
    (90, "hp"): 1.2,
    (90, "lstp"): 1.3,
    (90, "lop"): 0.9,
}
"""Volts of CACTI 7's transistors by node (nm) and kind (its files tech_params/*nm.dat)."""
_MOST_TILES = 64
_LEAST_FILL = 1 / 8


@dataclass(frozen=True)
class Macro:
    """Energy of an access (pJ), leakage (mW) and area (mm²) of one macro, at its table's voltage and temperature."""

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_mm2: float

    def __mul__(self, count: float) -> Macro:
        return Macro(*(value * count for value in self.values()))

    def values(self) -> tuple[float, float, float, float]:
        """The four numbers in the order of the fields."""
        return self.read_pj, self.write_pj, self.leakage_mw, self.area_mm2


Memories = Callable[[int, int], Macro]
"""What a macro of so many words of so many bits costs; raises `InputError` outside what its table knows."""


@lru_cache(maxsize=64)
def cacti(node_nm: int, kind: str) -> Memories:
    """CACTI 7's plain RAM of one port at 360 K; `kind`: hp, lstp or lop transistors (ITRS).

    Log-log interpolation in bytes and port width. A port wider than the grid's widest is macros side by side.
    """
    grid = _grid(node_nm, kind)
    sizes, widths = (sorted({key[axis] for key in grid}) for axis in (0, 1))

    @lru_cache(maxsize=1 << 12)
    def macro(words: int, bits: int) -> Macro:
        beside = -(-bits // widths[-1])
        width = max(-(-bits // beside), widths[0])
        size = words * width / 8
        where = f"a memory of {words} words of {bits} bits"
        if not sizes[0] <= size <= sizes[-1]:
            raise InputError(
                f"{where} must have {sizes[0]:,} to {sizes[-1]:,} bytes a macro for CACTI's data, not {size:,.0f}"
            )
        near = _bracket(sizes, size), _bracket(widths, width)
        if near[0][1] > 2 * near[0][0] or any(key not in grid for key in product(*near)):
            raise InputError(f"{where} has no neighbours in CACTI's data at {node_nm} nm {kind}")
        return _blend(grid, *near, (_between(near[0], size), _between(near[1], width))) * beside

    return macro


@lru_cache(maxsize=64)
def _grid(node_nm: int, kind: str) -> dict[tuple[int, int], Macro]:
    found: dict[tuple[int, int], Macro] = {}
    with (FOLDER / "cacti.csv").open() as file:
        for row in csv.DictReader(file):
            size, bits = int(row["bytes"]), int(row["bits"])
            on_grid = size & (size - 1) == 0 and bits & (bits - 1) == 0
            if int(row["node_nm"]) == node_nm and row["kind"] == kind and on_grid:
                found[size, bits] = _macro(row)
    if not found:
        raise InputError(f"CACTI's data has 22, 32, 45, 65 and 90 nm with hp, lstp and lop, not {node_nm} nm {kind}")
    return found


def _macro(row: dict[str, str]) -> Macro:
    return Macro(*(float(row[name]) for name in ("read_pj", "write_pj", "leakage_mw", "area_mm2")))


def _bracket(points: list[int], value: float) -> tuple[int, int]:
    """The neighbours in `points`, sorted, with `value` between."""
    above = next(point for point in points if point >= value)
    below = max(point for point in points if point <= value)
    return below, above


Shares = tuple[float, float]
"""Of sizes and of widths."""


def _blend(grid: dict[tuple[int, int], Macro], sizes: tuple[int, int], widths: tuple[int, int], share: Shares) -> Macro:
    """Bilinear in logarithms of bytes and bits; `share` of the way from the first neighbour to the second."""
    total = np.zeros(4)
    for size, along in zip(sizes, (1 - share[0], share[0]), strict=True):
        for width, across in zip(widths, (1 - share[1], share[1]), strict=True):
            if along * across > 0:
                total += along * across * np.log(grid[size, width].values())
    return Macro(*np.exp(total).tolist())


def _between(points: tuple[int, int], value: float) -> float:
    """Where `value` lies between two points, 0 to 1, by logarithms."""
    return log(value / points[0]) / log(points[1] / points[0]) if points[0] != points[1] else 0.0


def macros(path: Path) -> Memories:
    """A process's own macros, a CSV of words, bits, read_pj, write_pj, leakage_mw, area_mm2.

    A memory is tiled of equal macros, of those that take the least area: side by side for its width, one of which rows
    is accessed for its depth. Refused: more than 64 tiles, or tiles less than an eighth full.
    """
    table = _own(path)

    @lru_cache(maxsize=1 << 12)
    def macro(words: int, bits: int) -> Macro:
        fitting: list[Macro] = []
        for (depth, width), one in table.items():
            across, down = -(-bits // width), -(-words // depth)
            if across * down <= _MOST_TILES and words * bits >= _LEAST_FILL * across * width * down * depth:
                tiles = across * down
                energies = one.read_pj * across, one.write_pj * across
                fitting.append(Macro(*energies, one.leakage_mw * tiles, one.area_mm2 * tiles))
        if not fitting:
            known = ", ".join(f"{depth} x {width}" for depth, width in table)
            raise InputError(
                f"a memory of {words} words of {bits} bits cannot be made of {path.stem}'s macros ({known})"
            )
        return min(fitting, key=lambda found: found.area_mm2)

    return macro


def _own(path: Path) -> dict[tuple[int, int], Macro]:
    try:
        with path.open() as file:
            rows = [((int(row["words"]), int(row["bits"])), _macro(row)) for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"memory table {path}: {error.strerror}") from None
    except (KeyError, ValueError, TypeError) as error:
        columns = "words, bits, read_pj, write_pj, leakage_mw, area_mm2"
        raise InputError(f"memory table {path}: must be a CSV of numbers with columns {columns} ({error})") from None
    if not rows or any(min(*size, *one.values()) <= 0 for size, one in rows):
        raise InputError(f"memory table {path}: must have rows, and no number at or below 0")
    return dict(rows)
