"""Which hardware a chip has: multipliers, adder bits, register bits and select bits of each component, as formulas.

A component is a part of the RTL; `MODULES` says which modules it is. Register bits and multipliers are exact: they are
what the elaborated netlist holds, `tests/synthesis/test_structure.py` compares them. Adder and select bits are the
terms that grow with the chip, and a constant for the rest; they are what area and energy are fitted over. Memories
(pages of the on-chip memories, program memories, a line buffer) are not here; the accumulators' cells and the kernel
file are registers and are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd

from arch.bus import BUS_BITS
from arch.chip import Chip, OnChipMemory
from arch.events import COUNTER_BITS, Event
from arch.fields import BANK_BITS, ROW_BITS, layout
from arch.isa import ENGINES, TOKEN_LIMIT, Compute, Load, Loss, Transfer
from arch.modes import CELL_INDEX_BITS
from arch.numerics import RANDOM_BITS
from arch.softmax import DIVIDER_CYCLES, LOG2E, ONE_BITS, RECIPROCAL_BITS

_PAIR = BANK_BITS + ROW_BITS


@dataclass(frozen=True)
class Units:
    """Hardware of one component.

    `multipliers` of `word_bits` x `word_bits` bits, signed, exact; `adder_bits` of sums, differences and comparisons;
    `register_bits` of flip-flops; `select_bits` of choices between two values.
    """

    register_bits: int = 0
    adder_bits: int = 0
    select_bits: int = 0
    multipliers: int = 0

    def __add__(self, other: Units) -> Units:
        return Units(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def __mul__(self, count: int) -> Units:
        return Units(*(a * count for a in self.values()))

    def values(self) -> tuple[int, int, int, int]:
        """The four numbers in the order of the fields."""
        return self.register_bits, self.adder_bits, self.select_bits, self.multipliers


MODULES: dict[str, tuple[str, ...]] = {
    "interconnect": ("",),
    "host": ("host",),
    "sequencers": tuple(f"sequencer_{engine.name.lower()}" for engine in ENGINES),
    "counters": tuple(f"counters_{engine.name.lower()}" for engine in ENGINES),
    "dma": ("dma", "dma.asks", "dma.sends"),
    "vector": ("vector",),
    "feature": ("feature",),
    "gradient": ("gradient",),
    "weight": ("weight",),
    "array": ("array",),
    "loader": ("array.loader",),
    "window": tuple(f"array.loader.{part}" for part in ("source", "pixel", "shadow", "pixel_shadow", "window")),
    "rows": ("array.rows", "array.row_walk"),
    "kernels": ("array.kernels",),
    "nest": ("array.nest", "array.fill"),
    "multipliers": ("array.multipliers",),
    "accumulators": ("array.accumulators",),
    "writeback": ("array.writeback",),
}
"""The RTL modules of each component, below the top; a module's submodules belong to it, except those named apart."""


def structure(chip: Chip) -> dict[str, Units]:
    """The hardware of each component of `chip`; without an external memory there is no `dma`."""
    return {name: make(chip) for name, make in _MAKERS.items() if name != "dma" or chip.external_memory is not None}


def step_bits(chip: Chip) -> int:
    """Bits that travel with a step from issue to write-back."""
    taps, banks = index_bits(chip.taps), index_bits(chip.accumulator_banks)
    lane, words = index_bits(chip.lanes), index_bits(chip.taps + 1)
    scatter = 2 * index_bits(chip.kernel) + 2
    return 5 + banks + 3 * taps + lane + words + CELL_INDEX_BITS + scatter + chip.lanes + ROW_BITS


def product_bits(chip: Chip) -> int:
    """Bits of a product."""
    return 2 * chip.word_bits


def reduced_bits(chip: Chip) -> int:
    """Bits of what the accumulators take: a sum of all products, or a product beside the number of a step."""
    return product_bits(chip) + max(chip.multipliers.bit_length(), 1 + CELL_INDEX_BITS)


def index_bits(count: int) -> int:
    """Bits of a number below `count`, at least one."""
    return (max(2, count) - 1).bit_length()


def word_bits(chip: Chip) -> int:
    """Bits of a memory word."""
    return chip.lanes * chip.word_bits


def row_bits(chip: Chip) -> int:
    """Bits of a window, a kernel or a weight row."""
    return chip.taps * word_bits(chip)


def _field(kind: type, name: str) -> int:
    return next(field.bits for field in layout(kind) if field.name == name)


