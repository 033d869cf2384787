"""Transfers of tensors, a page of the chip's memory at a time: the others stay free for the array."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from arch.chip import Chip
from arch.isa import OnChip, Storage, Transfer
from arch.layout import Store

_MEMORIES = {Store.FEATURE: OnChip.FEATURE, Store.GRADIENT: OnChip.GRADIENT, Store.WEIGHT: OnChip.WEIGHT}


def page_size(store: Store, chip: Chip) -> int:
    """Words (feature, gradient) or whole rows (weight) of a page, at least 1."""
    if store == Store.WEIGHT:
        return max(1, chip.page_depth(chip.weight_memory) // chip.row_beats)
    memory = chip.feature_memory if store == Store.FEATURE else chip.gradient_memory
    return chip.kernel * chip.page_depth(memory)


class Lines(NamedTuple):
    """`lines` of `words` words or rows; to the next are `pitch` of them on the chip and `apart` words outside."""

    lines: int
    words: int
    pitch: int
    apart: int


def line_transfers(
    store: Store, first: int, external: int, some: Lines, outward: bool, chip: Chip, storage: Storage
) -> Iterator[Transfer]:
    """Move lines of words (rows, of the weight memory, where they lie one after another) from `first` on; together
    those that end on the page of the first."""
    page, weights = page_size(store, chip), store == Store.WEIGHT
    done = 0
    while done < some.lines:
        start = first + done * some.pitch
        room = (start // page + 1) * page - start
        lines = min(some.lines - done, max(1, (room - some.words) // some.pitch + 1))
        yield Transfer(
            outward=int(outward),
            memory=_MEMORIES[store],
            row=start if weights else 0,
            word=0 if weights else start,
            external=external + done * some.apart,
            count=some.words,
            lines=lines,
            pitch=some.pitch if lines > 1 and not weights else 0,
            external_pitch=some.apart if lines > 1 else 0,
            storage=storage,
        )
        done += lines


def transfers(
    store: Store, words: range, external: int, outward: bool, chip: Chip, storage: Storage
) -> Iterator[Transfer]:
    """Move `words` (rows, of the weight memory) from or to the external words from `external` on."""
    page, scale = page_size(store, chip), chip.taps if store == Store.WEIGHT else 1
    first = words.start
    while first < words.stop:
        count = min(words.stop, (first // page + 1) * page) - first
        yield Transfer(
            outward=int(outward),
            memory=_MEMORIES[store],
            row=first if store == Store.WEIGHT else 0,
            word=0 if store == Store.WEIGHT else first,
            external=external + (first - words.start) * scale,
            count=count,
            storage=storage,
        )
        first += count
