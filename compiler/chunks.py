"""Chunks of weights: rows that are too many come, and go if they changed, some outer or inner groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from arch.layout import Store
from compiler.graph import Operator
from compiler.maps import MATRICES, long_map
from compiler.memory import Memory, Unfit, buffer_name, least
from compiler.needs import inner_groups, outer_groups
from compiler.plan import Run
from compiler.rows import overwritten
from compiler.transfers import Lines
from compiler.views import RowView
from compiler.walks import LONGEST_ROW
from compiler.working_sets import Places, WorkingSet, counted

_COUNTS = (8, 12, 16, 32, 64, 128, 256, 512, 1024)
"""How many chunks of a weight are tried."""


class Chunk(NamedTuple):
    """Rows of a weight: `lines` of `rows` rows, the first from row `start` on, each `apart` rows after the one before.

    They are outer groups from `first` on; with `inner`, these inner groups of each; of a piece of a product, blocks
    `part`; of an update, rows `part`.
    """

    first: int
    groups: int
    start: int
    rows: int
    lines: int = 1
    apart: int = 0
    inner: range | None = None
    part: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Rows that it takes on the chip."""
        return self.rows * self.lines

    def view(self, row: int, fraction: int) -> RowView:
        """What an operation sees of it at `row`."""
        return RowView(row, self.first, self.groups, fraction, self.inner)


class Chunks(WorkingSet):
    """An operation whose weight passes by, its maps whole."""

    def possible(self, memory: Memory) -> bool:
        """Whether there are rows that can pass by."""
        return bool(self._passing(memory))

    def run(self, memory: Memory, places: Places) -> None:
        """Run with the largest chunks that fit. Raises `Unfit`."""
        names = self._passing(memory)
        self.settle(memory, places, ())
        self.bring_rows(memory, names)
        failures: list[Unfit] = []
        for buffers, chunks in ((buffers, chunks) for buffers in (2, 1) for chunks in cuts(self, names[0])):
            trial = memory.copy()
            try:
                self._pass(trial, names, chunks, buffers)
            except Unfit as unfit:
                failures.append(unfit)
                continue
            memory.adopt(trial)
            self.finish(memory)
            return
        raise least(failures, memory.chip)

    def _passing(self, memory: Memory) -> Sequence[str]:
        """The row tensors that pass by: an operation's weight, or all that an update takes."""
        names: Sequence[str] = (cut_weight(self, memory),)
        if self.operation.operator == Operator.UPDATE:
            names = tuple(dict.fromkeys((*self.operation.inputs, self.operation.output)))
        return names if all(_can_pass(self, memory, name) for name in names) else ()

    def _pass(self, memory: Memory, names: Sequence[str], chunks: list[Chunk], fewest: int) -> None:
        """Chunk after chunk through as many buffers as there is room for, at least `fewest`."""
        rows = len(names) * max(chunk.size for chunk in chunks)
        buffers: list[str] = []
        while len(buffers) < len(chunks):
            buffer = buffer_name(names[0], len(buffers))
            if len(buffers) >= fewest and memory.rooms[Store.WEIGHT].fit(rows) is None:
                break
            memory.place(buffer, Store.WEIGHT, rows, {*self.locked, *buffers})
            buffers.append(buffer)
        shared = self.map_views(memory) | self.row_views(memory, self.operation)
        for number, chunk in enumerate(chunks):
            base = memory.base(buffers[number % len(buffers)])
            rows_at = {name: base + k * chunk.size for k, name in enumerate(names)}
            for name, row in rows_at.items():
                if not overwritten(self.operation, name):
                    move_chunk(memory, name, chunk, row, False)
            views = shared | {name: chunk.view(row, self.fraction(name)) for name, row in rows_at.items()}
            memory.steps.append([Run(counted(self.operation, number == len(chunks) - 1), views, chunk.part)])
            output = self.operation.output
            if output in rows_at:
                move_chunk(memory, output, chunk, rows_at[output], True)
        for buffer in buffers:
            memory.give(buffer)


