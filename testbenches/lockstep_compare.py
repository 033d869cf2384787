"""What lock-step compares in a cycle, as compiled code.

`s` are the stepping machine's registers, `t` is the model's trace, `f` what was found.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from arch.bus import IDENTITY, REGION_SHIFT, Register, Window
from arch.events import Event
from arch.isa import ENGINES, Engine, OnChip
from sim.stepping_cells import clocked
from sim.stepping_state import Phase

_ENGINES = len(ENGINES)
_EVENTS = len(Event)
_DMA = int(Engine.DMA)
_WEIGHT = int(OnChip.WEIGHT)
_COUNTERS_END = int(Register.COUNTERS) + _ENGINES * 64
_LOW = 0xFFFFFFFF
_WRITE_AGE, _READ_AGE = 2, 3
"""Cycles of a bus transaction in which a register is written, and in which its contents are taken."""


class Signal(IntEnum):
    """What is compared."""

    RUNNING = 0
    CYCLE = 1
    INTERRUPT = 2
    PHASE = 3
    INDEX = 4
    COUNTER = 5
    RETIRE = 6
    WRITE = 7  # of a word to the feature or gradient memory
    ADDRESS = 8
    VALUE = 9
    ROW_WRITE = 10
    ROW_PLACE = 11
    ROW_VALUE = 12
    ACK = 13
    REPLY = 14
    TRANSFER_WRITE = 15  # by the DMA to a memory on the chip
    TRANSFER_MEMORY = 16
    TRANSFER_BANK = 17
    TRANSFER_PLACE = 18
    TRANSFER_VALUE = 19
    EXTERNAL_WRITE = 20  # the beat that is written outside, -1 if none is
    EXTERNAL_VALUE = 21
    EXTERNAL_RULE = 22  # the external bus's rules are kept


_INT = np.int64
FOUND = np.dtype(
    [
        ("signal", _INT),
        ("engine", _INT),  # -1: not known
        ("item", _INT),  # event, memory or bank
        ("lane", _INT),
        ("expected", _INT),
        ("found", _INT),
        ("cycle", _INT),  # of the program
        ("index", _INT, (_ENGINES,)),  # instructions of the engines in that cycle
        ("compared", _INT),  # cycles so far, of the program and others
        ("wanted", _INT),  # what the read that is under way must give; -1: anything
        ("control", _INT),  # what was written to CONTROL
        ("was_running", _INT),  # when it was written
    ]
)
"""The first difference, and what the loop keeps from a cycle to the next."""


@clocked
def _differs(f, signal, engine, item, lane, expected, found):
    """Whether the two differ; if so, they are noted."""
    if expected == found:
        return False
    f.signal = signal
    f.engine = engine
    f.item = item
    f.lane = lane
    f.expected = expected
    f.found = found
    return True


@clocked
def registers_differ(s, t, f):
    """What stands before the clock."""
    live = s.running > 0
    if _differs(f, Signal.RUNNING, -1, 0, 0, live, t.running):
        return True
    if _differs(f, Signal.CYCLE, -1, 0, 0, s.cycle + 1 if live else 0, t.cycle):
        return True
    if _differs(f, Signal.INTERRUPT, -1, 0, 0, s.interrupt, t.interrupt):
        return True
    for engine in range(_ENGINES):
        for event in range(_EVENTS):
            if _differs(f, Signal.COUNTER, engine, event, 0, s.counters[engine, event], t.counters[engine, event]):
                return True
    for engine in range(_ENGINES):
        phase = s.sequencer.phase[engine]
        index = s.sequencer.place[engine] - s.sequencer.first[engine]
        if _differs(f, Signal.PHASE, engine, 0, 0, phase, t.phase[engine]) or (
            phase != Phase.HALTED and _differs(f, Signal.INDEX, engine, 0, 0, index, t.index[engine])
        ):
            f.cycle = s.cycle + 1
            f.index[engine] = index
            return True
    return False


@clocked
def bus_differs(s, t, f):
    """The host's transaction: what a write does to the machine's registers, what a read must give, and when it ends."""
    reads = t.age > 0 and t.reads == 1
    done = t.age == (_READ_AGE + 1 if reads else _WRITE_AGE + 1)
    if _differs(f, Signal.ACK, -1, 0, 0, done, t.ack):
        return True
    register = t.bus_address >> 2 if t.bus_address >> REGION_SHIFT == Window.REGISTERS else -1
    if t.age == _WRITE_AGE and not reads:
        if register == Register.INTERRUPT and t.bus_word & 1:
            s.interrupt = 0
        elif register == Register.CONTROL:
            f.control = t.bus_word
    if t.age == _READ_AGE and reads:
        f.wanted = _shown(s, register)
    if done and reads and f.wanted >= 0:
        return _differs(f, Signal.REPLY, -1, t.bus_address, 0, f.wanted, t.reply)
    return False


@clocked
def _shown(s, register):
    """What a read gives; -1: not known here."""
    if register < 0:  # memories are hidden while a program runs
        return 0 if s.running else -1
    if register == Register.ID:
        return IDENTITY
    if register == Register.CONTROL:
        return (s.running > 0) | s.ended << 1 | s.aborted << 2
    if register == Register.INTERRUPT:
        return s.interrupt
    if register == Register.FAULT:
        return s.fault
    if register == Register.CYCLES_LOW:
        return s.cycle & _LOW
    if register == Register.CYCLES_HIGH:
        return s.cycle >> 32
    if Register.COUNTERS <= register < _COUNTERS_END:
        number = register - Register.COUNTERS
        event = number % 64 // 2
        if event < _EVENTS:
            count = s.counters[number // 64, event]
            return count >> 32 if number % 2 else count & _LOW
    return -1


@clocked
def events_differ(s, t, f, memory, retired, before):
    """What happens in the cycle: retirements and writes; none where nothing ran."""
    live = f.was_running > 0
    for engine in range(_ENGINES):
        retires = 0
        for note in range(before, s.retired):
            retires |= retired[note].engine == engine
        if _differs(f, Signal.RETIRE, engine, 0, 0, retires, t.retire[engine]):
            return True
    for store in range(2):
        if _word_differs(s, t, f, memory, store, live):
            return True
    if _row_differs(s, t, f, memory, live) or _transfer_differs(s, t, f, memory, live):
        return True
    return _external_differs(s, t, f, memory, live)


@clocked
def _word_differs(s, t, f, memory, store, live):
    """The word that is written to the feature (0) or gradient memory (1)."""
    word = -1
    writer = -1
    for engine in range(_DMA):
        port = s.ports.word[engine]
        if live and port >= 0 and (port >= s.chip.feature_words) == store:
            word = port
            writer = engine
    if _differs(f, Signal.WRITE, writer, store, 0, word >= 0, t.write[store]):
        return True
    if word < 0:
        return False
    if _differs(f, Signal.ADDRESS, writer, store, 0, word - store * s.chip.feature_words, t.address[store]):
        return True
    for lane in range(s.chip.lanes):
        value = memory.words[word * s.chip.lanes + lane]
        if _differs(f, Signal.VALUE, writer, store, lane, value, t.value[store, lane]):
            return True
    return False


@clocked
def _row_differs(s, t, f, memory, live):
    """The beat of a row that is written to the weight memory; only the array writes it."""
    writes = live and s.ports.row >= 0
    first = s.ports.beat * s.chip.weight_banks
    words = min(s.chip.weight_banks, s.chip.taps - first)
    if _differs(f, Signal.ROW_WRITE, 0, 0, 0, (1 << words) - 1 if writes else 0, t.row_write):
        return True
    if not writes:
        return False
    if _differs(f, Signal.ROW_PLACE, 0, 0, 0, s.ports.row * s.chip.beats + s.ports.beat, t.row_place):
        return True
    start = (s.ports.row * s.chip.taps + first) * s.chip.lanes
    for bank in range(words):
        for lane in range(s.chip.lanes):
            value = memory.rows[start + bank * s.chip.lanes + lane]
            if _differs(f, Signal.ROW_VALUE, 0, bank, lane, value, t.row_value[bank, lane]):
                return True
    return False


@clocked
def _transfer_differs(s, t, f, memory, live):
    """The word that the DMA writes to a memory on the chip."""
    word = s.ports.word[_DMA]
    tap = s.ports.tap
    writes = live and (word >= 0 or tap >= 0)
    if _differs(f, Signal.TRANSFER_WRITE, _DMA, 0, 0, writes, t.transfer_write):
        return True
    if not writes:
        return False
    store = _WEIGHT if tap >= 0 else word >= s.chip.feature_words
    if tap >= 0:
        column = tap % s.chip.taps
        bank = column % s.chip.weight_banks
        place = tap // s.chip.taps * s.chip.beats + column // s.chip.weight_banks
    else:
        linear = word - store * s.chip.feature_words
        bank = linear % s.chip.side
        place = linear // s.chip.side
    if (
        _differs(f, Signal.TRANSFER_MEMORY, _DMA, 0, 0, store, t.transfer_memory)
        or _differs(f, Signal.TRANSFER_BANK, _DMA, 0, 0, bank, t.transfer_bank)
        or _differs(f, Signal.TRANSFER_PLACE, _DMA, 0, 0, place, t.transfer_place)
    ):
        return True
    for lane in range(s.chip.lanes):
        value = memory.words[word * s.chip.lanes + lane] if tap < 0 else memory.rows[tap * s.chip.lanes + lane]
        if _differs(f, Signal.TRANSFER_VALUE, _DMA, store, lane, value, t.transfer_value[lane]):
            return True
    return False


@clocked
def _external_differs(s, t, f, memory, live):
    """The beat that is written outside."""
    if _differs(f, Signal.EXTERNAL_RULE, _DMA, 0, 0, 0, t.external_problem):
        return True
    beat = s.ports.external if live else -1
    if _differs(f, Signal.EXTERNAL_WRITE, _DMA, 0, 0, beat, t.external_write):
        return True
    if beat < 0:
        return False
    first = beat % s.chip.external_beats * s.chip.beat_lanes
    for half in range(s.chip.beat_lanes):
        lane = first + half
        value = 0
        if lane < s.chip.lanes:
            value = memory.external[beat // s.chip.external_beats * s.chip.lanes + lane]
        if _differs(f, Signal.EXTERNAL_VALUE, _DMA, 0, lane, value, t.external_value[half]):
            return True
    return False
