"""Random walks of nests: positions, groups, inner steps, padding, and the pitches of the maps that they cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.isa import Compute, Emission, Moving, Stationary, Traversal
from arch.layout import map_pitch
from arch.modes import BY_LANE, mode_of
from arch.nest_rules import executed_walks, walks
from arch.spans import emitted_extents, source_spans, target_spans
from arch.timing import emits_blocks
from arch.traversal import positions


def corner(rng: np.random.Generator, low: int, high: int) -> int:
    """A number from low to high; either end as often as all between."""
    return (low, high, int(rng.integers(low, high + 1)))[rng.integers(3)] if low < high else low


def random_walk(nest: Compute, chip: Chip, rng: np.random.Generator, widest: int) -> Compute:
    """The nest on positions of at most about `widest` rows and columns, with groups and pitches; it may be illegal."""
    executed = executed_walks(nest, chip)
    traversal = executed[rng.integers(len(executed))]
    nest = replace(_grouped(nest, rng), traversal=traversal)
    if nest.moving == Moving.KERNEL:
        nest = _scattered(nest, chip, rng, widest)
    elif traversal == Traversal.PIXELS:
        nest = _gathered(nest, chip, rng, widest)
    elif traversal == Traversal.BLOCK:
        nest = _blocked(nest, chip, rng)
    else:
        nest = _windowed(nest, chip, rng, widest)
    if nest.inner > 1 and nest.emission == Emission.POSITION:
        nest = within_cells(nest, chip)
    return _pitched(nest, chip, rng)


def cells(nest: Compute, chip: Chip) -> int:
    """Positions whose partial sums the accumulators hold at most."""
    return chip.accumulator_banks * (1 if emits_blocks(nest) else chip.taps)


def within_cells(nest: Compute, chip: Chip) -> Compute:
    """The nest on no more positions than the accumulators hold partial sums of."""
    while positions(nest, chip) > cells(nest, chip):
        side = "height" if nest.height > nest.width else "width"
        nest = replace(nest, **{side: getattr(nest, side) - 1})
    return nest


def grows(nest: Compute) -> bool:
    """Whether the nest may have more than one group."""
    return not (walks(nest) == (Traversal.BLOCK,) or nest.moving in (Moving.ONE, Moving.UNIT))


def _grouped(nest: Compute, rng: np.random.Generator) -> Compute:
    if not grows(nest) or rng.random() < 0.4:
        return nest
    single = mode_of(nest) in BY_LANE or nest.moving == Moving.KERNEL
    return replace(nest, outer=corner(rng, 1, 3), inner=1 if single else corner(rng, 1, 3))


def _distance(rng: np.random.Generator, whole: int) -> int:
    """From one map, which takes `whole` words, to the next: behind it, with a gap or not, over it, or the same."""
    return (whole, whole, whole + int(rng.integers(3)), int(rng.integers(whole + 1)))[rng.integers(4)]


def _windowed(nest: Compute, chip: Chip, rng: np.random.Generator, widest: int) -> Compute:
    side = chip.kernel
    pads = [corner(rng, 0, side - 1) for _ in range(2)]
    source = [corner(rng, 1, max(side + 2, widest - 1)) for _ in range(2)]
    height, width = (corner(rng, 1, min(extent + pad, widest)) for extent, pad in zip(source, pads, strict=True))
    if rng.random() < 0.2:  # every window within the map
        pads, source = [0, 0], [height + side - 1 + int(rng.integers(2)), width + side - 1 + int(rng.integers(2))]
    moves = nest.moving == Moving.WINDOW
    return replace(
        nest,
        pad_top=pads[0] if moves else 0,
        pad_left=pads[1] if moves else 0,
        source_height=source[0],
        source_width=source[1],
        height=height,
        width=width,
    )


def _scattered(nest: Compute, chip: Chip, rng: np.random.Generator, widest: int) -> Compute:
    side, most = chip.kernel, (chip.accumulator_banks - 1) * chip.kernel + 1
    height, width = corner(rng, 1, max(side + 1, widest)), corner(rng, side, max(side, min(most, widest + side)))
    return replace(
        nest,
        height=height,
        width=width,
        pad_top=min(15, corner(rng, 0, min(height - 1, side))),
        pad_left=min(15, corner(rng, 0, min(width - 1, side))),
        source_height=corner(rng, 1, max(1, height - (side - 1) * int(rng.integers(2)))),
        source_width=corner(rng, 1, max(1, width - (side - 1) * int(rng.integers(2)))),
    )


def _blocked(nest: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    most = 8 if nest.iterations == 1 else 2
    words = corner(rng, 1, most * chip.taps)
    width = corner(rng, 1, words)
    return replace(nest, height=-(-words // width), width=width)


def _gathered(nest: Compute, chip: Chip, rng: np.random.Generator, widest: int) -> Compute:
    planes = int(rng.random() < (0.5 if nest.moving == Moving.ONE else 0.2))
    most = min(4, chip.kernel + 1)
    plain = nest.moving == Moving.ONE and not planes
    nest = replace(
        nest,
        height=corner(rng, 1, widest),
        width=corner(rng, 1, widest),
        step=1 if rng.random() < 0.5 else int(rng.choice([0, 2, 2, 3, chip.kernel, 7])),
        dilation=1 if rng.random() < 0.6 else int(rng.choice([0, 2, 3, 15])),
        planes=planes,
        kernel_height=1 if planes or plain else corner(rng, 1, most),
        kernel_width=1 if plain else corner(rng, 1, most),
        pad_top=_padding(rng),
        pad_left=_padding(rng),
    )
    rows = 1 if planes else nest.kernel_height
    columns = 1 if planes else nest.kernel_width
    nest = replace(
        nest,
        source_height=_beneath(nest, rng, nest.height, rows, nest.pad_top),
        source_width=_beneath(nest, rng, nest.width, columns, nest.pad_left),
    )
    return replace(nest, **_taps(nest, chip, rng))


def _padding(rng: np.random.Generator) -> int:
    return 0 if rng.random() < 0.5 else corner(rng, 1, 2) if rng.random() < 0.8 else int(rng.integers(16))


def _beneath(nest: Compute, rng: np.random.Generator, extent: int, taps: int, pad: int) -> int:
    """An extent of the map: what the walk reaches, or less, so that positions lie beyond it."""
    reached = max(1, (extent - 1) * nest.step + (taps - 1) * nest.dilation + 1 - pad)
    return min(reached, 9) if rng.random() < 0.5 else corner(rng, 1, min(reached + 1, 9))


def _taps(nest: Compute, chip: Chip, rng: np.random.Generator) -> dict[str, int]:
    """Kernel taps below T: row by row where they are so many, else whatever fits."""
    if rng.random() < 0.5 and nest.kernel_height * nest.kernel_width <= chip.taps:
        free = chip.taps - nest.kernel_height * nest.kernel_width
        outer = free // (nest.outer - 1) if nest.outer > 1 else 0
        return {"tap_row": nest.kernel_width, "tap_column": 1, "tap_outer": int(rng.integers(outer + 1))}
    free, taps = chip.taps - 1, {}
    pairs = [("tap_row", nest.kernel_height), ("tap_column", nest.kernel_width), ("tap_outer", nest.outer)]
    for i in rng.permutation(3):
        name, count = pairs[i]
        most = free // (count - 1) if count > 1 else 0
        taps[name] = int(rng.integers(most + 1))
        free -= taps[name] * (count - 1)
    return {**taps, "tap": corner(rng, 0, free)}


def _pitched(nest: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    """The nest with distances between the rows, planes and groups of its maps."""
    blocks = nest.traversal == Traversal.BLOCK
    source_width = nest.width if blocks else nest.source_width
    pitch = source_width + int(rng.integers(3)) * int(rng.integers(2))
    if nest.moving == Moving.WINDOW:
        pitch = map_pitch(nest.source_width, chip) + chip.kernel * int(rng.integers(2))
    match = nest.stationary == Stationary.MATCH
    step = 1 if nest.emission != Emission.POSITION or rng.random() < 0.6 else corner(rng, 1, 3)
    nest = replace(
        nest,
        source_pitch=pitch,
        pixel_pitch=pitch if match else nest.width + int(rng.integers(3)) * int(rng.integers(2)),
        target_step=step,
        target_pitch=0,
        mask_pitch=0,
    )
    height, width = emitted_extents(nest)
    across = (width - 1) * step + 1
    rows = nest.source_height if match else nest.height
    nest = replace(
        nest,
        target_pitch=across + int(rng.integers(3)) * int(rng.integers(2)),
        mask_pitch=across + int(rng.integers(3)) * int(rng.integers(2)),
        pixel_plane=_distance(rng, (rows - 1) * nest.pixel_pitch + nest.width),
    )
    sources = source_spans(replace(nest, outer=1, inner=1, planes=0))
    targets = target_spans(replace(nest, outer=1), chip)
    source = len(sources[0]) if sources else 1
    return replace(
        nest,
        source_plane=_distance(rng, source) if nest.planes else 0,
        source_group=_distance(rng, source),
        target_outer=_distance(rng, len(targets[0]) if targets else 1),
        mask_outer=_distance(rng, (height - 1) * nest.mask_pitch + across),
    )
