"""Which register bits see the clock behind clock gates, measured on the RTL; from `data/clocking`.

A gate stands before the registers that share an enable, and lets the clock through in the cycles in which they may take
a value. `python -m synthesis.gating` writes the table. A component's register bits are free, which see every cycle, or
behind gates, which see those that drive them: as for switching, the count of each driver (`estimate.usage.DRIVERS`)
times a share of the register bits that events reach (`estimate.usage.moving`).
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from arch.chip import Chip
from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from arch.frozen import Frozen
from estimate.switching import Errors
from estimate.usage import DRIVERS, hardware, moving

TABLE = Path(__file__).parent / "data" / "clocking" / "gates.yaml"
OPENED_BY: dict[str, tuple[str, ...]] = {
    "interconnect": ("cycles",),
    "host": ("instructions",),
    "sequencers": ("instructions",),
    "counters": ("cycles", "steps", "map_words", "weight_rows", "register_rows", "rounded_rows", "external_beats"),
    "dma": ("external_beats", "instructions"),
    "vector": ("loss_cycles",),
    "feature": ("feature_words",),
    "gradient": ("gradient_words",),
    "weight": ("weight_words",),
    "array": ("steps", "rounded_rows"),
    "loader": ("cycles", "fills", "window_moves", "instructions"),
    "window": ("fills", "window_moves"),
    "rows": ("weight_rows", "register_rows"),
    "kernels": ("register_rows",),
    "nest": ("steps", "instructions"),
    "multipliers": ("steps", "sums"),
    "accumulators": ("sums", "steps"),
    "writeback": ("rounded_rows", "instructions"),
}
"""What opens the gates of each component of `estimate.structure`: names of `estimate.usage.DRIVERS`."""


class Registers(Frozen):
    """Of a component: the share of its register bits that no gate can hold, gates for a bit behind one, and shares of
    the bits that events reach, by driver."""

    free: float = Field(ge=0, le=1)
    gates: float = Field(ge=0, le=1)
    opened: dict[str, float]


class Clocking(Frozen):
    """Gates of components, for enables of at least `least` bits.

    `chips` and `programs` are those of the fit. `fitted` and `held_out` are errors of what whole runs' registers and
    gates see of the clock, of runs that the fit saw and did not see. `bounds` are what that becomes, times, with gates
    for smaller and only for larger groups of registers. `seen` is that as a share of all register bits,
    each in every cycle, a gate as one bit: the least, mean and most of the measured runs.
    """

    least: int = Field(gt=0)
    chips: list[str]
    programs: list[str]
    components: dict[str, Registers]
    fitted: Errors
    held_out: Errors
    bounds: tuple[float, float]
    seen: tuple[float, float, float]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if {name: tuple(part.opened) for name, part in self.components.items()} != OPENED_BY:
            raise ValueError("components must have the names and drivers of estimate.clocking.OPENED_BY")
        return self


@cache
def clocking() -> Clocking:
    """The table that comes with tinycl."""
    return load_clocking(TABLE)


def load_clocking(path: Path) -> Clocking:
    """A table from its file. Raises `InputError` naming every wrong field."""
    try:
        return Clocking.model_validate(parse_yaml(read_text(path, LARGEST_YAML), str(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {described(error)}") from None


def free_bits(chip: Chip, found: Clocking) -> float:
    """Register bits that see every cycle."""
    return sum(found.components[name].free * units.register_bits for name, units in hardware(chip).items())


def gates(chip: Chip, found: Clocking) -> float:
    """Clock gates."""
    parts = ((found.components[name], units.register_bits) for name, units in hardware(chip).items())
    return sum(part.gates * (1 - part.free) * bits for part, bits in parts)


def opened_bits(chip: Chip, found: Clocking) -> np.ndarray:
    """float64[drivers]: bits behind gates that see the clock, for one of each driver."""
    reached = {name: units.register_bits for name, units in moving(chip).items()}
    return np.array(
        [
            sum(found.components[name].opened.get(driver, 0.0) * bits for name, bits in reached.items())
            for driver in DRIVERS
        ]
    )


@lru_cache(maxsize=256)
def registers(chip: Chip) -> tuple[float, float, float, np.ndarray]:
    """By the table that comes with tinycl: all register bits, `free_bits`, `gates` and `opened_bits`."""
    found = clocking()
    every = sum(units.register_bits for units in hardware(chip).values())
    return every, free_bits(chip, found), gates(chip, found), opened_bits(chip, found)
