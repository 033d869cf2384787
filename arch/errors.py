"""The one base of every error that a user's input can cause."""

from __future__ import annotations

import reprlib

from pydantic import ValidationError


class InputError(ValueError):
    """Something the user gave cannot be done as meant; the message is one line that names it and the way out."""


def described(error: ValidationError) -> str:
    """Every problem of a pydantic validation, in one line: the field, what it must be, what it is."""
    return "; ".join(_problem(item) for item in error.errors())


def _problem(item) -> str:
    place = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    if not place:
        return message
    given = "" if item["type"] in ("missing", "extra_forbidden") else f", not {reprlib.repr(item['input'])}"
    return f"{place}: {message[0].lower()}{message[1:]}{given}"
