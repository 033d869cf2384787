"""TRANSFER: what it moves, in how many cycles, by which bursts, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.chip import Chip
from arch.counts import counted
from arch.events import Event
from arch.isa import Engine, OnChip, Opcode, Storage, Transfer, executed
from arch.legal import IllegalInstruction, check
from arch.timing import duration
from arch.transfer import BOUNDARY, bursts, chip_span, external_span, moved_words

TINY, PAPER, WIDE = (Chip.load(name) for name in ("tiny", "paper", "wide"))
IN = Transfer(word=10, external=3, count=5, lines=4, pitch=7, external_pitch=9)
ROWS = Transfer(memory=OnChip.WEIGHT, row=3, count=2, lines=3, external=1, external_pitch=11, outward=1)


@pytest.mark.parametrize(
    ("transfer", "words"),
    [
        (Transfer(count=0), "count and lines must be at least 1"),
        (Transfer(lines=0), "count and lines must be at least 1"),
        (Transfer(count=5, lines=2, pitch=4, external_pitch=5), "pitch must be at least the line's 5 words, not 4"),
        (Transfer(count=5, lines=2, pitch=5, external_pitch=4, outward=1), "external_pitch must be at least"),
        (Transfer(word=511, count=2), "end within the 512 words of the feature memory, not at 513"),
        (Transfer(memory=OnChip.GRADIENT, count=2, lines=2, pitch=511), "512 words of the gradient memory, not at 513"),
        (Transfer(memory=OnChip.WEIGHT, row=169, count=1, lines=2), "170 rows of the weight memory, not at 171"),
        (Transfer(external=8191, count=2), "end within the 8192 words of the external memory, not at 8193"),
        (Transfer(external=(1 << 32) - 1), "8192 words of the external memory"),
        (Transfer(count=1 << 20), "count must be 0 to"),
        (Transfer(storage=Storage.BYTE), "storage must be WORD on chip tiny: bytes need 2, 4, 8 or 16 lanes"),
        (Transfer(wait=8), "engines of this version"),
    ],
)
def test_what_does_not_exist_is_refused(transfer, words):
    with pytest.raises(IllegalInstruction, match=words):
        check(transfer, TINY)


def test_what_exists_passes():
    for transfer in (IN, ROWS, Transfer(count=512), Transfer(external=8191), Transfer(count=2, lines=9, pitch=2)):
        check(transfer, TINY)


def test_without_an_external_memory_there_are_no_transfers():
    with pytest.raises(IllegalInstruction, match="chip wide has no external_memory"):
        check(Transfer(), WIDE)
    assert executed(Engine.DMA, WIDE) == (Opcode.HALT,)
    assert executed(Engine.DMA, TINY) == (Opcode.HALT, Opcode.TRANSFER)


def test_spans_reach_from_the_first_to_the_last_word():
    assert chip_span(IN) == range(10, 10 + 3 * 7 + 5)
    assert external_span(IN, TINY) == range(3, 3 + 3 * 9 + 5)
    assert chip_span(ROWS) == range(3, 9)
    assert external_span(ROWS, TINY) == range(1, 1 + 2 * 11 + 2 * TINY.taps)


def test_cycles_are_counted_by_hand():
    # tiny: latency 3, two beats a word: cycles 3 ... 42 bring 40 beats, cycle 43 writes the last of 20 words
    assert duration(IN, TINY) == 44
    # 24 words leave in cycles 1 ... 48, the last is answered in cycle 51, cycle 52 is the last
    assert duration(ROWS, TINY) == 53
    assert duration(Transfer(), PAPER) == 50 + 2 + 1


def test_words_are_counted_inside_and_beats_outside():
    assert counted(IN, TINY) == {
        Event.INSTRUCTIONS: 1,
        Event.BUSY: 44,
        Event.EXTERNAL_READS: 40,
        Event.FEATURE_WRITES: 20,
    }
    assert counted(ROWS, TINY) == {
        Event.INSTRUCTIONS: 1,
        Event.BUSY: 53,
        Event.WEIGHT_READS: 24,
        Event.EXTERNAL_WRITES: 48,
    }


def test_bytes_take_half_the_beats():
    octets = replace(IN, storage=Storage.BYTE)
    assert external_span(octets, PAPER) == range(1, 18)  # words 3 ... 34 of bytes, two in each of 16 bits
    # latency 50: cycles 50 ... 69 bring 20 beats of a word each
    assert duration(octets, PAPER) == 50 + 20 + 1
    assert duration(replace(octets, outward=1), PAPER) == 50 + 20 + 2
    assert counted(octets, PAPER)[Event.EXTERNAL_READS] == 20 == counted(octets, PAPER)[Event.FEATURE_WRITES]
    assert list(bursts(octets, PAPER)) == [(3 + 9 * line, 5) for line in range(4)]
    last = Transfer(external=2 * PAPER.external_words - 1, storage=Storage.BYTE)
    check(last, PAPER)
    with pytest.raises(IllegalInstruction, match="4194304 words of the external memory, not at 4194305"):
        check(replace(last, count=2), PAPER)
    for chip in (PAPER.replace(external_memory={"bytes_per_cycle": 16, "latency_cycles": 50, "bytes": 65536}), TINY):
        with pytest.raises(IllegalInstruction, match="storage must be WORD"):
            check(octets, chip)


@given(st.integers(0, 3000), st.integers(1, 900), st.integers(1, 5), st.integers(0, 1200))
def test_bursts_cover_every_beat_once_and_cross_no_boundary(external, count, lines, gap):
    transfer = Transfer(external=external, count=count, lines=lines, pitch=count, external_pitch=count + gap)
    for chip in (TINY, PAPER):
        assert chip.external_memory
        size = chip.external_memory.bytes_per_cycle
        beats = []
        for first, length in bursts(transfer, chip):
            assert 1 <= length <= 256
            assert first * size // BOUNDARY == ((first + length) * size - 1) // BOUNDARY
            beats += range(first, first + length)
        words = [external + line * (count + gap) + i for line in range(lines) for i in range(count)]
        assert beats == [word * chip.external_beats + k for word in words for k in range(chip.external_beats)]
        assert len(beats) == moved_words(transfer, chip) * chip.external_beats
