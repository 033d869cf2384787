"""What bands need: which part of every map, how many words at once and in all, and what is computed more than once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from compiler.needs import cut_map, source_side
from compiler.walks import Tile
from compiler.working_sets import WorkingSet

Side = tuple[int, int]
"""Rows or columns: the first, how many."""
Grid = tuple[int, int]
"""Rows and columns of a band of the last output, but for the last ones, which may have fewer."""
Band = Mapping[str, Tile]
"""The part of every map that a band needs."""


class BandNeeds:
    """The bands of operations that run in turn, for any grid; what was asked once is remembered."""

    def __init__(self, work: WorkingSet):
        self.work = work
        self.chip = work.tensors.kernels.chip
        self.layouts = work.tensors.layouts
        self._sides: dict[tuple[int, int], list[dict[str, Side]]] = {}
        self._bands: dict[Grid, list[Band]] = {}
        self._extents: dict[tuple[int, int, str], list[int]] = {}
        self._held: dict[tuple[Grid, str], int] = {}
        self._moved: dict[tuple[Grid, str], int] = {}

    def count(self, grid: Grid) -> int:
        """How many bands there are."""
        return len(self.sides(0, grid[0])) * len(self.sides(1, grid[1]))

    def bands(self, grid: Grid) -> list[Band]:
        """What each band needs of every map."""
        if grid not in self._bands:
            sides = product(self.sides(0, grid[0]), self.sides(1, grid[1]))
            self._bands[grid] = [
                {name: Tile(rows[name][0], left, rows[name][1], width) for name, (left, width) in columns.items()}
                for rows, columns in sides
            ]
        return self._bands[grid]

    def held(self, grid: Grid, name: str) -> int:
        """Words of a map that a band needs at most."""
        if (grid, name) not in self._held:
            rows, columns = (max(self.extents(axis, count, name)) for axis, count in enumerate(grid))
            self._held[grid, name] = self.layouts[name].narrowed(columns, self.chip).row_words(rows)
        return self._held[grid, name]

    def moved(self, grid: Grid, name: str) -> int:
        """Words of a map that all bands need together."""
        if (grid, name) not in self._moved:
            layout, rows = self.layouts[name], self.extents(0, grid[0], name)
            words = layout.planes * sum(rows) * sum(self.extents(1, grid[1], name))
            self._moved[grid, name] = sum(map(layout.row_words, rows)) if grid[1] == self.work.width else words
        return self._moved[grid, name]

    def repeated(self, grid: Grid) -> float:
        """What is computed again where bands overlap, as the words that could be moved meanwhile."""
        cost = 0.0
        for operation in self.work.operations[:-1]:
            layout = self.layouts[operation.output]
            rows, columns = (sum(self.extents(axis, count, operation.output)) for axis, count in enumerate(grid))
            again = max(0, rows * columns / layout.width - layout.height)
            cost += again * operation.macs / layout.height / self.chip.multipliers / max(1, self.chip.external_beats)
        return cost

    def extents(self, axis: int, count: int, name: str) -> list[int]:
        """Rows (axis 0) or columns (1) of a map that each band of `count` of the last output's needs."""
        if (axis, count, name) not in self._extents:
            self._extents[axis, count, name] = [sides[name][1] for sides in self.sides(axis, count)]
        return self._extents[axis, count, name]

    def sides(self, axis: int, count: int) -> list[dict[str, Side]]:
        """Which rows or columns of every map each band of `count` of the last output's needs."""
        if (axis, count) not in self._sides:
            extent = (self.work.height, self.work.width)[axis]
            starts = range(0, extent, count)
            self._sides[axis, count] = [self._needed(axis, (first, min(count, extent - first))) for first in starts]
        return self._sides[axis, count]

    def _needed(self, axis: int, band: Side) -> dict[str, Side]:
        work = self.work
        if axis == 1 and band[1] == work.width:
            return {name: (0, self.layouts[name].width) for name in work.maps}
        sides: dict[str, Side] = {work.banded: band}
        for operation in reversed(work.operations):
            there = sides[cut_map(operation)]
            for name in work.tensors.maps(operation):
                if name == cut_map(operation):
                    continue
                some = source_side(operation, work.tensors.graph, axis, *there) if name in operation.inputs else there
                first, stop = some[0], some[0] + some[1]
                if name in sides:
                    first, stop = min(first, sides[name][0]), max(stop, sum(sides[name]))
                sides[name] = first, stop - first
        return sides
