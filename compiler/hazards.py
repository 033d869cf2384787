"""What must stay ordered in a sequential list of instructions, and the streams that keep it so.

The list, executed one instruction after the other, says what is meant. `Hazards` finds for each instruction those
before it that it must not overtake (read after write, write after read, write after write), and the pages it uses,
which no instruction of another engine may use meanwhile. `compiler.queueing` then gives every engine its order, and
`compiler.tokens` the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from arch.chip import Chip
from arch.isa import Engine, Instruction
from arch.layout import Store
from arch.pages import Page, spaces
from arch.timing import duration
from compiler.footprints import Footprint, Span, footprint

Issue = tuple[Engine, Instruction]
"""An instruction and the engine that executes it."""


_WHOLE = -1
"""In place of a page: a memory, which the array and the vector engine use whole, but not the DMA."""


class Hazards:
    """Of each instruction of a list: `before`, `pages` and `durations`; and each engine's indices, `streams`.

    `before[i]` are indices below i of instructions that must retire before i starts, but for those of its own engine
    if that is not the DMA, whose stream may be reordered. `pages[i]` is a mask of what no other engine may use
    meanwhile: pages, and whole memories between the array and the vector engine; the external memory, which one engine
    uses, is left out. `used[i]` are the same as numbers of `page_names`.
    """

    def __init__(self, issued: Sequence[Issue], chip: Chip):
        self.engines = [engine for engine, _ in issued]
        footprints = [footprint(item, chip) for _, item in issued]
        self.page_names: list[Page] = []
        self.pages = self._masks(issued, chip)
        self.durations = [duration(item, chip) for _, item in issued]
        self.before = _dependencies(self.engines, footprints)
        self.used = [_bits(mask) for mask in self.pages]
        self.streams: dict[Engine, list[int]] = {engine: [] for engine in Engine}
        for index, engine in enumerate(self.engines):
            self.streams[engine].append(index)

    def _masks(self, issued: Sequence[Issue], chip: Chip) -> list[int]:
        numbers: dict[Page, int] = {}
        masks = []
        for engine, item in issued:
            mask = 0
            used = [page for page in spaces(item, chip) if page[0] != Store.EXTERNAL]
            if engine != Engine.DMA:
                used += [(memory, _WHOLE) for memory, _ in used]
            for page in used:
                mask |= 1 << numbers.setdefault(page, len(numbers))
            masks.append(mask)
        self.page_names = list(numbers)
        return masks

    @cached_property
    def deadlines(self) -> list[int]:
        """For each instruction, the first one after it of another engine than the DMA that waits for it, directly or
        through others of the DMA; the list's length if none does."""
        count = len(self.engines)
        result = [count] * count
        for index in reversed(range(count)):
            own = result[index] if self.engines[index] == Engine.DMA else index
            for earlier in self.before[index]:
                result[earlier] = min(result[earlier], own)
        return result


class _Memory:
    """For each word of a memory, the last instruction of each engine that wrote it, and that read it; -1 is none."""

    def __init__(self, words: int):
        self.written = np.full((len(Engine), words), -1, np.int32)
        self.read = np.full((len(Engine), words), -1, np.int32)


def _dependencies(engines: list[Engine], footprints: list[Footprint]) -> list[tuple[int, ...]]:
    memories = {store: _Memory(words) for store, words in _extents(footprints).items()}
    before = []
    for index, (engine, (reads, writes)) in enumerate(zip(engines, footprints, strict=True)):
        found: set[int] = set()
        for span in reads:
            memory = memories[span.store]
            _collect(found, memory.written, span, engine)
            if engine == Engine.DMA:  # two readings of the same words stay in order, so that the last stands for all
                _latest(found, memory.read[Engine.DMA], span)
        for span in writes:
            memory = memories[span.store]
            _collect(found, memory.written, span, engine)
            _collect(found, memory.read, span, engine)
        for span in reads:
            memories[span.store].read[engine, span.start : span.stop] = index
        for span in writes:
            memories[span.store].written[engine, span.start : span.stop] = index
        found.discard(-1)
        before.append(tuple(sorted(found)))
    return before


def _extents(footprints: list[Footprint]) -> dict[Store, int]:
    words: dict[Store, int] = {}
    for item in footprints:
        for span in (*item.reads, *item.writes):
            words[span.store] = max(words.get(span.store, 0), span.stop)
    return words


def _collect(found: set[int], table: np.ndarray, span: Span, engine: Engine) -> None:
    """Add what `table` holds of a span: all of the DMA's, of the others the last, as they keep their order."""
    for other in Engine:
        if other == Engine.DMA:
            _latest(found, table[other], span)
        elif other != engine:
            found.add(int(table[other, span.start : span.stop].max()))


def _latest(found: set[int], row: np.ndarray, span: Span) -> None:
    words = row[span.start : span.stop]
    changes = np.flatnonzero(words[1:] != words[:-1])
    found.update(words[changes].tolist())
    found.add(int(words[-1]))


def _bits(mask: int) -> tuple[int, ...]:
    return tuple(place for place in range(mask.bit_length()) if mask >> place & 1)
