"""Which pages of which memories an instruction uses: what no two engines may do at once.

A page is named by its memory (a `Store`'s value) and its number. Word p of a feature or gradient memory lies at place p
div K of a bank, word t of weight row r at place r * beats + t div banks; a page is `page_depth` places of all banks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arch.chip import Chip
from arch.isa import Compute, Destination, Instruction, Load, Loss, OnChip, Space, Transfer
from arch.recall import by_body
from arch.spans import mask_spans, pixel_spans, read_rows, source_spans, target_spans, written_rows
from arch.transfer import chip_span, external_span

Page = tuple[str, int]
"""A memory, `feature`, `gradient`, `weight` or `external`, and the number of its page."""


@by_body
def spaces(instruction: Instruction, chip: Chip) -> frozenset[Page]:
    """The pages whose ports a legal instruction uses; the external memory has one."""
    if isinstance(instruction, Load):
        return frozenset(_load_pages(instruction, chip))
    if isinstance(instruction, Loss):
        return frozenset(_loss_pages(instruction, chip))
    if isinstance(instruction, Compute):
        return frozenset(_compute_pages(instruction, chip))
    if isinstance(instruction, Transfer):
        return frozenset(_transfer_pages(instruction, chip))
    return frozenset()


def map_pages(space: Space, words: range, chip: Chip) -> Iterator[Page]:
    """The pages of a span of words of a map's memory."""
    memory = chip.feature_memory if space == Space.FEATURE else chip.gradient_memory
    if len(words):
        places = chip.kernel * chip.page_depth(memory)
        yield from _pages(space.name.lower(), words.start // places, (words.stop - 1) // places)


def row_pages(rows: range, chip: Chip) -> Iterator[Page]:
    """The pages of a span of weight rows."""
    depth = chip.page_depth(chip.weight_memory)
    if len(rows):
        yield from _pages("weight", rows.start * chip.row_beats // depth, (rows.stop * chip.row_beats - 1) // depth)


def page_words(page: int, memory: str, chip: Chip) -> slice:
    """The words (feature, gradient) of a page."""
    shape = chip.feature_memory if memory == "feature" else chip.gradient_memory
    words = chip.kernel * chip.page_depth(shape)
    return slice(page * words, (page + 1) * words)


def whole_rows(pages: Iterable[int], chip: Chip) -> Iterator[slice]:
    """The weight rows that lie in these pages and in no other, as slices in order."""
    depth, beats = chip.page_depth(chip.weight_memory), chip.row_beats
    first = last = -1
    for page in [*sorted(pages), 1 << 16]:
        if page != last + 1 or last < 0:
            if last >= 0:
                yield slice(-(-first * depth // beats), (last + 1) * depth // beats)
            first = page
        last = page


def _pages(memory: str, first: int, last: int) -> Iterator[Page]:
    return ((memory, page) for page in range(first, last + 1))


def _load_pages(load: Load, chip: Chip) -> Iterator[Page]:
    if load.destination == Destination.VECTOR:
        yield from map_pages(load.space, range(load.source, load.source + load.count), chip)
    else:
        yield from row_pages(range(load.row, load.row + load.count), chip)


def _loss_pages(loss: Loss, chip: Chip) -> Iterator[Page]:
    words = chip.words(loss.count)
    yield from map_pages(loss.space, range(loss.source, loss.source + words), chip)
    yield from map_pages(loss.space, range(loss.label, loss.label + 1), chip)
    yield from map_pages(Space(1 - loss.space), range(loss.target, loss.target + words), chip)


def _compute_pages(compute: Compute, chip: Chip) -> Iterator[Page]:
    maps = (
        (compute.source_space, source_spans(compute)),
        (compute.pixel_space, pixel_spans(compute)),
        (compute.target_space, target_spans(compute, chip)),
        (compute.mask_space, mask_spans(compute)),
    )
    for space, spans in maps:
        for span in spans:
            yield from map_pages(space, span, chip)
    for rows in (*read_rows(compute, chip), *written_rows(compute, chip)):
        yield from row_pages(rows, chip)


def _transfer_pages(transfer: Transfer, chip: Chip) -> Iterator[Page]:
    if transfer.memory == OnChip.WEIGHT:
        yield from row_pages(chip_span(transfer), chip)
    else:
        yield from map_pages(Space(transfer.memory), chip_span(transfer), chip)
    if len(external_span(transfer, chip)):
        yield "external", 0
