"""Which COMPUTE instructions exist on a chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from arch.cells import summed_cells
from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import (
    BYTE_BITS,
    Base,
    Compute,
    Emission,
    Instruction,
    Moving,
    Reduction,
    Route,
    Stationary,
    Storage,
    Traversal,
)
from arch.limits import overlap, row_problems, span_problems
from arch.modes import BY_LANE, CELL_INDEX_BITS, SKIPPING, mode_of
from arch.spans import (
    emitted_extents,
    kernel_taps,
    mask_spans,
    pixel_spans,
    read_rows,
    source_spans,
    sum_terms,
    target_spans,
    written_rows,
)
from arch.timing import emits_blocks, writes_rows
from arch.traversal import inner_steps, line_columns, masks_by_pixels, positions

_PLAIN = {"step": 1, "kernel_height": 1, "kernel_width": 1, "dilation": 1, "planes": 0}
"""What only a PIXELS walk may set otherwise."""


def nest_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    """Everything that keeps the COMPUTE from being executed, a phrase each; its fields fit their bits."""
    if mode_of(compute) is None:
        yield "no mode has these sources, routes, reduction and emission"
        return
    least = ("iterations", "outer", "inner", "height", "width", "kernel_height", "kernel_width", "target_step")
    small = [name for name in least if getattr(compute, name) < 1]
    if small:
        yield f"{' and '.join(small)} must be at least 1"
        return
    most = most_iterations(compute, chip)
    if compute.iterations > most:
        yield f"iterations must be 1 to {most}, not {compute.iterations}"
    unfit = list(_walk_problems(compute, chip))
    yield from unfit
    if unfit:
        return
    for rule in (
        _group_problems,
        _tap_problems,
        _operand_problems,
        _emission_problems,
        _skip_problems,
        _number_problems,
    ):
        yield from rule(compute, chip)


def most_iterations(compute: Compute, chip: Chip) -> int:
    """The largest number of iterations that the operands and accumulators of a mode allow."""
    if mode_of(compute) in BY_LANE or compute.moving in (Moving.ONE, Moving.UNIT):
        return 1
    limits = [chip.multipliers]
    if compute.stationary == Stationary.KERNEL or compute.moving == Moving.KERNEL:
        limits.append(chip.kernel_registers)
    lanes = compute.moving_route == Route.TAP or compute.stationary == Stationary.PIXEL
    per_lane = compute.emission == Emission.POSITION and compute.reduction in (Reduction.BOTH, Reduction.LANES)
    if lanes or per_lane:
        limits.append(chip.lanes)
    if compute.emission == Emission.END and writes_rows(compute):
        limits.append(chip.accumulator_banks)
    return min(limits)


def walks(compute: Compute) -> tuple[Traversal, ...]:
    """The traversals that a mode may have."""
    if compute.moving == Moving.KERNEL:
        return (Traversal.RASTER,)
    if compute.moving in (Moving.WINDOW, Moving.UNIT):
        return (Traversal.SNAKE, Traversal.RASTER)
    kernel_tap = compute.stationary == Stationary.KERNEL or compute.stationary == Stationary.MATCH
    if kernel_tap or compute.stationary == Stationary.PIXEL:
        return (Traversal.PIXELS,)
    return (Traversal.BLOCK,)


def executed_walks(compute: Compute, chip: Chip) -> tuple[Traversal, ...]:
    """Those of `walks` that the chip executes: with a line buffer, windows walk in raster order alone."""
    buffered = chip.line_words and compute.moving == Moving.WINDOW
    return tuple(item for item in walks(compute) if item == Traversal.RASTER or not buffered)


def _walk_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    allowed = executed_walks(compute, chip)
    if compute.traversal not in allowed:
        yield f"traversal must be {' or '.join(item.name for item in allowed)}"
        return
    if compute.traversal != Traversal.PIXELS:
        for name, plain in _PLAIN.items():
            if getattr(compute, name) != plain:
                yield f"{name} must be {plain} unless the walk is PIXELS"
    if compute.planes and compute.kernel_height != 1:
        yield "kernel_height must be 1 where inner steps go over planes"
    if (
        compute.moving == Moving.ONE
        and compute.traversal == Traversal.PIXELS
        and not (compute.planes or inner_steps(compute) == 1)
    ):
        yield "inner steps must go over planes where nothing moves"
    if compute.moving == Moving.KERNEL:
        columns = -(-(compute.width + chip.kernel - 1) // chip.kernel)
        if compute.width < chip.kernel or columns > chip.accumulator_banks:
            most = chip.accumulator_banks * chip.kernel - chip.kernel + 1
            yield f"width of a scatter must be {chip.kernel} to {most}, not {compute.width}"
        if compute.height <= compute.pad_top or compute.width <= compute.pad_left:
            yield "height and width of a scatter must be above pad_top and pad_left"
    if compute.moving == Moving.WINDOW:
        yield from _window_problems(compute, chip)
    gathers = compute.traversal == Traversal.PIXELS and compute.moving == Moving.BLOCK
    if (gathers or compute.moving == Moving.KERNEL) and min(compute.source_height, compute.source_width) < 1:
        yield "source_height and source_width must be at least 1"


def _window_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    side = chip.kernel
    if compute.source_height < 1 or compute.source_width < 1:
        yield "source_height and source_width must be at least 1"
    if compute.pad_top >= side or compute.pad_left >= side:
        yield f"pad_top and pad_left must be below {side}"
    if compute.source_height > 1 and compute.source_pitch % side != 1:
        yield f"source_pitch must be 1 more than a multiple of {side}, so that a column's words lie in all banks"
    if chip.line_words and (met := line_columns(compute, chip)) > chip.line_words:
        yield (
            f"windows must meet at most {chip.line_words} columns of the map, the words of a line of the line buffer "
            f"(line_buffer_words), not {met}"
        )
    for name, extent, outer, pad in (
        ("height", compute.height, compute.source_height, compute.pad_top),
        ("width", compute.width, compute.source_width, compute.pad_left),
    ):
        if extent > outer + pad:
            yield f"{name} must be at most {outer + pad}: the last window must touch the map"


def _group_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    mode = mode_of(compute)
    grouped = compute.outer * compute.inner > 1
    loops = compute.traversal in (Traversal.SNAKE, Traversal.RASTER, Traversal.PIXELS) and compute.moving != Moving.UNIT
    if grouped and not (loops and mode != "pixelwise_bias"):
        yield "outer and inner must be 1 in this mode"
    single = mode in BY_LANE or compute.moving == Moving.KERNEL
    if compute.inner > 1 and single:
        yield "inner must be 1 where a lane is a channel, and in a scatter"
    if compute.keep or compute.hold:
        if compute.moving == Moving.KERNEL or compute.emission in (Emission.STEP, Emission.ROW):
            yield "keep and hold must be 0 in this mode"
        elif compute.reduction in (Reduction.MAXIMUM, Reduction.INDEX):
            yield "keep and hold must be 0 where a maximum is kept"
        elif grouped and (compute.emission == Emission.END or compute.outer > 1):
            yield "keep and hold need outer = 1, and inner = 1 with emission END"
    if compute.emission == Emission.POSITION and (compute.inner > 1 or compute.keep or compute.hold):
        cells = chip.accumulator_banks * (1 if emits_blocks(compute) else chip.taps)
        if positions(compute, chip) > cells:
            yield f"partial sums of at most {cells} positions fit the accumulators, not {positions(compute, chip)}"
    if compute.reload and compute.stationary != Stationary.KERNEL and compute.moving != Moving.KERNEL:
        yield "reload must be 0 without kernels"
    if compute.rotate and not compute.reload:
        yield "rotate must be 0 without reload"


def _tap_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    last = compute.outer - 1
    taps = {min(kernel_taps(compute, o)) for o in (0, last)} | {max(kernel_taps(compute, o)) for o in (0, last)}
    uses = compute.traversal == Traversal.PIXELS
    if uses and max(taps) >= chip.taps:
        yield f"kernel taps must be below {chip.taps}, not {max(taps)}"
    if not uses and max(taps):
        yield "tap, tap_row, tap_column and tap_outer must be 0 unless the walk is PIXELS"
    if compute.reduction == Reduction.INDEX and inner_steps(compute) > 1 << CELL_INDEX_BITS:
        yield f"an index counts at most {1 << CELL_INDEX_BITS} inner steps"


def _operand_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    source, pixels = source_spans(compute), pixel_spans(compute)
    if source:
        blocks = compute.traversal == Traversal.BLOCK
        extents = (compute.height, compute.width) if blocks else (compute.source_height, compute.source_width)
        yield from _pitch_problems("source", extents, compute.source_pitch)
        yield from span_problems("source", compute.source_space, source, chip)
    if pixels:
        match = compute.stationary == Stationary.MATCH
        of_map = match or compute.moving == Moving.KERNEL
        extents = (compute.source_height, compute.source_width) if of_map else (compute.height, compute.width)
        yield from _pitch_problems("pixel", extents, compute.pixel_pitch)
        yield from span_problems("pixel", compute.pixel_space, pixels, chip)
        if match and compute.pixel_pitch != compute.source_pitch:
            yield "pixel_pitch must be source_pitch: both maps are read at the same coordinates"
        if source and compute.pixel_space == compute.source_space:
            yield "pixel_space must differ from source_space: each has one port"
    yield from row_problems("row", [*read_rows(compute, chip), *written_rows(compute, chip)], chip)


def _pitch_problems(name: str, extents: tuple[int, int], pitch: int) -> Iterator[str]:
    height, width = extents
    if height > 1 and pitch < width:
        yield f"the pitch of {name} must be at least its width {width}, not {pitch}"


def _emission_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if writes_rows(compute):
        yield from _row_emission_problems(compute, chip)
        return
    if compute.base == Base.ROW:
        yield "base must be NONE or BIAS where words of a map are emitted"
    if compute.base == Base.BIAS:
        if compute.reduction in (Reduction.MAXIMUM, Reduction.INDEX):
            yield "base must be NONE where a maximum is emitted"
        elif compute.emission == Emission.END and compute.reduction != Reduction.BOTH:
            yield "base must be NONE where a sum of all positions is emitted"
        elif compute.bias_word + compute.outer > chip.taps:
            yield f"bias_word + outer must be at most {chip.taps}, the words of the bias register"
    if compute.hold:
        return
    if compute.emission == Emission.END and compute.target_step != 1:
        yield "target_step must be 1 where words are emitted at the end"
    targets, source, pixels = target_spans(compute, chip), source_spans(compute), pixel_spans(compute)
    height, width = emitted_extents(compute)
    if compute.emission == Emission.POSITION:
        yield from _pitch_problems("target", (height, (width - 1) * compute.target_step + 1), compute.target_pitch)
    yield from span_problems("target", compute.target_space, targets, chip)
    if compute.source_space == compute.target_space and overlap(source, targets):
        yield "target must not overlap the source: words would be read after they are replaced"
    if pixels and compute.pixel_space == compute.target_space:
        if compute.moving != Moving.KERNEL:
            yield "pixel_space must differ from target_space: each has one port"
        elif overlap(pixels, targets):
            yield "target must not overlap the pixels: words would be read after they are replaced"
    if compute.mask:
        yield from _mask_problems(compute, chip)


def _row_emission_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if compute.mask or compute.relu:
        yield "mask and relu must be 0 where weight rows are written"
    if compute.emission == Emission.STEP and compute.base != Base.ROW:
        yield "base must be ROW: the result replaces a weight row"
    if compute.emission == Emission.END and compute.base == Base.BIAS:
        yield "base must be NONE or ROW where weight rows are written"
    if compute.emission == Emission.END and compute.outer * compute.inner > 1:
        yield from _group_row_problems(compute, chip)
    if compute.emission == Emission.ROW:
        if compute.base == Base.BIAS:
            yield "base must be NONE or ROW where rows are summed"
        last = (compute.row + (compute.iterations - 1) * compute.row_inner) % (1 << ROW_BITS)
        if compute.base == Base.ROW and last != compute.target_row:
            yield "target_row must be where the last iteration's rows begin, which are the base"
        written = written_rows(compute, chip)
        if any(read not in written and overlap([read], written) for read in read_rows(compute, chip)):
            yield "target_row must begin where rows are read from, or its rows must be others"


def _group_row_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    """A group's rows are read before the last ones of the group before are written."""
    groups = written_rows(compute, chip)
    if compute.base == Base.ROW and any(overlap([a], [b]) for a, b in combinations(groups, 2)):
        yield "row_outer and row_inner must give each group rows of its own"


