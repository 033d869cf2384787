"""How often each event happens in an instruction, as far as it does not depend on values."""

from __future__ import annotations

from collections import Counter

from arch.chip import Chip
from arch.events import Event
from arch.isa import Compute, Destination, Emission, Instruction, Load, Loss, Moving, Space, Stationary
from arch.timing import duration, uses_rows, writes_rows
from arch.traversal import accesses

_READS = {Space.FEATURE: Event.FEATURE_READS, Space.GRADIENT: Event.GRADIENT_READS}
_WRITES = {Space.FEATURE: Event.FEATURE_WRITES, Space.GRADIENT: Event.GRADIENT_WRITES}


def counted(instruction: Instruction, chip: Chip) -> Counter[Event]:
    """Events of one legal instruction; `DATA_DEPENDENT` ones are absent."""
    events: Counter[Event] = Counter({Event.INSTRUCTIONS: 1, Event.BUSY: duration(instruction, chip)})
    if isinstance(instruction, Load):
        _count_load(events, instruction, chip)
    elif isinstance(instruction, Compute):
        _count_compute(events, instruction, chip)
    elif isinstance(instruction, Loss):
        words = chip.words(instruction.count)
        events[_READS[instruction.space]] += 1 + 3 * words
        events[_WRITES[Space(1 - instruction.space)]] += words
        events[Event.ROUNDED_WORDS] += words
    return events


def _count_load(events: Counter[Event], load: Load, chip: Chip) -> None:
    if load.destination == Destination.VECTOR:
        events[_READS[load.space]] += load.count
        events[Event.REGISTER_WORDS] += load.count
    else:
        events[Event.WEIGHT_READS] += load.count * chip.taps
        events[Event.REGISTER_WORDS] += load.count * chip.taps


def _count_compute(events: Counter[Event], compute: Compute, chip: Chip) -> None:
    places = accesses(compute, chip)
    steps = len(places) * compute.iterations
    events[Event.STEPS] += steps
    events[_READS[compute.source_space]] += sum(map(sum, places))
    if compute.moving == Moving.WINDOW:
        events[Event.WINDOW_WORDS] += chip.kernel * sum(map(len, places))
    if compute.stationary == Stationary.PIXEL:
        events[_READS[compute.pixel_space]] += len(places)
    rows = compute.iterations if compute.emission == Emission.END else steps
    if uses_rows(compute):
        events[Event.WEIGHT_READS] += chip.taps * (rows if writes_rows(compute) else steps)
    if writes_rows(compute):
        events[Event.WEIGHT_WRITES] += chip.taps * rows
        events[Event.ROUNDED_WORDS] += chip.taps * rows
        return
    words = map_words(compute, chip)
    events[_WRITES[compute.target_space]] += words
    events[Event.ROUNDED_WORDS] += words
    if compute.mask:
        events[_READS[compute.mask_space]] += words


def map_words(compute: Compute, chip: Chip) -> int:
    """Words of a map that a nest emits: one a position, or all of every block; 0 if it updates weight rows."""
    if writes_rows(compute):
        return 0
    if compute.emission == Emission.END:
        return chip.words(compute.iterations)
    return compute.height * compute.width
