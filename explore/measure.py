"""A point's row: what the timing mode and the estimates say of it."""

from __future__ import annotations

from typing import Any

from arch.chip import Chip
from arch.errors import InputError
from arch.events import Event
from arch.workload import Workload
from estimate.area import area
from estimate.energy import energy
from estimate.technology import Technology
from explore.point import Point
from explore.timing import time_network

Row = dict[str, Any]
"""A row of a sweep's table by column: numbers, texts, booleans or None."""


def timed(point: Point) -> Row:
    """The row of a point without values; with `fits` False and a `reason` if the chip cannot run the network.

    >>> from compiler.pipeline import Options
    >>> from tinycl.networks import digits_network
    >>> point = Point(Chip.load("paper").model_dump(), {}, digits_network(), Options())
    >>> row = timed(point)
    >>> row["fits"], row["cycles"]
    (True, 2322)
    """
    return attempted(point, lambda chip: costs(_timing(point, chip), point.technology))


def attempted(point: Point, measure) -> Row:
    """The row that begins with the point and goes on with what `measure` finds of its chip, or why there is nothing.

    >>> from compiler.pipeline import Options
    >>> from tinycl.networks import digits_network
    >>> point = Point(Chip.load("paper").model_dump(), {}, digits_network(), Options())
    >>> attempted(point, lambda chip: {"lanes": chip.lanes})["lanes"]
    8
    """
    row: Row = {"chip": point.fields["name"], "network": point.network.name, **point.varied}
    try:
        chip = Chip.from_fields(point.fields, "chip")
        return row | {"fits": True, "reason": ""} | measure(chip)
    except InputError as error:
        return row | {"fits": False, "reason": str(error).replace(f"chip {row['chip']}", "the chip")}
    except Exception as error:
        # one point that meets a defect must not cost the others; the row says what it is
        return row | {"fits": False, "reason": f"defect: {type(error).__name__}: {error}"}


def _timing(point: Point, chip: Chip) -> Workload:
    return time_network(point.network, chip, point.options, point.density).workload


def memory_bytes(chip: Chip) -> int:
    """Bytes of the memories of maps and weights, and of a line buffer's K - 1 lines, a last one perhaps in part.

    >>> paper = Chip.load("paper")
    >>> memory_bytes(paper.replace(traversal="line_buffer")) - memory_bytes(paper)
    2048
    """
    line_bits = (chip.kernel - 1) * chip.line_words * chip.lanes * chip.word_bits
    memories = (chip.feature_memory, chip.gradient_memory, chip.weight_memory)
    return sum(item.bytes for item in memories) + -(-line_bits // 8)


def costs(workload: Workload, technology: str) -> Row:
    """Columns of a workload: cycles, words and, in a technology, energy and area, each with its range.

    >>> import tinycl
    >>> row = costs(tinycl.timing("digits").workload, "65nm")
    >>> row["energy_low_uJ"] < row["energy_uJ"] < row["energy_high_uJ"]
    True
    """
    chip, counts = workload.chip, workload.counts
    macs = sum(row.macs for row in workload.rows)
    row: Row = {
        "entry": workload.entry,
        "estimated": workload.estimated,
        "cycles": workload.cycles,
        "time_us": workload.cycles * chip.clock_ns / 1000,
        "utilisation": macs / (chip.multipliers * workload.cycles),
        "macs": macs,
        "multipliers": chip.multipliers,
        "memory_bytes": memory_bytes(chip),
        "window_words": counts[Event.WINDOW_WORDS],
        "map_reads": counts[Event.FEATURE_READS] + counts[Event.GRADIENT_READS],
        "external_beats": counts[Event.EXTERNAL_READS] + counts[Event.EXTERNAL_WRITES],
    }
    if not technology:
        return row
    found = Technology.load(technology)
    joules, silicon = energy(workload, found).total, area(chip, found).total
    for name, item, scale in (("energy_{}uJ", joules, 1e6), ("area_{}mm2", silicon, 1.0)):
        values = {"": item.central, "low_": item.low, "high_": item.high}
        row |= {name.format(which): float(value * scale) for which, value in values.items()}
    return row
