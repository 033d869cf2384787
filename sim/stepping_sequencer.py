"""The sequencers: each engine fetches, waits for tokens, runs and retires; one clock of the whole machine."""

from __future__ import annotations

from arch.events import Event
from arch.isa import ENGINES, Engine, Opcode
from sim.stepping_array import clock_nest, prepare_nest
from sim.stepping_cells import clocked
from sim.stepping_dma import clock_transfer, prepare_transfer
from sim.stepping_loss import clock_loss, prepare_loss
from sim.stepping_registers import clock_load, prepare_load
from sim.stepping_state import Phase

_ENGINES = len(ENGINES)
_ARRAY, _DMA = int(Engine.ARRAY), int(Engine.DMA)
_FAULT = 1 << 31


@clocked
def clock_machine(s, code, memory, retired):
    """Advance the registers `s` by a cycle; instructions that retire are noted in `retired`."""
    s.cycle += 1
    for engine in range(_ENGINES):
        s.ports.word[engine] = -1
    s.ports.row = -1
    s.ports.tap = -1
    s.ports.external = -1
    sequencer = s.sequencer
    for engine in range(_ENGINES):
        phase = sequencer.phase[engine]
        i = code[sequencer.place[engine]]
        if phase == Phase.RUN:
            s.counters[engine, Event.BUSY] += 1
            if _clock_unit(s, engine, i, memory):
                _retire(s, engine, i, retired)
        elif phase == Phase.FETCH:
            sequencer.phase[engine] = Phase.WAIT
        elif phase == Phase.WAIT and _take_tokens(s, engine, i):
            if not sequencer.known[engine] >> i.opcode & 1:
                _fault(s, engine)
            elif i.opcode == Opcode.HALT:
                _retire(s, engine, i, retired)
            else:
                sequencer.phase[engine] = Phase.RUN
                _prepare_unit(s, i)
    _deliver_tokens(s)


@clocked
def _prepare_unit(s, i):
    if i.opcode == Opcode.COMPUTE:
        prepare_nest(s, i)
    elif i.opcode == Opcode.LOAD:
        prepare_load(s, i)
    elif i.opcode == Opcode.TRANSFER:
        prepare_transfer(s, i)
    else:
        prepare_loss(s)


@clocked
def _clock_unit(s, engine, i, memory):
    if engine == _DMA:
        return clock_transfer(s, i, memory)
    if engine != _ARRAY:
        return clock_loss(s, i, memory)
    if i.opcode == Opcode.LOAD:
        return clock_load(s, i, memory)
    return clock_nest(s, i, memory)


@clocked
def _take_tokens(s, engine, i):
    """Take a token from every engine that the instruction waits for, if all are there."""
    tokens = s.sequencer.tokens
    for other in range(_ENGINES):
        if i.wait >> other & 1 and tokens[other, engine] == 0:
            return False
    for other in range(_ENGINES):
        tokens[other, engine] -= i.wait >> other & 1
    return True


@clocked
def _deliver_tokens(s):
    """Make the tokens that were sent in this cycle visible in the next one."""
    for sender in range(_ENGINES):
        for taker in range(_ENGINES):
            s.sequencer.tokens[sender, taker] += s.sequencer.sent[sender, taker]
            s.sequencer.sent[sender, taker] = 0


@clocked
def _halt(s, engine):
    s.sequencer.phase[engine] = Phase.HALTED
    s.running -= 1
    if s.running == 0:
        s.ended = 1
        s.interrupt = 1


@clocked
def _fault(s, engine):
    """The instruction is none that the engine executes: it halts, and the first fault is noted."""
    if s.fault == 0:
        s.fault = _FAULT | engine << 16 | (s.sequencer.place[engine] - s.sequencer.first[engine])
    _halt(s, engine)


@clocked
def _retire(s, engine, i, retired):
    sequencer = s.sequencer
    s.counters[engine, Event.INSTRUCTIONS] += 1
    for other in range(_ENGINES):
        sequencer.sent[engine, other] = i.signal >> other & 1
    note = retired[s.retired]
    note.engine = engine
    note.place = sequencer.place[engine]
    note.cycle = s.cycle
    for event in range(s.counters.shape[1]):
        note.counters[event] = s.counters[engine, event]
    s.retired += 1
    if i.opcode == Opcode.HALT:
        _halt(s, engine)
    else:
        sequencer.phase[engine] = Phase.FETCH
        sequencer.place[engine] += 1
