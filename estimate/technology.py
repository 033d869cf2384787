"""A process to estimate a chip in: node, voltage, tables of logic and memories, and what none of them says; from YAML.

docs/estimation.md says how to add one. A path to a YAML file works wherever a name does.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from arch.frozen import Frozen
from estimate.logic_table import LogicTable, logic_file
from estimate.memory import CACTI_VOLTAGE, FOLDER, Memories, cacti, macros
from estimate.scaling import NODES, scaling

TECHNOLOGIES = Path(__file__).parent / "technologies"


def technologies() -> dict[str, Path]:
    """The technologies that come with tinycl, by name."""
    return {path.stem: path for path in sorted(TECHNOLOGIES.glob("*.yaml"))}


class TechnologyError(InputError):
    """A technology that cannot be read, or that has no estimate for a chip."""


class Spread(Frozen):
    """A factor that is known within bounds."""

    low: float = Field(ge=0)
    central: float = Field(ge=0)
    high: float = Field(ge=0)

    @model_validator(mode="after")
    def _sorted(self) -> Self:
        if not self.low <= self.central <= self.high:
            raise ValueError(f"must be low <= central <= high, not {self.low}, {self.central}, {self.high}")
        return self


ONE = Spread(low=1, central=1, high=1)


class LogicUse(Frozen):
    """A logic table, brought to this node and its central voltage by factors, or without them by `estimate.scaling`.

    `unseen`: of the energy of multipliers, adders and choices, as many times as the table has them; more than 1 where
    it was made without glitches and wires. `why` names the source of factors.
    """

    table: str
    energy: Spread | None = None
    area: Spread | None = None
    unseen: Spread = ONE
    why: str = ""


class CactiData(Frozen):
    """CACTI 7's answers at a node, for one kind of transistor."""

    node_nm: Literal[22, 32, 45, 65, 90]
    kind: Literal["hp", "lstp", "lop"]


class MemoryUse(Frozen):
    """A memory table: CACTI's data, or a CSV of macros at `voltage`; brought to this node by factors."""

    cacti: CactiData | None = None
    macros: str | None = None
    voltage: float | None = Field(default=None, gt=0, le=5)
    energy: Spread = ONE
    area: Spread = ONE
    leakage: Spread = ONE
    why: str = ""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.cacti is None) == (self.macros is None):
            raise ValueError("must have either cacti or macros")
        if (self.macros is None) == (self.voltage is not None):
            raise ValueError("must have a voltage with macros, and none with cacti, which has its own")
        return self

    @property
    def name(self) -> str:
        """What reports call it."""
        if self.cacti is not None:
            return f"CACTI 7, {self.cacti.node_nm} nm {self.cacti.kind}"
        return f"macros {Path(self.macros or '').stem}"

    @property
    def volts(self) -> float:
        """The table's own voltage."""
        return self.voltage or (CACTI_VOLTAGE[self.cacti.node_nm, self.cacti.kind] if self.cacti else 0.0)


class Clock(Frozen):
    """What the clock costs beside the registers' own: shares that no table says.

    `gate`: what a clock gate takes in a cycle, as a multiple of what a register bit's clock pin does. `tree`: buffers
    and wires of its distribution, as a share of what the registers and gates that see it themselves take.
    """

    gate: Spread
    tree: Spread


