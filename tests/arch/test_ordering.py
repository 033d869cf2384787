"""Streams: pages that two engines may not use at once, tokens, and the time that finding out takes."""

import time
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from arch.chip import Chip, ChipError
from arch.isa import ENGINES, Destination, Engine, Halt, Instruction, Load, Loss, OnChip, Space, Transfer
from arch.ordering import _predecessors, contested, stream_problems
from arch.pages import map_pages, page_words, row_pages, spaces, whole_rows

TINY, PAPER, PORT = (Chip.load(name) for name in ("tiny", "paper", "paper-one-port"))
A, V, D = ENGINES
FIRST = PAPER.kernel * PAPER.page_depth(PAPER.feature_memory)
"""The first word of the feature memory's page 1."""
VECTOR = Load(destination=Destination.VECTOR, count=4)


def streams(array: list, vector: list, dma: list) -> dict[Engine, list[Instruction]]:
    return {A: [*array, Halt()], V: [*vector, Halt()], D: [*dma, Halt()]}


def test_dma_and_array_share_a_memory_but_no_page():
    found = list(stream_problems(streams([VECTOR], [], [Transfer(word=FIRST, count=9)]), PAPER))
    assert not found
    (found,) = stream_problems(streams([VECTOR], [], [Transfer(word=FIRST - 1, count=9)]), PAPER)
    assert found == "array 0 and dma 0 share page 0 of the feature memory and no token orders them"
    ordered = streams([replace(VECTOR, signal=1 << D)], [], [Transfer(word=FIRST - 1, count=9, wait=1 << A)])
    assert not list(stream_problems(ordered, PAPER))


def test_array_and_vector_engine_share_no_memory():
    loss = Loss(count=3, space=Space.FEATURE, source=FIRST, label=FIRST + 3)
    (found,) = stream_problems(streams([VECTOR], [loss], []), PAPER)
    assert found == "array 0 and vector 0 share the feature memory and no token orders them"


