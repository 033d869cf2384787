"""Area of a chip's logic, from coefficients that synthesis gave: for each component µm² a unit, with what is left over.

Tables are `data/synthesis/LIBRARY.yaml`, written by `python -m synthesis.fit` from the measurements beside them. They
hold for components as large as those that were measured; `error` says how far off they may be there and beyond.
"""

from __future__ import annotations

from functools import cache
from math import log2
from pathlib import Path

from pydantic import ValidationError

from arch.chip import Chip
from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from arch.frozen import Frozen
from estimate.structure import Units, structure

TABLES = Path(__file__).parent / "data" / "synthesis"


class AreaUnits(Frozen):
    """µm² of a component's units: a constant, a bit of each kind, and W and W² a multiplier of W bits.

    `mean_error` and `worst_error` are relative, over the chips of the fit; `smallest` and `largest` the model's µm² on
    those.
    """

    constant: float
    register_bit: float
    adder_bit: float
    select_bit: float
    multiplier_bit: float
    multiplier_bit2: float
    mean_error: float
    worst_error: float
    smallest: float
    largest: float

    def area(self, units: Units, word_bits: int) -> float:
        """µm² of `units`."""
        coefficients = (self.constant, self.register_bit, self.adder_bit, self.select_bit)
        coefficients += (self.multiplier_bit, self.multiplier_bit2)
        return sum(a * b for a, b in zip(coefficients, features(units, word_bits), strict=True))


class Held(Frozen):
    """How far the model is off on chips that the fit did not see, relative to the logic's whole area."""

    chips: dict[str, float]
    mean_error: float
    worst_error: float


class SynthesisTable(Frozen):
    """Coefficients of one library."""

    library: str
    node_nm: int
    voltage: float
    nand2_um2: float
    recipe: str
    source: str
    fitted: list[str]
    area_um2: dict[str, AreaUnits]
    held_out: Held

    def area(self, chip: Chip) -> dict[str, float]:
        """µm² of each component of `chip` without its memories."""
        return {name: self.area_um2[name].area(units, chip.word_bits) for name, units in structure(chip).items()}

    def beyond(self, chip: Chip) -> dict[str, float]:
        """How many times each component of `chip` is larger or smaller than on any chip of the fit; 1 inside.

        Words are never beyond: the fit has the narrowest and the widest that a chip may have.
        """
        sizes = {name: (self.area_um2[name], area) for name, area in self.area(chip).items()}
        return {name: max(1.0, known.smallest / area, area / known.largest) for name, (known, area) in sizes.items()}

    def error(self, times: float) -> float:
        """The relative error to allow for: the worst of whole chips held out, and as much again each doubling beyond.

        That it grows so is assumed; the held-out chips that are larger than those of the fit bear on it.
        """
        return self.held_out.worst_error * (1 + log2(times))


def features(units: Units, word_bits: int) -> tuple[float, ...]:
    """What the area of a component is linear in."""
    product = units.multipliers * word_bits
    return 1.0, units.register_bits, units.adder_bits, units.select_bits, product, product * word_bits


@cache
def synthesis_tables() -> dict[str, SynthesisTable]:
    """The tables that come with tinycl, by library."""
    return {path.stem: load_table(path) for path in sorted(TABLES.glob("*.yaml"))}


def load_table(path: Path) -> SynthesisTable:
    """A table from its file. Raises `InputError` naming every wrong field."""
    try:
        return SynthesisTable.model_validate(parse_yaml(read_text(path, LARGEST_YAML), str(path)))
    except ValidationError as error:
        raise InputError(f"{path}: {described(error)}") from None
