"""Random nests: COMPUTE instructions of every mode, leaning to corners, and chains that keep what others hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import numpy as np

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import (
    BYTE_BITS,
    Base,
    Compute,
    Emission,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Space,
    Stationary,
    Storage,
    Traversal,
)
from arch.limits import memory_words
from arch.modes import MODES, SKIPPING
from arch.nest_rules import most_iterations
from arch.spans import mask_spans, pixel_spans, read_rows, source_spans, sum_terms, target_spans
from arch.timing import streams_rows, writes_rows
from arch.traversal import positions
from testbenches.walks import corner, random_walk, within_cells

_SUMMED = ("height", "width", "kernel_height", "kernel_width", "inner", "iterations")
_SPACES = ("source_space", "pixel_space", "target_space", "mask_space")


def place(rng: np.random.Generator, limit: int, used: int) -> int:
    """Where `used` words or rows of `limit` begin; 0 if they do not fit, which is not legal."""
    return corner(rng, 0, limit - used) if used <= limit else 0


def exists(chip: Chip, kind: str) -> bool:
    """Whether a chip has the accumulators for a mode."""
    if MODES[kind].moving == Moving.KERNEL:
        return chip.accumulator_banks > 1
    if MODES[kind].reduction in (Reduction.MAXIMUM, Reduction.INDEX):
        return _room(Compute(**MODES[kind]._asdict(), traversal=Traversal.PIXELS), chip) > 1
    return True


def takes_bias(nest: Compute) -> bool:
    """Whether a word of the bias register may be added to what the nest emits."""
    if writes_rows(nest) or nest.reduction in (Reduction.MAXIMUM, Reduction.INDEX):
        return False
    return nest.emission == Emission.POSITION or nest.reduction == Reduction.BOTH


def any_space(rng: np.random.Generator) -> Space:
    """The feature or the gradient memory."""
    return Space(int(rng.integers(2)))


def random_nest(chip: Chip, rng: np.random.Generator, kind: str, widest: int = 6) -> Compute:
    """A nest of mode `kind` with walks of at most `widest` rows and columns, or about; it may be illegal."""
    nest = Compute(
        **MODES[kind]._asdict(),
        negate=int(rng.integers(2)),
        rounding=Rounding(int(rng.integers(len(Rounding)))),
        overflow=Overflow(int(rng.integers(len(Overflow)))),
        target_storage=Storage(int(chip.word_bits > BYTE_BITS and rng.random() < 0.3)),
    )
    nest = replace(nest, base=_base(nest, rng), iterations=corner(rng, 1, most_iterations(nest, chip)))
    if not writes_rows(nest):
        nest = replace(nest, relu=int(rng.integers(2)))
    nest = _shrunk(random_walk(nest, chip, rng, widest), chip)
    if nest.base == Base.BIAS:
        nest = replace(nest, bias_word=corner(rng, 0, max(0, chip.taps - nest.outer)))
    if streams_rows(nest):
        most = max(1, chip.weight_rows // positions(nest, chip))
        nest = replace(nest, iterations=min(nest.iterations, most))
    nest = _skipping(nest, kind, rng)
    nest = replace(nest, **_spaces(nest, chip, rng))
    return _placed(_numbered(_rowed(nest, chip, rng), chip, rng), chip, rng)


def chained(nest: Compute, chip: Chip, rng: np.random.Generator, length: int) -> list[Compute]:
    """Up to `length` nests that keep what the one before held, the last one much as `nest`; it may be illegal."""
    chain: list[Compute] = []
    nest = replace(nest, outer=1, inner=1 if nest.emission == Emission.END else nest.inner)
    if nest.emission == Emission.POSITION:
        nest = within_cells(nest, chip)
    for index in range(length):
        last = index == length - 1
        item = replace(nest, keep=int(index > 0), hold=int(not last), skip=0)
        if not last:
            item = replace(item, negate=int(rng.integers(2)), relu=int(rng.integers(2)) if nest.relu else 0)
        chain.append(_placed(_numbered(item, chip, rng, length), chip, rng))
    return chain


def _base(nest: Compute, rng: np.random.Generator) -> Base:
    if not writes_rows(nest):
        return Base(int(rng.integers(2))) if takes_bias(nest) else Base.NONE
    if nest.emission == Emission.STEP:
        return Base.ROW
    return Base.NONE if rng.random() < 0.3 else Base.ROW


def _skipping(nest: Compute, kind: str, rng: np.random.Generator) -> Compute:
    if kind in SKIPPING and rng.random() < 0.35:
        kernels = nest.stationary == Stationary.KERNEL or nest.moving == Moving.KERNEL
        groups = {"outer": 1, "inner": 1} if kernels else {}
        return replace(nest, skip=1, mask=int(kind == "convolution"), **groups)
    masked = nest.emission == Emission.POSITION and not writes_rows(nest) and rng.random() < 0.4
    return replace(nest, mask=int(masked))


def _spaces(nest: Compute, chip: Chip, rng: np.random.Generator) -> dict:
    """Memories that the nest's maps may lie in at once; without a mask, if there is no room for it beside them."""
    for mask in range(nest.mask, -1, -1):
        masked = replace(nest, mask=mask, skip=nest.skip * (mask or not nest.mask))
        choices = [spaces for spaces in product(Space, repeat=4) if _apart(masked, spaces, chip)]
        if choices:
            chosen = choices[rng.integers(len(choices))]
            return {"mask": mask, "skip": masked.skip, **dict(zip(_SPACES, chosen, strict=True))}
    raise AssertionError("two memories are enough for any nest without a mask")


