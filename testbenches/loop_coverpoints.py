"""Coverpoints of a COMPUTE's loops: groups, inner steps, kernels that they load, sums that are kept, skipped steps."""

from __future__ import annotations

from arch.isa import Compute, Emission, Moving, Stationary, Traversal
from arch.spans import kernel_taps
from arch.timing import emits_blocks, writes_rows
from arch.traversal import inner_steps, positions, reach
from testbenches.coverpoints import Coverpoint, Sample
from testbenches.nest_coverpoints import spans_of

CHAINS = ("alone", "hold", "keep", "keep and hold")
SKIPS = ("off", "nothing", "some", "all but one a unit")
STEPS = ("one", "row", "column", "rectangle", "planes")


def _groups(name: str) -> Coverpoint:
    return Coverpoint(name, ("one", "more"), lambda s: "more" if getattr(s.compute, name) > 1 else "one", (name,))


def _chain(sample: Sample) -> str:
    return CHAINS[2 * sample.compute.keep + sample.compute.hold]


def _partial(sample: Sample) -> str | None:
    nest = sample.compute
    return "partial sums" if nest.inner > 1 or nest.keep or nest.hold else "whole sums"


def _cells(sample: Sample) -> str | None:
    nest, chip = sample.compute, sample.chip
    if nest.emission != Emission.POSITION or nest.moving == Moving.KERNEL:
        return None
    count = chip.accumulator_banks * (1 if emits_blocks(nest) else chip.taps)
    used = positions(nest, chip)
    return "fewer" if used < count else "all" if used == count else "again"


def _kernels(nest: Compute) -> bool:
    return nest.stationary == Stationary.KERNEL or nest.moving == Moving.KERNEL


def _reload(sample: Sample) -> str | None:
    nest = sample.compute
    if not _kernels(nest):
        return None
    return "rotated" if nest.rotate else "reloaded" if nest.reload else "found"


def _skip(sample: Sample) -> str | None:
    nest = sample.compute
    if not nest.skip:
        return "off"
    if sample.steps is None:
        return None
    units = nest.outer * nest.inner * positions(nest, sample.chip) * inner_steps(nest)
    if sample.steps == units * nest.iterations:
        return "nothing"
    return "all but one a unit" if sample.steps == units else "some"


def _pixels(nest: Compute) -> bool:
    return nest.traversal == Traversal.PIXELS


def _inner(sample: Sample) -> str | None:
    nest = sample.compute
    if not _pixels(nest):
        return None
    if nest.planes:
        return "planes"
    return STEPS[2 * (nest.kernel_height > 1) + (nest.kernel_width > 1)]


def _step(sample: Sample) -> str | None:
    nest = sample.compute
    return ("zero", "one", "more")[min(nest.step, 2)] if _pixels(nest) and nest.moving == Moving.BLOCK else None


def _reach(sample: Sample) -> str | None:
    nest = sample.compute
    if not _pixels(nest):
        return None
    brought = reach(nest, sample.chip)
    return "one" if brought == 1 else "K" if brought == sample.chip.kernel else "some"


def _dilation(sample: Sample) -> str | None:
    nest = sample.compute
    if not _pixels(nest) or nest.planes or inner_steps(nest) == 1 or nest.moving != Moving.BLOCK:
        return None
    return ("zero", "one", "more")[min(nest.dilation, 2)]


def _cut(sample: Sample) -> str | None:
    nest, taps = sample.compute, sample.chip.taps
    if not _pixels(nest):
        return None
    return "yes" if nest.height > 1 and nest.width % taps else "no"


def _taps(sample: Sample) -> str | None:
    nest = sample.compute
    if not _pixels(nest):
        return None
    taps = kernel_taps(nest)
    if len(taps) == 1:
        return "first" if taps[0] == 0 else "another"
    in_order = taps == list(range(taps[0], taps[0] + len(taps)))
    return "in order" if in_order else "all different" if len(set(taps)) == len(taps) else "some again"


def _tap_outer(sample: Sample) -> str | None:
    nest = sample.compute
    if not _pixels(nest) or nest.outer == 1:
        return None
    return "others" if nest.tap_outer else "the same"


