"""Which hardware works at an event: the bridge from counted events to operations of units of logic.

A use says for one occurrence of an event how many register bits are written, adder bits added, select bits chosen and
products formed, all on random operands. Parts that stand still are not used: nothing here is per cycle.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from arch.activity import accumulations
from arch.chip import Chip
from arch.events import Event
from arch.isa import MODES
from arch.workload import Work, Workload
from estimate.structure import Units, index_bits, row_bits, structure, word_bits

_COUNTERS_TURNING = 1 / 8
"""Share of the counters that count in a cycle of work."""
FEATURES = (*Event, *MODES, "loss_cycles", "line_reads", "line_writes")
"""What uses are proportional to: events, steps by mode, cycles of the vector engine's loss, accesses of a line buffer.
"""
_PLACE = {name: place for place, name in enumerate(FEATURES)}


@lru_cache(maxsize=256)
def hardware(chip: Chip) -> dict[str, Units]:
    """`estimate.structure.structure`, made once a chip: the components of logic in the order of every array here."""
    return structure(chip)


def features(workload: Workload) -> np.ndarray:
    """float64[rows, features]: what `uses` is multiplied by."""
    return np.array([_features(row) for row in workload.rows])


def _features(row: Work) -> np.ndarray:
    found = np.zeros(len(FEATURES))
    found[: len(Event)] = row.counts
    for mode, steps in row.steps.items():
        if mode:
            found[_PLACE[mode]] = steps
    if row.phase == "loss":
        found[_PLACE["loss_cycles"]] = row.counts[Event.BUSY]
    found[_PLACE["line_reads"]], found[_PLACE["line_writes"]] = row.line_reads, row.line_writes
    return found


@lru_cache(maxsize=256)
def uses(chip: Chip) -> np.ndarray:
    """float64[components, features, 4]: operations of units (as `Units.values`) in a component for one of a feature."""
    names = tuple(hardware(chip))
    found = np.zeros((len(names), len(FEATURES), 4))
    for component, feature, used in _uses(chip):
        if component in names:
            found[names.index(component), _PLACE[feature]] += used.values() if isinstance(used, Units) else used
    return found


def _share(units: Units, share: float) -> tuple[float, ...]:
    return tuple(value * share for value in units.values())


def _uses(chip: Chip) -> Iterator[tuple[str, Event | str, Units | tuple[float, ...]]]:
    units = hardware(chip)
    taps, word = chip.taps, word_bits(chip)
    for name in ("multipliers", "nest", "array"):
        yield name, Event.STEPS, units[name]
    # a kernel register is chosen among all of them in a step, and a word written chooses its register
    chosen = row_bits(chip) * index_bits(chip.kernel_registers)
    yield "kernels", Event.STEPS, Units(select_bits=chosen)
    yield "kernels", Event.REGISTER_WORDS, Units(register_bits=word, select_bits=word * chip.kernel_registers)
    for mode in MODES:
        cells = accumulations({mode: 1}, chip)
        share = cells / chip.multipliers
        adders = units["accumulators"].adder_bits * share
        selects = units["accumulators"].select_bits * share
        yield "accumulators", mode, (cells * chip.accumulator_bits, adders, selects, 0.0)
    for event in (Event.FEATURE_READS, Event.GRADIENT_READS):  # K words make an access, which moves a window
        yield "window", event, _share(units["window"], 1 / chip.kernel)
        yield "loader", event, _share(units["loader"], 1 / chip.kernel)
    for name in ("window", "loader"):  # the upper words come from the line buffer
        yield name, "line_reads", _share(units[name], 1 - 1 / chip.kernel)
    yield "rows", Event.WEIGHT_READS, _share(units["rows"], 1 / taps)
    yield "writeback", Event.ROUNDED_WORDS, _share(units["writeback"], 1 / taps)
    for name in ("feature", "gradient", "weight"):
        banks = chip.weight_memory.banks if name == "weight" else chip.kernel
        for kind in ("READS", "WRITES"):
            yield name, Event[f"{name.upper()}_{kind}"], _share(units[name], 1 / banks)
    yield "vector", "loss_cycles", units["vector"]
    yield "sequencers", Event.INSTRUCTIONS, _share(units["sequencers"], 1 / 3)
    yield "counters", Event.BUSY, _share(units["counters"], _COUNTERS_TURNING / 3)
    if "dma" in units:
        for event in (Event.EXTERNAL_READS, Event.EXTERNAL_WRITES):
            yield "dma", event, _share(units["dma"], max(chip.external_beats, 1))


MEMORY_USES: dict[str, tuple[Event | str, Event | str | None]] = {
    "feature memory": (Event.FEATURE_READS, Event.FEATURE_WRITES),
    "gradient memory": (Event.GRADIENT_READS, Event.GRADIENT_WRITES),
    "weight memory": (Event.WEIGHT_READS, Event.WEIGHT_WRITES),
    "program memory": (Event.INSTRUCTIONS, None),
    "line buffer": ("line_reads", "line_writes"),
}
"""Of `FEATURES`, what reads and what writes a word of each memory; a word of the line buffer is all lines of a column.
"""


def memory_accesses(workload: Workload, memory: str) -> tuple[np.ndarray, np.ndarray]:
    """float64[rows] each: words read and written of one of `MEMORY_USES`."""
    found = features(workload)
    read, write = (found[:, _PLACE[use]] if use is not None else np.zeros(len(found)) for use in MEMORY_USES[memory])
    return read, write
