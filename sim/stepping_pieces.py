"""The loader in a PIXELS walk: pieces of a block's positions, shifted by the inner step, and the pixel words."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Moving, Reduction, Stationary
from sim.stepping_cells import called, clocked, copy, fill
from sim.stepping_state import Plane


@called
def request_piece(s, i, memory):
    """Neighbouring positions of one row, into the shadow's words from tap `access` on."""
    loader = s.loader
    count = min(loader.reach, i.width - loader.column, loader.accesses - loader.access)
    for k in range(count):
        if i.moving == Moving.BLOCK:
            _gather(s, i, memory, loader.column + k, loader.access + k)
        if i.stationary == Stationary.PIXEL and _brings_pixels(s, i):
            _read_pixel(s, i, memory, loader.column + k, loader.access + k)
    loader.access += count
    loader.column += count
    if loader.column == i.width:
        loader.column = 0
        loader.row += 1


@called
def swap_block(s, i):
    """The shadow into the operands, zeros behind a partial block; then on to the next inner step, block or group."""
    loader = s.loader
    count = loader.accesses * s.chip.lanes
    if i.moving == Moving.BLOCK:
        copy(loader.shadow, 0, s.cells, Plane.WINDOW, count)
        fill(s.cells, Plane.WINDOW + count, s.chip.multipliers - count, 0)
    if i.stationary == Stationary.MATCH or (i.stationary == Stationary.PIXEL and _brings_pixels(s, i)):
        copy(loader.pixels, 0, s.cells, Plane.PIXEL, count)
        fill(s.cells, Plane.PIXEL + count, s.chip.multipliers - count, 0)
    if _next_inner_step(s, i):
        loader.row = loader.block_row
        loader.column = loader.block_column
        return
    loader.words -= loader.accesses
    if loader.words == 0:
        loader.words = i.height * i.width
        loader.row = 0
        loader.column = 0
        next_group(loader, i)
    loader.block_row = loader.row
    loader.block_column = loader.column


@clocked
def next_group(unit, i):
    """Advance `outer` and `inner` of a unit's registers."""
    unit.inner += 1
    if unit.inner == i.inner:
        unit.inner = 0
        unit.outer += 1


@clocked
def _next_inner_step(s, i):
    """Go to the block's next inner step, if it has one, or to the first one of the next."""
    loader = s.loader
    loader.kernel_column += 1
    if loader.kernel_column < i.kernel_width:
        return True
    loader.kernel_column = 0
    loader.kernel_row += 1
    if loader.kernel_row < i.kernel_height:
        return True
    loader.kernel_row = 0
    return False


@clocked
def _brings_pixels(s, i):
    """Whether the inner step brings the block's pixel words: the first one does, and all do if nothing moves."""
    return i.moving == Moving.ONE or (s.loader.kernel_row == 0 and s.loader.kernel_column == 0)


@clocked
def _read_pixel(s, i, memory, column, tap):
    loader = s.loader
    lanes = s.chip.lanes
    plane = loader.outer
    if i.moving == Moving.ONE:
        plane += loader.kernel_column
    place = i.pixel_space * s.chip.feature_words + i.pixel + plane * i.pixel_plane + loader.row * i.pixel_pitch
    copy(memory.words, (place + column) * lanes, loader.pixels, tap * lanes, lanes)
    s.counters[0, Event.GRADIENT_READS if i.pixel_space else Event.FEATURE_READS] += 1


@clocked
def _gather(s, i, memory, column, tap):
    """The word that the inner step gives a position, and the pixel word there for MATCH; outside the map: padding."""
    loader = s.loader
    lanes = s.chip.lanes
    row = loader.row * i.step + loader.kernel_row * i.dilation - i.pad_top
    along = column * i.step - i.pad_left
    further = (loader.outer if i.by_lane else loader.inner) * i.source_group
    if i.planes:
        further += loader.kernel_column * i.source_plane
    else:
        along += loader.kernel_column * i.dilation
    if 0 <= row < i.source_height and 0 <= along < i.source_width:
        place = i.source_space * s.chip.feature_words + i.source + further + row * i.source_pitch + along
        copy(memory.words, place * lanes, loader.shadow, tap * lanes, lanes)
        s.counters[0, Event.GRADIENT_READS if i.source_space else Event.FEATURE_READS] += 1
        if i.stationary == Stationary.MATCH:
            place = i.pixel_space * s.chip.feature_words + i.pixel + loader.outer * i.pixel_plane
            place += row * i.pixel_pitch + along
            copy(memory.words, place * lanes, loader.pixels, tap * lanes, lanes)
            s.counters[0, Event.GRADIENT_READS if i.pixel_space else Event.FEATURE_READS] += 1
        return
    padding = 0
    if i.reduction == Reduction.MAXIMUM or i.reduction == Reduction.INDEX:
        padding = -1 << (s.chip.word_bits - 1)
    fill(loader.shadow, tap * lanes, lanes, padding)
    if i.stationary == Stationary.MATCH:
        fill(loader.pixels, tap * lanes, lanes, 0)
