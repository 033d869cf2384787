"""Random transfers between the external memory and the chip, leaning to corners."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip
from arch.isa import OnChip, Space, Storage, Transfer
from arch.limits import memory_words
from testbenches.nests import corner, place

TRANSFERS = ("transfer_in", "transfer_out")
"""Kinds of transfers, by their direction."""
_MOST = 400
"""External words of a random image at most: several bursts, and quickly loaded."""
_LONGEST = 150
"""Words of a transfer at most, about."""


def generated_words(chip: Chip) -> int:
    """Words of the external memory that random images have, and random transfers move."""
    return min(chip.external_words, _MOST)


def random_transfer(chip: Chip, rng: np.random.Generator, kind: str) -> Transfer:
    """A transfer of one of `TRANSFERS`; it may be illegal."""
    outward = int(kind == "transfer_out")
    memory = OnChip(int(rng.integers(len(OnChip))))
    unit = chip.taps if memory == OnChip.WEIGHT else 1
    limit = chip.weight_rows if memory == OnChip.WEIGHT else memory_words(chip, Space(memory))
    storage = Storage(int(chip.stores_bytes and rng.random() < 0.4))
    outside = generated_words(chip) * (2 if storage == Storage.BYTE else 1)
    lines = corner(rng, 1, 6) if rng.random() < 0.6 else 1
    count = corner(rng, 1, max(1, min(_LONGEST, limit, outside) // (lines * unit)))
    pitch = count + int(rng.integers(3))
    external_pitch = count * unit + corner(rng, 0, 9)
    if not outward and rng.random() < 0.2:
        external_pitch = int(rng.integers(count * unit + 1))  # lines that overlap outside, or are all the same
    used = lines * count if memory == OnChip.WEIGHT else (lines - 1) * pitch + count
    first = place(rng, limit, used)
    return Transfer(
        outward=outward,
        memory=memory,
        word=0 if memory == OnChip.WEIGHT else first,
        row=first if memory == OnChip.WEIGHT else 0,
        external=place(rng, outside, (lines - 1) * external_pitch + count * unit),
        count=count,
        lines=lines,
        pitch=0 if memory == OnChip.WEIGHT else pitch,
        external_pitch=external_pitch,
        storage=storage,
    )
