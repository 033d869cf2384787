"""Bands of rows: maps that are too large pass by through buffers, from and to the external memory, or never leave the
chip because the operations that make and read them run in turn, band after band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from arch.isa import Space
from arch.layout import Store
from compiler.band_steps import Band, BandSteps, Passing
from compiler.chunks import Chunk, cut_weight, cuts
from compiler.graph import Operation
from compiler.memory import Memory, Unfit, buffer_name
from compiler.needs import can_band, source_rows
from compiler.working_sets import STORES, Places, Tensors, WorkingSet

LONGEST = 4
"""The most operations that run in turn."""
_COUNTS = (4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512, 1024)
"""How many bands of a map are tried."""


class Bands(WorkingSet):
    """Operations, each reading what the one before makes, run in bands of the last one's rows.

    A parameter's gradient is summed over bands of the output's gradient, rounded after each.
    """

    def __init__(self, tensors: Tensors, entry: Sequence[Operation], first: int, count: int = 1):
        super().__init__(tensors, entry, first, count)
        self._known: dict[int, list[dict[str, Band]]] = {}
        self.one_layer = count > 1 and len({operation.layer for operation in self.operations}) == 1
        """Whether all are parts of one layer, each of whose maps several may read."""
        self._words: dict[tuple[int, str], list[int]] = {}

    def possible(self, memory: Memory) -> bool:
        """Whether bands exist, and all but the last map that is made are read by the next operation alone, or by parts
        of the same layer."""
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
        failure = Unfit(self.banded, STORES[places[self.banded]], 1)
        for passing in self._weights(memory):
            try:
                self._stream(memory, places, passing)
            except Unfit as unfit:
                failure = unfit
            else:
                return
        raise failure

    def _weights(self, memory: Memory) -> Iterator[Passing]:
        """What passes by of the weight, and in how many buffers: nothing, or chunks of an eighth of the weight memory,
        or the smallest."""
        yield Passing("", [], 0)
        weight = cut_weight(self, memory) if len(self.operations) == 1 else ""
        chunks: list[Chunk] = []
        for chunks in cuts(self, weight) if weight else ():
            if max(chunk.stop - chunk.start for chunk in chunks) * 8 <= memory.chip.weight_rows:
                break
        if chunks:
            yield Passing(weight, chunks, 2)
            yield Passing(weight, chunks, 1)

    def _stream(self, memory: Memory, places: Places, passing: Passing) -> None:
        able = [name for name in self.maps if name not in self.inner and name not in memory.fixed]
        able = [name for name in able if self.tensors.layouts[name].banded]
        failure = Unfit(self.banded, STORES[places[self.banded]], 1)
        for count in range(len(able) + 1):
            done: list[Memory] = []
            for streamed in combinations(able, count) if count or self.inner else ():
                trial = memory.copy()
                try:
                    self._banded(trial, places, streamed, passing)
                except Unfit as unfit:
                    failure = unfit
                else:
                    done.append(trial)
            if done:
                memory.adopt(min(done, key=lambda trial: trial.cost))
                return
        raise failure

    def _banded(self, memory: Memory, places: Places, streamed: Sequence[str], passing: Passing) -> None:
        self.settle(memory, places, streamed)
        self.bring_rows(memory, passing.weight)
        failure = Unfit(self.banded, STORES[places[self.banded]], 1)
        for buffers in (2, 1):
            for count in _COUNTS:
                if count >= 2 * self.height:
                    break
                trial = memory.copy()
                try:
                    self._pass(trial, places, streamed, passing, -(-self.height // count), buffers)
                except Unfit as unfit:
                    failure = unfit
                    continue
                memory.adopt(trial)
                memory.cost += sum(memory.sizes[name] for name in streamed if memory.next_use(name) is not None)
                self.finish(memory)
                return
        raise failure

    def _needed(self, rows: int) -> list[dict[str, Band]]:
        """The rows of every map that each band of `rows` rows of the last output needs."""
        if rows not in self._known:
            starts = range(0, self.height, rows)
            self._known[rows] = [self._rows((first, min(rows, self.height - first))) for first in starts]
        return self._known[rows]

    def _band_words(self, rows: int, name: str) -> list[int]:
        """Words of a map that each band of `rows` rows needs."""
        if (rows, name) not in self._words:
            layout = self.tensors.layouts[name]
            self._words[rows, name] = [layout.row_words(band[name][1]) for band in self._needed(rows)]
        return self._words[rows, name]

    def _pass(
        self, memory: Memory, places: Places, streamed: Sequence[str], passing: Passing, rows: int, buffers: int
    ) -> None:
        """Band after band; maps that pass by have `buffers`, for transfers beside the array's work."""
        counts = dict.fromkeys(self.inner, 1) | dict.fromkeys(streamed, min(buffers, len(self._needed(rows))))
        names = {name: [buffer_name(name, k) for k in range(count)] for name, count in counts.items()}
        locked = {*self.locked, *(buffer for some in names.values() for buffer in some)}
        if passing.chunks:
            names[passing.weight] = [buffer_name(passing.weight, k) for k in range(passing.buffers)]
            for buffer in names[passing.weight]:
                most = max(chunk.stop - chunk.start for chunk in passing.chunks)
                memory.place(buffer, Store.WEIGHT, most, {*self.locked, *names[passing.weight]})
        holders = self._holders(places) if self.one_layer else {}
        for name in counts:
            if holders.get(name, name) != name:
                names[name] = names[holders[name]]
                continue
            members = [name, *(other for other, holder in holders.items() if holder == name)]
            words = max(max(self._band_words(rows, member)) for member in members)
            for buffer in names[name]:
                memory.place(buffer, STORES[places[name]], words, locked)
        for name in sorted(streamed, key=lambda name: name == self.output):
            memory.home(name, STORES[places[name]])
            memory.cost += sum(self._band_words(rows, name))
        memory.steps.append(BandSteps(self, memory.copy(), places, streamed, passing, self._needed(rows), names))
        if self.output in streamed:
            memory.valid.add(self.output)
        for buffer in dict.fromkeys(buffer for some in names.values() for buffer in some):
            memory.give(buffer)
        memory.cost += self._repeated(self._needed(rows))

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

    def _cut(self, operation: Operation) -> str:
        return self.banded if self.sums else operation.output

    def _rows(self, band: Band) -> dict[str, Band]:
        """The rows of every map that a band of the last output needs."""
        rows: dict[str, Band] = {self.banded: band}
        for operation in reversed(self.operations):
            there = rows[self._cut(operation)]
            for name in self.tensors.maps(operation):
                if name == self._cut(operation):
                    continue
                some = source_rows(operation, self.tensors.graph, *there) if name in operation.inputs else there
                first, stop = some[0], some[0] + some[1]
                if name in rows:
                    first, stop = min(first, rows[name][0]), max(stop, sum(rows[name]))
                rows[name] = first, stop - first
        return rows

    def _repeated(self, needed: list[dict[str, Band]]) -> float:
        """What is computed again where bands overlap, as the words that could be moved meanwhile."""
        cost = 0.0
        for operation in self.operations[:-1]:
            height = self.tensors.layouts[operation.output].height
            again = sum(band[operation.output][1] for band in needed) - height
            chip = self.tensors.kernels.chip
            cost += max(0, again) * operation.macs / height / chip.multipliers / max(1, chip.external_beats)
        return cost
