"""LOSS: the label, three passes over the logits' words with the divider between the last two, a bit a cycle."""

from __future__ import annotations

from enum import IntEnum

from arch.events import Event
from arch.isa import Engine, Overflow
from arch.numerics import fits, narrowed
from arch.softmax import DIVIDER_CYCLES, RECIPROCAL_BITS, exponential, probability
from arch.timing import LOSS_SUM_LATENCY, LOSS_WRITE_LATENCY
from sim.stepping_cells import clocked, copy
from sim.stepping_state import LOSS_SLOTS, MAX_LANES


class Stage(IntEnum):
    """What is requested, or done, in a cycle."""

    LABEL = 0
    LARGEST = 1
    SUM = 2
    SETTLE = 3  # the last exponentials are on their way into the sum
    DIVIDE = 4
    GRADIENT = 5
    DRAIN = 6  # the last gradients are on their way to the memory


_ENGINE = int(Engine.VECTOR)
_FIRST_REMAINDER = 1 << (RECIPROCAL_BITS - DIVIDER_CYCLES)


@clocked
def prepare_loss(s):
    """Stand before cycle 0; `s` are the machine's registers."""
    loss = s.loss
    loss.stage = Stage.LABEL
    loss.word = 0
    loss.rounded = 0
    loss.total = 0
    loss.largest = -(1 << (s.chip.word_bits - 1))
    for slot in range(LOSS_SLOTS):
        loss.slot[slot] = 0


@clocked
def clock_loss(s, i, memory):
    """One cycle of LOSS `i`; True in the last one."""
    loss = s.loss
    written = _write(s, i, memory)
    _round(s, i, memory)
    loss.slot[s.cycle % LOSS_SLOTS] = 0
    if loss.stage == Stage.LABEL:
        loss.label = memory.words[(i.space * s.chip.feature_words + i.label) * s.chip.lanes]
        s.counters[_ENGINE, Event.GRADIENT_READS if i.space else Event.FEATURE_READS] += 1
        loss.stage = Stage.LARGEST
    elif loss.stage == Stage.SETTLE:
        _settle(loss)
    elif loss.stage == Stage.DIVIDE:
        _divide(loss)
    elif loss.stage != Stage.DRAIN:
        _request(s, i, memory)
    return written == -(-i.count // s.chip.lanes)


@clocked
def _request(s, i, memory):
    """Read a word of logits; what is made of it depends on the pass."""
    loss = s.loss
    lanes = s.chip.lanes
    slot = s.cycle % LOSS_SLOTS
    place = i.space * s.chip.feature_words + i.source + loss.word
    copy(memory.words, place * lanes, loss.logits, slot * MAX_LANES, lanes)
    s.counters[_ENGINE, Event.GRADIENT_READS if i.space else Event.FEATURE_READS] += 1
    live = min(lanes, i.count - loss.word * lanes)
    for lane in range(live):
        logit = loss.logits[slot * MAX_LANES + lane]
        if loss.stage == Stage.LARGEST:
            loss.largest = max(loss.largest, logit)
        elif loss.stage == Stage.SUM:
            loss.total += exponential(loss.largest - logit, i.source_fraction, memory.table)
    loss.word += 1
    if loss.stage == Stage.GRADIENT:
        loss.slot[slot] = loss.word
    if loss.word * lanes >= i.count:
        loss.word = 0
        loss.stage += 1
        loss.wait = LOSS_SUM_LATENCY - 1


@clocked
def _settle(loss):
    loss.wait -= 1
    if loss.wait == 0:
        loss.stage = Stage.DIVIDE
        loss.wait = DIVIDER_CYCLES
        loss.remainder = _FIRST_REMAINDER
        loss.inverse = 0


@clocked
def _divide(loss):
    """One bit of the quotient."""
    loss.remainder *= 2
    loss.inverse *= 2
    if loss.remainder >= loss.total:
        loss.remainder -= loss.total
        loss.inverse += 1
    loss.wait -= 1
    if loss.wait == 0:
        loss.stage = Stage.GRADIENT


@clocked
def _round(s, i, memory):
    """Make the gradient of the word read a cycle less than LOSS_WRITE_LATENCY ago, and count."""
    loss = s.loss
    lanes = s.chip.lanes
    slot = (s.cycle - LOSS_WRITE_LATENCY + 1) % LOSS_SLOTS
    loss.rounded = loss.slot[slot]
    if loss.rounded == 0:
        return
    bits = s.chip.word_bits
    for lane in range(lanes):
        value = 0
        index = (loss.rounded - 1) * lanes + lane
        if index < i.count:
            distance = loss.largest - loss.logits[slot * MAX_LANES + lane]
            power = exponential(distance, i.source_fraction, memory.table)
            value = probability(power, loss.inverse, i.target_fraction)
            value -= (1 << i.target_fraction) if index == loss.label else 0
            s.counters[_ENGINE, Event.SATURATIONS] += not fits(value, bits)
        loss.gradient[lane] = narrowed(value, bits, Overflow.SAT)
    s.counters[_ENGINE, Event.ROUNDED_WORDS] += 1


@clocked
def _write(s, i, memory):
    """Write the gradient that was rounded in the last cycle; how many words are written with it, or 0."""
    done = s.loss.rounded
    if done:
        place = (1 - i.space) * s.chip.feature_words + i.target + done - 1
        copy(s.loss.gradient, 0, memory.words, place * s.chip.lanes, s.chip.lanes)
        s.ports.word[_ENGINE] = place
        s.counters[_ENGINE, Event.FEATURE_WRITES if i.space else Event.GRADIENT_WRITES] += 1
    return done
