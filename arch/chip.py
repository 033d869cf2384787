"""The chip's configuration: what a user may choose, what follows from it, and what cannot be."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from arch.frozen import Frozen

CHIPS = Path(__file__).parent / "chips"
MAX_ROWS = 1 << 16
"""Rows of a memory bank that an instruction's 16-bit row field can name."""


HOST_WINDOW = 1 << 24
"""Bytes of the host's address map that a memory may take."""


def power_of_two(count: int) -> int:
    """The smallest power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()


def shipped() -> dict[str, Path]:
    """The chips that come with tinycl, by name."""
    return {path.stem: path for path in sorted(CHIPS.glob("*.yaml"))}


class ChipError(InputError):
    """A chip that cannot be built or read."""


def largest_of(bits: int) -> int:
    """The largest integer of so many bits, two's complement; the smallest is one less than its negative."""
    return (1 << (bits - 1)) - 1


class _Model(Frozen):
    model_config = ConfigDict(strict=True)


class OnChipMemory(_Model):
    """An on-chip memory of `banks` banks, each one word (`lanes` elements) wide.

    A bank is `pages` parts of equal depth with one port each, so that the DMA works on one while the array works on
    others.
    """

    bytes: int = Field(ge=1, le=1 << 26)
    banks: int = Field(ge=1, le=64)
    ports: Literal[1] = 1
    pages: Literal[1, 2, 4, 8] = 1


class ExternalMemory(_Model):
    """Memory off the chip, moved to and from by the DMA engine.

    The model that cycles are counted by: a read burst accepted in cycle c gives its first beat in cycle c +
    `latency_cycles` or after the burst before, and a beat of `bytes_per_cycle` a cycle from then on; a written burst is
    answered `latency_cycles` after its last beat.
    """

    bytes_per_cycle: Literal[4, 8, 16, 32, 64]
    latency_cycles: int = Field(ge=1, le=10_000)
    bytes: int = Field(ge=1, le=1 << 36)


class VectorUnit(_Model):
    """The engine of elementwise work."""

    elements_per_cycle: int = Field(ge=1, le=64)


class ProgramMemory(_Model):
    """Instructions that each engine can hold."""

    instructions: int = Field(ge=4, le=65536)


