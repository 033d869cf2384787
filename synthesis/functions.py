"""Liberty's boolean functions as expressions of C and Python: `!A`, `A'`, `A*B`, `A B`, `A&B`, `A+B`, `A|B`, `A^B`.

NOT binds tightest, then XOR, AND and OR, as the Liberty reference manual says; a space is an AND.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

_TOKEN = re.compile(r"[\w.\[\]]+|[!()*&+|^']")


def expression(function: str) -> str:
    """`function` with `~`, `^`, `&`, `|` and parentheses. Raises `ValueError` where it is none."""
    tokens = list(_TOKEN.findall(function))
    text, end = _either(tokens, 0)
    if end != len(tokens):
        raise ValueError(f"{function!r} is no boolean function")
    return text


def pins_of(function: str) -> list[str]:
    """The pins that a function names, in order."""
    return list(dict.fromkeys(token for token in _TOKEN.findall(function) if token[0].isalpha()))


def truth(function: str, pins: list[str]) -> int:
    """The function's value for each combination of `pins`, the first the lowest bit: bit i for combination i."""
    code = compile(expression(function), "function", "eval")
    table = 0
    for place, values in enumerate(combinations(len(pins))):
        bits = {pin: -value for pin, value in zip(pins, values, strict=True)}
        table |= (eval(code, {"__builtins__": {}}, bits) & 1) << place
    return table


def combinations(count: int) -> Iterator[tuple[int, ...]]:
    """All values of `count` bits, the first changing fastest."""
    return (values[::-1] for values in itertools.product((0, 1), repeat=count))


def _joined(signs: str, sign: str, part: Callable[[list[str], int], tuple[str, int]]):
    def parse(tokens: list[str], at: int) -> tuple[str, int]:
        text, at = part(tokens, at)
        while at < len(tokens) and (tokens[at] in signs or (sign == "&" and _begins(tokens[at]))):
            other, at = part(tokens, at + (tokens[at] in signs))
            text = f"({text} {sign} {other})"
        return text, at

    return parse


def _begins(token: str) -> bool:
    return token in "(!" or token[0].isalnum()


def _factor(tokens: list[str], at: int) -> tuple[str, int]:
    if at >= len(tokens):
        raise ValueError("a boolean function ends too early")
    token = tokens[at]
    if token == "!":
        text, at = _factor(tokens, at + 1)
        return f"~{text}", at
    if token == "(":
        text, at = _either(tokens, at + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ValueError("a boolean function lacks a closing parenthesis")
    elif token[0].isalpha():
        text = token
    elif token in ("0", "1"):
        text = "0" if token == "0" else "~0"
    else:
        raise ValueError(f"a boolean function must not hold {token!r} here")
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        text, at = f"~{text}", at + 1
    return text, at


_exclusive = _joined("^", "^", _factor)
_both = _joined("*&", "&", _exclusive)
_either = _joined("+|", "|", _both)
