"""Streams made of a sequential list do what the list says, whichever way the engines take turns."""

from __future__ import annotations

import random
import time

import pytest

from arch.chip import Chip
from arch.isa import (
    ENGINES,
    TOKEN_LIMIT,
    Compute,
    Destination,
    Engine,
    Halt,
    Load,
    Loss,
    OnChip,
    Space,
    Transfer,
    Traversal,
)
from arch.modes import mode_fields
from arch.ordering import stream_problems
from arch.timing import duration, schedule
from compiler.footprints import footprint
from compiler.hazards import Hazards
from compiler.queueing import scheduled
from compiler.tokens import streams

PAPER = Chip.load("paper").replace(program_memory={"instructions": 16384})


def copy(source: int, target: int, words: int, row: int = 0, space: Space = Space.FEATURE) -> Compute:
    return Compute(
        **mode_fields("pixelwise_by_lane"),
        traversal=Traversal.PIXELS,
        height=1,
        width=words,
        source_height=1,
        source_width=words,
        source_space=space,
        source=source,
        source_pitch=words,
        target_space=Space(1 - space),
        target=target,
        target_pitch=words,
        row=row,
        reload=1,
    )


def random_list(seed: int, count: int) -> list:
    rng = random.Random(seed)
    items = []
    for _ in range(count):
        kind = rng.random()
        words = rng.randint(1, 300)
        base, other = rng.randrange(3700), rng.randrange(3700)
        if kind < 0.5:
            outward, lines = rng.randint(0, 1), rng.randint(1, 3)
            if rng.random() < 0.3:
                rows = rng.randint(1, 20)
                item = Transfer(
                    outward=outward,
                    memory=OnChip.WEIGHT,
                    row=rng.randrange(1200),
                    external=rng.randrange(9000),
                    count=rows,
                )
            else:
                item = Transfer(
                    outward=outward,
                    memory=rng.choice((OnChip.FEATURE, OnChip.GRADIENT)),
                    word=base,
                    external=rng.randrange(9000),
                    count=words // lines + 1,
                    lines=lines,
                    pitch=100 + words // lines,
                    external_pitch=500,
                )
            items.append((Engine.DMA, item))
        elif kind < 0.9:
            items.append((Engine.ARRAY, copy(base, other, words, rng.randrange(1200), Space(rng.randint(0, 1)))))
        elif kind < 0.95:
            items.append((Engine.ARRAY, Load(destination=Destination.KERNEL, row=rng.randrange(1200), count=8)))
        else:
            items.append((Engine.VECTOR, Loss(space=Space.FEATURE, source=base, label=other, target=base, count=40)))
    return items


def run(items, order, chip: Chip = PAPER) -> dict:
    """The memory after executing `items` in an order: each writes what it is and what it read."""
    memory: dict = {}
    for index in order:
        reads, writes = footprint(items[index][1], chip)
        seen = hash((index, *(memory.get((span.store, word)) for span in reads for word in range(*span[1:]))))
        for span in writes:
            memory |= {(span.store, word): seen for word in range(*span[1:])}
    return memory


def interleavings(made, rng):
    """One order in which the engines may begin (and end) their instructions; one of them is mostly ahead."""
    eager = rng.choice(ENGINES)
    place = dict.fromkeys(ENGINES, 0)
    tokens = {(a, b): 0 for a in ENGINES for b in ENGINES}
    order = []
    while True:
        able = [
            engine
            for engine in ENGINES
            if place[engine] < len(made.instructions[engine])
            and all(
                tokens[other, engine] for other in ENGINES if made.instructions[engine][place[engine]].wait >> other & 1
            )
        ]
        if not able:
            return order
        engine = eager if eager in able and rng.random() < 0.9 else rng.choice(able)
        item = made.instructions[engine][place[engine]]
        if not isinstance(item, Halt):
            order.append(made.origins[engine][place[engine]])
        place[engine] += 1
        for other in ENGINES:
            tokens[other, engine] -= item.wait >> other & 1
            tokens[engine, other] += item.signal >> other & 1
            assert tokens[engine, other] <= TOKEN_LIMIT