class Chip(_Model):
    """One configuration of the machine. Immutable; equal chips have equal `fingerprint`.

    `taps` = K x K window positions, `lanes` = channels of a word, `word_bits` = bits of a stored element (two's
    complement), `accumulator_bits` = bits of a sum, `line_buffer_words` = words of each of the K - 1 lines of a
    `line_buffer` (`line_words` if left out). Raises `ChipError` through `load` and `parse`.

    >>> chip = Chip.load("paper")
    >>> chip.multipliers, chip.kernel, chip.row_beats, chip.largest
    (72, 3, 1, 32767)
    >>> chip.feature_words, chip.gradient_words, chip.weight_rows, chip.external_words
    (4092, 4092, 1248, 4194304)
    >>> chip.bank_depth(chip.weight_memory), chip.page_depth(chip.weight_memory), chip.words(20)
    (1248, 312, 3)
    >>> chip.word_stride, chip.external_word_bytes, chip.external_beats, chip.narrowest_accumulator
    (16, 16, 2, 38)
    >>> chip.beat_bytes, chip.stores_bytes, chip.replace(lanes=6, vector_unit={"elements_per_cycle": 6}).stores_bytes
    (8, True, False)
    >>> chip.bank_stride(chip.weight_memory), chip.window_bytes(chip.weight_memory)
    (32768, 294912)
    >>> chip.replace(name="other").fingerprint == chip.fingerprint
    True
    >>> chip.line_words, chip.replace(traversal="line_buffer").line_words
    (0, 64)
    """

    name: str = Field(min_length=1, max_length=64)
    taps: int = Field(ge=4, le=49)
    lanes: int = Field(ge=1, le=16)
    word_bits: int = Field(default=16, ge=8, le=16)
    accumulator_bits: int = Field(default=48, ge=16, le=48)
    accumulator_banks: int = Field(default=8, ge=1, le=16)
    kernel_registers: int = Field(default=8, ge=1, le=16)
    traversal: Literal["snake", "raster", "line_buffer"] = "snake"
    line_buffer_words: int | None = Field(default=None, ge=1, le=1 << 10)
    clock_ns: float = Field(gt=0, le=1e6)
    feature_memory: OnChipMemory
    gradient_memory: OnChipMemory
    weight_memory: OnChipMemory
    external_memory: ExternalMemory | None = None
    vector_unit: VectorUnit
    program_memory: ProgramMemory = ProgramMemory(instructions=1024)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self):
        if self.kernel**2 != self.taps:
            yield f"taps must be a square (4, 9, 16, 25 ...), not {self.taps}"
            return
        if self.accumulator_bits < self.narrowest_accumulator:
            yield (
                f"accumulator_bits must be at least {self.narrowest_accumulator} so that {self.taps} x {self.lanes} "
                f"products of {self.word_bits} bits cannot overflow, not {self.accumulator_bits}"
            )
        if self.line_buffer_words is not None:
            yield from self._line_problems(self.line_buffer_words)
        if self.vector_unit.elements_per_cycle != self.lanes:
            yield (
                f"vector_unit.elements_per_cycle must be {self.lanes}, the number of lanes, "
                f"not {self.vector_unit.elements_per_cycle}"
            )
        for name in ("feature_memory", "gradient_memory"):
            memory: OnChipMemory = getattr(self, name)
            if memory.banks != self.kernel:
                yield f"{name}.banks must be {self.kernel}, one a window row, not {memory.banks}"
            yield from self._size_problems(name, memory, self.taps, "one window")
        if self.weight_memory.banks > self.taps:
            yield f"weight_memory.banks must be at most {self.taps}, one a tap, not {self.weight_memory.banks}"
        needed = self.row_beats * self.weight_memory.banks * self.kernel_registers
        yield from self._size_problems("weight_memory", self.weight_memory, needed, "the kernel registers")
        if self.external_memory is not None:
            yield from self._external_problems(self.external_memory)

    def _line_problems(self, words: int):
        if self.traversal != "line_buffer":
            yield f"line_buffer_words must be left out where traversal is {self.traversal}, not {words}"
        elif words < self.kernel:
            yield f"line_buffer_words must be at least {self.kernel}, the columns of a window, not {words}"

    def _external_problems(self, memory: ExternalMemory):
        if memory.bytes_per_cycle > self.external_word_bytes:
            yield (
                f"external_memory.bytes_per_cycle must be at most {self.external_word_bytes}, the bytes of a word of "
                f"{self.lanes} lanes, not {memory.bytes_per_cycle}"
            )
        if memory.bytes < self.external_word_bytes:
            yield f"external_memory.bytes must be at least {self.external_word_bytes}, one word, not {memory.bytes}"

    def _size_problems(self, name: str, memory: OnChipMemory, words: int, what: str):
        depth = self.bank_depth(memory)
        if depth * memory.banks < words:
            places = -(-words // (memory.banks * memory.pages)) * memory.pages
            least = -(-(places * memory.banks * self.lanes * self.word_bits) // 8)
            yield f"{name}.bytes must be at least {least} to hold {what}, not {memory.bytes}"
        if depth > MAX_ROWS:
            yield f"{name}.bytes must give at most {MAX_ROWS} words a bank, not {depth}"
        elif self.window_bytes(memory) > HOST_WINDOW:
            yield f"{name} must fit a window of {HOST_WINDOW} bytes of the host's bus, not {self.window_bytes(memory)}"

    @property
    def kernel(self) -> int:
        """K, the side of the window."""
        return isqrt(self.taps)

    @property
    def narrowest_accumulator(self) -> int:
        """Bits that hold taps x lanes worst-case products and one base term of the same size."""
        return 2 * self.word_bits - 1 + (self.taps * self.lanes).bit_length()

    @property
    def row_beats(self) -> int:
        """Cycles that moving one weight row (taps words) takes: taps / banks, rounded up."""
        return -(-self.taps // self.weight_memory.banks)

    def bank_depth(self, memory: OnChipMemory) -> int:
        """Words in one bank of `memory`, a multiple of its pages."""
        return self.page_depth(memory) * memory.pages

    def page_depth(self, memory: OnChipMemory) -> int:
        """Words in one page of one bank of `memory`: place p of a bank lies in page p div `page_depth`."""
        return memory.bytes * 8 // (memory.banks * self.lanes * self.word_bits) // memory.pages

    @property
    def word_stride(self) -> int:
        """Bytes from a word of a bank to the next on the host's bus: 16 bits a lane, a power of two, at least 4."""
        return 2 * max(2, power_of_two(self.lanes))

    @property
    def external_word_bytes(self) -> int:
        """Bytes of a word in the external memory: 16 bits a lane, a power of two, at least 4, the rest of them 0."""
        return self.word_stride

    @property
    def beat_bytes(self) -> int:
        """Bytes between the DMA and the external memory in a cycle; 0 if there is none."""
        return 0 if self.external_memory is None else self.external_memory.bytes_per_cycle

    @cached_property
    def external_beats(self) -> int:
        """Cycles that moving a word to or from the external memory takes; 0 if there is none."""
        return self.external_word_bytes // self.beat_bytes if self.beat_bytes else 0

    def word_beats(self, octets: bool) -> int:
        """Beats of a word outside, of elements of 16 bits or, if `octets`, of bytes.

        >>> chip = Chip.load("paper")
        >>> chip.word_beats(False), chip.word_beats(True)
        (2, 1)
        """
        return self.external_beats // (2 if octets else 1)

    @cached_property
    def stores_bytes(self) -> bool:
        """Whether elements can lie outside as bytes: where half a word is whole beats and every byte is an element."""
        return self.external_beats > 1 and self.external_word_bytes == 2 * self.lanes

    @property
    def external_words(self) -> int:
        """Words of the external memory; 0 if there is none."""
        return 0 if self.external_memory is None else self.external_memory.bytes // self.external_word_bytes

    def bank_stride(self, memory: OnChipMemory) -> int:
        """Bytes from a bank of `memory` to the next on the host's bus."""
        return power_of_two(self.bank_depth(memory)) * self.word_stride

    def window_bytes(self, memory: OnChipMemory) -> int:
        """Bytes that `memory` takes on the host's bus."""
        return memory.banks * self.bank_stride(memory)

    def words(self, count: int) -> int:
        """Words that hold `count` elements."""
        return -(-count // self.lanes)

    @cached_property
    def feature_words(self) -> int:
        """Words of the feature memory."""
        return self.bank_depth(self.feature_memory) * self.feature_memory.banks

    @cached_property
    def gradient_words(self) -> int:
        """Words of the gradient memory."""
        return self.bank_depth(self.gradient_memory) * self.gradient_memory.banks

    @cached_property
    def weight_rows(self) -> int:
        """Rows of the weight memory; word t of a row lies in bank t mod banks, at row * beats + t div banks."""
        return self.bank_depth(self.weight_memory) // self.row_beats

    @cached_property
    def line_words(self) -> int:
        """Words of a line of the line buffer, 0 of a chip without one.

        If not said: the side of the smallest square that holds as many words as the larger memory of maps, at most
        1024.
        """
        if self.traversal != "line_buffer":
            return 0
        return self.line_buffer_words or min(isqrt(max(self.feature_words, self.gradient_words) - 1) + 1, 1 << 10)

    @property
    def multipliers(self) -> int:
        """taps x lanes."""
        return self.taps * self.lanes

    @property
    def largest(self) -> int:
        """The largest stored integer; the smallest is `-largest - 1`."""
        return largest_of(self.word_bits)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that a program's meaning depends on: everything but the name and the clock."""
        fields = self.model_dump(exclude={"name", "clock_ns"})
        if self.line_buffer_words is None:  # chips that cannot have it keep the hash that their programs were made with
            del fields["line_buffer_words"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """The chip as YAML that `parse` reads back to an equal chip.

        >>> chip = Chip.load("tiny")
        >>> Chip.parse(chip.to_yaml()) == chip
        True
        """
        return yaml.safe_dump(self.model_dump(), sort_keys=False)

    @classmethod
    def parse(cls, text: str, where: str = "chip") -> Chip:
        """The chip that YAML `text` describes. Raises `ChipError` naming every wrong field at once.

        >>> Chip.parse("name: mine", "mine.yaml")
        Traceback (most recent call last):
        arch.chip.ChipError: mine.yaml: taps: ...
        """
        try:
            data = parse_yaml(text, where)
        except InputError as error:
            raise ChipError(str(error)) from None
        return cls.from_fields(data, where)

    @classmethod
    def from_fields(cls, fields: dict, where: str = "chip") -> Chip:
        """The chip with these fields. Raises `ChipError` naming every wrong field at once.

        >>> Chip.from_fields(Chip.load("tiny").model_dump() | {"clock_ns": 4.0}).clock_ns
        4.0
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise ChipError(f"{where}: {described(error)}") from None

    @classmethod
    def load(cls, name: str | Path) -> Chip:
        """A shipped chip by name (`paper`, `tiny`, `wide` ...) or one from a YAML file.

        >>> Chip.load("tiny").multipliers
        12
        """
        path = shipped().get(str(name), Path(name))
        try:
            text = read_text(path, LARGEST_YAML)
        except InputError as error:
            raise ChipError(f"chip {error}; give a YAML file or one of {', '.join(shipped())}") from None
        return cls.parse(text, where=f"chip {name}")

    def replace(self, **fields) -> Chip:
        """A copy with `fields` changed and everything checked again.

        >>> Chip.load("paper").replace(word_bits=12).largest
        2047
        """
        return self.from_fields({**self.model_dump(), **fields}, where=f"chip {self.name}")
