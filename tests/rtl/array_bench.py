"""The array engine alone in Verilator: single instructions on memories held in C++."""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path

import numpy as np

from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import INSTRUCTION_BITS, Instruction, encode
from rtl.array_engine import ArrayEngine
from rtl.verilog import to_verilog
from testbenches.verilator import build_library

CODE = Path(__file__).with_suffix(".cpp")
LIMIT = 1_000_000
"""Cycles after which an instruction hangs."""
PROBLEMS = {-1: "reads or writes outside a memory", -2: "reads and writes a memory in one cycle", -3: "hangs"}


class ArrayBench:
    """Runs instructions on `image`'s memories, which change as the array changes them."""

    def __init__(self, chip: Chip, flags: tuple[str, ...] = ()):
        self.chip = chip
        verilog = to_verilog(ArrayEngine(chip), name="array_engine")
        path = build_library(verilog, CODE.read_text(), top="array_engine", flags=flags, quick=True)
        self._library = ctypes.CDLL(str(path))
        self._library.array_open.restype = ctypes.c_void_p
        self._library.array_memory.restype = ctypes.c_void_p
        self._library.array_run.restype = ctypes.c_int64
        sizes = [chip.kernel, chip.taps, chip.lanes, chip.word_bits, chip.weight_memory.banks, chip.row_beats]
        sizes += [chip.feature_words, chip.gradient_words, chip.weight_rows]
        self._bench = ctypes.c_void_p(self._library.array_open((ctypes.c_int64 * len(sizes))(*sizes)))
        self._memories = [
            self._memory(0, (chip.feature_words, chip.lanes)),
            self._memory(1, (chip.gradient_words, chip.lanes)),
            self._memory(2, (chip.weight_rows, chip.taps, chip.lanes)),
        ]

    def _memory(self, which: int, shape: tuple[int, ...]) -> np.ndarray:
        address = self._library.array_memory(self._bench, which)
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_int16))
        return np.ctypeslib.as_array(pointer, shape)

    def put(self, image: Image) -> None:
        """Reset the array; fill the memories and the random states."""
        self._library.array_reset(self._bench)
        for memory, values in zip(self._memories, (image.feature, image.gradient, image.weight), strict=True):
            memory[...] = values
        self._random(image.random.copy(), 1)

    def get(self) -> Image:
        """The memories and random states."""
        random = np.zeros((self.chip.taps, self.chip.lanes), np.uint32)
        self._random(random, 0)
        feature, gradient, weight = (memory.copy() for memory in self._memories)
        return Image(feature, gradient, weight, random, np.zeros((0, self.chip.lanes), np.int16))

    def _random(self, states: np.ndarray, write: int) -> None:
        self._library.array_random(self._bench, states.ctypes.data_as(ctypes.c_void_p), write)

    def run(self, instruction: Instruction) -> tuple[int, Counter[Event]]:
        """The instruction's cycles and events. Raises `AssertionError` if it does what no instruction may."""
        code = encode(instruction, self.chip)
        words = INSTRUCTION_BITS // 32
        packed = (ctypes.c_uint32 * words)(*(code >> 32 * i & 0xFFFFFFFF for i in range(words)))
        counts = (ctypes.c_int64 * len(Event))()
        cycles = self._library.array_run(
            self._bench,
            packed,
            words,
            len(Event),
            self.chip.multipliers.bit_length(),
            counts,
            ctypes.c_int64(LIMIT),
        )
        assert cycles > 0, f"{PROBLEMS[cycles]}: {instruction}"
        return cycles, Counter({event: counts[event] for event in Event if counts[event]})
