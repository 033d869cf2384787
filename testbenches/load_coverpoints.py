"""Coverpoints of a LOAD."""

from __future__ import annotations

from arch.isa import Destination, Space
from arch.limits import memory_words
from testbenches.coverpoints import COUNT, EXTENT, Coverpoint, Sample, count_class, extent

LOADS = ("kernel", "kernel rotated", "kernel transposed", "kernel transposed, rotated", "vector", "bias")


def _load(sample: Sample) -> str:
    load = sample.load
    if load.destination != Destination.KERNEL:
        return load.destination.name.lower()
    return LOADS[2 * load.transpose + load.rotate]


def _load_count(sample: Sample) -> str:
    load, chip = sample.load, sample.chip
    kernels = min(chip.kernel_registers, chip.lanes) if load.transpose else chip.kernel_registers
    most = {Destination.KERNEL: kernels, Destination.VECTOR: chip.taps, Destination.BIAS: 1}[load.destination]
    return count_class(load.count, most)


def _load_row(sample: Sample) -> str | None:
    load = sample.load
    return None if load.destination == Destination.VECTOR else extent(load.row, load.count, sample.chip.weight_rows)


def _load_source(sample: Sample) -> str | None:
    load = sample.load
    limit = memory_words(sample.chip, load.space)
    return extent(load.source, load.count, limit) if load.destination == Destination.VECTOR else None


def _load_space(sample: Sample) -> str | None:
    return sample.load.space.name if sample.load.destination == Destination.VECTOR else None


LOAD = Coverpoint("operation", LOADS, _load, ("destination", "rotate", "transpose"))
LOAD_COUNT = Coverpoint("count", COUNT, _load_count, ("count",))
LOAD_ROW = Coverpoint("row", EXTENT, _load_row, ("row",))
LOAD_SPACE = Coverpoint("space", tuple(item.name for item in Space), _load_space, ("space",))
LOAD_SOURCE = Coverpoint("source", EXTENT, _load_source, ("source",))
