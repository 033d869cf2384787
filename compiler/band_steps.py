"""The steps of operations that run in turn, band after band: made when they are asked for, as most are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from compiler.band_needs import Band
from compiler.chunks import Chunk, move_chunk
from compiler.graph import Operation
from compiler.memory import Memory
from compiler.plan import Move, Run
from compiler.rows import overwritten
from compiler.transfers import Lines
from compiler.views import MapView, RowView
from compiler.walks import Tile
from compiler.working_sets import STORES, Places, WorkingSet, counted

_Views = dict[str, MapView | RowView]


class Passing(NamedTuple):
    """A row tensor that passes by in every band, "" if none does; how it is cut, and the buffers of its chunks."""

    weight: str
    chunks: Sequence[Chunk]
    buffers: int


@dataclass(frozen=True)
class BandSteps:
    """What `work` does in a `memory` that holds everything but the `streamed` maps, for which it has `buffers`.

    `bands` come one after the other. The memory is as it is while the bands run, for good.
    """

    work: WorkingSet
    memory: Memory
    places: Places
    streamed: Sequence[str]
    passing: Passing
    bands: Sequence[Band]
    buffers: Mapping[str, Sequence[str]]

    def __iter__(self) -> Iterator[Run | Move]:
        memory = self.memory.copy()
        rows = {operation.output: self.work.row_views(memory, operation) for operation in self.work.operations}
        for number, band in enumerate(self.bands):
            bases = {name: memory.base(some[number % len(some)]) for name, some in self.buffers.items()}
            for name in self.streamed:
                if name != self.work.output:
                    self._move(memory, name, bases[name], band[name], False)
            for operation in self.work.operations:
                views = rows[operation.output] | self._map_views(memory, operation, bases, band)
                part = replace(operation, accumulate=True) if self._adds(number) else operation
                self._run(memory, part, views, number == len(self.bands) - 1)
            if self.work.output in self.streamed:
                self._move(memory, self.work.output, bases[self.work.output], band[self.work.output], True)
        return chain.from_iterable(memory.steps)

    def _run(self, memory: Memory, operation: Operation, views: _Views, last: bool) -> None:
        """A band of an operation, with all of its weight or chunk after chunk of it."""
        name, chunks = self.passing.weight, self.passing.chunks
        if not chunks:
            memory.steps.append([Run(counted(operation, last), views)])
        for number, chunk in enumerate(chunks):
            base = memory.base(self.buffers[name][number % self.passing.buffers])
            if not overwritten(operation, name):
                move_chunk(memory, name, chunk, base, False)
            seen = views | {name: chunk.view(base, self.work.fraction(name))}
            memory.steps.append([Run(counted(operation, last and number == len(chunks) - 1), seen, chunk.part)])
            if operation.output == name:
                move_chunk(memory, name, chunk, base, True)

    def _adds(self, number: int) -> bool:
        """Whether band `number` of a gradient is to be added to what the bands before made."""
        return self.work.sums and number > 0 and not self.work.operation.update

    def _map_views(self, memory: Memory, operation: Operation, bases: dict[str, int], band: Band) -> _Views:
        views: _Views = {}
        for name in self.work.tensors.maps(operation):
            layout, part = self.work.tensors.layouts[name], band[name]
            if name in bases:
                views[name] = layout.narrowed(part.width, memory.chip).view(self.places[name], bases[name], part)
            else:
                first = memory.base(name) + part.top * layout.pitch + part.left
                views[name] = layout.view(self.places[name], first, part)
        return views

    def _move(self, memory: Memory, name: str, base: int, part: Tile, outward: bool) -> None:
        """Transfers of rows, which are neighbours; or of some columns, plane by plane or row by row."""
        layout, store = self.work.tensors.layouts[name], STORES[self.places[name]]
        offset = part.top * layout.pitch
        if part.width == layout.width:
            memory.move(name, store, range(base, base + layout.row_words(part.height)), offset, outward)
            return
        here = layout.narrowed(part.width, memory.chip)
        planes = layout.planes, here.plane, layout.plane
        rows = part.height, here.pitch, layout.pitch
        some, others = (rows, planes) if part.height <= layout.planes else (planes, rows)
        lines = Lines(others[0], part.width, others[1], others[2])
        for k in range(some[0]):
            memory.move_lines(name, store, base + k * some[1], lines, offset + part.left + k * some[2], outward)
