"""Write-back of a word or row: stages B (base, rounding), S (ReLU, mask, saturation) and W (the memory is written)."""

from __future__ import annotations

from arch.events import Event
from arch.isa import BYTE_BITS, Base, Emission, Moving, Reduction, Rounding, Stationary, Traversal
from arch.modes import CELL_INDEX_BITS
from arch.numerics import advance, fits, narrowed, rounded
from sim.stepping_cells import clocked, copy
from sim.stepping_skip import masks_by_pixels
from sim.stepping_state import MAX_LANES, PLANE

_LARGEST_INDEX = (1 << CELL_INDEX_BITS) - 1


@clocked
def prepare_emission(s, i):
    """Stand before the first word or row; `s` are the machine's registers, `i` the instruction."""
    emission = s.emission
    emission.rows = i.emission == Emission.STEP or i.emission == Emission.ROW
    if i.emission == Emission.END:
        summed = i.reduction == Reduction.TAPS and i.stationary == Stationary.PIXEL
        emission.rows = summed or i.reduction == Reduction.NONE
    emission.pending = 0
    emission.left = 0
    emission.word = 0
    emission.outer = 0
    emission.row = 0
    emission.column = 0
    emission.valid = 0
    s.writer.valid = 0
    s.writer.beat = 0


@clocked
def clock_writer(s, memory, i):
    """W: write the word or the beat of a row that S holds."""
    if not s.writer.valid:
        return
    if s.emission.rows:
        _write_beat(s, memory)
    else:
        _write_word(s, memory, i)


@clocked
def _write_word(s, memory, i):
    writer = s.writer
    lanes = s.chip.lanes
    copy(writer.value, 0, memory.words, writer.address * lanes, lanes)
    s.ports.word[0] = writer.address
    s.counters[0, Event.GRADIENT_WRITES if i.target_space else Event.FEATURE_WRITES] += 1
    s.emission.pending -= 1
    writer.valid = 0


@clocked
def _write_beat(s, memory):
    writer = s.writer
    first = writer.beat * s.chip.weight_banks
    words = min(s.chip.weight_banks, s.chip.taps - first)
    start = first * s.chip.lanes
    place = writer.row * s.chip.multipliers + start
    copy(writer.value, start, memory.rows, place, words * s.chip.lanes)
    s.ports.row = writer.row
    s.ports.beat = writer.beat
    s.counters[0, Event.WEIGHT_WRITES] += words
    writer.beat += 1
    if writer.beat == s.chip.beats:
        writer.beat = 0
        writer.valid = 0
        s.emission.pending -= 1


@clocked
def clock_saturation(s, i):
    """S: fit what B holds into words, and count."""
    emission = s.emission
    if not emission.valid:
        return
    emission.valid = 0
    s.writer.valid = 1
    s.writer.address = emission.address
    count = s.chip.lanes
    if emission.rows:
        count = s.chip.multipliers
        s.writer.row = emission.target
        s.counters[0, Event.ROUNDED_WORDS] += s.chip.taps
        s.counters[0, Event.LOST_UPDATES] += emission.lost
    else:
        s.counters[0, Event.ROUNDED_WORDS] += 1
        _rectify(s, i)
    value = emission.value[:count]
    word = s.writer.value[:count]
    bits = _bits(s, i)
    overflow = i.overflow
    saturations = 0
    for cell in range(count):
        saturations += not fits(value[cell], bits)
        word[cell] = narrowed(value[cell], bits, overflow)
    s.counters[0, Event.SATURATIONS] += saturations


@clocked
def _bits(s, i):
    """Bits that results have to fit."""
    return BYTE_BITS if i.target_storage else s.chip.word_bits


@clocked
def _rectify(s, i):
    value = s.emission.value
    for lane in range(s.chip.lanes):
        if (i.relu and value[lane] < 0) or (i.mask and s.emission.mask[lane] <= 0):
            value[lane] = 0


@clocked
def clock_rounding(s, i, memory, stage):
    """B: take a word or a row from the accumulators; `stage` is the slot of the step that is there."""
    emits = s.step.emits[stage]
    emission = s.emission
    if emits:
        emission.cell = s.step.emitted[stage]
        if emission.rows:
            _round_row(s, i, memory, stage)
            return
        emission.left = emits
        emission.word = 0
        if masks_by_pixels(i):
            copy(s.step.mask, stage * MAX_LANES, emission.mask, 0, s.chip.lanes)
    if emission.left:
        _round_word(s, i, memory)
        emission.left -= 1
        emission.word += 1


