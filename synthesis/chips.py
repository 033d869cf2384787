"""The chips that the logic model is fitted to, and those held out from the fit: small, each unlike the base in one way.

Components depend on few of the chip's parameters, so chips that differ in one share most blocks, which are mapped
once. The held-out chips differ in several ways at once; `tiny`, `wide` and `paper` are the shipped ones.
"""

from __future__ import annotations

from arch.chip import Chip

_MEMORY = {"bytes": 4096, "banks": 2, "ports": 1, "pages": 2}
_BASE = {
    "name": "t4l2",
    "taps": 4,
    "lanes": 2,
    "word_bits": 16,
    "accumulator_bits": 48,
    "accumulator_banks": 2,
    "kernel_registers": 2,
    "traversal": "snake",
    "clock_ns": 20.0,
    "feature_memory": _MEMORY,
    "gradient_memory": _MEMORY,
    "weight_memory": {**_MEMORY, "banks": 1},
    "external_memory": {"bytes_per_cycle": 4, "latency_cycles": 10, "bytes": 65536},
    "vector_unit": {"elements_per_cycle": 2},
    "program_memory": {"instructions": 64},
}


def _chip(name: str, weight_banks: int = 1, pages: int = 2, **fields) -> Chip:
    taps = fields.get("taps", _BASE["taps"])
    side = round(taps**0.5)
    lanes = fields.get("lanes", _BASE["lanes"])
    maps = {**_MEMORY, "banks": side, "pages": pages}
    return Chip.from_fields(
        {
            **_BASE,
            "name": name,
            "feature_memory": maps,
            "gradient_memory": maps,
            "weight_memory": {**maps, "banks": weight_banks},
            "vector_unit": {"elements_per_cycle": lanes},
            **fields,
        }
    )


FITTED = (
    _chip("t4l2"),
    _chip("t4l1", lanes=1),
    _chip("t4l4", lanes=4),
    _chip("t9l1", taps=9, lanes=1),
    _chip("t9l2", taps=9),
    _chip("t16l1", taps=16, lanes=1),
    _chip("t25l1", taps=25, lanes=1),
    _chip("t4l8", lanes=8),
    _chip("w8", word_bits=8, accumulator_bits=32),
    _chip("w12", word_bits=12, accumulator_bits=40),
    _chip("acc40", accumulator_bits=40),
    _chip("banks4", accumulator_banks=4),
    _chip("banks8", accumulator_banks=8),
    _chip("kernels4", kernel_registers=4),
    _chip("kernels8", kernel_registers=8),
    _chip("weights4", weight_banks=4, pages=4),
    _chip("pages4", pages=4),
    _chip("deep", program_memory={"instructions": 1024}),
    _chip("inside", external_memory=None, program_memory={"instructions": 256}),
)
"""Nineteen chips."""
HELD_OUT = (
    Chip.load("tiny"),
    _chip("t4l3", 2, lanes=3, word_bits=10, accumulator_bits=36, accumulator_banks=3, kernel_registers=4),
    _chip("t9l1w14", 3, 4, taps=9, lanes=1, word_bits=14, accumulator_bits=44, accumulator_banks=5, kernel_registers=6),
    _chip("t9l3", 3, taps=9, lanes=3, word_bits=12, accumulator_bits=40, accumulator_banks=4, kernel_registers=3),
    _chip("t16l2", 4, 4, taps=16, word_bits=10, accumulator_bits=36, accumulator_banks=3, kernel_registers=4),
    _chip("t4l6", 2, lanes=6, word_bits=14, accumulator_bits=44, accumulator_banks=6, kernel_registers=6),
    Chip.load("wide"),
    Chip.load("paper"),
)
"""Chips that the fit does not see."""