def _tree_bits(terms: int, width: int) -> tuple[int, int]:
    """Adder bits of a balanced tree over `terms` values of `width` bits, and the sum's bits."""
    if terms == 1:
        return 0, width
    (left, left_width), (right, right_width) = (_tree_bits(n, width) for n in (terms // 2, terms - terms // 2))
    total = max(left_width, right_width) + 1
    return left + right + total, total


def _interconnect(chip: Chip) -> Units:
    ports = 2 * (word_bits(chip) + ROW_BITS * chip.kernel + _PAIR)
    trace = 0 if chip.external_memory is None else 3 * (word_bits(chip) + 25)
    return Units(COUNTER_BITS, 2 * (COUNTER_BITS + 1), 4 * COUNTER_BITS + ports + trace)


def _host(chip: Chip) -> Units:
    index = (chip.program_memory.instructions - 1).bit_length()
    return Units(4 * BUS_BITS + 8 + len(ENGINES) * index, 222 + 62 * chip.lanes, 6000 + 3 * word_bits(chip))


def _sequencers(chip: Chip) -> Units:
    index = (chip.program_memory.instructions - 1).bit_length()
    tokens = TOKEN_LIMIT.bit_length()
    return Units(index + 2 + (len(ENGINES) - 1) * tokens, 30 + index, 40 + 7 * index) * len(ENGINES)


def _counters(chip: Chip) -> Units:
    one = Units(COUNTER_BITS, COUNTER_BITS + 1, 3 * COUNTER_BITS)
    return one * (len(Event) * len(ENGINES))


def _dma(chip: Chip) -> Units:
    beat = max(1, (chip.external_words * chip.external_beats - 1).bit_length())
    bursts = Units(_field(Transfer, "lines") + 2 + 5 * beat, 4 * beat + 24, 18 * beat + 60) * 2
    word, banks = 8 * chip.external_word_bytes, chip.weight_memory.banks
    place = (index_bits(banks) + index_bits(chip.taps)) if banks > 1 else 0
    part = (chip.external_beats - 1).bit_length()
    left = _field(Transfer, "count") + chip.taps.bit_length()
    registers = 8 + 14 + 2 + 6 + ROW_BITS + _field(Transfer, "lines") + 2 * _PAIR + word + place + 2 * part + left
    return Units(registers, 310, 470 + 8 * word) + bursts


def _vector(chip: Chip) -> Units:
    index = _field(Loss, "count") + 1
    tag = 3 + index + chip.lanes + 1
    total = ONE_BITS + 1 + chip.multipliers.bit_length()
    power = chip.word_bits + LOG2E.bit_length()
    lane = (RECIPROCAL_BITS + 1) + (ONE_BITS + 1) + power + 1 + 2 * chip.word_bits
    fixed = 2 * _PAIR + 2 + 3 + BANK_BITS + index + DIVIDER_CYCLES.bit_length() + DIVIDER_CYCLES
    registers = fixed + 2 * total + 5 * tag + chip.lanes * lane + 2 * chip.word_bits
    return Units(registers, 200 + 230 * chip.lanes, 750 + 2730 * chip.lanes)


def _memory(chip: Chip, shape: OnChipMemory, banks: int, rows: bool) -> Units:
    """What stands around the pages of a memory of `banks` banks: the choice of a page, of a bank, and of who asks."""
    sides, word = 1 if chip.external_memory is None else 2, word_bits(chip)
    pages, page = shape.pages, (shape.pages - 1).bit_length()
    chosen = index_bits(banks) if sides == 2 and banks > 1 else 0
    bank = Units(
        2 * page,
        sides * ROW_BITS * (2 * (pages - 1) + pages),
        pages * (word * (1 + sides) + 24) + (ROW_BITS if rows else 2 * ROW_BITS) + word * (1 + sides * (banks > 1)),
    )
    return bank * banks + Units(chosen)


def _array(chip: Chip) -> Units:
    step, word = step_bits(chip), word_bits(chip)
    bank = index_bits(chip.accumulator_banks) + index_bits(chip.kernel)
    row = 3 * row_bits(chip)
    data = 4 * chip.kernel * word + 2 * chip.kernel * word
    asks = 8 * chip.kernel * (ROW_BITS + 1)
    return Units(row + 2 * step + bank + 3, 60, row + 2 * step + data + asks + 200)


def _loader(chip: Chip) -> Units:
    """The walks over windows and blocks and the addresses that follow them; the pixels in use."""
    tap, side = index_bits(chip.taps), index_bits(chip.kernel)
    own = row_bits(chip) + tap + side + index_bits(chip.kernel + 1) + 10 + 9 * _PAIR
    walks = (48 + tap) + 20 + 76 + 2 * _PAIR + 12 * _PAIR + (62 + side) + 20
    return Units(own + walks, 3030 + 117 * chip.kernel, 3 * row_bits(chip) + 6600 + 60 * chip.kernel) + _lines(chip)


def _lines(chip: Chip) -> Units:
    """What stands around the line buffer: the column that is written, and the choice of where words come from."""
    if not chip.line_words:
        return Units()
    column = (chip.line_words - 1).bit_length()
    return Units(column + 2, 0, column + chip.kernel + 2 + (chip.kernel - 1) * word_bits(chip))


def _window(chip: Chip) -> Units:
    """Words from their banks to the shadows of window and pixels, and the window."""
    side, taps, word = chip.kernel, chip.taps, word_bits(chip)
    ways = side * sum(side // gcd(stride, side) for stride in range(side))
    moved = sum(min(side, taps - tap) for tap in range(taps))
    banks = Units(
        side + index_bits(side) + 1,
        ways * (2 * ROW_BITS + 3),
        (word + ROW_BITS + 1) * (2 * ways + side * side + side),
    )
    shadow = Units(row_bits(chip), moved * index_bits(side + 1), word * (2 * moved + 3 * taps))
    window = Units(row_bits(chip), 0, word * (taps + 3 * side * (side - 1)))
    return banks * 2 + shadow * 2 + window + Units(0, 0, 3 * row_bits(chip))


def _rows(chip: Chip) -> Units:
    fetcher = row_bits(chip) + ROW_BITS + 3 + 2 * index_bits(chip.row_beats)
    return Units(fetcher + 42 + 20, 235, 3 * row_bits(chip) + 460)


def _kernels(chip: Chip) -> Units:
    registers = chip.kernel_registers
    return Units(
        (registers + 1) * row_bits(chip),
        _field(Load, "count") * (chip.taps + chip.lanes),
        row_bits(chip) * (10 * registers + 16),
    )


def _nest(chip: Chip) -> Units:
    """Loops, iterations (the next that is not skipped), scatter positions, kernel taps; LOAD's own loop."""
    bank, tap, side = index_bits(chip.accumulator_banks), index_bits(chip.taps), index_bits(chip.kernel)
    own = 3 * 20 + max(2, chip.accumulator_banks) + 2 * tap + 2 * bank + 4
    iterations = chip.multipliers + 1 + _field(Compute, "iterations") + tap + index_bits(chip.lanes)
    scatter = 2 * _field(Compute, "height") + bank + 2 * side
    fill = 2 * _field(Load, "count") + 2 + _PAIR + side
    return Units(own + iterations + scatter + fill + 20 + 32, 440 + 22 * chip.multipliers, 1200 + 16 * chip.multipliers)


def _multipliers(chip: Chip) -> Units:
    """Routes of both operands, the products, their sums over taps, lanes, both or neither; those with a zero."""
    taps, lanes, product, reduced = chip.taps, chip.lanes, product_bits(chip), reduced_bits(chip)
    trees = _tree_bits(chip.multipliers, product)[0]
    trees += lanes * _tree_bits(taps, product)[0] + taps * _tree_bits(lanes, product)[0]
    negations = chip.multipliers * (product + 1) + (taps + lanes + 1) * reduced
    zeros = chip.multipliers + chip.multipliers.bit_length()
    return Units(
        chip.multipliers * (product + reduced) + zeros,
        trees + negations,
        row_bits(chip) * (2 * chip.kernel + 32) + 1200,
        chip.multipliers,
    )


def _accumulators(chip: Chip) -> Units:
    """The cells of every bank: an adder and a comparison each, and the choice of a bank at three reads and a write."""
    bits, depth = chip.accumulator_bits, max(2, chip.accumulator_banks)
    banks = bits * (3 * (depth - 1) + depth)
    cell = Units(depth * bits, 2 * bits + 1, banks + 2 * bits + 3 * reduced_bits(chip) + 12)
    return cell * chip.multipliers


def _writeback(chip: Chip) -> Units:
    """A rounder for every multiplier: base, shift, random bits, saturation; a row and a word on their way out."""
    bits, tap = chip.accumulator_bits, index_bits(chip.taps)
    rounder = Units(bits + RANDOM_BITS + 2 * chip.word_bits + 1, 3 * bits + 20, 16 * bits + 400)
    ways = index_bits(chip.row_beats) + 2 * chip.lanes + 2 * tap + index_bits(chip.taps + 1) + 9
    addresses = 9 * _PAIR + 3 * ROW_BITS
    return rounder * chip.multipliers + Units(word_bits(chip) + ways + addresses, 1065, 1000)


_MAKERS: dict[str, Callable[[Chip], Units]] = {
    "interconnect": _interconnect,
    "host": _host,
    "sequencers": _sequencers,
    "counters": _counters,
    "dma": _dma,
    "vector": _vector,
    "feature": lambda chip: _memory(chip, chip.feature_memory, chip.kernel, rows=False),
    "gradient": lambda chip: _memory(chip, chip.gradient_memory, chip.kernel, rows=False),
    "weight": lambda chip: _memory(chip, chip.weight_memory, chip.weight_memory.banks, rows=True),
    "array": _array,
    "loader": _loader,
    "window": _window,
    "rows": _rows,
    "kernels": _kernels,
    "nest": _nest,
    "multipliers": _multipliers,
    "accumulators": _accumulators,
    "writeback": _writeback,
}
