"""The external memory as bytes, and the C++ model of it that every Verilated chip is given (`external.cpp`)."""

from __future__ import annotations

from importlib import resources

import numpy as np

from arch.chip import Chip


def external_model(chip: Chip) -> str:
    """The C++ class `External` for a chip; one without an external memory gets a model that does nothing."""
    memory = chip.external_memory
    size, latency = (0, 0) if memory is None else (memory.bytes_per_cycle, memory.latency_cycles)
    text = resources.files("testbenches").joinpath("external.cpp").read_text()
    return f"#define EXTERNAL_BYTES {size}\n#define EXTERNAL_LATENCY {latency}\n{text}"


def external_bytes(words: np.ndarray, chip: Chip) -> np.ndarray:
    """uint8[n * bytes of a word] of `Image.external`: 16 bits a lane, the lowest byte first, zeros behind them."""
    halves = np.zeros((len(words), chip.external_word_bytes // 2), "<i2")
    halves[:, : chip.lanes] = words
    return halves.reshape(-1).view(np.uint8)


def external_words(contents: np.ndarray, chip: Chip) -> np.ndarray:
    """`Image.external` of these bytes, int16[words, lanes]."""
    halves = np.ascontiguousarray(contents, np.uint8).view("<i2").reshape(-1, chip.external_word_bytes // 2)
    return halves[:, : chip.lanes].astype(np.int16)
