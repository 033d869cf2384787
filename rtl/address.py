"""Addresses of the feature and gradient memories: pairs (place, bank), word p = (p div K, p mod K).

Places are counted modulo 2**16, so the pair of a word before the memory's first is right again as soon as something is
added that leads back into the memory; the bank is always 0 to K-1.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Value, ValueLike
from amaranth.lib import data

from arch.fields import BANK_BITS, ROW_BITS

PAIR = data.StructLayout({"bank": BANK_BITS, "place": ROW_BITS})
"""A word address or a distance, in the bit order of instructions: `bank` 0 to K-1, `place` modulo 2**16."""


def pair(bank: Value, place: Value) -> Any:
    """The pair of these two, cut to their widths."""
    return data.View(PAIR, Cat(_cut(bank, BANK_BITS), _cut(place, ROW_BITS)))


def _cut(value: Value, bits: int) -> Value:
    return value[:bits] if len(value) >= bits else Cat(value, Const(0, bits - len(value)))


def constant(words: int, side: int) -> Any:
    """The pair of a distance of `words`, which is known here."""
    place, bank = divmod(words, side)
    return pair(Const(bank, BANK_BITS), Const(place, ROW_BITS))


def chosen(condition: ValueLike, one: Any, other: Any) -> Any:
    """Pair `one` where `condition`, else `other`."""
    return data.View(PAIR, Mux(condition, one.as_value(), other.as_value()))


def plus(one: Any, other: Any, side: int) -> Any:
    """The sum of two pairs; `side` is K."""
    total = one.bank + other.bank
    carry = total >= side
    return pair(Mux(carry, total - side, total), one.place + other.place + carry)


def incremented(one: Any, side: int) -> Any:
    """The pair of the next word."""
    carry = one.bank == side - 1
    return pair(Mux(carry, 0, one.bank + 1), one.place + carry)


def decremented(one: Any, side: int) -> Any:
    """The pair of the word before."""
    borrow = one.bank == 0
    return pair(Mux(borrow, side - 1, one.bank - 1), one.place - borrow)


def minus(one: Any, other: Any, side: int) -> Any:
    """The pair `other` words before `one`; `side` is K."""
    borrow = one.bank < other.bank
    bank = (one.bank - other.bank)[:BANK_BITS]
    return pair(Mux(borrow, bank + side, bank), one.place - other.place - borrow)


def divided(value: Value, side: int) -> tuple[Value, Value]:
    """`value` div K and mod K for values of up to 8 bits, by a multiplication."""
    shift = next(bits for bits in range(8, 32) if _exact(bits, side, 1 << len(value)))
    quotient = value * ((1 << shift) // side + 1) >> shift
    return quotient, value - quotient * side


def _exact(shift: int, side: int, limit: int) -> bool:
    factor = (1 << shift) // side + 1
    return all(value * factor >> shift == value // side for value in range(limit))


def distance(words: Value, side: int) -> Any:
    """The pair of a distance of up to 255 words."""
    place, bank = divided(words, side)
    return pair(bank, place)


def scaled(one: Any, factor: Value, side: int) -> Any:
    """`factor` (up to 4 bits) times the pair `one`."""
    place, bank = divided(one.bank * factor, side)
    return pair(bank, one.place * factor + place)
