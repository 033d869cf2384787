"""Activity from a SAIF file (IEEE 1801): how long every bit was 1 and how often it toggled, in place of a recording.

`Statistics` makes waves of such bits, each by itself, that a netlist can be put under: how bits depend on each other is
lost. `read` gives the file's numbers; `run_native(..., trace=FILE.saif)` writes such a file of a run on the RTL.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.errors import InputError
from synthesis.recording import numbered_scopes

LARGEST = 1 << 28
"""Bytes of a SAIF file beyond which it is refused."""
CYCLES = 2000
"""Of the waves that are made."""
_TOKEN = re.compile(r'"[^"]*"|[()]|(?:\\.|[^\s()"])+')
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BIT = re.compile(r"(.*)\\?\[(\d+)\\?\]$")


@dataclass(frozen=True)
class Bit:
    """What a file says of a bit: the share of time at which it is 1, and its toggles."""

    high: float
    toggles: float


@dataclass(frozen=True)
class Saif:
    """A SAIF file: its duration in time steps of `step` seconds; its bits by full name, scopes and net with points."""

    path: Path
    duration: float
    step: float
    bits: Mapping[str, Bit]

    @classmethod
    def read(cls, path: Path) -> Saif:
        """Read a file. Raises `InputError` where it is none."""
        try:
            if path.stat().st_size > LARGEST:
                raise InputError(f"{path}: must be at most {LARGEST} bytes")
            tokens = _TOKEN.findall(_COMMENT.sub(" ", path.read_text()))
            if tokens[:2] != ["(", "SAIFILE"]:
                raise ValueError("it does not begin with (SAIFILE")
            tree, end = _list(tokens, 1)
            if end != len(tokens):
                raise ValueError("more follows its end")
            fields = {item[0]: item[1:] for item in tree if isinstance(item, list)}
            if "DURATION" not in fields:
                raise ValueError("it has no DURATION")
            duration, step = float(fields["DURATION"][0]), _seconds(" ".join(fields.get("TIMESCALE", ["1ns"])))
            bits = dict(_nets(tree, []))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; `run_native(..., trace=FILE.saif)` writes one") from None
        except (ValueError, LookupError, RecursionError) as error:
            raise InputError(f"{path}: is not a SAIF file: {error}") from None
        if duration <= 0 or not bits:
            raise InputError(f"{path}: must hold nets and a duration above 0")
        found = {name: Bit(high / duration, toggles) for name, (high, toggles) in bits.items()}
        return cls(path, duration, step, found)

    @property
    def seconds(self) -> float:
        """The time that the file is of."""
        return self.duration * self.step


class Statistics:
    """Waves of `CYCLES` cycles that have the shares and the toggles of a SAIF file, of the chip whose scope is `top`.

    The same interface as `synthesis.recording.Recording`, whose energies are to be multiplied by `scale`. `whole` is
    how many cycles the file is of: half the clock's toggles, or a time step each where the clock does not toggle.
    Raises `InputError` on a file without the scope.
    """

    cycles = CYCLES

    def __init__(self, saif: Saif, top: str):
        self._words: dict[str, dict[int, Bit]] = defaultdict(dict)
        for name, bit in saif.bits.items():
            inside = _below(name, top)
            if inside is not None:
                found = _BIT.match(inside)
                word, place = (found[1], int(found[2])) if found else (inside, 0)
                self._words[word.replace("\\", "")][place] = bit
        if not self._words:
            raise InputError(f"{saif.path}: must hold an instance {top}, of the chip's RTL as it is written")
        clock = self._words.get("clk", {}).get(0)
        self.whole = clock.toggles / 2 if clock and clock.toggles else saif.duration
        self._scopes = numbered_scopes(name.rpartition(".")[0] for name in self._words)

    @property
    def scale(self) -> float:
        """From the energy of these waves to that of the whole file."""
        return self.whole / CYCLES

    def scope(self, plain: str) -> str:
        """The scope whose name without numbers is `plain`. Raises `KeyError`."""
        return self._scopes[plain][0] if plain else ""

    def __contains__(self, name: str) -> bool:
        return name in self._words

    def bits(self, name: str) -> np.ndarray:
        """bool[CYCLES, width]: a wave for each bit, the same in every call. Raises `KeyError`."""
        word = self._words[name]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        blank = Bit(0.0, 0.0)
        waves = [_wave(word.get(place, blank), self.whole, rng) for place in range(max(word) + 1)]
        return np.stack(waves, axis=1)


def _wave(bit: Bit, cycles: float, rng: np.random.Generator) -> np.ndarray:
    """bool[CYCLES] of as many toggles a cycle, and 1 in as many cycles; stretches of 1 and 0 of random lengths."""
    toggles = min(int(bit.toggles * CYCLES / cycles + rng.random()), CYCLES - 1)
    ones = (toggles + 1) // 2
    zeros = toggles + 1 - ones
    high = int(np.clip(round(bit.high * CYCLES), ones, CYCLES - zeros))
    if toggles == 0:
        return np.full(CYCLES, bit.high > 0.5)
    lengths = np.empty(ones + zeros, np.int64)
    lengths[0::2], lengths[1::2] = _split(CYCLES - high, zeros, rng), _split(high, ones, rng)
    return np.repeat(np.arange(ones + zeros) % 2 == 1, lengths)


def _split(total: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths of at least 1 that sum to `total`."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.zeros(0, np.int64)
    return np.diff(np.concatenate([[0], cuts, [total]]))


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)\s*([munpf]?)s", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no time")
    return int(found[1]) * 10.0 ** (-3 * " munpf".index(found[2] or " "))


def _below(name: str, top: str) -> str | None:
    """The name from the instance `top` on, wherever that stands; None outside."""
    _, found, inside = f".{name}".partition(f".{top}.")
    return inside if found else None


def _list(tokens: list[str], at: int) -> tuple[list, int]:
    """What stands from token `at` to the closing parenthesis, and the token after it."""
    items: list = []
    while tokens[at] != ")":
        if tokens[at] == "(":
            item, at = _list(tokens, at + 1)
        else:
            item, at = tokens[at], at + 1
        items.append(item)
    return items, at + 1


def _nets(tree: list, scopes: list[str]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Every net below an instance: its full name, the time at which it is 1, its toggles."""
    for item in tree:
        if item[0] == "INSTANCE":
            yield from _nets(item[2:], [*scopes, item[1]])
        elif item[0] == "NET":
            for net in item[1:]:
                values = {field[0]: float(field[1]) for field in net[1:]}
                yield ".".join([*scopes, net[0]]), (values["T1"], values["TC"])
