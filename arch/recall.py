"""Functions of an instruction and a chip that remember their answers: programs repeat themselves, band after band."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import TypeVar

from arch.chip import Chip
from arch.isa import Instruction
from arch.modes import index_modes

_MOST = 1 << 16
"""Answers that a function remembers; then it begins anew."""
_Kind = TypeVar("_Kind", bound=Instruction)
_Answer = TypeVar("_Answer")
_Function = Callable[[_Kind, Chip], _Answer]

_answers: list[dict] = []


def forget() -> None:
    """Forget every answer: whoever changes `modes.MODES` while it is loaded does this next."""
    index_modes()
    for known in _answers:
        known.clear()


def by_body(function: _Function[_Kind, _Answer]) -> _Function[_Kind, _Answer]:
    """The function, asked once for all instructions that differ in nothing but their tokens."""
    return _recalling(function, attrgetter("body"))


def by_form(function: _Function[_Kind, _Answer]) -> _Function[_Kind, _Answer]:
    """The function, asked once for all instructions that differ in nothing but their tokens and places."""
    return _recalling(function, attrgetter("form"))


def _recalling(function: _Function[_Kind, _Answer], key: Callable[[_Kind], tuple]) -> _Function[_Kind, _Answer]:
    known: dict[tuple, _Answer] = {}
    _answers.append(known)

    @wraps(function)
    def recalled(instruction: _Kind, chip: Chip) -> _Answer:
        asked = key(instruction), chip
        try:
            return known[asked]
        except KeyError:
            pass
        if len(known) >= _MOST:
            known.clear()
        answer = known[asked] = function(instruction, chip)
        return answer

    return recalled
