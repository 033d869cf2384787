"""Which words of which memories an instruction reads and writes: what decides about the order of two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from arch.chip import Chip
from arch.isa import Compute, Destination, Instruction, Load, Loss, OnChip, Space, Transfer
from arch.layout import Store
from arch.recall import by_body
from arch.spans import mask_spans, pixel_spans, read_rows, source_spans, target_spans, written_rows
from arch.transfer import external_span

_STORES = (Store.FEATURE, Store.GRADIENT, Store.WEIGHT)
"""Of each `Space` and `OnChip`, by number."""


class Span(NamedTuple):
    """Words (rows of the weight memory) `start` ... `stop` - 1 of a memory."""

    store: Store
    start: int
    stop: int


class Footprint(NamedTuple):
    """What an instruction reads and what it writes; a span may hold words between that it leaves alone."""

    reads: tuple[Span, ...]
    writes: tuple[Span, ...]


@by_body
def footprint(instruction: Instruction, chip: Chip) -> Footprint:
    """The words that a legal instruction reads and writes."""
    if isinstance(instruction, Compute):
        return _compute(instruction, chip)
    if isinstance(instruction, Transfer):
        return _transfer(instruction, chip)
    if isinstance(instruction, Load):
        return _load(instruction)
    if isinstance(instruction, Loss):
        return _loss(instruction, chip)
    return Footprint((), ())


def _compute(compute: Compute, chip: Chip) -> Footprint:
    reads = [
        *_words(compute.source_space, source_spans(compute)),
        *_words(compute.pixel_space, pixel_spans(compute)),
        *_words(compute.mask_space, mask_spans(compute)),
        *_rows(read_rows(compute, chip)),
    ]
    writes = [*_words(compute.target_space, target_spans(compute, chip)), *_rows(written_rows(compute, chip))]
    return Footprint(merged(reads), merged(writes))


def _transfer(transfer: Transfer, chip: Chip) -> Footprint:
    """On the chip line by line: what lies between the lines belongs to other transfers. Outside, where the DMA is alone
    and keeps its order, from the first to the last word: bands of columns have many lines."""
    first = transfer.row if transfer.memory == OnChip.WEIGHT else transfer.word
    step = transfer.count if transfer.memory == OnChip.WEIGHT else transfer.pitch
    store = _STORES[transfer.memory]
    starts = range(first, first + step * transfer.lines, step) if transfer.lines > 1 else [first]
    inside = merged([Span(store, start, start + transfer.count) for start in starts])
    words = external_span(transfer, chip)
    outside = (Span(Store.EXTERNAL, words.start, words.stop),)
    return Footprint(inside, outside) if transfer.outward else Footprint(outside, inside)


def _load(load: Load) -> Footprint:
    first = load.source if load.destination == Destination.VECTOR else load.row
    store = _STORES[load.space] if load.destination == Destination.VECTOR else Store.WEIGHT
    return Footprint((Span(store, first, first + load.count),), ())


def _loss(loss: Loss, chip: Chip) -> Footprint:
    words, here, there = chip.words(loss.count), _STORES[loss.space], _STORES[1 - loss.space]
    reads = (Span(here, loss.source, loss.source + words), Span(here, loss.label, loss.label + 1))
    return Footprint(reads, (Span(there, loss.target, loss.target + words),))


def _words(space: Space, spans: list[range]) -> Iterator[Span]:
    return (Span(_STORES[space], span.start, span.stop) for span in spans)


def _rows(spans: list[range]) -> Iterator[Span]:
    return (Span(Store.WEIGHT, span.start, span.stop) for span in spans)


def merged(spans: list[Span]) -> tuple[Span, ...]:
    """The same words in as few spans as possible, in order."""
    result: list[Span] = []
    for span in sorted(set(spans)):
        if result and result[-1].store == span.store and span.start <= result[-1].stop:
            result[-1] = Span(span.store, result[-1].start, max(span.stop, result[-1].stop))
        else:
            result.append(span)
    return tuple(result)
