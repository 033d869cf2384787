"""One thing to try in a sweep: a chip, a network, and how it is compiled and measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from compiler.network import Network
from compiler.pipeline import Options

ROOMS = ("arch", "compiler", "estimate", "explore", "sim")
"""Rooms whose code decides what a point's row says."""


@dataclass(frozen=True)
class Point:
    """`fields` of a chip, which may not be one; those that the sweep varied are columns of the row.

    `density` as in `explore.timing`; `technology` names that of energy and area ("" for none). `exact` says how an
    exact run is made; None for the timing mode.
    """

    fields: dict[str, Any]
    varied: dict[str, Any]
    network: Network
    options: Options
    density: float | None = None
    technology: str = ""
    exact: dict[str, Any] | None = field(default=None)

    @property
    def key(self) -> str:
        """A hash of all that the row depends on, the code that makes it included; the chip's name is left out."""
        chip = {name: value for name, value in self.fields.items() if name != "name"}
        said = [
            chip,
            self.varied,
            repr(sorted(vars(self.network).items())),
            repr(sorted(asdict(self.options).items())),
            self.density,
            self.technology,
            self.exact,
            code_hash(),
        ]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def code_hash() -> str:
    """A hash of the rooms' files: rows that other code made are not taken for this code's."""
    root = Path(__file__).parent.parent
    found = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".py", ".yaml", ".csv", ".json"):
                found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
