"""All prices of a chip in a technology, at the central answers and at every other, as arrays; and error bars from them.

Index 0 of the first axis is the central estimate; the others each change one answer. A doubt's bar is what its own
answers change, and the bars of different doubts add as independent (`estimate.ranges`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from arch.chip import Chip, OnChipMemory
from arch.errors import InputError
from arch.isa import ENGINES, INSTRUCTION_BITS
from estimate.memory import Macro, Memories
from estimate.prices import CENTRAL, NOTHING, Answers, Prices, prices, variations
from estimate.ranges import Range
from estimate.technology import Technology


@dataclass(frozen=True)
class Book:
    """Prices by answer (S of them, `answers`): `logic_pj`, `logic_nw` float64[S, 4] a unit; `clock_pj` [S] a register
    bit that sees a cycle, `gate` [S] such bits a clock gate; `tree` and `turning` [S] shares; `gating`, `gate_bits` and
    `events` [S] factors: of what gates let through, of all that gated registers see, and of all that events take;
    `memory` [S, memories, 4] of whole memories: pJ a word read, a word written, mW, mm². `doubts` are places in S by
    name.
    """

    answers: tuple[Answers, ...]
    logic_pj: np.ndarray
    logic_nw: np.ndarray
    clock_pj: np.ndarray
    tree: np.ndarray
    gate: np.ndarray
    gating: np.ndarray
    gate_bits: np.ndarray
    turning: np.ndarray
    events: np.ndarray
    memory: np.ndarray
    doubts: dict[str, tuple[int, ...]]

    def bars(self, values: np.ndarray) -> np.ndarray:
        """float64[3, ...], low, central and high of `values` float64[S, ...]."""
        return bars(values, self.doubts)

    def range(self, values: np.ndarray) -> Range:
        """The range of one number, float64[S]."""
        return Range(*self.bars(values).tolist())

    def ranges(self, values: np.ndarray) -> list[Range]:
        """The ranges of n numbers, float64[S, n]."""
        return [Range(*bar) for bar in self.bars(values).T.tolist()]

    def weights(self, values: np.ndarray) -> dict[str, tuple[float, float]]:
        """For each doubt, the lowest and highest of float64[S] beside its central value: what the bar is made of."""
        shares = {name: values[list(places)] / max(values[0], 1e-300) for name, places in self.doubts.items()}
        return {name: (float(share.min()), float(share.max())) for name, share in shares.items()}


def bars(values: np.ndarray, doubts: dict[str, tuple[int, ...]]) -> np.ndarray:
    """float64[3, ...], low, central and high of `values` float64[S, ...]: central first, then as `doubts` say.

    Ratios of independent sources add as squares of their logarithms, on each side of the central value.
    """
    floor = np.maximum(values[0], 1e-300)
    logs = np.log(np.maximum(values, 1e-9 * floor) / floor)
    down, up = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for places in doubts.values():
        part = logs[list(places)]
        down += np.minimum(part.min(axis=0), 0) ** 2
        up += np.maximum(part.max(axis=0), 0) ** 2
    return np.stack([values[0] * np.exp(-np.sqrt(down)), values[0], values[0] * np.exp(np.sqrt(up))])


def numbered(varied: dict[str, tuple[Answers, ...]]) -> tuple[list[Answers], dict[str, tuple[int, ...]]]:
    """All answers, the central one first, and the places of each doubt's."""
    answers, doubts = [CENTRAL], {}
    for name, group in varied.items():
        doubts[name] = tuple(range(len(answers), len(answers) + len(group)))
        answers += group
    return answers, doubts


@lru_cache(maxsize=256)
def book(technology: Technology, chip: Chip, voltage: float | None) -> Book:
    """The prices of `chip`. Raises `InputError` where a memory is outside every table's range."""
    answers, doubts = numbered(variations(technology, voltage is not None))
    found = [prices(technology, chip.word_bits, voltage, item) for item in answers]
    units = np.array([item.units for item in found])
    return Book(
        tuple(answers),
        units[:, :, 0],
        units[:, :, 1],
        np.array([item.clock_pj for item in found]),
        np.array([item.tree for item in found]),
        np.array([item.gate for item in found]),
        np.array([item.gating for item in found]),
        np.array([item.gate_bits for item in found]),
        np.array([item.turning for item in found]),
        np.array([item.events for item in found]),
        np.array([_memory_prices(technology, chip, item) for item in found]),
        doubts,
    )


def memories(chip: Chip) -> dict[str, tuple[int, int, int]]:
    """Macros, words and bits of a macro, of each on-chip memory: a macro is a page of a bank.

    The line buffer reads and writes in one cycle, and tables know one port: it is priced as two macros of all its
    words, of which one is read while the other is written. That is an upper bound: one macro of half the words, twice
    as wide, could read two columns and write two in turn.
    """
    bits = chip.lanes * chip.word_bits
    shapes: dict[str, OnChipMemory] = {
        "feature memory": chip.feature_memory,
        "gradient memory": chip.gradient_memory,
        "weight memory": chip.weight_memory,
    }
    found = {name: (shape.banks * shape.pages, chip.page_depth(shape), bits) for name, shape in shapes.items()}
    program = (len(ENGINES), chip.program_memory.instructions, INSTRUCTION_BITS)
    line = {"line buffer": (2, chip.line_words, (chip.kernel - 1) * bits)} if chip.line_words else {}
    return found | {"program memory": program} | line


def _memory_prices(technology: Technology, chip: Chip, found: Prices) -> np.ndarray:
    """Of each memory: pJ of a word read and written, mW and mm² of all its macros; the mean of the tables taken."""
    logs = _macro_logs(technology, chip)[list(found.memory_tables)]
    factors = np.array([(energy, energy, leakage, size) for energy, leakage, size in found.memory_factors])
    whole = np.exp((logs + np.log(np.maximum(factors, NOTHING))[:, None, :]).mean(axis=0))
    counts = np.array([count for count, _, _ in memories(chip).values()])
    whole[:, 2:] *= counts[:, None]
    return whole


@lru_cache(maxsize=256)
def _macro_logs(technology: Technology, chip: Chip) -> np.ndarray:
    """Logarithms of one macro of each memory, float64[tables, memories, 4], as the tables have them."""
    shapes = memories(chip).items()
    return np.log(
        [[_priced(table, name, *shape[1:]).values() for name, shape in shapes] for table in technology.memories()]
    )


def _priced(table: Memories, name: str, words: int, bits: int) -> Macro:
    """One macro of the memory of that name. Raises `InputError` naming it, and the chip's fields that would help."""
    try:
        return table(words, bits)
    except InputError as error:
        memory = name.replace(" ", "_")
        fields = f"{memory}.instructions" if memory == "program_memory" else f"{memory}.bytes, banks or pages"
        raise InputError(f"{name}: {error}; change {fields}, or take another technology") from None
