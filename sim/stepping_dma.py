"""TRANSFER: bursts on the external memory's bus, a beat a cycle, and words on the chip.

The memory outside is the one that `arch.chip.ExternalMemory` declares. Burst i is asked for in cycle i of the
instruction; here only the burst that moves now is followed.
"""

from __future__ import annotations

from arch.events import Event
from arch.isa import BYTE_BITS, Engine, OnChip, Overflow, Storage
from arch.numerics import narrowed
from sim.stepping_cells import clocked, copy

_ENGINE = int(Engine.DMA)
_WEIGHT = int(OnChip.WEIGHT)
_BYTE, _WRAP = int(Storage.BYTE), int(Overflow.WRAP)
_LOW = (1 << BYTE_BITS) - 1


@clocked
def prepare_transfer(s, i):
    """Stand before cycle 0 of TRANSFER `i`; `s` are the machine's registers."""
    dma = s.dma
    unit = s.chip.taps if i.memory == _WEIGHT else 1
    dma.clock = -1
    dma.line_words = i.count * unit
    dma.pitch = i.count * unit if i.memory == _WEIGHT else i.pitch
    dma.line = i.row * unit if i.memory == _WEIGHT else i.word
    dma.column = 0
    dma.words = dma.line_words * i.lines
    dma.held = 0
    dma.part = 0
    dma.bursts = -1
    dma.burst_left = 0
    dma.word_beats = s.chip.external_beats // 2 if i.storage == _BYTE else s.chip.external_beats
    dma.beats = dma.words * dma.word_beats
    dma.outside_line = i.external * dma.word_beats
    dma.outside_column = 0
    dma.answer = 0


@clocked
def clock_transfer(s, i, memory):
    """One cycle of TRANSFER `i`; True in the last one."""
    s.dma.clock += 1
    if i.outward:
        return _clock_outward(s, i, memory)
    return _clock_inward(s, i, memory)


@clocked
def _clock_inward(s, i, memory):
    """The word whose last beat came in the last cycle is written; a beat comes, if its burst was asked for in time."""
    dma = s.dma
    if dma.held:
        _write_word(s, i, memory)
        dma.held = 0
        if dma.words == 0:
            return True
    if dma.beats and _burst(s, i) + s.chip.latency <= dma.clock:
        s.counters[_ENGINE, Event.EXTERNAL_READS] += 1
        if i.storage == _BYTE:
            _take_bytes(s, memory)
        else:
            _take_words(s, memory)
        if _beat_done(s, i):
            dma.held = 1
    return False


@clocked
def _clock_outward(s, i, memory):
    """A beat leaves of the word that was read before, if its burst's address has left; then the next word is read."""
    dma = s.dma
    if dma.held and _burst(s, i) < dma.clock:
        s.counters[_ENGINE, Event.EXTERNAL_WRITES] += 1
        if i.storage == _BYTE:
            _give_bytes(s, memory)
        else:
            _give_words(s, memory)
        s.ports.external = dma.outside_line + dma.outside_column
        if _beat_done(s, i):
            dma.held = 0
        dma.answer = dma.clock + s.chip.latency
    if dma.words and dma.held == 0:
        _read_word(s, i, memory)
        dma.held = 1
    return dma.beats == 0 and dma.clock == dma.answer + 1


@clocked
def _burst(s, i):
    """The number of the burst that the next beat belongs to; it begins if the one before has ended."""
    dma = s.dma
    if dma.burst_left == 0:
        dma.bursts += 1
        beat = dma.outside_line + dma.outside_column
        line_left = dma.line_words * dma.word_beats - dma.outside_column
        dma.burst_left = min(line_left, s.chip.burst - beat % s.chip.burst)
    return dma.bursts


@clocked
def _beat_done(s, i):
    """Go on to the next beat; whether this was the last one of its word."""
    dma = s.dma
    dma.beats -= 1
    dma.burst_left -= 1
    dma.outside_column += 1
    if dma.outside_column == dma.line_words * dma.word_beats:
        dma.outside_column = 0
        dma.outside_line += i.external_pitch * dma.word_beats
    dma.part += 1
    if dma.part == dma.word_beats:
        dma.part = 0
        return True
    return False


