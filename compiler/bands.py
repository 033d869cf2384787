"""Bands: maps that are too large pass by through buffers, from and to the external memory, or never leave the chip
because the operations that make and read them run in turn, band after band of rows; of some columns, if need be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product

from arch.isa import Space
from arch.layout import Store
from compiler.band_needs import BandNeeds, Grid
from compiler.band_steps import BandSteps, Passing
from compiler.chunks import Chunk, cut_weight, cuts
from compiler.graph import Operation
from compiler.memory import Memory, Unfit, buffer_name, least
from compiler.needs import can_band
from compiler.working_sets import STORES, Places, Tensors, WorkingSet

LONGEST = 4
"""The most operations that run in turn."""
COUNTS = (4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024)
"""How many bands of a map are tried."""


class Bands(WorkingSet):
    """Operations, each reading what the one before makes, run in bands of the last one's rows.

    A parameter's gradient is summed over bands of the output's gradient, rounded after each.
    """

    shares: Sequence[float] = (1 / 8,)
    """Shares of the weight memory that a chunk may take, in the order in which they are tried."""

    def __init__(self, tensors: Tensors, entry: Sequence[Operation], first: int, count: int = 1):
        super().__init__(tensors, entry, first, count)
        self.chip = tensors.kernels.chip
        self.needs = BandNeeds(self)
        self.one_layer = count > 1 and len({operation.layer for operation in self.operations}) == 1
        """Whether all are parts of one layer, each of whose maps several may read."""

    def possible(self, memory: Memory) -> bool:
        """Whether bands exist, and all but the last map that is made are read by the next operation alone, or by parts
        of the same layer."""
        if not self.cuttable or not (self.inner or self._able(memory)):
            return False
        if self.sums:
            return len(self.operations) == 1
        if not all(can_band(operation) for operation in self.operations):
            return False
        first = self.last + 1 - len(self.operations)
        if self.one_layer:
            return all(memory.uses[name][-1] <= self.last for name in self.inner)
        return all(
            memory.uses[name] == [first + k, first + k + 1] and name in self.operations[k + 1].inputs
            for k, name in enumerate(self.inner)
        )

    def run(self, memory: Memory, places: Places) -> None:
        """Run with as few maps passing by as can be, and the weight too if it must. Raises `Unfit`."""
        failures: list[Unfit] = []
        for passing in self._weights(memory):
            try:
                self._stream(memory, places, passing)
            except Unfit as unfit:
                failures.append(unfit)
            else:
                return
        raise least(failures, self.chip)

    def _weights(self, memory: Memory) -> Iterator[Passing]:
        """What passes by of the weight, and in how many buffers: nothing, or chunks of some share of the weight memory,
        or the smallest."""
        yield Passing("", [], 0)
        weight = cut_weight(self, memory) if len(self.operations) == 1 else ""
        if not weight:
            return
        chunks: list[Chunk] = []
        for share in self.shares:
            for chunks in cuts(self, weight):
                if max(chunk.size for chunk in chunks) <= share * memory.chip.weight_rows:
                    break
            yield Passing(weight, chunks, 2)
        yield Passing(weight, chunks, 1)

    def _stream(self, memory: Memory, places: Places, passing: Passing) -> None:
        able = self._able(memory)
        failures: list[Unfit] = []
        for count in range(len(able) + 1):
            done: list[Memory] = []
            for streamed in combinations(able, count) if count or self.inner else ():
                trial = memory.copy()
                try:
                    self._banded(trial, places, streamed, passing)
                except Unfit as unfit:
                    failures.append(unfit)
                else:
                    done.append(trial)
            if done:
                memory.adopt(min(done, key=lambda trial: trial.cost))
                return
        raise least(failures, self.chip)

    def _able(self, memory: Memory) -> list[str]:
        """The maps that can pass by."""
        free = [name for name in self.maps if name not in self.inner and name not in memory.fixed]
        return [name for name in free if self.tensors.layouts[name].banded]

    def _banded(self, memory: Memory, places: Places, streamed: Sequence[str], passing: Passing) -> None:
        self.settle(memory, places, streamed)
        self.bring_rows(memory, [passing.weight])
        failures: list[Unfit] = []
        for buffers, grid in self.ways(streamed, passing):
            trial = memory.copy()
            try:
                self._pass(trial, places, streamed, passing, grid, buffers)
            except Unfit as unfit:
                failures.append(unfit)
                continue
            memory.adopt(trial)
            again = [name for name in streamed if memory.next_use(name) is not None]
            memory.cost += sum(memory.traffic(name, memory.sizes[name]) for name in again)
            self.finish(memory)
            return
        raise least(failures, self.chip)

    @property
    def cuttable(self) -> bool:
        """Whether there are rows to cut."""
        return COUNTS[0] < 2 * self.height

    def ways(self, streamed: Sequence[str], passing: Passing) -> Iterable[tuple[int, Grid]]:
        """How many buffers and which bands are tried, the best first."""
        counts = [count for count in COUNTS if count < 2 * self.height]
        return product((2, 1), [(-(-self.height // count), self.width) for count in counts])

    def _pass(
        self, memory: Memory, places: Places, streamed: Sequence[str], passing: Passing, grid: Grid, buffers: int
    ) -> None:
        """Band after band; maps that pass by have `buffers`, for transfers beside the array's work."""
        counts = dict.fromkeys(self.inner, 1) | dict.fromkeys(streamed, min(buffers, self.needs.count(grid)))
        names = {name: [buffer_name(name, k) for k in range(count)] for name, count in counts.items()}
        locked = {*self.locked, *(buffer for some in names.values() for buffer in some)}
        if passing.chunks:
            names[passing.weight] = [buffer_name(passing.weight, k) for k in range(passing.buffers)]
            for buffer in names[passing.weight]:
                most = max(chunk.size for chunk in passing.chunks)
                memory.place(buffer, Store.WEIGHT, most, {*self.locked, *names[passing.weight]})
        holders = self._holders(places) if self.one_layer else {}
        for name in counts:
            if holders.get(name, name) != name:
                names[name] = names[holders[name]]
                continue
            members = [name, *(other for other, holder in holders.items() if holder == name)]
            words = max(self.needs.held(grid, member) for member in members)
            for buffer in names[name]:
                memory.place(buffer, STORES[places[name]], words, locked)
        for name in sorted(streamed, key=lambda name: name == self.output):
            memory.home(name, STORES[places[name]])
            memory.cost += memory.traffic(name, self.needs.moved(grid, name))
        memory.steps.append(BandSteps(self, memory.copy(), places, streamed, passing, self.needs.bands(grid), names))
        if self.output in streamed:
            memory.valid.add(self.output)
        for buffer in dict.fromkeys(buffer for some in names.values() for buffer in some):
            memory.give(buffer)
        memory.cost += self.needs.repeated(grid)

    def _holders(self, places: Places) -> dict[str, str]:
        """For each inner map the one whose buffer it takes over when nothing reads that one any more."""
        last = {name: k for k, operation in enumerate(self.operations) for name in operation.reads}
        holders: dict[str, str] = {}
        free: dict[Space, list[str]] = {space: [] for space in Space}
        for k, name in enumerate(self.inner):
            for other in self.inner[:k]:
                if last[other] == k - 1:
                    free[places[other]].append(holders[other])
            holders[name] = free[places[name]].pop() if free[places[name]] else name
        return holders
