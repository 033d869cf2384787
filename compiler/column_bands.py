"""Bands of some rows and some columns: for maps of which not even a few rows fit the memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.band_needs import Grid
from compiler.band_steps import Passing
from compiler.bands import COUNTS, Bands

_COUNTS = (1, 2, 3, *COUNTS)
"""Into how many bands rows and columns are cut, each."""
_BAND_CYCLES = 100
"""About what a band costs beside its steps and words."""
_TRAFFIC = 1 / 8
"""What a cycle of a transfer counts though the array works meanwhile: it may not hide, and it takes energy."""


class ColumnBands(Bands):
    """Operations in bands of the last one's rows and columns. A row outside is then a line of words for each plane."""

    shares = (15 / 32, 1 / 8)  # large ones if they can be: each is a transfer and an instruction in every band

    @property
    def cuttable(self) -> bool:
        """Whether there are columns to cut."""
        return self.width > 1

    def ways(self, streamed: Sequence[str], passing: Passing) -> Iterable[tuple[int, Grid]]:
        """How many buffers and which bands are tried, those first that should take the fewest cycles."""
        rows = {-(-self.height // count) for count in _COUNTS}
        columns = {-(-self.width // count) for count in _COUNTS[1:]}
        grids = [(height, width) for height in rows for width in columns if width >= self._narrowest]
        ways = [(buffers, grid) for grid in grids for buffers in (2, 1)]
        return sorted(ways, key=lambda way: (self._cycles(*way, streamed, passing), -way[0], way[1]))

    @property
    def _narrowest(self) -> int:
        """The fewest columns of a band: a scatter's walk is at least as wide as a kernel."""
        scatters = any(operation.weight in self.tensors.kernels.scattering for operation in self.operations)
        return min(self.chip.kernel, self.width) if scatters else 1

    def _cycles(self, buffers: int, grid: Grid, streamed: Sequence[str], passing: Passing) -> float:
        """About what all bands take: with two buffers, words come and go beside the array's work."""
        beats, bands = self.chip.external_beats, self.needs.count(grid)
        maps = sum(self.needs.moved(grid, name) * self._beats(name) for name in streamed)
        rows = sum(chunk.size for chunk in passing.chunks)
        weights = bands * rows * self.chip.taps * self._beats(passing.weight)
        work = sum(operation.macs for operation in self.operations) / self.chip.multipliers
        work += self.needs.repeated(grid) * beats + bands * max(1, len(passing.chunks)) * _BAND_CYCLES
        beside = (maps if buffers == 2 else 0) + (weights if passing.buffers == 2 else 0)
        return max(work, beside) + maps + weights - beside + _TRAFFIC * (maps + weights)

    def _beats(self, name: str) -> int:
        """Beats of a word of a tensor outside."""
        return self.chip.word_beats(name in self.tensors.packed)
