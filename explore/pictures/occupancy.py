"""How full the memories are while a pass runs."""

from __future__ import annotations

import numpy as np

from arch.layout import Store
from arch.program import Program
from arch.timing import Slot
from compiler.footprints import footprint
from explore.pictures.execution import instruction_of, slots_of
from explore.pictures.style import STORES, Picture, plain, thousands
from sim.result import Result

STORE_NAMES = {Store.FEATURE: "feature", Store.GRADIENT: "gradient", Store.WEIGHT: "weight"}


def memory_occupancy(program: Program, entry: str, result: Result | None = None) -> Picture:
    """KiB of each on-chip memory that hold something still needed, by cycle of one pass of `entry`.

    A word is needed from the first cycle of the instruction that writes it to the last cycle of the last one that reads
    it; what is written and not read again, a result, to the end; what the pass finds and reads, from the start, and
    weights that it does not write to the end, since the next pass needs them. Spans count whole: what lies between the
    rows of a map too. `result` is what `timeline` takes. Raises `ProgramError` if there is no such entry.

    >>> from tinycl import Network, compile
    >>> program = compile(Network("n", (3, 8, 8)).conv(8).dense(10)).program
    >>> memory_occupancy(program, "infer").axes[0].get_ylabel()
    'KiB'
    """
    slots = slots_of(program, entry, result)
    chip = program.chip
    memories = occupied(program, entry, slots)
    picture = Picture(figsize=(10, 5.4))
    panels = picture.subplots(len(memories), 1, sharex=True)
    last = max((slot.last for slot in slots), default=1)
    sizes = {
        Store.FEATURE: chip.feature_memory.bytes,
        Store.GRADIENT: chip.gradient_memory.bytes,
        Store.WEIGHT: chip.weight_memory.bytes,
    }
    for axes, (store, (cycles, live)) in zip(panels, memories.items(), strict=True):
        plain(axes)
        name, size = STORE_NAMES[store], sizes[store] / 1024
        steps = np.append(cycles, last), np.append(live, live[-1]) / 1024
        axes.fill_between(*steps, step="post", color=STORES[name], alpha=0.8, linewidth=0)
        axes.axhline(size, color="black", linestyle="--", linewidth=1)
        axes.set_ylim(0, size * 1.15)
        axes.set_ylabel("KiB")
        most = f"at most {live.max() / 1024:,.1f} of {size:,.0f} KiB needed at once"
        axes.set_title(f"{name} memory: {most}", loc="left", fontsize=10)
    panels[-1].set_xlim(0, last)
    panels[-1].set_xlabel(f"cycles of one {entry} pass on chip {chip.name}")
    thousands(panels[-1].xaxis)
    return picture


def occupied(program: Program, entry: str, slots: list[Slot]) -> dict[Store, tuple[np.ndarray, np.ndarray]]:
    """For each on-chip memory the cycles at which the needed bytes change, and the bytes from then on."""
    chip = program.chip
    words = {Store.FEATURE: chip.feature_words, Store.GRADIENT: chip.gradient_words, Store.WEIGHT: chip.weight_rows}
    end = max((slot.last for slot in slots), default=1)
    lives = {store: _Lives(count, end, store == Store.WEIGHT) for store, count in words.items()}
    for slot in sorted(slots, key=lambda slot: (slot.first, slot.last)):
        reads, writes = footprint(instruction_of(program, entry, slot), chip)
        for spans, note in ((reads, _Lives.read), (writes, _Lives.written)):
            for span in spans:
                if span.store in lives:
                    note(lives[span.store], slice(span.start, span.stop), slot)
    elements = {store: chip.multipliers if store == Store.WEIGHT else chip.lanes for store in words}
    return {
        store: (cycles, live * elements[store] * chip.word_bits // 8)
        for store, (cycles, live) in ((store, some.counted()) for store, some in lives.items())
    }


class _Lives:
    """Of each word of a memory, since when it holds what it holds and until when that is read."""

    def __init__(self, words: int, end: int, lasting: bool):
        self.born = np.full(words, end, np.int64)  # nothing is there yet
        self.read_until = np.zeros(words, np.int64)
        self.kept = np.zeros(words, bool)  # found by the pass and not written by it so far
        self.change = np.zeros(end + 1, np.int64)
        self.end, self.lasting = end, lasting

    def read(self, span: slice, slot: Slot) -> None:
        """Words that nothing has written were there from the start."""
        found = self.born[span] == self.end
        self.born[span][found] = 0
        self.kept[span] |= found
        self.read_until[span] = np.maximum(self.read_until[span], slot.last)

    def written(self, span: slice, slot: Slot) -> None:
        """What was there ends where it was last read, be it by this very instruction, which replaces it bit by bit."""
        until = np.minimum(self.read_until[span], slot.last)
        self._close(span, until)
        self.born[span] = np.maximum(until, slot.first - 1)
        self.kept[span] = False
        self.read_until[span] = 0

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """Cycles of changes, the first being 0, and the needed words from then on."""
        until = np.where(self.read_until > 0, self.read_until, self.end)
        until = np.where(self.kept & self.lasting, self.end, until)
        self._close(slice(None), until)
        live = np.cumsum(self.change)
        cycles = np.flatnonzero(np.diff(live, prepend=-1))
        return cycles, live[cycles]

    def _close(self, span: slice, until: np.ndarray) -> None:
        """Count the words from their birth until then; those that nobody read not at all."""
        born = self.born[span]
        needed = born < until
        np.add.at(self.change, born[needed], 1)
        np.add.at(self.change, until[needed], -1)
