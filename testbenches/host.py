"""The host: puts a program and its data into the chip, runs it and reads what came of it, all over the bus."""

from __future__ import annotations

from typing import Any

import numpy as np
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer

from arch.bus import IDENTITY, Control, Register, counter_offset, register_address, start_register
from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES
from arch.program import Program
from testbenches.bus import Bus
from testbenches.external import external_bytes, external_words
from testbenches.memory_map import image_addresses, image_of, image_words, instruction_words
from testbenches.verilator import CLOCK_PERIOD


class Host:
    """Drives the chip on the bench `dut`."""

    def __init__(self, dut: Any, chip: Chip):
        self._dut = dut
        self._chip = chip
        memory = chip.external_memory
        self._bus = Bus(dut, 0 if memory is None else memory.bytes_per_cycle)
        self._addresses = image_addresses(chip)

    async def reset(self) -> None:
        """Reset the chip. Raises `RuntimeError` if it is none of these."""
        self._dut.rst.value = 1
        for _ in range(2):
            await FallingEdge(self._dut.clk)
        self._dut.rst.value = 0
        identity = await self._bus.read_one(register_address(Register.ID))
        if identity != IDENTITY:
            raise RuntimeError(f"register ID must read {IDENTITY:#x}, not {identity:#x}")

    async def load(self, program: Program) -> None:
        """Write the program's instructions."""
        await self._bus.write(*instruction_words(program))

    async def write_image(self, image: Image, known: Image | None = None) -> None:
        """Make the memories and random states those of `image`; only what differs from `known`, if that is given."""
        words = image_words(image, self._chip)
        changed = slice(None) if known is None else words != image_words(known, self._chip)
        await self._bus.write(self._addresses[changed], words[changed])
        if image.external.size and (known is None or not np.array_equal(known.external, image.external)):
            await self._bus.write_external(external_bytes(image.external, self._chip))

    async def read_image(self, words: int) -> Image:
        """The memories and random states, of the external memory the first `words`."""
        outside = np.zeros(0, np.uint8)
        if words:
            outside = await self._bus.read_external(words * self._chip.external_word_bytes)
        external = external_words(outside, self._chip)
        return image_of(await self._bus.read(self._addresses), self._chip, external)

    async def run(self, program: Program, entry: str, limit: int) -> bool:
        """Start the entry of the loaded program; whether its interrupt came within `limit` cycles."""
        starts = [(register_address(start_register(engine)), program.first(entry, engine)) for engine in ENGINES]
        await self._bus.write(*np.array([*starts, (register_address(Register.CONTROL), Control.START)]).T)
        interrupt = self._dut.interrupt
        if not int(interrupt.value):
            await First(RisingEdge(interrupt), Timer(limit * CLOCK_PERIOD, "ns"))
        if not int(interrupt.value):
            return False
        await self._bus.write_one(register_address(Register.INTERRUPT), 1)
        return True

    async def results(self) -> tuple[int, np.ndarray]:
        """Cycles and counters, int64[engines, events], of the last run."""
        counters = [counter_offset(engine, event) for engine in ENGINES for event in Event]
        offsets = np.array([Register.CYCLES_LOW, *counters])
        halves = await self._bus.read(register_address(np.stack([offsets, offsets + 1])).reshape(-1))  # type: ignore
        low, high = halves.astype(np.int64).reshape(2, -1)
        values = low | high << 32
        return int(values[0]), values[1:].reshape(len(ENGINES), len(Event))
