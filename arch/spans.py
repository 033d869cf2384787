"""Which words and rows a COMPUTE touches: spans of the memories, gaps within them included."""

from __future__ import annotations

from collections.abc import Iterator

from arch.chip import Chip
from arch.counts import map_words
from arch.fields import ROW_BITS
from arch.isa import Compute, Emission, Moving, Reduction, Stationary, Traversal
from arch.modes import BY_LANE, mode_of
from arch.timing import streams_rows, writes_rows
from arch.traversal import masks_by_pixels, positions


def map_span(first: int, height: int, width: int, pitch: int) -> range:
    """The words from the first to the last of a map, gaps between its rows included."""
    return range(first, first + (height - 1) * pitch + width)


def source_spans(compute: Compute) -> list[range]:
    """Words of the moving operand's maps, a span for each plane that inner steps go over; none if nothing moves."""
    if compute.moving not in (Moving.WINDOW, Moving.BLOCK):
        return []
    blocks = compute.traversal == Traversal.BLOCK
    height, width = (compute.height, compute.width) if blocks else (compute.source_height, compute.source_width)
    groups = compute.outer if mode_of(compute) in BY_LANE else compute.inner
    further = (groups - 1) * compute.source_group
    planes = compute.kernel_width if compute.planes else 1
    spans = (
        map_span(compute.source + k * compute.source_plane, height, width, compute.source_pitch) for k in range(planes)
    )
    return [range(span.start, span.stop + further) for span in spans]


def pixel_spans(compute: Compute) -> list[range]:
    """Words of the pixel map, a span for each outer group or plane; none if the nest has no pixel map."""
    height, width, count = compute.height, compute.width, compute.outer
    if compute.stationary == Stationary.MATCH:
        height, width = compute.source_height, compute.source_width
    elif compute.moving == Moving.KERNEL:
        height, width = min(height, compute.source_height), min(width, compute.source_width)
    elif compute.moving == Moving.ONE:
        count = compute.kernel_width
    elif compute.stationary != Stationary.PIXEL and not masks_by_pixels(compute):
        return []
    if compute.stationary == Stationary.VECTOR:
        return []
    first, pitch = compute.pixel, compute.pixel_pitch
    return [map_span(first + o * compute.pixel_plane, height, width, pitch) for o in range(count)]


def target_spans(compute: Compute, chip: Chip) -> list[range]:
    """Words that are emitted, a span for each outer group; none if weight rows are, or nothing."""
    if writes_rows(compute) or compute.hold:
        return []
    if compute.emission == Emission.END:
        words = map_words(compute, chip) // compute.outer
        return [range(first, first + words) for first in _starts(compute.target, compute.target_outer, compute)]
    return _emitted_spans(compute.target, compute.target_pitch, compute.target_outer, compute)


def mask_spans(compute: Compute) -> list[range]:
    """Words of the mask maps, a span for each outer group; none without a mask, or if the pixel map is the mask."""
    if not compute.mask or compute.hold or masks_by_pixels(compute):
        return []
    return _emitted_spans(compute.mask_source, compute.mask_pitch, compute.mask_outer, compute)


def _emitted_spans(first: int, pitch: int, further: int, compute: Compute) -> list[range]:
    height, width = emitted_extents(compute)
    across = (width - 1) * compute.target_step + 1
    return [map_span(start, height, across, pitch) for start in _starts(first, further, compute)]


def _starts(first: int, further: int, compute: Compute) -> Iterator[int]:
    return (first + o * further for o in range(compute.outer))


def emitted_extents(compute: Compute) -> tuple[int, int]:
    """Rows and columns of positions that emit a word."""
    scatter = compute.moving == Moving.KERNEL
    lost = (compute.pad_top, compute.pad_left) if scatter else (0, 0)
    return max(compute.height - lost[0], 1), max(compute.width - lost[1], 1)


def read_rows(compute: Compute, chip: Chip) -> list[range]:
    """Weight rows that are read, in as few spans as is easy to say."""
    row, count = compute.row, compute.iterations
    if compute.emission == Emission.ROW:
        places = positions(compute, chip)
        starts = ((row + j * compute.row_inner) % (1 << ROW_BITS) for j in range(count))
        return [range(start, start + places) for start in starts]
    if streams_rows(compute):
        return [range(row, row + count * positions(compute, chip))]
    neighbours = compute.row_inner == count and compute.row_outer == compute.inner * count
    if compute.reload and (neighbours or compute.outer * compute.inner == 1):
        return [range(row, row + compute.outer * compute.inner * count)]
    if compute.reload or (writes_rows(compute) and not compute.hold):
        return _group_rows(compute)
    return []


def written_rows(compute: Compute, chip: Chip) -> list[range]:
    """Weight rows that are written."""
    if not writes_rows(compute) or compute.hold:
        return []
    if compute.emission == Emission.ROW:
        return [range(compute.target_row, compute.target_row + positions(compute, chip))]
    if compute.emission == Emission.STEP:
        return [range(compute.row, compute.row + compute.iterations * positions(compute, chip))]
    return _group_rows(compute)


def _group_rows(compute: Compute) -> list[range]:
    return [
        range(first, first + compute.iterations)
        for o in range(compute.outer)
        for first in (compute.row + o * compute.row_outer + i * compute.row_inner for i in range(compute.inner))
    ]


def sum_terms(compute: Compute, chip: Chip) -> int:
    """Products that one accumulator adds up at most; a maximum counts as many as its step number's bits make of it."""
    per_step = {Reduction.BOTH: chip.multipliers, Reduction.TAPS: chip.taps, Reduction.LANES: chip.lanes}
    terms = per_step.get(compute.reduction, 1)
    inner = compute.kernel_height * compute.kernel_width
    if compute.reduction in (Reduction.MAXIMUM, Reduction.INDEX):
        return 64
    if compute.emission == Emission.END:
        named = inner == 1 or (compute.stationary == Stationary.PIXEL and _distinct_taps(compute))
        return terms * positions(compute, chip) * (1 if named else inner)
    if compute.emission == Emission.ROW:
        return compute.iterations
    if compute.emission == Emission.STEP:
        return terms
    if compute.moving == Moving.KERNEL:
        return chip.taps * compute.iterations
    repeats = compute.iterations if compute.reduction in (Reduction.NONE, Reduction.TAPS) else 1
    return terms * repeats * inner * compute.inner


def kernel_taps(compute: Compute, outer: int = 0) -> list[int]:
    """Kernel tap of each inner step, in order, in an outer group."""
    first = compute.tap + outer * compute.tap_outer
    rows, columns = range(compute.kernel_height), range(compute.kernel_width)
    return [first + y * compute.tap_row + x * compute.tap_column for y in rows for x in columns]


def _distinct_taps(compute: Compute) -> bool:
    taps = kernel_taps(compute)
    return len(set(taps)) == len(taps)
