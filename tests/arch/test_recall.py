"""What is remembered of an instruction holds for every one that shares the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import arch.counts
import arch.timing
from arch import fields
from arch.chip import Chip
from arch.isa import Compute, Instruction, Load
from arch.recall import by_body, by_form
from testbenches.generate import KINDS, existing, random_instruction

CHIPS = [Chip.load(name) for name in ("paper", "tiny")]


def moved(instruction: Instruction, rng: np.random.Generator) -> Instruction:
    """The same somewhere else, at other distances, with other tokens."""
    places = {field.name: int(rng.integers(1, 2000)) for field in fields.layout(type(instruction)) if field.place}
    return replace(instruction, **places, wait=int(rng.integers(8)), signal=int(rng.integers(8)))


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_cycles_and_counts_do_not_depend_on_places(chip: Chip):
    """Asked anew, not remembered, an instruction that was moved gives the answers of the first."""
    rng, seen = np.random.default_rng(1), 0
    for kind in existing(KINDS, chip):
        for _ in range(12):
            first = random_instruction(chip, rng, kind)
            other = moved(first, rng)
            assert other.form == first.form and other.body != first.body
            seen += isinstance(first, Compute)
            if isinstance(first, Compute) and isinstance(other, Compute):
                anew = arch.timing._measured.__wrapped__  # pyright: ignore[reportFunctionMemberAccess]
                assert anew(other, chip) == anew(first, chip)
            assert arch.counts._counted(other, chip, None) == arch.counts._counted(first, chip, None)
    assert seen > 100


def test_answers_are_remembered_by_what_differs():
    asked: list[Instruction] = []

    def rows(instruction: Instruction, chip: Chip) -> str:
        asked.append(instruction)
        return f"{chip.name} {instruction.body}"

    first, shifted, longer = Load(row=3, count=2), Load(row=5, count=2), Load(row=3, count=4)
    of_body, of_form = by_body(rows), by_form(rows)
    assert of_body(first, CHIPS[0]) == of_body(first.with_tokens(1, 2), CHIPS[0])
    assert len(asked) == 1
    assert len({of_body(item, chip) for item in (first, shifted, longer) for chip in CHIPS}) == 6
    asked.clear()
    assert of_form(first, CHIPS[0]) == of_form(shifted, CHIPS[0])
    of_form(longer, CHIPS[0])
    of_form(first, CHIPS[1])
    assert asked == [first, longer, first]


def test_tokens_change_nothing_else():
    first = Load(row=3, count=2, wait=4)
    body = first.body
    other = first.with_tokens(2, 1)
    assert other == replace(first, wait=2, signal=1)
    assert (first.wait, first.signal) == (4, 0)
    assert other.body == body == replace(first, wait=2, signal=1).body
