"""Cocotb's end of the Wishbone bus: lists of transactions, played by the bench at the simulator's speed.

Python calls into the simulator once for each list, not for each transaction, which would take most of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from testbenches.bench import REPLY, SCRIPT
from testbenches.bench_external import KEEP_OUTSIDE, LOAD_OUTSIDE, OUTSIDE, outside_bytes
from testbenches.memory_map import READ, WRITE, script


class Bus:
    """Plays transactions through the bench's ports `go` and `busy`; `dut` is the bench.

    `beat`: bytes of a beat of the memory outside, 0 if there is none.
    """

    def __init__(self, dut: Any, beat: int):
        self._dut = dut
        self._beat = beat
        dut.go.value = 0

    async def write(self, addresses: np.ndarray, words: np.ndarray) -> None:
        """Write each word to its byte address."""
        await self._play(script(WRITE, addresses, words))

    async def read(self, addresses: np.ndarray) -> np.ndarray:
        """The words at these byte addresses, uint32."""
        await self._play(script(READ, addresses, np.zeros(len(addresses), np.uint32)))
        return np.fromfile(REPLY, np.uint32)

    async def write_one(self, address: int, word: int) -> None:
        """Write one word."""
        await self.write(np.array([address]), np.array([word]))

    async def read_one(self, address: int) -> int:
        """The word at one byte address."""
        return int((await self.read(np.array([address])))[0])

    async def write_external(self, contents: np.ndarray) -> None:
        """Make the memory outside begin with these bytes, uint8[n], whole beats."""
        beats = contents.reshape(-1, self._beat)[:, ::-1]  # the lowest byte last
        Path(OUTSIDE).write_text("".join(f"{beat.tobytes().hex()}\n" for beat in beats))
        await self._play(f"{LOAD_OUTSIDE:x} 0 0\n")

    async def read_external(self, count: int) -> np.ndarray:
        """The first `count` bytes of the memory outside, uint8."""
        await self._play(f"{KEEP_OUTSIDE:x} 0 0\n")
        return outside_bytes(Path(OUTSIDE).read_text(), self._beat)[:count]

    async def _play(self, lines: str) -> None:
        Path(SCRIPT).write_text(lines)
        self._dut.go.value = 1
        await RisingEdge(self._dut.busy)
        self._dut.go.value = 0
        await FallingEdge(self._dut.busy)
