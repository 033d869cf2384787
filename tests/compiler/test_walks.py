"""Tiles of maps: the ones chosen are the cheapest of all rectangles that were allowed, found by cutting every one."""

import random

import pytest

from arch.chip import Chip
from compiler.walks import _TILE_CYCLES, Tile, _cut, block_tiles

CASES = [
    tuple(random.Random(seed).choice(list(numbers)) for numbers in (range(1, 20), range(1, 24), (1, 4, 8), (9, 16)))
    for seed in range(24)
]


@pytest.mark.parametrize(("rows", "columns", "banks", "taps"), CASES)
def test_block_tiles_are_the_cheapest(rows, columns, banks, taps):
    side = {9: 3, 16: 4}[taps]
    memory = {"bytes": 65536, "banks": side, "pages": 4}
    chip = Chip.load("paper").replace(taps=taps, accumulator_banks=banks, feature_memory=memory, gradient_memory=memory)
    steps = 1 + rows * columns % 90
    tile = Tile(2, 3, rows, columns)

    def blocks(tiles):
        return [-(-item.height * item.width // taps) for item in tiles]

    def cost(tiles):
        return sum(blocks(tiles)) * steps + _TILE_CYCLES * len(tiles)

    chosen = list(block_tiles(tile, chip, steps))
    assert sum(item.height * item.width for item in chosen) == rows * columns
    assert max(blocks(chosen)) <= banks
    widths = {-(-columns // parts) for parts in range(1, 17)}
    every = (list(_cut(tile, height, width)) for height in range(1, rows + 1) for width in widths)
    assert cost(chosen) == min(cost(tiles) for tiles in every if max(blocks(tiles)) <= banks)
