"""What a chip takes of silicon: a tree of components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from arch.chip import Chip
from estimate.book import book, memories
from estimate.cells import beyond, cells
from estimate.ranges import Range
from estimate.technology import Technology
from estimate.usage import hardware


@dataclass(frozen=True)
class Area:
    """mm² of a chip without pads, in a technology.

    `tree` has the parts `logic` and `memories`, and in them each component; a range of a sum is of the sum itself.
    `beyond`: components of logic that are larger or smaller than any that was synthesised, and how many times.
    """

    chip: str
    technology: str
    total: Range
    parts: dict[str, Range]
    tree: dict[str, dict[str, Range]]
    doubts: dict[str, tuple[float, float]]
    beyond: dict[str, float]

    def table(self) -> pd.DataFrame:
        """A row a component: part, component, low, central and high in mm²."""
        rows = [
            {"part": part, "component": name, "low_mm2": item.low, "central_mm2": item.central, "high_mm2": item.high}
            for part, components in self.tree.items()
            for name, item in components.items()
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict:
        """For JSON; mm²."""
        return {
            "unit": "mm2",
            "total": self.total.to_dict(),
            "parts": {name: item.to_dict() for name, item in self.parts.items()},
            "tree": {part: {name: item.to_dict() for name, item in sub.items()} for part, sub in self.tree.items()},
            "doubts": self.doubts,
            "beyond": self.beyond,
        }


@lru_cache(maxsize=256)
def area(chip: Chip, technology: Technology) -> Area:
    """The area of `chip`. Raises `InputError` where a memory is outside the range of the technology's tables."""
    found = book(technology, chip, None)
    logic = np.array([cells(technology, chip, answers) for answers in found.answers]) / 1e6
    memory = found.memory[:, :, 3]
    sums = np.stack([logic.sum(axis=1), memory.sum(axis=1)], axis=1)
    total = sums.sum(axis=1)
    bars = found.ranges(np.concatenate([total[:, None], sums, logic, memory], axis=1))
    names = (*hardware(chip), *memories(chip))
    count = len(hardware(chip))
    components = dict(zip(names, bars[3:], strict=True))
    return Area(
        chip.name,
        technology.name,
        bars[0],
        {"logic": bars[1], "memories": bars[2]},
        {
            "logic": {name: components[name] for name in names[:count]},
            "memories": {name: components[name] for name in names[count:]},
        },
        {name: pair for name, pair in found.weights(total).items() if pair != (1.0, 1.0)},
        beyond(technology, chip),
    )