def cut_weight(work: WorkingSet, memory: Memory) -> str:
    """The row tensor of an operation that can pass by in chunks; "" if there is none."""
    operation = work.operation
    name = operation.output if operation.output in work.units else operation.weight
    return name if _can_pass(work, memory, name) else ""


def _can_pass(work: WorkingSet, memory: Memory, name: str) -> bool:
    return name in work.units and len(work.tensors.units[name].offsets) == 1 and name not in memory.fixed


def cuts(work: WorkingSet, name: str) -> Iterator[list[Chunk]]:
    """Ways to cut a weight, larger chunks first; one of which all is needed at once is not cut."""
    operation, tensors = work.operation, work.tensors
    layout, outer = tensors.kernels.layout(name), outer_groups(operation, tensors.kernels)
    inner = inner_groups(operation, tensors.kernels)
    if operation.operator == Operator.UPDATE:
        for some in _ranges(layout.count):
            yield [Chunk(0, layout.outer, r.start, len(r), part=(r.start, r.stop)) for r in some]
    elif inner > 1:
        rows = layout.each // inner
        for some in _ranges(inner):
            yield [Chunk(0, layout.outer, r.start * rows, len(r) * rows, layout.outer, layout.each, r) for r in some]
    elif outer < layout.outer:
        yield [Chunk(0, layout.outer, 0, layout.count)]
    else:
        for some in _ranges(outer):
            starts = [layout.start(r.start) for r in some] + [layout.count]
            yield [Chunk(r.start, len(r), a, b - a) for r, (a, b) in zip(some, pairwise(starts), strict=True)]
    if operation.operator in MATRICES and tensors.layouts[long_map(operation)].is_line:
        for count in _COUNTS:
            yield _pieces(work, name, count)


def _ranges(extent: int) -> Iterator[list[range]]:
    """Ways to cut 0 ... extent-1 into ranges, alike but for the last one."""
    for count in _COUNTS:
        size = -(-extent // count)
        yield [range(first, min(first + size, extent)) for first in range(0, extent, size)]
        if size == 1:
            break


def _pieces(work: WorkingSet, name: str, count: int) -> list[Chunk]:
    """Parts of a matrix product, cut into blocks of T words of the long map: every block has a row for each output.

    An input gradient's sums over all outputs are made for some blocks after the other, as many as have accumulators.
    """
    layout, chip = work.tensors.kernels.layout(name), work.tensors.kernels.chip
    sums = work.operation.operator == Operator.GEMM_INPUT_GRADIENT and layout.outer > 1
    outputs = [min(layout.shape[0] - group * chip.multipliers, chip.multipliers) for group in range(layout.outer)]
    blocks = layout.start(1) // outputs[0]
    size = min(-(-blocks // count), LONGEST_ROW // chip.taps, chip.accumulator_banks if sums else blocks)
    parts = [(first, min(first + size, blocks)) for first in range(0, blocks, size)]
    groups = range(layout.outer)
    order = [(g, part) for part in parts for g in groups] if sums else [(g, part) for g in groups for part in parts]
    starts = [layout.start(g) for g in groups]
    return [Chunk(g, 1, starts[g] + a * outputs[g], (b - a) * outputs[g], part=(a, b)) for g, (a, b) in order]


def move_chunk(memory: Memory, name: str, chunk: Chunk, base: int, outward: bool) -> None:
    """Transfers of a chunk that stands at row `base`."""
    taps = memory.chip.taps
    if chunk.lines == 1:
        memory.move(name, Store.WEIGHT, range(base, base + chunk.rows), chunk.start * taps, outward)
        return
    lines = Lines(chunk.lines, chunk.rows, chunk.rows, chunk.apart * taps)
    memory.move_lines(name, Store.WEIGHT, base, lines, chunk.start * taps, outward)