def test_weight_rows_lie_in_pages():
    depth = PORT.page_depth(PORT.weight_memory)  # 2816 places of rows of nine: row 312 lies in two pages
    assert depth % PORT.row_beats
    for row in (0, 311, 312, 313, 1250):
        places = range(row * 9, row * 9 + 9)
        assert set(row_pages([range(row, row + 1)], PORT)) == {("weight", place // depth) for place in places}
    load = Load(row=300, count=8)
    transfer = Transfer(memory=OnChip.WEIGHT, row=312, count=1)
    assert any("page 0 of the weight" in item for item in stream_problems(streams([load], [], [transfer]), PORT))
    assert not list(stream_problems(streams([load], [], [replace(transfer, row=313)]), PORT))


@pytest.mark.parametrize("chip", [TINY, PORT, PAPER], ids=lambda chip: chip.name)
def test_pages_have_their_words_and_whole_rows(chip):
    count = chip.feature_memory.pages
    for page in range(count):
        words = range(chip.feature_words)[page_words(page, "feature", chip)]
        assert set(map_pages(Space.FEATURE, [words], chip)) == {("feature", page)}
    assert page_words(count - 1, "feature", chip).stop == chip.feature_words
    for bits in range(1 << count):
        pages = {page for page in range(count) if bits >> page & 1}
        inside = [row for part in whole_rows(pages, chip) for row in range(chip.weight_rows)[part]]
        wanted = [r for r in range(chip.weight_rows) if {p for _, p in row_pages([range(r, r + 1)], chip)} <= pages]
        assert inside == wanted


def _random_streams(rng: np.random.Generator, length: int, tokens: float) -> dict[Engine, list[Instruction]]:
    """Streams whose tokens follow one order of all instructions, too few of them."""
    made: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    sent = {(a, b): -1 for a in ENGINES for b in ENGINES}
    for _ in range(length):
        engine = Engine(int(rng.integers(3)))
        word, space = int(rng.integers(250)), Space(int(rng.integers(2)))
        item: Instruction = {
            A: replace(VECTOR, source=word, space=space, count=2),
            V: Loss(count=2, space=space, source=word, target=word, label=word),
            D: Transfer(memory=OnChip(int(space)), word=word, count=int(rng.integers(1, 6))),
        }[engine]
        for other in ENGINES:
            last = len(made[other]) - 1
            if other != engine and last > sent[other, engine] and rng.random() < tokens:
                sent[other, engine] = last
                made[other][last] = replace(made[other][last], signal=made[other][last].signal | 1 << engine)
                item = replace(item, wait=item.wait | 1 << other)
        made[engine].append(item)
    return {engine: [*items, Halt()] for engine, items in made.items()}


def _unordered(found: dict[Engine, list[Instruction]], chip: Chip) -> set[tuple[str, str]]:
    """By the definition: every pair that shares something, and of which neither precedes the other."""
    before = _predecessors(found)
    assert before is not None
    pairs = set()
    for a, b in combinations(found, 2):
        for i, one in enumerate(found[a]):
            for k, other in enumerate(found[b]):
                shared = contested(spaces(one, chip), a, b) & contested(spaces(other, chip), a, b)
                if shared and before[b][k][a] < i and before[a][i][b] < k:
                    pairs.add((f"{a.name.lower()} {i}", f"{b.name.lower()} {k}"))
    return pairs


def test_the_search_finds_what_the_definition_finds():
    rng, refused, passed = np.random.default_rng(3), 0, 0
    for _ in range(120):
        found = _random_streams(rng, 14, tokens=float(rng.choice([0.4, 0.9, 1.0])))
        told = [item for item in stream_problems(found, TINY) if "share" in item]
        pairs = _unordered(found, TINY)
        assert {tuple(item.split(" share")[0].split(" and ")) for item in told} <= pairs
        assert bool(told) == bool(pairs)
        refused, passed = refused + bool(pairs), passed + (not pairs)
    assert refused > 20 and passed > 20


def test_thousands_of_instructions_are_checked_in_seconds():
    pair = 1 << D, 1 << A
    array = [replace(VECTOR, wait=pair[0], signal=pair[0])] * 4000
    dma = [Transfer(count=4, wait=0 if i == 0 else pair[1], signal=pair[1]) for i in range(4000)]
    last = {A: [*array, Halt()], V: [Halt()], D: [*dma, Halt(wait=pair[1])]}
    begin = time.perf_counter()
    assert not list(stream_problems(last, PAPER))
    assert time.perf_counter() - begin < 10


def test_a_token_more_than_can_wait_is_refused():
    sends = [replace(VECTOR, signal=1 << D)] * 64
    takes = [Halt()]
    found = [*stream_problems({A: [*sends, Halt()], V: [Halt()], D: takes}, PAPER)]
    assert found == ["array and dma: every token sent must be waited for"]
    transfers = [Transfer(memory=OnChip.GRADIENT, wait=1 << A)] * 64
    found = [*stream_problems({A: [*sends, Halt()], V: [Halt()], D: [*transfers, Halt()]}, PAPER)]
    assert found == ["array and dma: more than 63 tokens may wait"]
    assert not [*stream_problems({A: [*sends[1:], Halt()], V: [Halt()], D: [*transfers[1:], Halt()]}, PAPER)]


@pytest.mark.parametrize(
    ("chip", "fields", "words"),
    [
        (PAPER, {"feature_memory": {"bytes": 65536, "banks": 3, "pages": 3}}, "feature_memory.pages"),
        (PAPER, {"feature_memory": {"bytes": 160, "banks": 3, "pages": 4}}, "bytes must be at least 192"),
        (PAPER, {"external_memory": {"bytes_per_cycle": 6, "latency_cycles": 1, "bytes": 64}}, "bytes_per_cycle"),
        (TINY, {"external_memory": {"bytes_per_cycle": 16, "latency_cycles": 1, "bytes": 64}}, "at most 8"),
        (TINY, {"external_memory": {"bytes_per_cycle": 4, "latency_cycles": 1, "bytes": 4}}, "at least 8"),
        (TINY, {"external_memory": {"bytes_per_cycle": 4, "latency_cycles": 0, "bytes": 64}}, "latency_cycles"),
        (TINY, {"program_memory": {"instructions": (65536) + 1}}, "instructions"),
    ],
)
def test_chips_that_cannot_be(chip, fields, words):
    with pytest.raises(ChipError, match=words):
        chip.replace(**fields)


def test_a_bank_is_a_whole_number_of_pages():
    for chip in (TINY, PAPER, PORT):
        for memory in (chip.feature_memory, chip.gradient_memory, chip.weight_memory):
            assert chip.bank_depth(memory) == memory.pages * chip.page_depth(memory)
            assert memory.bytes * 8 - chip.bank_depth(memory) * memory.banks * chip.lanes * chip.word_bits >= 0