@clocked
def _round_word(s, i, memory):
    emission = s.emission
    lanes = s.chip.lanes
    _take_word(s, i)
    random = i.rounding == Rounding.STOCHASTIC
    for lane in range(lanes):
        emission.value[lane] = rounded(emission.value[lane], i.shift, i.rounding, memory.random[lane])
        if random:
            memory.random[lane] = advance(memory.random[lane])
    emission.valid = 1
    emission.address = i.target_space * s.chip.feature_words + i.target + emission.outer * i.target_outer
    if i.emission == Emission.END:
        emission.address += emission.word
        emission.outer += emission.left == 1
        return
    emission.address += emission.row * i.target_pitch + emission.column * i.target_step
    if i.mask and not masks_by_pixels(i):
        _request_mask(s, i, memory)
    _advance(s, i)


@clocked
def _take_word(s, i):
    """The next word's accumulators, or what they stand for, and its base."""
    emission = s.emission
    lanes = s.chip.lanes
    first = emission.word * lanes
    live = lanes
    if i.reduction == Reduction.BOTH:
        live = min(lanes, i.iterations - first)
    elif i.reduction == Reduction.LANES:
        live = i.iterations
    for lane in range(lanes):
        value = s.accumulators[emission.cell + first + lane] if lane < live else 0
        if i.reduction == Reduction.MAXIMUM:
            value >>= CELL_INDEX_BITS
        elif i.reduction == Reduction.INDEX:
            value = _LARGEST_INDEX - (value & _LARGEST_INDEX)
        if i.base == Base.BIAS:
            word = i.bias_word + emission.outer if i.emission == Emission.POSITION else emission.word
            value += s.bias[word * lanes + lane] << i.base_shift
        emission.value[lane] = value


@clocked
def _request_mask(s, i, memory):
    emission = s.emission
    place = i.mask_space * s.chip.feature_words + i.mask_source + emission.outer * i.mask_outer
    place += emission.row * i.mask_pitch + emission.column * i.target_step
    copy(memory.words, place * s.chip.lanes, emission.mask, 0, s.chip.lanes)
    s.counters[0, Event.GRADIENT_READS if i.mask_space else Event.FEATURE_READS] += 1


@clocked
def _advance(s, i):
    """Go to the place of the next word in its map, from the last one to the next group's first."""
    emission = s.emission
    rows = i.height
    columns = i.width
    if i.moving == Moving.KERNEL:  # a scatter's first rows and columns are not emitted
        rows -= i.pad_top
        columns -= i.pad_left
    leftward = i.traversal == Traversal.SNAKE and emission.row % 2 == 1
    if emission.column != (0 if leftward else columns - 1):
        emission.column += -1 if leftward else 1
        return
    emission.row += 1
    if emission.row == rows:
        emission.row = 0
        emission.column = 0
        emission.outer += 1
    elif i.traversal != Traversal.SNAKE:
        emission.column = 0


@clocked
def _round_row(s, i, memory, stage):
    emission = s.emission
    count = s.chip.multipliers
    sums = s.accumulators[emission.cell : emission.cell + count]
    base = s.step.base[stage * PLANE : stage * PLANE + count]
    value = emission.value[:count]
    shift = i.shift
    based = i.base == Base.ROW
    base_shift = i.base_shift
    rounding = i.rounding
    if rounding == Rounding.STOCHASTIC:
        for cell in range(count):
            old = base[cell] << base_shift if based else 0
            value[cell] = rounded(sums[cell] + old, shift, rounding, memory.random[cell])
            memory.random[cell] = advance(memory.random[cell])
    else:
        for cell in range(count):
            old = base[cell] << base_shift if based else 0
            value[cell] = rounded(sums[cell] + old, shift, rounding, 0)
    lost = 0
    if based:
        bits = _bits(s, i)
        for cell in range(count):
            lost += sums[cell] != 0 and value[cell] == base[cell] and fits(base[cell], bits)
    emission.lost = lost
    emission.target = s.step.target[stage]
    emission.valid = 1
