"""The host's view of the chip: a 32-bit Wishbone address map of registers and memory windows.

Byte address = region << REGION_SHIFT | offset. Elements lie as 16-bit halves, sign-extended, two in a bus word; a word
of lanes takes a power of two of bytes, and so do the words of a bank: an address is cut into fields, never divided.
"""

from __future__ import annotations

from enum import IntEnum

from arch.chip import HOST_WINDOW, Chip, power_of_two
from arch.events import Event
from arch.isa import INSTRUCTION_BITS, Engine

BUS_BITS = 32
REGION_SHIFT = HOST_WINDOW.bit_length() - 1
IDENTITY = 0x74636C31
"""What register ID reads: `tcl1`."""


class Window(IntEnum):
    """A region of the address map."""

    REGISTERS = 0
    PROGRAM = 1  # instructions: engine, instruction, bus word
    FEATURE = 2  # bank, word, lane
    GRADIENT = 3
    WEIGHT = 4
    RANDOM = 5  # tap, lane: one 32-bit state each


class Register(IntEnum):
    """A 32-bit register, by bus word offset in its window. Counters follow at COUNTERS."""

    ID = 0  # read: IDENTITY
    CONTROL = 1  # write: one of Start; read: bits of Status
    INTERRUPT = 2  # bit 0: raised at a program's end, cleared by writing 1
    START_ARRAY = 4  # first instruction of the array's stream
    START_VECTOR = 5
    FAULT = 6  # read: bit 31: an instruction faulted since the last start; its engine << 16 | index of the first one
    START_DMA = 7
    CYCLES_LOW = 8  # cycles of the last program, from the cycle after start to the last HALT
    CYCLES_HIGH = 9
    COUNTERS = 64  # engine * 64 + event * 2: low, then high bits of a counter; cleared at start


class Control(IntEnum):
    """What a write to CONTROL asks for."""

    START = 1
    ABORT = 2


class Status(IntEnum):
    """Bits of CONTROL as it is read."""

    RUNNING = 1
    ENDED = 2  # a program has ended since the last start
    ABORTED = 4  # by the host, since the last start


_STARTS = {
    Engine.ARRAY: Register.START_ARRAY,
    Engine.VECTOR: Register.START_VECTOR,
    Engine.DMA: Register.START_DMA,
}


def start_register(engine: Engine) -> Register:
    """The register that holds where an engine starts."""
    return _STARTS[engine]


def counter_offset(engine: Engine, event: Event) -> int:
    """Bus word offset, in the register window, of a counter's low half."""
    return Register.COUNTERS + int(engine) * 64 + int(event) * 2


def instruction_stride() -> int:
    """Bytes from an instruction to the next."""
    return power_of_two(INSTRUCTION_BITS // 32) * 4


def register_address(offset: int) -> int:
    """Byte address of the register at bus word `offset`."""
    return Window.REGISTERS << REGION_SHIFT | offset * 4


def word_address(window: Window, index: int, chip: Chip) -> int:
    """Byte address of linear word `index` of the feature or gradient memory: bank index mod K, place index div K."""
    memory = chip.feature_memory if window == Window.FEATURE else chip.gradient_memory
    stride = chip.bank_stride(memory)
    return window << REGION_SHIFT | index % chip.kernel * stride + index // chip.kernel * chip.word_stride


def weight_address(row: int, tap: int, chip: Chip) -> int:
    """Byte address of a word of the weight memory: bank tap mod banks, place row * beats + tap div banks."""
    banks = chip.weight_memory.banks
    stride = chip.bank_stride(chip.weight_memory)
    place = row * chip.row_beats + tap // banks
    return Window.WEIGHT << REGION_SHIFT | tap % banks * stride + place * chip.word_stride


def program_address(engine: Engine, index: int, chip: Chip) -> int:
    """Byte address of an instruction's lowest 32 bits."""
    depth = power_of_two(chip.program_memory.instructions)
    return Window.PROGRAM << REGION_SHIFT | (int(engine) * depth + index) * instruction_stride()


def random_address(tap: int, lane: int, chip: Chip) -> int:
    """Byte address of a rounder's random state."""
    return Window.RANDOM << REGION_SHIFT | (tap * power_of_two(chip.lanes) + lane) * 4