class Technology(Frozen):
    """A process, and everything that an estimate in it assumes.

    `central`: the logic table of the central estimate; without it the geometric mean of all. `voltage`: of the supply,
    where a user names none. `turning`: bits of operands that turn from step to step, as a share of what random ones do,
    where no run has counted them. `logic_leakage`: of the tables'.
    `density`: share of the logic's area that is cells. `external_pj_per_bit`: of the memory off the chip.
    `folder` is where its files lie, `stamps` when they were written: of two states of a file one is another technology.
    """

    name: str = Field(min_length=1, max_length=40)
    about: str = Field(min_length=1)
    node_nm: float = Field(gt=0)
    voltage: Spread
    logic: tuple[LogicUse, ...] = Field(min_length=1)
    central: str | None = None
    memory: tuple[MemoryUse, ...] = Field(min_length=1)
    clock: Clock
    turning: Spread
    logic_leakage: Spread
    density: Spread
    external_pj_per_bit: Spread
    folder: Path = Field(default=TECHNOLOGIES, exclude=True)
    stamps: tuple[int, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _central_listed(self) -> Self:
        if self.central is not None and self.central not in [use.table for use in self.logic]:
            raise ValueError(f"central must be one of logic's tables, not {self.central}")
        return self

    def __hash__(self) -> int:
        return hash((self.name, self.folder, self.stamps))

    @classmethod
    def load(cls, name: str | Path) -> Technology:
        """A shipped technology by name (`65nm`, `45nm` ...) or one from a YAML file. Raises `TechnologyError`."""
        path = technologies().get(str(name), Path(name))
        try:
            text = read_text(path, LARGEST_YAML)
        except InputError as error:
            raise TechnologyError(
                f"technology {error}; give a YAML file or one of {', '.join(technologies())}"
            ) from None
        return cls.parse(text, f"technology {name}", path.parent)

    @classmethod
    def parse(cls, text: str, where: str, folder: Path) -> Technology:
        """The technology in YAML `text`, whose files lie in `folder`. Raises `TechnologyError`, every wrong field."""
        try:
            plain = _parsed(text, where, folder)
            files = [*(logic_file(use.table, folder) for use in plain.logic), *_own_macros(plain)]
            return _stamped(plain, tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in files))
        except ValidationError as error:
            raise TechnologyError(f"{where}: {described(error)}") from None
        except InputError as error:
            message = str(error)
            raise TechnologyError(message if message.startswith(where) else f"{where}: {message}") from None

    def logic_tables(self) -> tuple[LogicTable, ...]:
        """The tables of `logic`, in its order."""
        return _logic_tables(self)

    def logic_factors(self) -> tuple[tuple[Spread, Spread], ...]:
        """Of each logic table, the factors of energy and area to this node and its central voltage."""
        return _logic_factors(self)

    def memories(self) -> tuple[Memories, ...]:
        """The tables of `memory`, in its order, at their own voltage and node."""
        return _memory_tables(self)


@lru_cache(maxsize=64)
def _parsed(text: str, where: str, folder: Path) -> Technology:
    return Technology.model_validate({**parse_yaml(text, where), "folder": folder})


@lru_cache(maxsize=64)
def _stamped(plain: Technology, stamps: tuple[int, ...]) -> Technology:
    """The technology with its files' times, all of which can be read."""
    found = plain.model_copy(update={"stamps": stamps})
    found.logic_factors()
    found.memories()
    return found


def _own_macros(technology: Technology) -> list[Path]:
    return [_macros_file(use, technology.folder) for use in technology.memory if use.macros is not None]


def _macros_file(use: MemoryUse, folder: Path) -> Path:
    shipped = FOLDER / f"{use.macros}.csv"
    return shipped if shipped.exists() else folder / str(use.macros)


@lru_cache(maxsize=64)
def _memory_tables(technology: Technology) -> tuple[Memories, ...]:
    return tuple(
        cacti(use.cacti.node_nm, use.cacti.kind) if use.cacti else macros(_macros_file(use, technology.folder))
        for use in technology.memory
    )


@lru_cache(maxsize=64)
def _logic_tables(technology: Technology) -> tuple[LogicTable, ...]:
    return tuple(LogicTable.load(logic_file(use.table, technology.folder)) for use in technology.logic)


@lru_cache(maxsize=64)
def _logic_factors(technology: Technology) -> tuple[tuple[Spread, Spread], ...]:
    found = []
    for use, table in zip(technology.logic, technology.logic_tables(), strict=True):
        energy, area = use.energy, use.area
        if energy is None or area is None:
            own = _scaled(table, technology)
            energy, area = energy or own[0], area or own[1]
        found.append((energy, area))
    return tuple(found)


def _scaled(table: LogicTable, technology: Technology) -> tuple[Spread, Spread]:
    """Between published nodes as `estimate.scaling` has it, from and to others near them by geometry."""
    volts = technology.voltage.central
    if (table.node_nm, table.voltage) == (technology.node_nm, volts):
        return ONE, ONE
    start, end = (min(NODES, key=lambda node: abs(log(node / near))) for near in (table.node_nm, technology.node_nm))
    length = start / table.node_nm * technology.node_nm / end
    scales = scaling(start, end, table.voltage, volts)
    energy, area = (
        Spread(low=scale.low * factor, central=scale.central * factor, high=scale.high * factor)
        for scale, factor in ((scales["energy"], length), (scales["area"], length**2))
    )
    return energy, area
