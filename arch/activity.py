"""What follows from counters about activity that has none of its own: pure functions of counts, steps and the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from arch.chip import Chip
from arch.events import Event
from arch.isa import Reduction
from arch.modes import MODES

Counts = Sequence[int]
"""Counts by `Event`, of one engine or summed over engines."""


class Multiplications(NamedTuple):
    """Products that were formed: with two operands that are not zero, and with one at least that is."""

    active: int
    zero: int


def multiplications(counts: Counts, chip: Chip) -> Multiplications:
    """The T x L products of every step, by operand activity."""
    zero = counts[Event.ZERO_PRODUCTS]
    return Multiplications(counts[Event.STEPS] * chip.multipliers - zero, zero)


def reduction_additions(steps: Mapping[str, int], chip: Chip) -> int:
    """Additions of two values each that sum products before the accumulators; `steps` by name in `MODES`."""
    return sum(count * (chip.multipliers - _sums(name, chip)) for name, count in steps.items())


def accumulations(steps: Mapping[str, int], chip: Chip) -> int:
    """Accumulators that steps added to, replaced or compared with, `steps` by name in `MODES`."""
    return sum(count * _sums(name, chip) for name, count in steps.items())


def _sums(name: str, chip: Chip) -> int:
    """What a step's products are reduced to."""
    return {Reduction.BOTH: 1, Reduction.TAPS: chip.lanes, Reduction.LANES: chip.taps}.get(
        MODES[name].reduction, chip.multipliers
    )


def external_beats(counts: Counts) -> int:
    """Beats of data between the DMA and the external memory."""
    return counts[Event.EXTERNAL_READS] + counts[Event.EXTERNAL_WRITES]


def idle(cycles: int, counts: Counts) -> int:
    """Of a run's `cycles`, those in which the engine of these `counts` executed nothing."""
    return cycles - counts[Event.BUSY]
