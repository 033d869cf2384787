"""How often each event happens in an instruction, as far as it does not depend on values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from arch.chip import Chip
from arch.events import Event
from arch.isa import Compute, Destination, Emission, Instruction, Load, Loss, Moving, Reduction, Space, Transfer
from arch.recall import by_form
from arch.timing import duration, emitted_words, loads, streams_rows, writes_rows
from arch.transfer import count_transfer
from arch.traversal import accesses, inner_steps, masks_by_pixels, pixel_words, positions, source_words

_READS = {Space.FEATURE: Event.FEATURE_READS, Space.GRADIENT: Event.GRADIENT_READS}
_WRITES = {Space.FEATURE: Event.FEATURE_WRITES, Space.GRADIENT: Event.GRADIENT_WRITES}


def counted(instruction: Instruction, chip: Chip, executed: np.ndarray | None = None) -> Counter[Event]:
    """Events of one legal instruction; `DATA_DEPENDENT` ones are absent.

    `executed` is what `arch.timing.measured` takes for a COMPUTE with `skip`; without it no iteration is skipped.
    """
    return _counted(instruction, chip, executed) if executed is not None else Counter(_of_form(instruction, chip))


def total(instructions: Iterable[Instruction], chip: Chip) -> Counter[Event]:
    """Events of all these instructions, none skipping anything."""
    forms: dict[tuple, Instruction] = {}
    times: Counter[tuple] = Counter()
    for item in instructions:
        times[forms.setdefault(item.form, item).form] += 1
    events: Counter[Event] = Counter()
    for form, item in forms.items():
        for event, count in _of_form(item, chip).items():
            events[event] += count * times[form]
    return events


@by_form
def _of_form(instruction: Instruction, chip: Chip) -> Counter[Event]:
    """`counted` without `executed`; not to be changed."""
    return _counted(instruction, chip, None)


def _counted(instruction: Instruction, chip: Chip, executed: np.ndarray | None) -> Counter[Event]:
    events: Counter[Event] = Counter({Event.INSTRUCTIONS: 1, Event.BUSY: duration(instruction, chip, executed)})
    if isinstance(instruction, Load):
        _count_load(events, instruction, chip)
    elif isinstance(instruction, Compute):
        _count_compute(events, instruction, chip, executed)
    elif isinstance(instruction, Loss):
        words = chip.words(instruction.count)
        events[_READS[instruction.space]] += 1 + 3 * words
        events[_WRITES[Space(1 - instruction.space)]] += words
        events[Event.ROUNDED_WORDS] += words
    elif isinstance(instruction, Transfer):
        count_transfer(events, instruction, chip)
    return events


def _count_load(events: Counter[Event], load: Load, chip: Chip) -> None:
    if load.destination == Destination.VECTOR:
        events[_READS[load.space]] += load.count
        events[Event.REGISTER_WORDS] += load.count
    else:
        events[Event.WEIGHT_READS] += load.count * chip.taps
        events[Event.REGISTER_WORDS] += load.count * chip.taps


def _count_compute(events: Counter[Event], compute: Compute, chip: Chip, executed: np.ndarray | None) -> None:
    groups = compute.outer * compute.inner
    places = positions(compute, chip)
    steps = groups * places * inner_steps(compute) * compute.iterations
    if executed is not None:
        steps = int(executed.sum()) * inner_steps(compute)
    events[Event.STEPS] += steps
    events[_READS[compute.source_space]] += groups * source_words(compute, chip)
    events[_READS[compute.pixel_space]] += groups * pixel_words(compute, chip)
    if compute.moving == Moving.WINDOW:
        events[Event.WINDOW_WORDS] += groups * chip.kernel * int(accesses(compute, chip).sum())
    if compute.reload:
        events[Event.WEIGHT_READS] += groups * compute.iterations * chip.taps
        events[Event.REGISTER_WORDS] += groups * compute.iterations * chip.taps
    if streams_rows(compute):
        events[Event.WEIGHT_READS] += chip.taps * steps
    if compute.hold:
        return
    if writes_rows(compute):
        rows = {Emission.END: groups * compute.iterations, Emission.STEP: steps, Emission.ROW: places}[compute.emission]
        if compute.emission == Emission.END:
            events[Event.WEIGHT_READS] += chip.taps * rows
        events[Event.WEIGHT_WRITES] += chip.taps * rows
        events[Event.ROUNDED_WORDS] += chip.taps * rows
        return
    words = map_words(compute, chip)
    events[_WRITES[compute.target_space]] += words
    events[Event.ROUNDED_WORDS] += words
    if compute.mask and not masks_by_pixels(compute):
        events[_READS[compute.mask_space]] += words


def fills(instruction: Instruction, chip: Chip) -> int:
    """How often the loader fills a block or the pixels for a COMPUTE, once a position and inner step; 0 for windows,
    which WINDOW_WORDS counts."""
    if not isinstance(instruction, Compute) or instruction.moving == Moving.WINDOW or not loads(instruction):
        return 0
    return instruction.outer * instruction.inner * positions(instruction, chip) * inner_steps(instruction)


def map_words(compute: Compute, chip: Chip) -> int:
    """Words of maps that a nest emits: those of every position for every outer group; 0 if it writes weight rows."""
    if writes_rows(compute) or compute.hold:
        return 0
    if compute.emission == Emission.END:
        return compute.outer * (chip.words(compute.iterations) if compute.reduction == Reduction.BOTH else 1)
    return compute.outer * int(emitted_words(compute, chip).sum())
