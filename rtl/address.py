"""Addresses of the feature and gradient memories: pairs (place, bank), word p = (p div K, p mod K).

Places are counted modulo 2**16, so the pair of a word before the memory's first is right again as soon as something is
added that leads back into the memory; the bank is always 0 to K-1.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Mux, Value, ValueLike
from amaranth.lib import data

from arch.fields import BANK_BITS, ROW_BITS

PAIR = data.StructLayout({"bank": BANK_BITS, "place": ROW_BITS})
"""A word address or a distance, in the bit order of instructions: `bank` 0 to K-1, `place` modulo 2**16."""


def pair(bank: Value, place: Value) -> Any:
    """The pair of these two, cut to their widths."""
    return data.View(PAIR, Cat(bank[:BANK_BITS], place[:ROW_BITS]))


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


def window_anchor(source: Any, pitch_place: Value, pad_top: Value, pad_left: Value, side: int) -> Any:
    """The pair of a map's upper left window's first word: `pad_top` rows and `pad_left` words before `source`.

    The pitch's bank is 1, as windows need; both pads are below K, so that two borrows are enough.
    """
    bank = source.bank - pad_top - pad_left
    borrows = (bank < 0) + (bank < -side)
    return pair(bank + borrows * side, source.place - pad_top * pitch_place - borrows)
