"""Random chips: legal, with small memories so that their simulations are quick to build and to load."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip, power_of_two

TAPS = (4, 9, 16, 25)
_WORDS = 160
"""Words of a map's memory, about: enough for a few windows with gaps between their rows."""
_MULTIPLIERS = 100
"""Most multipliers: the time to build a simulation grows with them."""


def random_chip(rng: np.random.Generator, taps: int | None = None) -> Chip:
    """A legal chip with `taps`, or any of `TAPS`; the same numbers give the same chip."""
    taps = taps or int(rng.choice(TAPS))
    lanes = _lanes(rng, taps)
    word_bits = int(rng.choice([8, *range(9, 16), 16, 16]))
    narrowest = 2 * word_bits - 1 + (taps * lanes).bit_length()
    registers = int(rng.integers(1, 9))
    uneven = [banks for banks in range(2, taps) if taps % banks]
    banks = int(rng.choice([1, taps, int(rng.integers(1, taps + 1)), int(rng.choice(uneven))]))
    beats = -(-taps // banks)
    rows = max(4 * registers, 40)
    kernel = round(taps**0.5)
    chip = Chip.from_fields(
        {
            "name": f"random-{taps}x{lanes}",
            "taps": taps,
            "lanes": lanes,
            "word_bits": word_bits,
            "accumulator_bits": max(16, int(rng.choice([narrowest, 48, int(rng.integers(narrowest, 49))]))),
            "accumulator_banks": int(rng.choice([1, 2, int(rng.integers(1, 9))])),
            "kernel_registers": registers,
            "traversal": str(rng.choice(["snake", "raster", "line_buffer"])),
            "clock_ns": 5.0,
            "feature_memory": _memory(rng, max(_WORDS, 4 * taps), kernel, lanes, word_bits),
            "gradient_memory": _memory(rng, max(_WORDS, 4 * taps), kernel, lanes, word_bits),
            "weight_memory": _memory(rng, rows * beats * banks, banks, lanes, word_bits),
            "vector_unit": {"elements_per_cycle": lanes},
            "external_memory": _external(rng, lanes),
            "program_memory": {"instructions": int(rng.choice([24, 32, 48]))},
        },
        "random chip",
    )
    if not chip.line_words or rng.random() < 0.5:
        return chip
    return chip.replace(line_buffer_words=int(rng.integers(kernel, kernel + 3)))


def random_chips(count: int, seed: int) -> list[Chip]:
    """`count` chips that take turns in their taps; the same seed gives the same chips.

    Chips 1 and 2 take several beats a weight row, 1 with a last beat that is partial, 2 with whole ones, and have the
    accumulator banks and lanes for walks that drain several rows. Chip 5 has an external memory of 4 beats a word, and
    of bytes.
    """
    return [_numbered(number, seed).replace(name=f"random-{number}") for number in range(count)]


def _numbered(number: int, seed: int) -> Chip:
    """The chip of a number: the first that is drawn and serves."""
    rng = np.random.default_rng([seed, number])
    while True:
        chip = random_chip(rng, TAPS[number % len(TAPS)])
        partial = chip.taps % chip.weight_memory.banks > 0
        if number == 5 and not (chip.external_beats == 4 and chip.stores_bytes):
            continue
        if number not in (1, 2) or (_drains_slowly(chip) and partial == (number == 1)):
            return chip


def _drains_slowly(chip: Chip) -> bool:
    return chip.row_beats > 1 and chip.accumulator_banks >= 4 and chip.lanes >= 3


def _lanes(rng: np.random.Generator, taps: int) -> int:
    """One to eight lanes, now and then more, as few as the multipliers ask for."""
    most = max(1, min(8, _MULTIPLIERS // taps))
    if taps == TAPS[0] and rng.random() < 0.3:
        return int(rng.integers(9, 17))
    return int(rng.choice([1, int(rng.integers(1, most + 1)), int(rng.integers(2, most + 1))]))


def _memory(rng: np.random.Generator, words: int, banks: int, lanes: int, word_bits: int) -> dict:
    """A memory of at least so many words; a bank's words need no whole bytes, so a byte more may be taken."""
    pages = int(rng.choice([1, 2, 4, 8]))
    depth = -(-words // (banks * pages)) * pages
    return {"bytes": -(-depth * banks * lanes * word_bits // 8), "banks": banks, "pages": pages}


def _external(rng: np.random.Generator, lanes: int) -> dict | None:
    """An external memory, four times in five, of one beat a word to as many as there can be."""
    if rng.random() < 0.2:
        return None
    word = 2 * power_of_two(max(2, lanes))
    width = int(rng.choice([size for size in (4, 8, 16, 32) if size <= word]))
    return {"bytes_per_cycle": width, "latency_cycles": int(rng.choice([1, 2, 7, 30])), "bytes": 1 << 16}
