"""TRANSFER: which words move, in how many cycles, and which transfers exist.

Line i of a transfer is `count` words on the chip from `word` + i * `pitch` on, and outside from `external` + i *
`external_pitch` on; of the weight memory it is `count` rows, from row `row` + i * count on, outside T words each.

An element outside has 16 bits; of a transfer of `storage` BYTE it has 8, the element's lowest. A word of bytes takes
half as many beats, and `external` and `external_pitch` count words of that size. What comes in is cut to the chip's
words.

Outside, everything is one beat of `bytes_per_cycle` a cycle without a gap, since bursts are asked for ahead:

    reading   the first burst is asked for in cycle 0 and begins `latency_cycles` later; a word is written to the chip
              in the cycle after its last beat
    writing   the first word is read on the chip in cycle 0 and leaves in the next one; `latency_cycles` after the last
              beat comes its answer, and the transfer ends in the cycle after that
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from arch.chip import Chip
from arch.events import Event
from arch.isa import OnChip, Storage, Transfer

BOUNDARY = 4096
"""Bytes: no burst crosses a multiple of it (AXI4, A3.4.1)."""
_LONGEST = 256
"""Beats of a burst at most."""
_READS = {
    OnChip.FEATURE: Event.FEATURE_READS,
    OnChip.GRADIENT: Event.GRADIENT_READS,
    OnChip.WEIGHT: Event.WEIGHT_READS,
}
_WRITES = {
    OnChip.FEATURE: Event.FEATURE_WRITES,
    OnChip.GRADIENT: Event.GRADIENT_WRITES,
    OnChip.WEIGHT: Event.WEIGHT_WRITES,
}


def burst_beats(chip: Chip) -> int:
    """Beats of the longest burst of a chip with an external memory; none crosses a multiple of so many beats."""
    assert chip.external_memory is not None
    return min(_LONGEST, BOUNDARY // chip.external_memory.bytes_per_cycle)


def line_words(transfer: Transfer, chip: Chip) -> int:
    """Words of a line."""
    return transfer.count * (chip.taps if transfer.memory == OnChip.WEIGHT else 1)


def moved_words(transfer: Transfer, chip: Chip) -> int:
    """Words of the whole transfer."""
    return transfer.lines * line_words(transfer, chip)


def word_beats(transfer: Transfer, chip: Chip) -> int:
    """Beats of a word outside."""
    return chip.word_beats(transfer.storage == Storage.BYTE)


def chip_span(transfer: Transfer) -> range:
    """Words (feature, gradient memory) or rows (weight memory) from the first to the last that is moved."""
    if transfer.memory == OnChip.WEIGHT:
        return range(transfer.row, transfer.row + transfer.lines * transfer.count)
    last_line = transfer.word + (transfer.lines - 1) * transfer.pitch
    return range(transfer.word, last_line + transfer.count)


def external_span(transfer: Transfer, chip: Chip) -> range:
    """External words of 16-bit elements from the first to the last in which something is moved."""
    last_line = transfer.external + (transfer.lines - 1) * transfer.external_pitch
    end = last_line + line_words(transfer, chip)
    in_word = 2 if transfer.storage == Storage.BYTE else 1
    return range(transfer.external // in_word, -(-end // in_word))


def bursts(transfer: Transfer, chip: Chip) -> Iterator[tuple[int, int]]:
    """The bursts of a transfer in order: first beat, counted from the memory's start, and beats."""
    longest, beats = burst_beats(chip), word_beats(transfer, chip)
    for line in range(transfer.lines):
        first = (transfer.external + line * transfer.external_pitch) * beats
        end = first + line_words(transfer, chip) * beats
        while first < end:
            count = min(end - first, longest - first % longest)
            yield first, count
            first += count


def transfer_cycles(transfer: Transfer, chip: Chip) -> int:
    """Cycles from the first to the last of a legal transfer."""
    assert chip.external_memory is not None
    cycles = chip.external_memory.latency_cycles + moved_words(transfer, chip) * word_beats(transfer, chip)
    return cycles + (2 if transfer.outward else 1)


def count_transfer(events: Counter[Event], transfer: Transfer, chip: Chip) -> None:
    """Add what a legal transfer counts besides INSTRUCTIONS and BUSY."""
    words = moved_words(transfer, chip)
    beats = words * word_beats(transfer, chip)
    if transfer.outward:
        events[_READS[transfer.memory]] += words
        events[Event.EXTERNAL_WRITES] += beats
    else:
        events[Event.EXTERNAL_READS] += beats
        events[_WRITES[transfer.memory]] += words


def transfer_problems(transfer: Transfer, chip: Chip) -> Iterator[str]:
    """Everything that keeps a transfer, whose fields are in range, from being executed on `chip`."""
    if chip.external_memory is None:
        yield f"chip {chip.name} has no external_memory"
        return
    if transfer.count < 1 or transfer.lines < 1:
        yield "count and lines must be at least 1"
        return
    if transfer.storage == Storage.BYTE and not chip.stores_bytes:
        yield f"storage must be WORD on chip {chip.name}: bytes need 2, 4, 8 or 16 lanes and words of two beats or more"
        return
    weights = transfer.memory == OnChip.WEIGHT
    if transfer.lines > 1 and not weights and transfer.pitch < transfer.count:
        yield f"pitch must be at least the line's {transfer.count} words, not {transfer.pitch}"
        return
    line = line_words(transfer, chip)
    if transfer.lines > 1 and transfer.outward and transfer.external_pitch < line:
        yield f"external_pitch must be at least the written line's {line} words, not {transfer.external_pitch}"
    limit, unit = (chip.weight_rows, "rows") if weights else (_map_words(transfer, chip), "words")
    inside, outside = chip_span(transfer), external_span(transfer, chip)
    if inside.stop > limit:
        name = transfer.memory.name.lower()
        yield f"it must end within the {limit} {unit} of the {name} memory, not at {inside.stop}"
    if outside.stop > chip.external_words:
        yield f"it must end within the {chip.external_words} words of the external memory, not at {outside.stop}"


def _map_words(transfer: Transfer, chip: Chip) -> int:
    return chip.feature_words if transfer.memory == OnChip.FEATURE else chip.gradient_words
