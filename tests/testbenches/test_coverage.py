"""The coverage model: it knows all of the instruction set, its rules hold, the generator reaches what it asks for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from arch import fields
from arch.chip import Chip
from arch.isa import KINDS, Load, Opcode
from sim.fast import FastMachine
from testbenches import coverage_fields, coverage_groups
from testbenches.coverage import REACHABLE, Coverage, Unreachable, samples
from testbenches.coverage_fields import unknown
from testbenches.generate import KINDS as DRAWN
from testbenches.generate import random_instruction, random_program
from testbenches.generate_chips import random_chips

TINY = Chip.load("tiny")
HEADER = ("opcode", "wait", "signal")


@pytest.fixture(scope="module")
def reached() -> Coverage:
    coverage = Coverage()
    for number, chip in enumerate((TINY, *random_chips(4, 5))):
        rng = np.random.default_rng(number)
        for _ in range(12):
            program = random_program(chip, rng, 10)
            coverage.record(chip, program, "main", FastMachine(program).run("main"))
    return coverage


def test_the_model_knows_the_instruction_set():
    assert not list(unknown())


def test_a_new_field_is_missed(monkeypatch: pytest.MonkeyPatch):
    layout = fields.layout
    monkeypatch.setattr(
        coverage_fields.fields,
        "layout",
        lambda kind: (*layout(kind), replace(layout(kind)[-1], name="new", reserved=False)),
    )
    assert "LOAD.new: no coverpoint looks at this field" in list(unknown())


def test_a_new_instruction_is_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coverage_fields, "EXECUTED", (Opcode.TRANSFER,))
    assert "TRANSFER: no group asks for this instruction" in list(unknown())


def test_a_group_less_is_missed(monkeypatch: pytest.MonkeyPatch):
    left = tuple(group for group in coverage_groups.GROUPS if group.name != "LOAD's source")
    monkeypatch.setattr(coverage_fields, "GROUPS", left)
    assert "LOAD.source: no coverpoint looks at this field" in list(unknown())


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.COMPUTE, Opcode.LOSS])
def test_every_field_is_drawn(opcode: Opcode):
    rng = np.random.default_rng(0)
    kind = KINDS[opcode]
    seen: dict[str, set[int]] = defaultdict(set)
    for name in DRAWN:
        for _ in range(40):
            instruction = random_instruction(TINY, rng, name)
            if isinstance(instruction, kind):
                for field in fields.layout(kind):
                    seen[field.name].add(int(getattr(instruction, field.name)))
    constant = {field.name for field in fields.layout(kind) if not field.reserved and len(seen[field.name]) == 1}
    assert constant == set(HEADER)


def test_random_programs_reach_most_and_nothing_that_is_excluded(reached: Coverage):
    assert reached.percent > 70
    for name in ("mode, traversal, shape", "mode, mask, ReLU, base, sign", "LOAD's source"):
        hit, asked = reached.counts(name)
        assert hit >= 0.9 * asked, name


def test_an_excluded_point_is_refused():
    rng = np.random.default_rng(0)
    program = random_program(TINY, rng, 6, kinds=["load_bias"])
    done = samples(TINY, program, "main", FastMachine(program).run("main"))
    sample = next(item for item in done if isinstance(item.instruction, Load))
    with pytest.raises(Unreachable, match="bias, middle"):
        Coverage().sample(replace(sample, instruction=replace(sample.load, count=2)))


def test_it_is_kept_and_merged(reached: Coverage, tmp_path):
    reached.save(tmp_path / "coverage.json")
    loaded = Coverage.load(tmp_path / "coverage.json")
    assert loaded == reached
    other = Coverage()
    other.merge(loaded)
    assert other == reached
    assert other.holes() == reached.holes()
    assert Coverage().percent == 0
    assert sum(map(len, Coverage().holes().values())) == sum(map(len, REACHABLE.values()))
