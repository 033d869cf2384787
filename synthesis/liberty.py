"""Liberty files: the cells of a library, as far as area, timing recipes and power need them.

The whole file is read into nested groups (`Group`); `Library` names what is used of them. Units are those that the
file declares, turned into µm², fF, ps and fJ.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from arch.errors import InputError
from synthesis.functions import pins_of, truth

LARGEST = 1 << 28
"""Bytes of a liberty file, unpacked, beyond which it is refused."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+\-*!&|^\[\]:\']+|[(){};,:]', re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|\\\n|//[^\n]*", re.DOTALL)
_SCALE = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0}


@dataclass
class Group:
    """A liberty group: `kind (names) { attributes, groups }`."""

    kind: str
    names: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[Group]:
        """The groups of this kind, in order."""
        return (group for group in self.groups if group.kind == kind)

    def first(self, kind: str) -> Group | None:
        """The first group of this kind; None if there is none."""
        return next(self.all(kind), None)

    def number(self, name: str, default: float = 0.0) -> float:
        """A numeric attribute."""
        return float(self.attributes.get(name, default))


@dataclass(frozen=True, eq=False)
class Library:
    """A cell library: `text` as it stands in `path`, unpacked."""

    path: Path
    text: str
    root: Group

    @classmethod
    def load(cls, path: Path) -> Library:
        """Read a liberty file, plain or gzip'ed. Raises `InputError` where it is none."""
        text = _read(path)
        try:
            root = parse(text)
        except (ValueError, IndexError) as error:
            raise InputError(f"{path}: is not a liberty file: {error}; name one with LIBERTY=FILE") from None
        if root.kind != "library" or not any(root.all("cell")):
            raise InputError(f"{path}: must hold a library with cells, not a group {root.kind!r}")
        return cls(path, text, root)

    @property
    def name(self) -> str:
        """The file's name up to the first double underscore or dot."""
        return re.split(r"__tt|_typ|\.", self.path.name)[0]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @cached_property
    def cells(self) -> dict[str, Group]:
        """Cells by name."""
        return {cell.names[0]: cell for cell in self.root.all("cell")}

    @property
    def voltage(self) -> float:
        """Nominal volts."""
        return self.root.number("nom_voltage")

    @cached_property
    def capacitance_unit(self) -> float:
        """Farads of a unit of capacitance."""
        count, unit = self.root.lists["capacitive_load_unit"][0]
        return float(count) * _SCALE[unit.lower().removesuffix("f")]

    @cached_property
    def time_unit(self) -> float:
        """Seconds of a unit of time."""
        return _quantity(self.root.attributes["time_unit"], "s")

    @cached_property
    def energy_unit(self) -> float:
        """Joules of a unit of internal power: volts times amperes times seconds, or capacitance times volts squared."""
        return self.capacitance_unit * _quantity(self.root.attributes["voltage_unit"], "v") ** 2

    @cached_property
    def leakage_unit(self) -> float:
        """Watts of a unit of leakage power."""
        return _quantity(self.root.attributes.get("leakage_power_unit", "1nW"), "w")

    @cached_property
    def nand2(self) -> float:
        """µm² of the smallest NAND of two inputs, of which gate equivalents are counted."""
        return min(cell.number("area") for cell in self.cells.values() if _does(cell, 2, 0b0111))

    @cached_property
    def driver(self) -> str:
        """The inverter that is thought to drive each input: the smallest but one."""
        inverters = sorted((cell.number("area"), name) for name, cell in self.cells.items() if _does(cell, 1, 0b01))
        if not inverters:
            raise InputError(f"{self.path}: must have an inverter")
        return inverters[min(1, len(inverters) - 1)][1]

    @cached_property
    def output_load(self) -> float:
        """fF that each output is thought to drive: four inputs of the driver."""
        pin = next(pin for pin in self.cells[self.driver].all("pin") if "function" not in pin.attributes)
        return 4 * pin.number("capacitance") * self.capacitance_unit / 1e-15


def parse(text: str) -> Group:
    """The outermost group of a liberty text. Raises `ValueError` or `IndexError` where it is malformed."""
    tokens = _TOKEN.findall(_COMMENT.sub(" ", text))
    if len(tokens) < 5 or tokens[0] != "library":
        raise ValueError("it does not begin with a library")
    root, end = _statement(tokens, 0)
    if not isinstance(root, Group) or end > len(tokens):
        raise ValueError("it does not begin with a library")
    return root


def _statement(tokens: list[str], at: int) -> tuple[Group | tuple[str, str] | tuple[str, tuple[str, ...]], int]:
    """One group or attribute from token `at` on, and the token after it."""
    name = tokens[at]
    if tokens[at + 1] == ":":
        value, at = [], at + 2
        while tokens[at] not in ";}":
            value.append(tokens[at].strip('"'))
            at += 1
        return (name, " ".join(value)), at + (tokens[at] == ";")
    if tokens[at + 1] != "(":
        raise ValueError(f"{name!r} is followed by {tokens[at + 1]!r}")
    values: list[str] = []
    at += 2
    while tokens[at] != ")":
        if tokens[at] != ",":
            values.append(tokens[at].strip('"'))
        at += 1
    at += 1
    if at >= len(tokens) or tokens[at] != "{":
        return (name, tuple(values)), at + (at < len(tokens) and tokens[at] == ";")
    group, at = Group(name, tuple(values)), at + 1
    while tokens[at] != "}":
        at = _add(group, tokens, at)
    return group, at + 1


def _add(group: Group, tokens: list[str], at: int) -> int:
    if tokens[at] == ";":
        return at + 1
    item, at = _statement(tokens, at)
    if isinstance(item, Group):
        group.groups.append(item)
        return at
    name, value = item
    if isinstance(value, str):
        group.attributes[name] = value
    else:
        group.lists.setdefault(name, []).append(value)
    return at


def _read(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise InputError(f"{path}: must be at most {LARGEST} bytes")
        return data.decode()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'is not gzip'}; name a liberty file with LIBERTY=FILE") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text; name a liberty file with LIBERTY=FILE") from None


def _quantity(text: str, unit: str) -> float:
    found = re.fullmatch(r"([\d.]+)\s*([a-z]?)" + unit, text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no quantity in {unit}")
    return float(found[1]) * _SCALE[found[2]]


def function_of(cell: Group) -> str:
    """The function of a cell with one output and nothing sequential; empty if it is none."""
    outputs = [pin for pin in cell.all("pin") if pin.attributes.get("direction") == "output"]
    if len(outputs) != 1 or any(group.kind in ("ff", "latch", "statetable") for group in cell.groups):
        return ""
    return outputs[0].attributes.get("function", "")


def _does(cell: Group, inputs: int, table: int) -> bool:
    """Whether a cell has one output and computes this truth table of all its inputs."""
    function = function_of(cell)
    pins = pins_of(function)
    return len(pins) == inputs == sum(1 for _ in cell.all("pin")) - 1 and truth(function, pins) == table