@pytest.mark.parametrize("seed", range(6))
def test_every_interleaving_does_what_the_list_says(seed):
    items = random_list(seed, 60)
    made = scheduled(items, PAPER)
    assert not list(stream_problems(made.instructions, PAPER))
    meant = run(items, range(len(items)))
    for turn in range(10):
        order = interleavings(made, random.Random(turn))
        assert sorted(order) == list(range(len(items)))
        assert run(items, order) == meant


def test_transfers_that_nothing_forbids_overtake():
    """A load for the third instruction comes before the writing out of what the second makes."""
    items = [
        (Engine.ARRAY, copy(0, 0, 900)),
        (Engine.DMA, Transfer(outward=1, memory=OnChip.GRADIENT, word=0, external=0, count=900)),
        (Engine.DMA, Transfer(memory=OnChip.FEATURE, word=2100, external=2000, count=900)),
        (Engine.ARRAY, copy(2100, 2100, 900)),
    ]
    made = scheduled(items, PAPER)
    assert made.origins[Engine.DMA] == [2, 1]
    cycles = _cycles(made)
    alone = sum(duration(items[i][1], PAPER) for i in (0, 3))
    assert cycles < max(alone, duration(items[2][1], PAPER)) + 2000


def test_a_transfer_waits_for_the_words_that_it_replaces():
    items = [
        (Engine.ARRAY, copy(0, 0, 900)),
        (Engine.DMA, Transfer(memory=OnChip.FEATURE, word=10, external=0, count=5)),
        (Engine.DMA, Transfer(outward=1, memory=OnChip.GRADIENT, word=0, external=2, count=9)),
        (Engine.DMA, Transfer(outward=1, memory=OnChip.FEATURE, word=10, external=100, count=9)),
    ]
    before = Hazards(items, PAPER).before
    assert before[1] == (0,)
    assert before[2] == (0, 1)
    assert before[3] == (1,)


def test_pages_are_handed_over_without_shared_words():
    items = [
        (Engine.ARRAY, copy(0, 0, 100)),
        (Engine.DMA, Transfer(memory=OnChip.FEATURE, word=500, external=0, count=50)),
    ]
    made = scheduled(items, PAPER)
    array, dma = made.instructions[Engine.ARRAY][0], made.instructions[Engine.DMA][0]
    assert (array.signal, dma.wait) == (1 << Engine.DMA, 1 << Engine.ARRAY) or (dma.signal, array.wait) == (1, 4)


def test_never_more_tokens_than_the_limit():
    """Two hundred small loads, each for an instruction that starts after a long one."""
    loads = [(Engine.DMA, Transfer(memory=OnChip.WEIGHT, row=i, external=9 * i, count=1)) for i in range(200)]
    slow = [(Engine.ARRAY, copy(0, 0, 900, row=1000))] * 20
    uses = [(Engine.ARRAY, Load(destination=Destination.KERNEL, row=i, count=1)) for i in range(200)]
    items = slow + loads + uses
    made = scheduled(items, PAPER)
    assert not list(stream_problems(made.instructions, PAPER))
    # an order in which the last loads come before the first uses
    pages = [0] * 20 + [1 << i for i in range(200)] * 2
    forced = streams(items, pages, range(len(items)))
    for turn in range(6):
        assert len(interleavings(forced, random.Random(turn))) == len(items)
    # and one in which the DMA is ahead by half of them, but the array takes a token before each of the others
    mixed = [
        items[0],
        *loads[:100],
        *(item for pair in zip(uses, loads[100:], strict=False) for item in pair),
        *uses[100:],
    ]
    places = [0, *range(100), *(place for i in range(100) for place in (i, 100 + i)), *range(100, 200)]
    forced = streams(mixed, [0, *(1 << place for place in places[1:])], range(len(mixed)))
    for turn in range(6):
        assert len(interleavings(forced, random.Random(turn))) == len(mixed)


def test_five_thousand_instructions_take_seconds():
    items = random_list(1, 5000)
    scheduled(items[:50], PAPER)
    start = time.process_time()
    scheduled(items, PAPER)
    assert time.process_time() - start < 6


def _cycles(made) -> int:
    durations = {engine: [duration(item, PAPER) for item in stream] for engine, stream in made.instructions.items()}
    return schedule(made.instructions, durations)[-1].last
