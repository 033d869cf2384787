"""Areas of chips, block by block, as one library gives them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from arch.chip import Chip
from synthesis.blocks import Block, blocks_of
from synthesis.liberty import Library
from synthesis.mapping import Mapped, Recipe, map_block


@dataclass(frozen=True)
class Measured:
    """A block of a chip, mapped; it stands `count` times in `component`."""

    component: str
    name: str
    count: int
    mapped: Mapped

    @property
    def area(self) -> float:
        """µm² of all of them."""
        return self.count * self.mapped.area


def measure(chip: Chip, library: Library, recipe: Recipe, tell: Callable[[str], None] | None = None) -> list[Measured]:
    """Every block of `chip`, the smallest first. `tell` is called with a line for each."""
    return list(_measured(blocks_of(chip), library, recipe, tell or (lambda line: None)))


def _measured(blocks: list[Block], library: Library, recipe: Recipe, tell: Callable) -> Iterator[Measured]:
    for number, block in enumerate(sorted(blocks, key=lambda block: len(block.text)), 1):
        mapped = map_block(block, library, recipe)
        tell(f"{number}/{len(blocks)} {block.name}: {mapped.area:,.0f} µm², {mapped.count:,} cells")
        yield Measured(block.component, block.name, block.count, mapped)


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)
