"""The vector engine: LOSS, the gradient of softmax cross-entropy (`arch.softmax`), L logits at once.

Three passes over the logits: the largest, the sum of exponentials, and, after a division, the gradient. A word
requested in cycle r goes through arrival (r+1), power (r+2), exponential (r+3), sum or product (r+4), rounding (r+5)
and write (r+6).
"""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from arch import softmax
from arch.chip import Chip
from arch.events import Event
from arch.isa import INSTRUCTION_BITS, Loss, Space
from rtl.address import PAIR, incremented
from rtl.counters import amounts_layout
from rtl.instruction import instruction_layout
from rtl.memory import ask_word, count_ones, map_port
from rtl.rounder import narrowed
from rtl.words import word_of

PART_BITS = softmax.INDEX_BITS + softmax.BETWEEN_BITS
"""Fraction bits of a power of two."""


class _Phase(enum.Enum):
    IDLE = 0
    LABEL = 1
    LARGEST = 2
    SUM = 3
    SUMMED = 4
    DIVIDE = 5
    GRADIENT = 6


class VectorEngine(wiring.Component):
    """Executes the LOSS `instruction`, which stays from `start`, the cycle before the first, to `done`, the last.

    Nothing in it outlives an instruction.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "done": Out(1),
                "feature": Out(map_port(chip)),
                "gradient": Out(map_port(chip)),
                "amounts": Out(amounts_layout(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layout = instruction_layout(Loss)
        self._loss = layout(self.instruction)
        self._phase = Signal(_Phase)
        index_bits = layout["count"].width + 1
        # What travels with a word: its pass, the number of its lane 0, the lanes below `count`, whether it is the last.
        self._tag = data.StructLayout({"phase": _Phase, "index": index_bits, "valid": self._chip.lanes, "last": 1})
        requested = self._request(m)
        arrived = self._stage(m, requested, "arrived")
        distances = self._arrive(m, arrived)
        powered = self._stage(m, arrived, "powered")
        exponents = self._exponential(m, powered, distances)
        summed = self._stage(m, self._stage(m, powered, "exponential"), "summed")
        total = self._sum(m, summed, exponents)
        inverse = self._divide(m, summed, total)
        scaled = [Signal(softmax.RECIPROCAL_BITS + 1, name=f"scaled{lane}") for lane in range(self._chip.lanes)]
        with m.If(summed.phase == _Phase.GRADIENT):
            m.d.sync += [scaled[lane].eq(exponents[lane] * inverse) for lane in range(self._chip.lanes)]
        self._write(m, self._stage(m, summed, "rounded"), scaled)
        return m

    def _stage(self, m: Module, tag, name: str):
        """The tag a cycle later."""
        later = Signal(self._tag, name=name)
        m.d.sync += later.eq(tag)
        return later

    def _request(self, m: Module):
        """The phases, and this cycle's request with its tag."""
        loss, phase, lanes = self._loss, self._phase, self._chip.lanes
        address, index = Signal(PAIR), Signal(self._tag["index"].width)
        tag = Signal(self._tag)
        passes = (phase == _Phase.LARGEST) | (phase == _Phase.SUM) | (phase == _Phase.GRADIENT)
        requests = passes | (phase == _Phase.LABEL)
        m.d.comb += [
            tag.phase.eq(Mux(requests, phase, _Phase.IDLE)),
            tag.index.eq(index),
            tag.valid.eq(Cat(index + lane < loss.count for lane in range(lanes))),
            tag.last.eq(passes & (index + lanes >= loss.count)),
        ]
        for space, port in ((Space.FEATURE, self.feature), (Space.GRADIENT, self.gradient)):
            with m.If(requests & (loss.space == space)):
                m.d.comb += ask_word(port, address)
        self._bank = Signal.like(address.bank)
        m.d.sync += self._bank.eq(address.bank)
        with m.If(self.start):
            m.d.sync += [phase.eq(_Phase.LABEL), address.eq(loss.label)]
        with m.Elif((phase == _Phase.LABEL) | tag.last):
            m.d.sync += [index.eq(0), address.eq(loss.source)]
        with m.Elif(passes):
            m.d.sync += [index.eq(index + lanes), address.eq(incremented(address, self._chip.kernel))]
        following = {
            _Phase.LARGEST: _Phase.SUM,
            _Phase.SUM: _Phase.SUMMED,
            _Phase.GRADIENT: _Phase.IDLE,
        }
        with m.If(phase == _Phase.LABEL):
            m.d.sync += phase.eq(_Phase.LARGEST)
        for this, successor in following.items():
            with m.If((phase == this) & tag.last):
                m.d.sync += phase.eq(successor)
        return tag

    def _arrive(self, m: Module, tag):
        """The label, the largest logit, and every logit's distance from it (`word_bits` bits, never negative)."""
        chip, loss = self._chip, self._loss
        word = Signal(word_of(chip))
        with m.Switch(Cat(loss.space, self._bank)):
            for k in range(chip.kernel):
                with m.Case(k << 1 | Space.FEATURE):
                    m.d.comb += word.eq(self.feature.data[k])
                with m.Case(k << 1 | Space.GRADIENT):
                    m.d.comb += word.eq(self.gradient.data[k])
        self._label = Signal(signed(chip.word_bits))
        largest = Signal(signed(chip.word_bits))
        larger = largest
        for lane in range(chip.lanes):
            best = Signal(signed(chip.word_bits), name=f"largest{lane}")
            m.d.comb += best.eq(Mux(tag.valid[lane] & (word[lane] > larger), word[lane], larger))
            larger = best
        with m.If(self.start):
            m.d.sync += largest.eq(-chip.largest - 1)
        with m.Elif(tag.phase == _Phase.LARGEST):
            m.d.sync += largest.eq(larger)
        with m.If(tag.phase == _Phase.LABEL):
            m.d.sync += self._label.eq(word[0])
        distances = [Signal(chip.word_bits, name=f"distance{lane}") for lane in range(chip.lanes)]
        m.d.sync += [distances[lane].eq(largest - word[lane]) for lane in range(chip.lanes)]
        return distances

    def _exponential(self, m: Module, tag, distances):
        """e**-distance in `ONE_BITS` fraction bits, a lane each; 0 beyond `count`."""
        table = [int(value) for value in softmax.TABLE]
        bits = softmax.ONE_BITS + 1
        values = Array(Const(value, bits) for value in table[:-1])
        drops = Array(Const(one - other, bits) for one, other in pairwise(table))
        exponents = []
        valid = Signal(self._chip.lanes)
        m.d.sync += valid.eq(tag.valid)
        for lane, distance in enumerate(distances):
            power_bits = self._chip.word_bits + softmax.LOG2E.bit_length()
            shifted = (distance * softmax.LOG2E) >> (self._loss.source_fraction + (softmax.LOG2E_FRACTION - PART_BITS))
            power = Signal(power_bits, name=f"power{lane}")
            m.d.sync += power.eq(shifted)
            between, index = power[: softmax.BETWEEN_BITS], power[softmax.BETWEEN_BITS : PART_BITS]
            whole = power[PART_BITS:]
            value = Signal(bits, name=f"table{lane}")
            m.d.comb += value.eq(values[index] - ((drops[index] * between) >> softmax.BETWEEN_BITS))
            clipped = Mux(whole > softmax.MAX_EXPONENT, softmax.MAX_EXPONENT, whole)[
                : softmax.MAX_EXPONENT.bit_length()
            ]
            exponent = Signal(bits, name=f"exponent{lane}")
            m.d.sync += exponent.eq(Mux(valid[lane], value >> clipped, 0))
            exponents.append(exponent)
        return exponents

    def _sum(self, m: Module, tag, exponents):
        total = Signal(softmax.ONE_BITS + 1 + self._chip.multipliers.bit_length())
        with m.If(self.start):
            m.d.sync += total.eq(0)
        with m.Elif(tag.phase == _Phase.SUM):
            m.d.sync += total.eq(total + sum(exponents))
        return total

    def _divide(self, m: Module, tag, total):
        """2**`RECIPROCAL_BITS` div `total`, a bit a cycle from the cycle after the last term on."""
        quotient = Signal(softmax.DIVIDER_CYCLES)
        remainder = Signal.like(total)
        step = Signal(range(softmax.DIVIDER_CYCLES))
        doubled = Cat(Const(0, 1), remainder)
        fits = doubled >= total
        with m.If((tag.phase == _Phase.SUM) & tag.last):
            m.d.sync += [
                self._phase.eq(_Phase.DIVIDE),
                quotient.eq(0),
                remainder.eq(1 << (softmax.ONE_BITS - 1)),
                step.eq(0),
            ]
        with m.If(self._phase == _Phase.DIVIDE):
            m.d.sync += [
                quotient.eq(Cat(fits, quotient)),
                remainder.eq(Mux(fits, doubled - total, doubled)),
                step.eq(step + 1),
            ]
            with m.If(step == softmax.DIVIDER_CYCLES - 1):
                m.d.sync += self._phase.eq(_Phase.GRADIENT)
        return quotient

    def _write(self, m: Module, tag, scaled) -> None:
        """The gradient rounded and narrowed, then written to the other memory."""
        chip, loss = self._chip, self._loss
        shift = (softmax.RECIPROCAL_BITS - loss.target_fraction)[: softmax.RECIPROCAL_BITS.bit_length()]
        half = Const(1 << (softmax.RECIPROCAL_BITS - 1)) >> loss.target_fraction
        one = Const(1) << loss.target_fraction
        value, unfits = Signal(word_of(chip)), Signal(chip.lanes)
        writes, last = Signal(), Signal()
        target = Signal(PAIR)
        words = (tag.phase == _Phase.GRADIENT) & ~self.start
        for lane in range(chip.lanes):
            labelled = (tag.index + lane).as_signed() == self._label
            difference = Signal(signed(softmax.ONE_BITS + 2), name=f"difference{lane}")
            m.d.comb += difference.eq(((scaled[lane] + half) >> shift) - Mux(labelled, one, 0))
            word, unfit = narrowed(difference, chip.word_bits, Const(0), Const(0))
            m.d.comb += unfits[lane].eq(unfit & tag.valid[lane])
            with m.If(words):
                m.d.sync += value[lane].eq(Mux(tag.valid[lane], word, 0))
        m.d.sync += [writes.eq(words), last.eq(tag.last)]
        with m.If(self.start):
            m.d.sync += target.eq(loss.target)
        with m.Elif(writes):
            m.d.sync += target.eq(incremented(target, chip.kernel))
        for space, port in ((Space.FEATURE, self.feature), (Space.GRADIENT, self.gradient)):
            m.d.comb += [port.write.eq(writes & (loss.space != space)), port.address.eq(target), port.value.eq(value)]
        m.d.comb += self.done.eq(writes & last)
        amounts = self.amounts
        m.d.comb += [
            amounts[Event.ROUNDED_WORDS.name].eq(words),
            amounts[Event.SATURATIONS.name].eq(Mux(words, count_ones(unfits), 0)),
            amounts[Event.FEATURE_READS.name].eq(count_ones(self.feature.read)),
            amounts[Event.FEATURE_WRITES.name].eq(self.feature.write),
            amounts[Event.GRADIENT_READS.name].eq(count_ones(self.gradient.read)),
            amounts[Event.GRADIENT_WRITES.name].eq(self.gradient.write),
        ]