def _apart(nest: Compute, spaces: tuple[Space, ...], chip: Chip) -> bool:
    """Whether pixels, mask and what is written lie in memories that one port each is enough for."""
    source, pixel, target, mask = spaces
    has_pixels = bool(pixel_spans(nest))
    used = {space for space, spans in ((source, source_spans(nest)), (target, target_spans(nest, chip))) if spans}
    if has_pixels and pixel in (used if nest.moving != Moving.KERNEL else ()):
        return False
    return not (mask_spans(nest) and not nest.skip) or mask not in (used | ({pixel} if has_pixels else set()))


def _rowed(nest: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    """The nest with its rows' distances, and kernels that it loads by itself or finds."""
    kernels = nest.stationary == Stationary.KERNEL or nest.moving == Moving.KERNEL
    reload = int(kernels and rng.random() < 0.5)
    inner = nest.iterations if rng.random() < 0.7 else corner(rng, 0, nest.iterations + 2)
    outer = nest.iterations * nest.inner if rng.random() < 0.7 else corner(rng, 0, 2 * nest.iterations)
    if nest.emission == Emission.ROW:
        inner = int(rng.integers(max(1, chip.weight_rows // nest.iterations)))
        inner = min(inner, int(rng.integers(8)))
        inner = (1 << ROW_BITS) - inner if inner and rng.random() < 0.3 else inner  # rows further and further back
    return replace(nest, reload=reload, rotate=reload * int(rng.integers(2)), row_inner=inner, row_outer=outer)


def _numbered(nest: Compute, chip: Chip, rng: np.random.Generator, times: int = 1) -> Compute:
    """The nest with shifts, up to the largest that the accumulators have room for beside sums of `times` such nests."""
    room = _room(nest, chip, times)
    if room < 2:
        return nest  # which is refused
    base = 0
    base_shift = int(rng.integers(chip.accumulator_bits))
    if nest.base != Base.NONE:
        most = (room - 1).bit_length() - chip.word_bits
        if most < 0:
            nest, base_shift = replace(nest, base=Base.ROW if nest.emission == Emission.STEP else Base.NONE), 0
        else:
            base_shift = _shift(chip, rng, most)
            base = 1 << chip.word_bits - 1 + base_shift
    most = min((room - base).bit_length() - 1, chip.accumulator_bits - 1) if room > base else 0
    shift = _shift(chip, rng, most)
    if nest.base == Base.ROW and rng.random() < 0.4:  # as updates are: the old weight at the sum's own scale
        shift = base_shift = min(shift, base_shift)
    return replace(nest, base_shift=base_shift, shift=shift)


def _room(nest: Compute, chip: Chip, times: int = 1) -> int:
    """The largest number that the accumulators hold beside sums of `times` such nests."""
    return (1 << chip.accumulator_bits - 1) - 1 - (times * sum_terms(nest, chip) << 2 * chip.word_bits - 2)


def _shrunk(nest: Compute, chip: Chip) -> Compute:
    """The nest with so few products that the accumulators hold their sums."""
    while _room(nest, chip) < 2:
        name = max(_SUMMED, key=lambda name: getattr(nest, name))
        if getattr(nest, name) == 1:
            break
        nest = replace(nest, **{name: getattr(nest, name) // 2})
    return nest


def _shift(chip: Chip, rng: np.random.Generator, most: int) -> int:
    choices = 0, 1, chip.word_bits - 4, most, int(rng.integers(most + 1))
    return min(most, choices[rng.integers(len(choices))])


def _placed(nest: Compute, chip: Chip, rng: np.random.Generator) -> Compute:
    """The nest with places of its maps and rows; what does not fit is left to be refused."""
    nest = replace(nest, source=0, pixel=0, target=0, mask_source=0, row=0, target_row=0)
    used = {
        "source": (nest.source_space, _end(source_spans(nest))),
        "pixel": (nest.pixel_space, _end(pixel_spans(nest))),
        "target": (nest.target_space, _end(target_spans(nest, chip))),
        "mask_source": (nest.mask_space, 0 if nest.skip else _end(mask_spans(nest))),
    }
    places = {name: place(rng, memory_words(chip, space), words) for name, (space, words) in used.items()}
    read = "pixel" if nest.moving == Moving.KERNEL else "source"
    (source_space, source), (target_space, target) = used[read], used["target"]
    if source and target and source_space == target_space:  # side by side, in either order
        names = (read, "target") if rng.random() < 0.5 else ("target", read)
        words, limit = sum(used[name][1] for name in names), memory_words(chip, source_space)
        places[names[0]] = place(rng, limit, words)
        begin = places[names[0]] + used[names[0]][1]
        places[names[1]] = begin + place(rng, limit - begin, used[names[1]][1])
    if nest.emission == Emission.ROW:
        places |= _summed_rows(nest, chip, rng)
    else:
        places["row"] = place(rng, chip.weight_rows, _end(read_rows(nest, chip)))
    return replace(nest, **places)


def _summed_rows(nest: Compute, chip: Chip, rng: np.random.Generator) -> dict[str, int]:
    """Where rows that are summed are read, the first of them the last in memory if the distance is negative."""
    count, most = positions(nest, chip), 1 << ROW_BITS
    back = nest.row_inner > most // 2
    distance = (most - nest.row_inner if back else nest.row_inner) * (nest.iterations - 1)
    first = place(rng, chip.weight_rows, distance + count)
    row = first + distance * back
    chosen = nest.iterations - 1 if nest.base == Base.ROW else int(rng.integers(nest.iterations))
    onto = (row + chosen * nest.row_inner) % most
    in_place = nest.base == Base.ROW or rng.random() < 0.3
    return {"row": row, "target_row": onto if in_place else place(rng, chip.weight_rows, count)}


def _end(spans: Iterable[range]) -> int:
    return max((span.stop for span in spans), default=0)
