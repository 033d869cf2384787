"""Rounding and overflow in gates, as `arch.numerics` says them in integers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import layout
from arch.isa import BYTE_BITS, Compute, Rounding
from arch.numerics import RANDOM_BITS

_SHIFT_BITS = next(field.bits for field in layout(Compute) if field.name == "shift")


def advanced(m: Module, state: Value) -> Value:
    """The generator's next state (`arch.numerics.advance`); 32 bits."""
    first, second, third = (Signal(RANDOM_BITS) for _ in range(3))
    m.d.comb += [
        first.eq(state ^ Cat(Const(0, 13), state)[:RANDOM_BITS]),
        second.eq(first ^ first[17:]),
        third.eq(second ^ Cat(Const(0, 5), second)[:RANDOM_BITS]),
    ]
    return third


def narrowed(value: Value, bits: int, wraps: Value, to_byte: Value) -> tuple[Value, Value]:
    """`value` as a signed word of `bits` bits, saturated or wrapped, and whether it did not fit (1 bit).

    `to_byte` asks for a byte in that word.
    """
    high = value[bits - 1 :]  # all copies of the sign, if the value fits
    differs, alike = high.any(), high.all()
    if bits > BYTE_BITS:
        between = value[BYTE_BITS - 1 : bits - 1]  # and these, if it fits a byte
        differs, alike = differs | (to_byte & between.any()), alike & (~to_byte | between.all())
    unfit = differs & ~alike
    sign, low = value[-1], BYTE_BITS - 1
    clipped = Cat((~sign).replicate(low), (sign ^ ~to_byte).replicate(bits - 1 - low), sign)
    wrapped = Cat(value[:low], Mux(to_byte, value[low].replicate(bits - low), value[low:bits]))
    return Mux(unfit & ~wraps, clipped, wrapped).as_signed(), unfit


class Addend(wiring.Component):
    """What is added before the shift: `common` to all values, and whether the result's lowest bit is added (`even`)."""

    def __init__(self, chip: Chip):
        self._bits = chip.accumulator_bits
        super().__init__(
            {"shift": In(_SHIFT_BITS), "rounding": In(2), "common": Out(self._bits), "even": Out(1), "random": Out(1)}
        )

    def elaborate(self, platform):
        m = Module()
        half = Signal(self._bits)
        m.d.comb += [
            half.eq((Const(1, self._bits + 1) << self.shift)[1 : self._bits + 1]),
            self.random.eq(self.rounding == Rounding.STOCHASTIC),
            self.even.eq((self.rounding == Rounding.RND_CONV) & (self.shift != 0)),
        ]
        with m.Switch(self.rounding):
            with m.Case(Rounding.RND):
                m.d.comb += self.common.eq(half)
            with m.Case(Rounding.RND_CONV):
                m.d.comb += self.common.eq(half - self.even)
        return m


def rounded(m: Module, chip: Chip, value: Value, base: Value, state: Value, addend: Addend, base_shift: Value) -> Value:
    """(value + (base << base_shift)) / 2**shift as a signed integer of `accumulator_bits` bits."""
    bits = chip.accumulator_bits
    shape = signed(bits)
    scaled, total, result = Signal(shape), Signal(shape), Signal(shape)
    dither = Signal(bits)
    # Two steps, and every one cut to its width: no wire is wider than 64 bits, which simulates much faster.
    near = Signal(signed(chip.word_bits + 31))
    shift, high = addend.shift, Cat(Const(0, RANDOM_BITS), state)
    m.d.comb += [
        near.eq(base << base_shift[:5]),
        scaled.eq(Mux(base_shift[5], Cat(Const(0, 32), near)[:bits].as_signed(), near)),
        total.eq(value + scaled),
        dither.eq(Mux(addend.random, high >> (2 * RANDOM_BITS - shift)[: _SHIFT_BITS + 1], addend.common)),
        result.eq((total + dither.as_signed() + (addend.even & total.bit_select(shift, 1))) >> shift),
    ]
    return result
