"""The loader with a line buffer, alone in Amaranth's simulator: every window, and how many words it reads for them."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from arch import fields
from arch.chip import Chip
from arch.isa import Compute, Traversal
from arch.modes import mode_fields
from rtl.line_buffer import LineBuffer
from rtl.loader import Loader

CHIP = Chip.load("tiny").replace(
    taps=9,
    lanes=1,
    vector_unit={"elements_per_cycle": 1},
    feature_memory={"bytes": 1200, "banks": 3},
    gradient_memory={"bytes": 1200, "banks": 3},
    traversal="line_buffer",
    line_buffer_words=6,
)
SIDE = CHIP.kernel
WORDS = np.arange(1, 400).tolist()
WALK = Compute(**mode_fields("convolution"), traversal=Traversal.RASTER, source=5, source_pitch=7)
NESTS = {
    "same padding": replace(WALK, height=4, width=6, source_height=4, source_width=6, pad_top=1, pad_left=1),
    "no padding": replace(WALK, height=3, width=4, source_height=5, source_width=6),
    "one column": replace(WALK, height=4, width=1, source_height=4, source_width=1, pad_left=2),
    "part of a wide map": replace(WALK, height=4, width=3, source_height=4, source_width=7, pad_left=1, pad_top=2),
    "groups": replace(WALK, height=3, width=4, source_height=2, source_width=3, pad_top=1, inner=2, source_group=30),
}


def windows(nest: Compute) -> list[list[int]]:
    """The K x K words of every position, group by group, by definition."""
    found = []
    for group in range(nest.inner):
        base = nest.source + group * nest.source_group
        for place in range(nest.height * nest.width):
            top, left = place // nest.width - nest.pad_top, place % nest.width - nest.pad_left
            found.append([_word(nest, base, top + tap // SIDE, left + tap % SIDE) for tap in range(CHIP.taps)])
    return found


def _word(nest: Compute, base: int, y: int, x: int) -> int:
    inside = 0 <= y < nest.source_height and 0 <= x < nest.source_width
    return WORDS[base + y * nest.source_pitch + x] if inside else 0


def words_met(nest: Compute) -> int:
    """Words of the map under any window, over all groups."""
    rows = min(nest.source_height, nest.height + SIDE - 1 - nest.pad_top)
    return nest.inner * rows * min(nest.source_width, nest.width + SIDE - 1 - nest.pad_left)


def loaded(nest: Compute) -> tuple[list[list[int]], int]:
    """The windows that the loader brings, and the words that it reads; steps end and the map is written at random."""
    loader, rng = Loader(CHIP), np.random.default_rng(3)
    seen: list[list[int]] = []
    reads = 0

    async def bench(ctx):
        nonlocal reads
        for field in fields.layout(Compute):
            value = int(getattr(nest, field.name))
            address = field.kind == "address"
            ctx.set(loader.compute[field.name], {"bank": value % SIDE, "place": value // SIDE} if address else value)
        ctx.set(loader.enable, 1)
        ctx.set(loader.start, 1)
        await ctx.tick()
        ctx.set(loader.start, 0)
        for _ in range(20 * nest.inner * nest.height * nest.width):
            done = ctx.get(loader.held) and rng.random() < 0.6
            ctx.set(loader.done, int(done))
            ctx.set(loader.blocked, int(rng.random() < 0.2))
            if done:
                seen.append([ctx.get(loader.window[tap][0]) for tap in range(CHIP.taps)])
            asked = [bank for bank in range(SIDE) if ctx.get(loader.read) >> bank & 1]
            places = [ctx.get(loader.places[bank]) for bank in asked]
            await ctx.tick()
            reads += len(asked)
            for bank, place in zip(asked, places, strict=True):
                ctx.set(loader.data[bank][0], WORDS[place * SIDE + bank])

    simulator = Simulator(loader)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen, reads


@pytest.mark.parametrize("nest", NESTS.values(), ids=NESTS)
def test_each_word_is_read_once_and_every_window_is_right(nest: Compute):
    assert loaded(nest) == (windows(nest), words_met(nest))


def test_lines_that_are_not_shifted_are_found():
    def wrong(self: LineBuffer):
        return Cat(*(self.lines[row] for row in range(SIDE - 1)))

    nest = NESTS["same padding"]
    with patch.object(LineBuffer, "_shifted", wrong):
        seen, reads = loaded(nest)
    assert reads == words_met(nest)
    assert seen != windows(nest)
