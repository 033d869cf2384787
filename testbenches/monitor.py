"""Follows the chip's trace: mirrors every write to the memories, and gives each instruction's retirement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from arch.events import COUNTER_BITS
from arch.fields import BANK_BITS
from arch.image import Image
from arch.isa import ENGINES, Engine, OnChip
from arch.program import Program
from arch.retirement import MEMORIES, Retirement, digests
from testbenches.bench import RECORDS, WRITES, record_bits


class Monitor:
    """Reads what the bench recorded in its folder, the present one.

    `image` mirrors the memories; who writes to them through the bus must write there too.
    """

    def __init__(self, program: Program, image: Image):
        self.image = image
        self._program = program
        self._chip = chip = program.chip
        self._types = {name: _record(fields) for name, fields in record_bits(chip).items()}
        self._ends = {name: Path(f"{name}.bin").stat().st_size for name in RECORDS}
        self._writes: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # of each memory: cycles, records
        self._applied: dict[str, int] = {}
        self._retired: list[tuple[int, Engine, np.void]] = []
        self._writers = {
            "feature": self._write_words,
            "gradient": self._write_words,
            "weight": self._write_rows,
            "transfer": self._write_transferred,
            "external": self._write_beats,
        }

    def collect(self) -> None:
        """Take in what was recorded since the last time: one run of a program, from its start to its end."""
        new = {name: self._new(name) for name in RECORDS}
        self._writes = {name: (_integers(new[name]["cycle"], COUNTER_BITS)[:, 0], new[name]) for name in WRITES}
        self._applied = dict.fromkeys(self._writes, 0)
        found = [
            (int(_integers(record["cycle"], COUNTER_BITS)[0, 0]), engine, record)
            for engine in ENGINES
            for record in new[engine.name.lower()]
        ]
        self._retired = sorted(found, key=lambda item: item[:2])

    def retirements(self) -> Iterator[Retirement]:
        """The run's retirements in order of cycle and then engine; at each, `image` is as it left the memories."""
        for cycle, engine, record in self._retired:
            self._follow(cycle)
            if engine == Engine.ARRAY:
                self.image.random[...] = record["random"].reshape(self.image.random.shape)
            index = int(record["index"][0])
            counters = tuple(_integers(record["counts"], COUNTER_BITS)[0].tolist())
            stream = self._program.streams[engine]
            known = index < len(stream)
            compared = digests(stream[index], self.image, self._chip) if known else (0,) * len(MEMORIES)
            yield Retirement(engine, index, cycle, counters, compared)
        self._follow(1 << COUNTER_BITS)

    def _new(self, name: str) -> np.ndarray:
        """Whole records, from the end of those known already."""
        kind = self._types[name]
        records = np.fromfile(f"{name}.bin", kind, offset=self._ends[name])
        self._ends[name] += len(records) * kind.itemsize
        return records

    def _follow(self, cycle: int) -> None:
        """Do the writes up to and with `cycle`."""
        for name, (cycles, writes) in self._writes.items():
            first = self._applied[name]
            last = self._applied[name] = int(np.searchsorted(cycles, cycle, side="right"))
            if last > first:
                self._writers[name](name, writes[first:last])

    def _write_words(self, name: str, writes: np.ndarray) -> None:
        address = writes["address"][:, 0].astype(np.int64)
        words = (address >> BANK_BITS) * self._chip.kernel + (address & (1 << BANK_BITS) - 1)
        getattr(self.image, name)[words] = self._elements(writes["value"], 1)[:, 0]

    def _write_rows(self, _: str, writes: np.ndarray) -> None:
        chip = self._chip
        banks = chip.weight_memory.banks
        row, beat = np.divmod(writes["place"][:, 0].astype(np.int64), chip.row_beats)
        written = np.unpackbits(writes["write"].view(np.uint8), axis=1, bitorder="little")[:, :banks]
        number, bank = np.nonzero(written)
        self.image.weight[row[number], beat[number] * banks + bank] = self._elements(writes["value"], banks)[
            number, bank
        ]

    def _write_transferred(self, _: str, writes: np.ndarray) -> None:
        """What the DMA wrote on the chip."""
        chip = self._chip
        memory, bank, place = (writes[name][:, 0].astype(np.int64) for name in ("memory", "bank", "place"))
        values = self._elements(writes["value"], 1)[:, 0]
        for store, array in ((OnChip.FEATURE, self.image.feature), (OnChip.GRADIENT, self.image.gradient)):
            here = memory == store
            array[place[here] * chip.kernel + bank[here]] = values[here]
        here = memory == OnChip.WEIGHT
        row, beat = np.divmod(place[here], chip.row_beats)
        self.image.weight[row, beat * chip.weight_memory.banks + bank[here]] = values[here]

    def _write_beats(self, _: str, writes: np.ndarray) -> None:
        """What the DMA wrote outside; elements beyond the lanes are none."""
        chip = self._chip
        word, part = np.divmod(writes["beat"][:, 0].astype(np.int64), chip.external_beats)
        halves = writes["value"].astype("<u4").view("<i2")
        lanes = part[:, None] * halves.shape[1] + np.arange(halves.shape[1])
        number, half = np.nonzero(lanes < chip.lanes)
        self.image.external[word[number], lanes[number, half]] = halves[number, half]

    def _elements(self, packed: np.ndarray, words: int) -> np.ndarray:
        """int16[n, words, lanes] of values whose elements lie one after another."""
        bits = self._chip.word_bits
        count = words * self._chip.lanes
        unsigned = _integers(packed, bits)[:, :count]
        half = 1 << (bits - 1)
        return ((unsigned ^ half) - half).astype(np.int16).reshape(-1, words, self._chip.lanes)


def _record(fields: dict[str, int]) -> np.dtype:
    return np.dtype([(name, "<u4", (-(-bits // 32),)) for name, bits in fields.items()])


def _integers(words: np.ndarray, bits: int) -> np.ndarray:
    """int64[n, m]: each row of 32-bit words cut into unsigned numbers of `bits` bits, m of them."""
    words = np.ascontiguousarray(np.atleast_2d(words))
    if bits == 16:
        return words.view("<u2").astype(np.int64)
    single = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    count = single.shape[1] // bits
    return single[:, : count * bits].reshape(len(words), count, bits) @ (1 << np.arange(bits, dtype=np.int64))
