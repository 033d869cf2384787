"""Chunks of weights: rows that are too many come, and go if they are changed, some outer groups after the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from arch.layout import Store
from compiler.graph import Operator
from compiler.maps import MATRICES, long_map
from compiler.memory import Memory, Unfit, buffer_name, least
from compiler.needs import outer_groups
from compiler.plan import Run
from compiler.rows import overwritten
from compiler.views import RowView
from compiler.walks import LONGEST_ROW
from compiler.working_sets import Places, WorkingSet, counted

_COUNTS = (8, 12, 16, 32, 64, 128, 256, 512, 1024)
"""How many chunks of a weight are tried."""


class Chunk(NamedTuple):
    """Rows `start` ... `stop`-1 of a weight: outer groups from `first`; of a piece of a product, blocks `part`."""

    first: int
    groups: int
    start: int
    stop: int
    part: tuple[int, int] | None = None


class Chunks(WorkingSet):
    """An operation whose weight passes by, its maps whole."""

    def possible(self, memory: Memory) -> bool:
        """Whether there are rows that can pass by."""
        return bool(cut_weight(self, memory))

    def run(self, memory: Memory, places: Places) -> None:
        """Run with the largest chunks that fit. Raises `Unfit`."""
        name = cut_weight(self, memory)
        self.settle(memory, places, ())
        self.bring_rows(memory, name)
        failures: list[Unfit] = []
        for buffers, chunks in ((buffers, chunks) for buffers in (2, 1) for chunks in cuts(self, name)):
            trial = memory.copy()
            try:
                self._pass(trial, name, chunks, buffers)
            except Unfit as unfit:
                failures.append(unfit)
                continue
            memory.adopt(trial)
            self.finish(memory)
            return
        raise least(failures, memory.chip)

    def _pass(self, memory: Memory, name: str, chunks: list[Chunk], fewest: int) -> None:
        """Chunk after chunk through as many buffers as there is room for, at least `fewest`."""
        rows = max(chunk.stop - chunk.start for chunk in chunks)
        buffers: list[str] = []
        while len(buffers) < len(chunks):
            buffer = buffer_name(name, len(buffers))
            if len(buffers) >= fewest and memory.rooms[Store.WEIGHT].fit(rows) is None:
                break
            memory.place(buffer, Store.WEIGHT, rows, {*self.locked, *buffers})
            buffers.append(buffer)
        shared = self.map_views(memory) | self.row_views(memory, self.operation)
        for number, chunk in enumerate(chunks):
            base = memory.base(buffers[number % len(buffers)])
            if not overwritten(self.operation, name):
                move_chunk(memory, name, chunk, base, False)
            views = shared | {name: RowView(base, chunk.first, chunk.groups, self.fraction(name))}
            memory.steps.append([Run(counted(self.operation, number == len(chunks) - 1), views, chunk.part)])
            if self.operation.output == name:
                move_chunk(memory, name, chunk, base, True)
        for buffer in buffers:
            memory.give(buffer)


def cut_weight(work: WorkingSet, memory: Memory) -> str:
    """The row tensor of an operation that can pass by in chunks; "" if there is none."""
    operation = work.operation
    name = operation.output if operation.output in work.units else operation.weight
    alone = name in work.units and len(work.tensors.units[name].offsets) == 1
    return name if alone and name not in memory.fixed else ""


def cuts(work: WorkingSet, name: str) -> Iterator[list[Chunk]]:
    """Ways to cut a weight, larger chunks first; one of which all is needed at once is not cut."""
    operation, tensors = work.operation, work.tensors
    groups, layout = outer_groups(operation, tensors.kernels), tensors.kernels.layout(name)
    if groups < layout.outer:
        yield [Chunk(0, layout.outer, 0, layout.count)]
    else:
        for count in _COUNTS:
            size = -(-groups // count)
            starts = range(0, groups, size)
            yield [Chunk(g, min(size, groups - g), layout.start(g), layout.start(g + size)) for g in starts]
            if size == 1:
                break
    if operation.operator in MATRICES and tensors.layouts[long_map(operation)].is_line:
        for count in _COUNTS:
            yield _pieces(work, name, count)


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
    return [Chunk(g, 1, starts[g] + a * outputs[g], starts[g] + b * outputs[g], (a, b)) for g, (a, b) in order]


def move_chunk(memory: Memory, name: str, chunk: Chunk, base: int, outward: bool) -> None:
    """Transfers of a chunk that stands at row `base`."""
    rows = range(base, base + chunk.stop - chunk.start)
    memory.move(name, Store.WEIGHT, rows, chunk.start * memory.chip.taps, outward)