@clocked
def _take_words(s, memory):
    """A beat of elements comes, each cut to the chip's words."""
    place, first = _outside(s), s.dma.part * s.chip.beat_lanes
    for lane in range(_part_lanes(s)):
        s.dma.value[first + lane] = narrowed(int(memory.external[place + lane]), s.chip.word_bits, _WRAP)


@clocked
def _give_words(s, memory):
    """A beat of elements leaves."""
    place, first = _outside(s), s.dma.part * s.chip.beat_lanes
    for lane in range(_part_lanes(s)):
        memory.external[place + lane] = s.dma.value[first + lane]


@clocked
def _take_bytes(s, memory):
    """A beat of bytes comes, two in each cell of the external memory, the first one low."""
    place, first = (s.dma.outside_line + s.dma.outside_column) * s.chip.beat_lanes, s.dma.part * 2 * s.chip.beat_lanes
    for cell in range(s.chip.beat_lanes):
        pair = int(memory.external[place + cell])
        s.dma.value[first + 2 * cell] = narrowed(pair, BYTE_BITS, _WRAP)
        s.dma.value[first + 2 * cell + 1] = pair >> BYTE_BITS


@clocked
def _give_bytes(s, memory):
    """A beat of bytes leaves, each the lowest of its element."""
    place, first = (s.dma.outside_line + s.dma.outside_column) * s.chip.beat_lanes, s.dma.part * 2 * s.chip.beat_lanes
    for cell in range(s.chip.beat_lanes):
        low, high = int(s.dma.value[first + 2 * cell]), int(s.dma.value[first + 2 * cell + 1])
        memory.external[place + cell] = narrowed(high << BYTE_BITS | low & _LOW, 2 * BYTE_BITS, _WRAP)


@clocked
def _part_lanes(s):
    """Lanes that the next beat holds; the last beats of a word may hold none."""
    return max(0, min(s.chip.beat_lanes, s.chip.lanes - s.dma.part * s.chip.beat_lanes))


@clocked
def _outside(s):
    """Where the next beat lies in the external memory's flat array."""
    dma = s.dma
    word = (dma.outside_line + dma.outside_column) // s.chip.external_beats
    return word * s.chip.lanes + dma.part * s.chip.beat_lanes


@clocked
def _next_word(s):
    """The on-chip word that is moved now, counted from the memory's start; goes on to the next one."""
    dma = s.dma
    word = dma.line + dma.column
    dma.words -= 1
    dma.column += 1
    if dma.column == dma.line_words:
        dma.column = 0
        dma.line += dma.pitch
    return word


@clocked
def _write_word(s, i, memory):
    word = _next_word(s)
    lanes = s.chip.lanes
    if i.memory == _WEIGHT:
        copy(s.dma.value, 0, memory.rows, word * lanes, lanes)
        s.ports.tap = word
        s.counters[_ENGINE, Event.WEIGHT_WRITES] += 1
    else:
        place = i.memory * s.chip.feature_words + word
        copy(s.dma.value, 0, memory.words, place * lanes, lanes)
        s.ports.word[_ENGINE] = place
        s.counters[_ENGINE, Event.GRADIENT_WRITES if i.memory else Event.FEATURE_WRITES] += 1


@clocked
def _read_word(s, i, memory):
    word = _next_word(s)
    lanes = s.chip.lanes
    if i.memory == _WEIGHT:
        copy(memory.rows, word * lanes, s.dma.value, 0, lanes)
        s.counters[_ENGINE, Event.WEIGHT_READS] += 1
    else:
        copy(memory.words, (i.memory * s.chip.feature_words + word) * lanes, s.dma.value, 0, lanes)
        s.counters[_ENGINE, Event.GRADIENT_READS if i.memory else Event.FEATURE_READS] += 1
