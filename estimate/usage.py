"""What works at an event: from counted events to how often the units of a component switch.

A component's switching is linear in a few counts, its drivers, each with a share of what all its units would take if
they worked once on random operands. The shares are measured on mapped netlists (`estimate.switching`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from arch.activity import accumulations, external_beats
from arch.chip import Chip
from arch.events import Event
from arch.workload import Work, Workload
from estimate.structure import Units, structure

DRIVERS = (
    "cycles",  # of the pass
    "steps",  # of the array
    "turned",  # bits of stationary operands that turn, in steps on random operands, of which half the bits turn
    "active",  # products without an operand of zero, in steps of all multipliers
    "sums",  # accumulators added to, in steps of all multipliers
    "fills",  # of a block or the pixels by the loader
    "window_moves",  # accesses that bring K words to a window
    "map_words",  # accesses of K words read from feature and gradient memory and a line buffer
    "weight_rows",  # rows read from the weight memory
    "register_rows",  # rows written to the kernel file
    "rounded_rows",  # rows of T words rounded
    "map_writes",  # words written to feature and gradient memory
    "feature_words",  # words read from and written to a bank of the feature memory
    "gradient_words",
    "weight_words",
    "external_beats",  # of the DMA
    "instructions",
    "loss_cycles",  # of the vector engine
)
"""What the switching of components is linear in, by name."""
USED: dict[str, tuple[str, ...]] = {
    "interconnect": ("cycles", "map_writes"),
    "host": ("cycles",),
    "sequencers": ("instructions",),
    "counters": ("cycles", "map_words"),
    "dma": ("cycles", "external_beats"),
    "vector": ("map_words", "steps", "loss_cycles"),
    "feature": ("cycles", "feature_words", "external_beats"),
    "gradient": ("cycles", "gradient_words"),
    "weight": ("cycles", "weight_words"),
    "array": ("cycles", "map_words", "steps"),
    "loader": ("cycles", "map_words", "fills", "window_moves"),
    "window": ("cycles", "map_words", "fills", "window_moves"),
    "rows": ("cycles", "weight_rows"),
    "kernels": ("cycles", "register_rows", "turned"),
    "nest": ("cycles", "steps", "instructions"),
    "multipliers": ("turned", "active", "fills", "window_moves"),
    "accumulators": ("turned", "active", "sums"),
    "writeback": ("rounded_rows", "active", "loss_cycles"),
}
"""The drivers of each component of `estimate.structure`."""
_TURNED = DRIVERS.index("turned")


@lru_cache(maxsize=256)
def hardware(chip: Chip) -> dict[str, Units]:
    """`estimate.structure.structure`, made once a chip: the components of logic in the order of every array here."""
    return structure(chip)


@lru_cache(maxsize=256)
def moving(chip: Chip) -> dict[str, Units]:
    """The units that events reach: those of one accumulator bank, one kernel register and one page of each memory; the
    others stand still meanwhile. In the order of `hardware`."""
    memories = ("feature_memory", "gradient_memory", "weight_memory")
    single = {name: {**getattr(chip, name).model_dump(), "pages": 1} for name in memories}
    return structure(chip.replace(accumulator_banks=1, kernel_registers=1, **single))


def drives(workload: Workload, turning: np.ndarray) -> np.ndarray:
    """float64[S, rows, drivers]: how often each drives, at each of S shares `turning` of what turns on random operands.

    These stand in where no run has counted the bits; where one has, all S are equal.
    """
    rows = np.array([_drives(row, workload.chip) for row in workload.rows])
    found = np.repeat(rows[None], len(turning), axis=0)
    unknown = [row.counts[Event.STEPS] if row.turned_bits is None else 0 for row in workload.rows]
    found[:, :, _TURNED] += np.outer(turning, unknown)
    return found


def _drives(row: Work, chip: Chip) -> tuple[float, ...]:
    counts, count = row.counts, chip.multipliers
    steps, maps = counts[Event.STEPS], counts[Event.FEATURE_READS] + counts[Event.GRADIENT_READS]
    lines = row.line_reads * (chip.kernel - 1)
    named = {
        "cycles": row.cycles,
        "steps": steps,
        "turned": (row.turned_bits or 0) / (count * chip.word_bits / 2),
        "active": steps - (row.zero_products or 0) / count,
        "sums": accumulations({mode: steps for mode, steps in row.steps.items() if mode}, chip) / count,
        "fills": row.fills,
        "window_moves": counts[Event.WINDOW_WORDS] / chip.kernel,
        "map_words": (maps + lines) / chip.kernel,
        "weight_rows": counts[Event.WEIGHT_READS] / chip.taps,
        "register_rows": counts[Event.REGISTER_WORDS] / chip.taps,
        "rounded_rows": counts[Event.ROUNDED_WORDS] / chip.taps,
        "map_writes": counts[Event.FEATURE_WRITES] + counts[Event.GRADIENT_WRITES],
        "feature_words": (counts[Event.FEATURE_READS] + counts[Event.FEATURE_WRITES]) / chip.kernel,
        "gradient_words": (counts[Event.GRADIENT_READS] + counts[Event.GRADIENT_WRITES]) / chip.kernel,
        "weight_words": (counts[Event.WEIGHT_READS] + counts[Event.WEIGHT_WRITES]) / chip.weight_memory.banks,
        "external_beats": external_beats(counts),
        "instructions": counts[Event.INSTRUCTIONS],
        "loss_cycles": counts[Event.BUSY] if row.phase == "loss" else 0,
    }
    return tuple(named[name] for name in DRIVERS)


MEMORY_USES: dict[str, tuple[Event | str, Event | str | None]] = {
    "feature memory": (Event.FEATURE_READS, Event.FEATURE_WRITES),
    "gradient memory": (Event.GRADIENT_READS, Event.GRADIENT_WRITES),
    "weight memory": (Event.WEIGHT_READS, Event.WEIGHT_WRITES),
    "program memory": (Event.INSTRUCTIONS, None),
    "line buffer": ("line_reads", "line_writes"),
}
"""What reads and what writes a word of each memory: an event, or a field of `arch.workload.Work`; a word of the line
buffer is all lines of a column.
"""


def memory_accesses(workload: Workload, memory: str) -> tuple[np.ndarray, np.ndarray]:
    """float64[rows] each: words read and written of one of `MEMORY_USES`."""
    read, write = (np.array([_accesses(row, use) for row in workload.rows], np.float64) for use in MEMORY_USES[memory])
    return read, write


def _accesses(row: Work, use: Event | str | None) -> int:
    if use is None:
        return 0
    return row.counts[use] if isinstance(use, Event) else getattr(row, use)
