"""Coverpoints of a TRANSFER."""

from __future__ import annotations

from arch.isa import OnChip, Space, Storage
from arch.limits import memory_words
from arch.pages import spaces
from arch.transfer import burst_beats, bursts, chip_span, line_words
from testbenches.coverpoints import EXTENT, Coverpoint, Sample, extent, member

LINES = ("one", "packed", "apart", "overlapping")
BESIDE = ("alone", "another memory", "another page")
"""What other engines used while the transfer ran: nothing, other memories, or another page of its memory."""


def _direction(sample: Sample) -> str:
    return "out" if sample.transfer.outward else "in"


def _lines(sample: Sample) -> str:
    transfer = sample.transfer
    words = line_words(transfer, sample.chip)
    if transfer.lines == 1:
        return "one"
    if transfer.external_pitch == words:
        return "packed"
    return "apart" if transfer.external_pitch > words else "overlapping"


def _pitch(sample: Sample) -> str | None:
    transfer = sample.transfer
    if transfer.memory == OnChip.WEIGHT or transfer.lines == 1:
        return None
    return "gaps" if transfer.pitch > transfer.count else "no gaps"


def _bursts(sample: Sample) -> str:
    transfer, chip = sample.transfer, sample.chip
    several = sum(1 for _ in bursts(transfer, chip)) > transfer.lines
    longest = max(count for _, count in bursts(transfer, chip)) == burst_beats(chip)
    return "a longest one" if longest else "several a line" if several else "one a line"


def _place(sample: Sample) -> str:
    transfer, chip = sample.transfer, sample.chip
    weights = transfer.memory == OnChip.WEIGHT
    span = chip_span(transfer)
    limit = chip.weight_rows if weights else memory_words(chip, Space(transfer.memory))
    return extent(span.start, len(span), limit)


def _outside(sample: Sample) -> str:
    return "later" if sample.transfer.external else "first"


def _pages(sample: Sample) -> str:
    used = sum(memory != "external" for memory, _ in spaces(sample.instruction, sample.chip))
    return "one" if used == 1 else "several"


DIRECTION = Coverpoint("direction", ("in", "out"), _direction, ("outward",))
MEMORY = member("memory", OnChip)
COUNT = Coverpoint("count", ("one", "several"), lambda s: "one" if s.transfer.count == 1 else "several", ("count",))
LINE = Coverpoint("lines", LINES, _lines, ("lines", "external_pitch"))
PITCH = Coverpoint("pitch", ("no gaps", "gaps"), _pitch, ("pitch",))
BURSTS = Coverpoint("bursts", ("one a line", "several a line", "a longest one"), _bursts)
PLACE = Coverpoint("place", EXTENT, _place, ("word", "row"))
OUTSIDE = Coverpoint("outside", ("first", "later"), _outside, ("external",))
BEATS = Coverpoint("beats of a word", ("1", "2", "4", "8"), lambda s: str(s.chip.external_beats))
STORAGE = member("storage", Storage)
PAGES = Coverpoint("pages", ("one", "several"), _pages)
RAN_BESIDE = Coverpoint("beside", BESIDE, lambda s: s.beside)
