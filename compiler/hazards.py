"""What must stay ordered in a sequential list of instructions, and the streams that keep it so.

The list, executed one instruction after the other, says what is meant. `Hazards` finds for each instruction those
before it that it must not overtake (read after write, write after read, write after write), and the pages it uses,
which no instruction of another engine may use meanwhile. `compiler.queueing` then gives every engine its order, and
`compiler.tokens` the tokens.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache, cached_property

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
    uses, is left out.
    """

    def __init__(self, issued: Sequence[Issue], chip: Chip):
        self.engines = [engine for engine, _ in issued]
        self.pages = _masks(issued, chip)
        self.durations = [duration(item, chip) for _, item in issued]
        self.before = _dependencies(self.engines, [footprint(item, chip) for _, item in issued])
        self.streams: dict[Engine, list[int]] = {engine: [] for engine in Engine}
        for index, engine in enumerate(self.engines):
            self.streams[engine].append(index)

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


def _masks(issued: Sequence[Issue], chip: Chip) -> list[int]:
    numbers: dict[Page, int] = {}
    known: dict[tuple[frozenset[Page], bool], int] = {}
    masks = []
    for engine, item in issued:
        asked = spaces(item, chip), engine == Engine.DMA
        if asked not in known:
            used = [page for page in asked[0] if page[0] != Store.EXTERNAL]
            if engine != Engine.DMA:
                used += [(memory, _WHOLE) for memory, _ in used]
            known[asked] = sum(1 << numbers.setdefault(page, len(numbers)) for page in set(used))
        masks.append(known[asked])
    return masks


@cache
def page_bits(mask: int) -> tuple[int, ...]:
    """The numbers of the pages in a mask."""
    return tuple(place for place in range(mask.bit_length()) if mask >> place & 1)


class _Last:
    """For each word of a memory the last instruction that did something to it, or -1: runs of words alike."""

    def __init__(self):
        self.starts = [0]
        self.values = [-1]

    def within(self, span: Span) -> list[int]:
        """What the words of a span have, in order; the same value may come twice."""
        return self.values[bisect_right(self.starts, span.start) - 1 : bisect_left(self.starts, span.stop)]

    def put(self, span: Span, value: int) -> None:
        """Let all words of a span have `value`."""
        first, after = bisect_left(self.starts, span.start), bisect_left(self.starts, span.stop)
        starts, values = [span.start], [value]
        if after == len(self.starts) or self.starts[after] != span.stop:
            starts.append(span.stop)
            values.append(self.values[after - 1])
        self.starts[first:after], self.values[first:after] = starts, values


class _Memory:
    """Of each word of a memory, the last instruction of each engine that wrote it, and that read it."""

    def __init__(self):
        self.written = {engine: _Last() for engine in Engine}
        self.read = {engine: _Last() for engine in Engine}


def _dependencies(engines: list[Engine], footprints: list[Footprint]) -> list[tuple[int, ...]]:
    memories = {store: _Memory() for store in Store}
    present = sorted(set(engines))
    before = []
    for index, (engine, (reads, writes)) in enumerate(zip(engines, footprints, strict=True)):
        # the DMA's stream may be reordered; two readings of the same words stay, so that the last stands for all
        others = [other for other in present if other != engine or engine == Engine.DMA]
        found: set[int] = set()
        for span in reads:
            memory = memories[span.store]
            for other in others:
                _collect(found, memory.written[other], span, other)
            if engine == Engine.DMA:
                _collect(found, memory.read[engine], span, engine)
        for span in writes:
            memory = memories[span.store]
            for other in others:
                _collect(found, memory.written[other], span, other)
                _collect(found, memory.read[other], span, other)
        for span in reads:
            memories[span.store].read[engine].put(span, index)
        for span in writes:
            memories[span.store].written[engine].put(span, index)
        found.discard(-1)
        before.append(tuple(sorted(found)))
    return before


def _collect(found: set[int], last: _Last, span: Span, engine: Engine) -> None:
    """Add what an engine did to a span: all if it is the DMA, else the last, as the others keep their order."""
    values = last.within(span)
    if engine == Engine.DMA:
        found.update(values)
    else:
        found.add(max(values))
