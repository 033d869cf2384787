"""What units of logic cost according to one source: multipliers, adder, register and select bits."""

from __future__ import annotations

from math import exp, log
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text

FOLDER = Path(__file__).parent / "data" / "logic"
SQUARE = 2.0
"""Exponent of a multiplier's cost in its bits, where a table has one width alone."""


class Cost(BaseModel):
    """One unit: energy of an operation on random operands (pJ), area of its cells (µm²), leakage (nW)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy_pj: float = Field(gt=0)
    area_um2: float = Field(gt=0)
    leakage_nw: float = Field(ge=0)

    def values(self) -> tuple[float, float, float]:
        """The numbers in the order of the fields."""
        return self.energy_pj, self.area_um2, self.leakage_nw


class LogicTable(BaseModel):
    """A source of costs at its own node and voltage.

    `multiplier` and `adder` by bits; `register_bit`: a write of random data, without the clock; `clock_pj`: what the
    clock costs in a register bit a cycle; `select_bit`: a choice between two bits. `borrowed` says what is not its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    source: str = Field(min_length=1)
    node_nm: float = Field(gt=0)
    voltage: float = Field(gt=0, le=5)
    multiplier: dict[int, Cost] = Field(min_length=1)
    adder: dict[int, Cost] = Field(min_length=1)
    register_bit: Cost
    clock_pj: float = Field(ge=0)
    select_bit: Cost
    borrowed: list[str] = []

    @classmethod
    def load(cls, path: Path) -> LogicTable:
        """A table from its YAML file. Raises `InputError` with every wrong field."""
        where = f"logic table {path.name}"
        try:
            return cls.model_validate(parse_yaml(read_text(path, LARGEST_YAML), where))
        except ValidationError as error:
            raise InputError(f"{where}: {described(error)}") from None

    def units(self, word_bits: int) -> np.ndarray:
        """Costs float64[4, 3]: register, adder and select bit, multiplier of `word_bits`; pJ, µm², nW.

        Rows in the order of `estimate.structure.Units`.
        """
        widest = max(self.adder)
        adder = [value / widest for value in self.adder[widest].values()]
        return np.array(
            [self.register_bit.values(), adder, self.select_bit.values(), _at(self.multiplier, word_bits)], np.float64
        )


def logic_file(name: str, folder: Path) -> Path:
    """The file of a shipped table by name, or of one seen from `folder`."""
    shipped = FOLDER / f"{name}.yaml"
    return shipped if shipped.exists() else folder / name


def _at(points: dict[int, Cost], bits: int) -> list[float]:
    """A multiplier of `bits` bits: on the power law through the two nearest widths, or the square of the only one."""
    near = sorted(points, key=lambda width: abs(log(width / bits)))[:2]
    first = points[near[0]].values()
    if len(near) == 1:
        return [value * (bits / near[0]) ** SQUARE for value in first]
    share = log(bits / near[0]) / log(near[1] / near[0])
    second = points[near[1]].values()
    return [a if not a * b else exp(log(a) + share * log(b / a)) for a, b in zip(first, second, strict=True)]