def distance(name: str, what: str) -> Coverpoint:
    """Whether a map or the rows of a group or plane lie where those before lay; only where there is another."""

    def of(sample: Sample) -> str | None:
        return None if not _counts(sample, name) else "elsewhere" if getattr(sample.compute, name) else "the same"

    return Coverpoint(what, ("the same", "elsewhere"), of, (name,))


def _counts(sample: Sample, name: str) -> bool:
    """Whether a distance is gone at least once."""
    nest = sample.compute
    rows = bool(nest.reload or (writes_rows(nest) and not nest.hold and nest.emission == Emission.END))
    return {
        "source_group": bool(spans_of(sample, "source")) and nest.outer * nest.inner > 1,
        "source_plane": bool(spans_of(sample, "source")) and bool(nest.planes) and nest.kernel_width > 1,
        "pixel_plane": bool(spans_of(sample, "pixel"))
        and (nest.outer > 1 or (nest.moving == Moving.ONE and nest.kernel_width > 1)),
        "target_outer": bool(spans_of(sample, "target")) and nest.outer > 1,
        "mask_outer": bool(spans_of(sample, "mask")) and nest.outer > 1,
        "row_outer": rows and nest.outer > 1,
        "row_inner": (rows and nest.inner > 1) or (nest.emission == Emission.ROW and nest.iterations > 1),
    }[name]


def _target_step(sample: Sample) -> str | None:
    nest = sample.compute
    if not spans_of(sample, "target") or nest.emission == Emission.END:
        return None
    return "one" if nest.target_step == 1 else "more"


def _scattered(sample: Sample) -> str | None:
    nest = sample.compute
    if nest.moving != Moving.KERNEL:
        return None
    return "all" if nest.height <= nest.source_height and nest.width <= nest.source_width else "not beyond the map"


def _dropped(name: str) -> Coverpoint:
    def of(sample: Sample) -> str | None:
        nest = sample.compute
        return None if nest.moving != Moving.KERNEL else "some" if getattr(nest, name) else "none"

    return Coverpoint(f"words dropped by {name}", ("none", "some"), of, (name,))


OUTER, INNER = _groups("outer"), _groups("inner")
CHAIN = Coverpoint("sums", CHAINS, _chain, ("keep", "hold"))
PARTIAL = Coverpoint("what is summed", ("whole sums", "partial sums"), _partial)
CELLS = Coverpoint("accumulators used", ("fewer", "all", "again"), _cells)
RELOAD = Coverpoint("kernels", ("found", "reloaded", "rotated"), _reload, ("reload", "rotate"))
SKIP = Coverpoint("skipped", SKIPS, _skip, ("skip",))
INNER_STEPS = Coverpoint("inner steps", STEPS, _inner, ("kernel_height", "kernel_width", "planes"))
STEP = Coverpoint("step", ("zero", "one", "more"), _step, ("step",))
REACH = Coverpoint("positions an access", ("one", "some", "K"), _reach)
DILATION = Coverpoint("dilation", ("zero", "one", "more"), _dilation, ("dilation",))
CUT = Coverpoint("a block holds a row's end", ("no", "yes"), _cut)
TAPS = Coverpoint(
    "kernel taps",
    ("first", "another", "in order", "all different", "some again"),
    _taps,
    ("tap", "tap_row", "tap_column"),
)
TAP_OUTER = Coverpoint("kernel taps of outer groups", ("the same", "others"), _tap_outer, ("tap_outer",))
DISTANCES = (
    distance("source_group", "source of the next group"),
    distance("source_plane", "source of the next plane"),
    distance("pixel_plane", "pixels of the next group or plane"),
    distance("target_outer", "target of the next group"),
    distance("mask_outer", "mask of the next group"),
    distance("row_outer", "rows of the next outer group"),
    distance("row_inner", "rows of the next inner group"),
)
TARGET_STEP = Coverpoint("target_step", ("one", "more"), _target_step, ("target_step",))
SCATTERED = Coverpoint("pixels scattered", ("all", "not beyond the map"), _scattered)
DROPPED_ROWS, DROPPED_COLUMNS = _dropped("pad_top"), _dropped("pad_left")
