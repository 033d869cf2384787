"""What every signal of the RTL held in every cycle: a VCD file as bits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

_NUMBERED = re.compile(r"\$\d+")


class Signals(Protocol):
    """What stands on signals over cycles, whoever says it: a recording, or statistics."""

    @property
    def cycles(self) -> int: ...
    def scope(self, plain: str) -> str: ...
    def __contains__(self, name: str) -> bool: ...
    def bits(self, name: str) -> np.ndarray: ...


class Recording:
    """The cycles in which `running` (a signal's full name) is 1, of the chip whose scope is `top`.

    `bits(name)` is bool[cycles, width], lowest bit first; names are scopes and signal joined by points, `top` left out.
    """

    def __init__(self, path: Path, top: str, running: str):
        self._identifiers: dict[str, tuple[str, int]] = {}
        self._changes: dict[str, tuple[list[int], list[str]]] = defaultdict(lambda: ([], []))
        with path.open() as file:
            self._declare(file, f"TOP.{top}")
            self._length = self._follow(file)
        self._chosen = np.ones(self._length, bool)
        self._chosen = self.bits(running)[:, 0]

    @property
    def cycles(self) -> int:
        """How many there are."""
        return int(self._chosen.sum())

    def scope(self, plain: str) -> str:
        """The scope whose name without numbers is `plain`. Raises `KeyError`."""
        return self._scopes[plain][0] if plain else ""

    def __contains__(self, name: str) -> bool:
        return name in self._identifiers

    def bits(self, name: str) -> np.ndarray:
        """The signal in each cycle. Raises `KeyError`."""
        identifier, width = self._identifiers[name]
        times, values = self._changes[identifier]
        text = "".join(value.rjust(width, "0") for value in values)
        rows = (np.frombuffer(text.encode(), np.uint8).reshape(-1, width) == ord("1"))[:, ::-1]
        lengths = np.diff([*times, self._length])
        return np.repeat(rows, lengths, axis=0)[self._chosen]

    def _declare(self, lines: Iterator[str], top: str) -> None:
        scopes: list[str] = []
        paths: list[str] = []
        for line in lines:
            parts = line.split()
            if not parts:
                continue
            if parts[0] == "$scope":
                scopes.append(parts[2])
                paths.append(".".join(scopes).removeprefix(top).removeprefix("."))
            elif parts[0] == "$upscope":
                scopes.pop()
            elif parts[0] == "$var":
                path = ".".join([*scopes, parts[4]])
                if path.startswith(f"{top}."):
                    self._identifiers[path.removeprefix(f"{top}.")] = parts[3], int(parts[2])
            elif parts[0] == "$enddefinitions":
                break
        self._scopes = numbered_scopes(paths)

    def _follow(self, lines: Iterator[str]) -> int:
        place = -1
        for line in lines:
            first = line[0]
            if first == "#":
                place += 1
            elif first == "b":
                value, identifier = line[1:].split()
                self._put(identifier, place, value)
            elif first in "01xz":
                self._put(line[1:].strip(), place, first)
        return place + 1

    def _put(self, identifier: str, place: int, value: str) -> None:
        times, values = self._changes[identifier]
        times.append(place)
        values.append(value)


def numbered_scopes(paths: Iterable[str]) -> dict[str, list[str]]:
    """Scopes by their names without the numbers that Amaranth tells them apart with."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        found[_NUMBERED.sub("", path)].append(path)
    return found