def _mask_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if compute.emission == Emission.END:
        yield "mask must be 0 where words are emitted at the end"
        return
    if masks_by_pixels(compute):
        return
    height, width = emitted_extents(compute)
    yield from _pitch_problems("mask_source", (height, (width - 1) * compute.target_step + 1), compute.mask_pitch)
    yield from span_problems("mask_source", compute.mask_space, mask_spans(compute), chip)
    if compute.mask_space == compute.target_space:
        yield "mask_space must differ from target_space: each has one port"
    if source_spans(compute) and compute.mask_space == compute.source_space:
        yield "mask_space must differ from source_space: each has one port"
    if pixel_spans(compute) and compute.mask_space == compute.pixel_space:
        yield "mask_space must differ from pixel_space: each has one port"


def _skip_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if not compute.skip:
        return
    mode = mode_of(compute)
    if mode not in SKIPPING:
        yield f"skip must be 0 in mode {mode}"
    if mode == "convolution" and not compute.mask:
        yield "skip needs a mask in mode convolution"
    if mode == "convolution" and compute.hold:
        yield "hold must be 0 with skip in mode convolution: what is skipped leaves no sum"
    kernels = compute.stationary == Stationary.KERNEL or compute.moving == Moving.KERNEL
    if kernels and compute.outer * compute.inner > 1:
        yield "skip with kernels needs outer = inner = 1"


