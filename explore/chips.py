"""Chips to try: a base chip with fields varied, every combination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import product
from math import isqrt, prod
from typing import Any

from arch.chip import Chip
from arch.errors import InputError
from arch.files import parse_yaml

MOST = 100_000
"""Chips of one base, and points of a sweep."""


def varied(base: Chip, vary: Mapping[str, list[Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For every combination of the values in `vary`: the chip's fields, and those that were varied.

    A name with a dot is a field of a memory or unit: `weight_memory.bytes`. What is equal in the base stays so unless
    it is varied itself: the vector unit's width, kernel registers, accumulator banks and `lanes`; banks of a map's
    memory and the window's side; banks of the weight memory and `taps`. The fields need not make a chip: that is seen
    where they are tried. Raises `InputError` on a field that chips do not have, and on more chips than `MOST`.

    >>> [changed for _, changed in varied(Chip.load("paper"), {"lanes": [4, 8], "weight_memory.bytes": [65536]})]
    [{'lanes': 4, 'weight_memory.bytes': 65536}, {'lanes': 8, 'weight_memory.bytes': 65536}]
    """
    fields = base.model_dump()
    for name in vary:
        _check(fields, name)
    if (count := prod(map(len, vary.values()))) > MOST:
        raise InputError(f"vary: must give at most {MOST} chips of a base, not {count}")
    for values in product(*vary.values()):
        changed = dict(zip(vary, values, strict=True))
        made = deepcopy(fields)
        _follow(made, changed, base)
        for name, value in changed.items():
            *way, last = name.split(".")
            place = made
            for step in way:
                place = place[step]
            place[last] = value
        made["name"] = _named(base.name, changed)
        yield made, changed


def changed(base: Chip, settings: Sequence[str]) -> Chip:
    """The base with fields set as `FIELD=VALUE` say, and with what `varied` lets follow them.

    Raises `InputError` on a text without a field or value, on a field that chips do not have, and on what makes no
    chip.

    >>> changed(Chip.load("paper"), ["lanes=4", "program_memory.instructions=65536"]).multipliers
    36
    """
    wanted = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not name or not equals or not value:
            raise InputError(f"{setting}: must be FIELD=VALUE, such as lanes=4 or program_memory.instructions=65536")
        wanted[name] = [parse_yaml(f"value: {value}", name)["value"]]
    if not wanted:
        return base
    fields, _ = next(varied(base, wanted))
    return Chip.from_fields(fields)


def _check(fields: dict[str, Any], name: str) -> None:
    place: Any = fields
    for step in name.split("."):
        if not isinstance(place, dict) or step not in place:
            raise InputError(f"{name} must be a field of the chip, such as lanes or weight_memory.bytes")
        place = place[step]


def _follow(made: dict[str, Any], changed: dict[str, Any], base: Chip) -> None:
    """Keep equal what the base has equal."""
    if isinstance(lanes := changed.get("lanes"), int):
        made["vector_unit"]["elements_per_cycle"] = lanes
        for name in ("kernel_registers", "accumulator_banks"):
            if made[name] == base.lanes:
                made[name] = lanes
    if isinstance(taps := changed.get("taps"), int) and taps > 0:
        for memory in ("feature_memory", "gradient_memory"):
            made[memory]["banks"] = isqrt(taps)
        if base.weight_memory.banks == base.taps:
            made["weight_memory"]["banks"] = taps


def _named(base: str, changed: dict[str, Any]) -> str:
    """The base's name and what was changed, as long as a name may be."""
    return " ".join([base, *(f"{name}={value}" for name, value in changed.items())])[:64]
