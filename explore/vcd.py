"""Reading a few signals of a VCD file (IEEE 1364), as Verilator and Icarus write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from arch.errors import InputError

LARGEST = 1 << 28
"""Bytes beyond which a file is refused unread."""


@dataclass
class Signal:
    """A signal's width in bits, and its values from the times on at which it changes; None where a bit is unknown.

    >>> Signal(1, [0, 5], [0, 1]).at(5)
    1
    """

    width: int
    times: list[int] = field(default_factory=list)
    values: list[int | None] = field(default_factory=list)

    def at(self, time: int) -> int | None:
        """The value at a time, None before the first change or where it is unknown.

        >>> Signal(4, [0, 10], [3, 7]).at(12)
        7
        """
        before = [value for when, value in zip(self.times, self.values, strict=True) if when <= time]
        return before[-1] if before else None


@dataclass
class Recording:
    """Signals by the names they were asked for, the unit of time, and the last time in the file.

    >>> Recording({"a": Signal(1, [0], [1])}, "1ns", 10).signals["a"].at(3)
    1
    """

    signals: dict[str, Signal]
    unit: str
    end: int


def signal_names(path: Path) -> list[str]:
    """The names of all signals of a VCD file, scopes joined by dots. Raises `InputError` on a file that is no VCD.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.vcd")
    ...     _ = path.write_text("$scope module m $end $var wire 1 ! a $end $upscope $end $enddefinitions $end #0 1!")
    ...     signal_names(path)
    ['m.a']
    """
    return list(_declared(path)[0])


def read_vcd(path: Path, names: list[str]) -> Recording:
    """The signals named: by a whole name, or by the end of it after a dot, if no other signal ends so.

    Raises `InputError` on a file that is no VCD, and on a name that no signal or several have.

    >>> import pathlib, tempfile
    >>> text = "$scope module m $end $var wire 4 ! a $end $upscope $end $enddefinitions $end #0 b0011 ! #5 bx ! #9"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.vcd")
    ...     _ = path.write_text(text)
    ...     read_vcd(path, ["a"]).signals["a"]
    Signal(width=4, times=[0, 5], values=[3, None])
    """
    declared, unit, words = _declared(path)
    signals: dict[str, Signal] = {}
    by_code: dict[str, list[Signal]] = {}
    for name in names:
        code, width = declared[_whole_name(name, declared, path)]
        signals[name] = Signal(width)
        by_code.setdefault(code, []).append(signals[name])
    return Recording(signals, unit, _follow(words, by_code, path))


def _declared(path: Path) -> tuple[dict[str, tuple[str, int]], str, Iterator[str]]:
    """Code and width of each signal by whole name, the unit of time, and the words after the declarations."""
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"waveform {path}: must be at most {LARGEST} bytes; record fewer cycles")
        words = iter(path.read_text(encoding="latin-1").split())
    except OSError as error:
        raise InputError(f"waveform {path}: {error.strerror}") from None
    declared: dict[str, tuple[str, int]] = {}
    scopes: list[str] = []
    unit = "steps"
    for word in words:
        if word == "$enddefinitions":
            return declared, unit, words
        if not word.startswith("$"):
            break
        content = [] if word == "$end" else _content(words)
        if word == "$scope" and len(content) == 2:
            scopes.append(content[1])
        elif word == "$upscope" and scopes:
            scopes.pop()
        elif word == "$timescale":
            unit = "".join(content)
        elif word == "$var" and len(content) >= 4 and content[1].isdigit():
            declared[".".join([*scopes, content[3]])] = content[2], int(content[1])
    raise InputError(f"waveform {path}: not a VCD file with declarations; record it again")


def _content(words: Iterator[str]) -> list[str]:
    """The words up to the next $end."""
    content = []
    for word in words:
        if word == "$end":
            break
        content.append(word)
    return content


def _whole_name(name: str, declared: dict[str, tuple[str, int]], path: Path) -> str:
    if name in declared:
        return name
    found = [whole for whole in declared if whole.endswith("." + name)]
    if len({declared[whole] for whole in found}) == 1:  # the same wire, seen from several modules
        return found[0]
    if not found:
        raise InputError(f"waveform {path}: no signal is called {name}; `signal_names` lists them")
    raise InputError(f"waveform {path}: {name} must be one of {', '.join(found[:6])}; give more of its name")


def _follow(words: Iterator[str], by_code: dict[str, list[Signal]], path: Path) -> int:
    """Append the changes to the signals; the last time of the file."""
    time = 0
    for word in words:
        mark = word[0]
        if mark == "#" and word[1:].isdigit():
            time = int(word[1:])
        elif mark in "bB":
            _note(by_code.get(next(words, ""), []), time, word[1:])
        elif mark in "01xXzZ":
            _note(by_code.get(word[1:], []), time, mark)
        elif mark not in "$rRsS":
            raise InputError(f"waveform {path}: not a VCD file: {word[:20]} is no change; record it again")
        elif mark in "rRsS":
            next(words, "")
    return time


def _note(signals: list[Signal], time: int, digits: str) -> None:
    for signal in signals:
        value = int(digits, 2) if set(digits) <= {"0", "1"} else None
        if signal.times and signal.times[-1] == time:
            signal.values[-1] = value
        elif not signal.values or signal.values[-1] != value:
            signal.times.append(time)
            signal.values.append(value)