def _number_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if compute.shift >= chip.accumulator_bits or compute.base_shift >= chip.accumulator_bits:
        yield f"shift and base_shift must be below {chip.accumulator_bits}, the accumulator's bits"
        return
    if compute.target_storage == Storage.BYTE and chip.word_bits <= BYTE_BITS:
        yield f"target_storage must be WORD: the chip's words have {chip.word_bits} bits"
    yield from _overflow_problems(compute, sum_terms(compute, chip), chip)


def _overflow_problems(compute: Compute, terms: int, chip: Chip) -> Iterator[str]:
    base = 0 if compute.base == Base.NONE else 1 << (chip.word_bits - 1 + compute.base_shift)
    largest = terms * (1 << (2 * chip.word_bits - 2)) + base + (1 << compute.shift)
    bits = largest.bit_length() + 1
    if bits > chip.accumulator_bits:
        yield f"the accumulator could overflow: {bits} bits are needed, accumulator_bits is {chip.accumulator_bits}"


_RULES = (_group_problems, _tap_problems, _operand_problems, _emission_problems, _skip_problems, _number_problems)


def chain_problems(stream: Sequence[Instruction], chip: Chip) -> Iterator[str]:
    """What is wrong with sums that COMPUTEs of a stream hold for the next one to keep."""
    held, cells = 0, np.zeros((chip.accumulator_banks * chip.taps, chip.lanes), bool)
    for index, item in enumerate(stream):
        if not isinstance(item, Compute):
            continue
        if item.keep and not held:
            yield f"array {index}: keep needs a COMPUTE before it that holds its sums"
        elif item.keep:
            held += sum_terms(item, chip)
            for problem in _overflow_problems(item, held, chip):
                yield f"array {index}: with what is kept, {problem}"
            if (summed_cells(item, chip) & ~cells).any():
                yield f"array {index}: keep needs sums of all that it emits, of which only some were held"
        elif item.hold:
            held, cells = sum_terms(item, chip), summed_cells(item, chip)
        held = held if item.hold else 0
