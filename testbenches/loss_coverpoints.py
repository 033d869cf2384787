"""Coverpoints of a LOSS."""

from __future__ import annotations

from arch.isa import Space
from arch.limits import memory_words
from testbenches.coverpoints import EXTENT, SIZE, Coverpoint, Sample, event_class, extent, member

LOSS_COUNTS = ("one", "partial word", "one word", "several, last partial", "several")


def _loss_count(sample: Sample) -> str:
    count, lanes = sample.loss.count, sample.chip.lanes
    if count <= lanes:
        return "one" if count == 1 else "one word" if count == lanes else "partial word"
    return "several, last partial" if count % lanes else "several"


def _label(sample: Sample) -> str | None:
    if sample.label is None:
        return None
    return "in range" if 0 <= sample.label < sample.loss.count else "out of range"


def _fraction(name: str) -> Coverpoint:
    def of(sample: Sample) -> str:
        value = getattr(sample.loss, name)
        return "zero" if value == 0 else "largest" if value == 15 else "middle"

    return Coverpoint(name, SIZE, of, (name,))


def _loss_place(name: str) -> Coverpoint:
    def of(sample: Sample) -> str:
        loss, chip = sample.loss, sample.chip
        memory = Space(1 - loss.space) if name == "target" else loss.space
        used = 1 if name == "label" else chip.words(loss.count)
        return extent(getattr(loss, name), used, memory_words(chip, memory))

    return Coverpoint(name, EXTENT, of, (name,))


LOSS_COUNT = Coverpoint("count", LOSS_COUNTS, _loss_count, ("count",))
LABEL = Coverpoint("label's value", ("in range", "out of range"), _label)
LOSS_EVENT = Coverpoint("event", ("none", "saturation"), event_class)
SOURCE_FRACTION, TARGET_FRACTION = _fraction("source_fraction"), _fraction("target_fraction")
LOSS_SPACE = member("space", Space)
LOSS_SOURCE, LOSS_LABEL, LOSS_TARGET = (_loss_place(name) for name in ("source", "label", "target"))
