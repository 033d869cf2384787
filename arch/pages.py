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


def map_pages(space: Space, spans: Iterable[range], chip: Chip) -> Iterator[Page]:
    """The pages of spans of words of a map's memory, each once."""
    memory = chip.feature_memory if space == Space.FEATURE else chip.gradient_memory
    return _pages(space.name.lower(), spans, chip.kernel * chip.page_depth(memory), 1)


def row_pages(spans: Iterable[range], chip: Chip) -> Iterator[Page]:
    """The pages of spans of weight rows, each once."""
    return _pages("weight", spans, chip.page_depth(chip.weight_memory), chip.row_beats)


def _pages(memory: str, spans: Iterable[range], size: int, places: int) -> Iterator[Page]:
    """Of a memory with pages of `size` places (or words), of which a word of a span takes `places`."""
    numbers: set[int] = set()
    for span in spans:
        if span:
            numbers.update(range(span.start * places // size, (span.stop * places - 1) // size + 1))
    return ((memory, number) for number in numbers)


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


def _load_pages(load: Load, chip: Chip) -> Iterator[Page]:
    if load.destination == Destination.VECTOR:
        return map_pages(load.space, [range(load.source, load.source + load.count)], chip)
    return row_pages([range(load.row, load.row + load.count)], chip)


def _loss_pages(loss: Loss, chip: Chip) -> Iterator[Page]:
    words = chip.words(loss.count)
    read = range(loss.source, loss.source + words), range(loss.label, loss.label + 1)
    yield from map_pages(loss.space, read, chip)
    yield from map_pages(Space(1 - loss.space), [range(loss.target, loss.target + words)], chip)


def _compute_pages(compute: Compute, chip: Chip) -> Iterator[Page]:
    yield from map_pages(compute.source_space, source_spans(compute), chip)
    yield from map_pages(compute.pixel_space, pixel_spans(compute), chip)
    yield from map_pages(compute.target_space, target_spans(compute, chip), chip)
    yield from map_pages(compute.mask_space, mask_spans(compute), chip)
    yield from row_pages([*read_rows(compute, chip), *written_rows(compute, chip)], chip)


def _transfer_pages(transfer: Transfer, chip: Chip) -> Iterator[Page]:
    if transfer.memory == OnChip.WEIGHT:
        yield from row_pages([chip_span(transfer)], chip)
    else:
        yield from map_pages(Space(transfer.memory), [chip_span(transfer)], chip)
    if len(external_span(transfer, chip)):
        yield "external", 0
