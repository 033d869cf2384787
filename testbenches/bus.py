"""Cocotb's end of the Wishbone bus: lists of transactions, played by the bench at the simulator's speed.

Python calls into the simulator once for each list, not for each transaction, which would take most of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from testbenches.bench import REPLY, SCRIPT
from testbenches.memory_map import READ, WRITE, script


class Bus:
    """Plays transactions through the bench's ports `go` and `busy`; `dut` is the bench."""

    def __init__(self, dut: Any):
        self._dut = dut
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

    async def _play(self, lines: str) -> None:
        Path(SCRIPT).write_text(lines)
        self._dut.go.value = 1
        await RisingEdge(self._dut.busy)
        self._dut.go.value = 0
        await FallingEdge(self._dut.busy)
