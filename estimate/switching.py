"""Shares of a component's units that switch at an event, measured on mapped netlists; from `data/switching`.

`python -m synthesis.validation` writes the table. A component takes, for each of its drivers (`estimate.usage`), the
driver's count times its share times what the component's units (`estimate.usage.moving`) take by themselves on random
operands. So a share carries what units alone do not say: how many of them move, on what data, and what synthesis
merged.
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
from estimate.usage import DRIVERS, USED, hardware

TABLES = Path(__file__).parent / "data" / "switching"
MEASURED = "sg13g2_stdcell"
"""The library whose netlists every estimate takes the shares of."""


class Errors(Frozen):
    """Relative errors of whole runs' switching: how many runs, the mean and the worst."""

    runs: int = Field(gt=0)
    mean: float = Field(ge=0)
    worst: float = Field(ge=0)


class Switching(Frozen):
    """Shares by component and driver.

    `chips` and `programs` are those of the fit. `fitted` and `held_out` are errors of runs that it saw and did not see.
    """

    library: str
    chips: list[str]
    programs: list[str]
    shares: dict[str, dict[str, float]]
    fitted: Errors
    held_out: Errors

    @model_validator(mode="after")
    def _known(self) -> Self:
        if {name: tuple(part) for name, part in self.shares.items()} != USED:
            raise ValueError("shares must have the components and drivers of estimate.usage.USED")
        return self


@cache
def switching() -> Switching:
    """The table that comes with tinycl."""
    return load_switching(TABLES / f"{MEASURED}.yaml")


@lru_cache(maxsize=256)
def shares_of(chip: Chip) -> np.ndarray:
    """That table's shares of the components of `chip`, float64[drivers, components]."""
    shares = switching().shares
    return np.array([[shares[name].get(driver, 0.0) for name in hardware(chip)] for driver in DRIVERS])


def load_switching(path: Path) -> Switching:
    """A table from its file. Raises `InputError` naming every wrong field."""
    try:
        return Switching.model_validate(parse_yaml(read_text(path, LARGEST_YAML), str(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {described(error)}") from None
