"""Verilator's line and toggle coverage: what `coverage.dat` holds, what is left out by rule, what was reached."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

KINDS = ("line", "toggle")
"""What is counted; Verilator's branches are lines here."""
TARGETS = {"line": 95.0, "toggle": 90.0}
"""Per cent that a campaign must reach."""
_POINT = re.compile(r"^C '(?P<keys>.*)' (?P<count>\d+)$")
_EDGE = re.compile(r"(\[(?P<bit>\d+)\])?:[01]->[01]$")
_LINE_KINDS = ("line", "branch", "expr")


class CodePoint(NamedTuple):
    """A line, a branch or an edge of a bit in an instance of a module."""

    kind: str
    module: str
    instance: str
    line: int
    column: int
    what: str

    @property
    def name(self) -> str:
        """The signal of a toggle, as the Verilog has it, without the bit; Verilator writes odd characters in hex."""
        plain = _EDGE.sub("", self.what).replace("___05F", "__")
        return re.sub(r"__0([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), plain)

    @property
    def bit(self) -> int:
        """The bit of a toggle; 0 of a signal of one bit."""
        match = _EDGE.search(self.what)
        return int(match["bit"] or 0) if match else 0


@dataclass
class CodeCoverage:
    """Of each module and kind: points reached and points asked for; of each reason: points left out.

    Points of several chips are added up, for each chip has its own lines and widths.
    """

    reached: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    missed: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # module, kind, signal or line's kind

    @classmethod
    def of(cls, points: Mapping[CodePoint, int], reason: Callable[[CodePoint], str | None]) -> CodeCoverage:
        """The coverage of one chip's points; those for which `reason` gives one are left out, reached or not."""
        coverage = cls()
        for point, count in points.items():
            why = reason(point)
            if why is None:
                coverage._ask(point, count)
            else:
                coverage.excluded[why] += 1
        return coverage

    def _ask(self, point: CodePoint, count: int) -> None:
        place = point.module, point.kind
        self.asked[place] += 1
        self.reached[place] += count > 0
        if not count:
            self.missed[(*place, point.name if point.kind == "toggle" else f"{point.what} of line {point.line}")] += 1

    def merge(self, other: CodeCoverage) -> None:
        """Add another chip's."""
        for name in ("reached", "asked", "excluded", "missed"):
            getattr(self, name).update(getattr(other, name))

    def percent(self, kind: str, module: str | None = None) -> float:
        """Per cent of a kind's points that were reached, in a module or in all of them; 100 of none."""
        places = [place for place in self.asked if place[1] == kind and module in (None, place[0])]
        asked = sum(self.asked[place] for place in places)
        return 100 * sum(self.reached[place] for place in places) / asked if asked else 100.0

    @property
    def modules(self) -> list[str]:
        """All modules, in alphabetical order."""
        return sorted({module for module, _ in self.asked})


def read_points(path: Path) -> Counter[CodePoint]:
    """Every point of a `coverage.dat` with its count; points of one place are added up.

    A line is `C '<keys>' count`; a key is the character 1, its name, the character 2 and its value.
    """
    found: Counter[CodePoint] = Counter()
    for text in path.read_text(errors="replace").splitlines():
        match = _POINT.match(text)
        if match:
            keys = dict(item.split("\x02", 1) for item in match["keys"].split("\x01")[1:])
            for point in _points(keys):
                found[point] += int(match["count"])
    return found


def _points(keys: dict[str, str]) -> Iterator[CodePoint]:
    module = keys["page"].partition("/")[2]
    kind = "line" if keys["t"] in _LINE_KINDS else keys["t"]
    if kind in KINDS:
        yield CodePoint(kind, module, keys.get("h", ""), int(keys["l"]), int(keys.get("n", 0)), keys.get("o", ""))
