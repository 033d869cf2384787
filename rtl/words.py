"""Shapes of data: words of lanes, rows of words, and accumulators."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Value, signed
from amaranth.lib import data

from arch.chip import Chip
from arch.modes import CELL_INDEX_BITS


def word_of(chip: Chip) -> data.ArrayLayout:
    """A memory word: `lanes` signed elements of `word_bits` bits."""
    return data.ArrayLayout(signed(chip.word_bits), chip.lanes)


def words_of(chip: Chip, count: int) -> data.ArrayLayout:
    """`count` memory words."""
    return data.ArrayLayout(word_of(chip), count)


def row_of(chip: Chip) -> data.ArrayLayout:
    """A weight row, a window or a kernel: `taps` words."""
    return words_of(chip, chip.taps)


def product_bits(chip: Chip) -> int:
    """Bits of an exact signed product of two elements."""
    return 2 * chip.word_bits


def sum_bits(chip: Chip, terms: int) -> int:
    """Bits of a signed sum of `terms` products, negated or not."""
    return product_bits(chip) + terms.bit_length()


def reduced_bits(chip: Chip) -> int:
    """Bits of what the accumulators take: the largest sum, or a product above the number of an inner step."""
    return max(sum_bits(chip, chip.multipliers), sum_bits(chip, 1) + CELL_INDEX_BITS)


def total(values: Sequence[Value]) -> Value:
    """The sum of `values`, by a balanced tree: a chain would be deeper, and its last adders much wider."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return total(values[:half]) + total(values[half:])
