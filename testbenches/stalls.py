"""Where a nest waits: seen in the recurrence of `arch.timing`, without running it."""

from __future__ import annotations

from arch.chip import Chip
from arch.isa import Compute
from arch.timing import Nest

STALLS = ("loader", "row", "drain")
"""The loader waits for a write, the row fetcher waits for a write, a step waits until a block has drained."""


def stalls(compute: Compute, chip: Chip) -> frozenset[str]:
    """Which of `STALLS` a legal nest meets."""
    nest = _Watched(compute, chip)
    nest.run()
    return frozenset(nest.seen)


class _Watched(Nest):
    """The recurrence, noting what it waits for."""

    def __init__(self, compute: Compute, chip: Chip):
        super().__init__(compute, chip)
        self.seen: set[str] = set()

    def load(self, count: int, first: int) -> int:
        arrived = super().load(count, first)
        if arrived > first + count:
            self.seen.add("loader")
        return arrived

    def advance(self, earliest: int, row: bool = True) -> None:
        if earliest == self.drained > self.step + 1:
            self.seen.add("drain")
        if row and not self.weight_writes.isdisjoint(range(self.row_free, self.row_free + self.chip.row_beats)):
            self.seen.add("row")
        super().advance(earliest, row)
