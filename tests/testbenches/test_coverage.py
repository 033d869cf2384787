"""The coverage model: it knows all of the instruction set, its rules hold, the generator reaches what it asks for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from arch import fields
from arch.chip import Chip
from arch.isa import KINDS, Compute, Load, Opcode
from arch.legal import problems
from arch.modes import MODES
from arch.timing import duration
from sim.fast import FastMachine
from testbenches import coverage_fields, coverage_groups
from testbenches.coverage import REACHABLE, Coverage, Unreachable, samples
from testbenches.coverage_fields import unknown
from testbenches.generate import KINDS as DRAWN
from testbenches.generate import existing, random_chain, random_instruction, random_program
from testbenches.generate_chips import random_chips

TINY = Chip.load("tiny")
OCTETS = TINY.replace(lanes=4, vector_unit={"elements_per_cycle": 4})
HEADER = ("opcode", "wait", "signal")


@pytest.fixture(scope="module")
def reached() -> Coverage:
    coverage = Coverage()
    for number, chip in enumerate((TINY, *random_chips(4, 5))):
        rng = np.random.default_rng(number)
        for _ in range(12):
            program = random_program(chip, rng, 10)
            coverage.record(chip, program, "main", FastMachine(program).run("main", count_zeros=True))
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
    monkeypatch.setattr(coverage_fields, "EXECUTED", (Opcode.ELEMENTWISE,))
    assert "ELEMENTWISE: no group asks for this instruction" in list(unknown())


def test_a_group_less_is_missed(monkeypatch: pytest.MonkeyPatch):
    left = tuple(group for group in coverage_groups.GROUPS if group.name != "LOAD's source")
    monkeypatch.setattr(coverage_fields, "GROUPS", left)
    assert "LOAD.source: no coverpoint looks at this field" in list(unknown())


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.COMPUTE, Opcode.LOSS, Opcode.TRANSFER])
def test_every_field_is_drawn(opcode: Opcode):
    rng = np.random.default_rng(0)
    kind = KINDS[opcode]
    seen: dict[str, set[int]] = defaultdict(set)
    for name in existing(DRAWN, OCTETS):
        for _ in range(20):
            drawn = random_instruction(OCTETS, rng, name)
            for instruction in random_chain(OCTETS, rng, drawn, 2) if isinstance(drawn, Compute) else [drawn]:
                if isinstance(instruction, kind):
                    for field in fields.layout(kind):
                        seen[field.name].add(int(getattr(instruction, field.name)))
    constant = {field.name for field in fields.layout(kind) if not field.reserved and len(seen[field.name]) == 1}
    assert constant == set(HEADER)


def test_random_programs_reach_most_and_nothing_that_is_excluded(reached: Coverage):
    assert reached.percent > 60
    for name in ("mode, groups", "mode, inner steps", "mode, sums kept", "LOAD's source"):
        hit, asked = reached.counts(name)
        assert hit >= 0.7 * asked, name


@pytest.mark.parametrize("mode", MODES)
def test_nests_are_drawn_legal_and_short_with_groups_and_chains(mode: str):
    rng = np.random.default_rng(3)
    chip = TINY.replace(accumulator_banks=4)
    nests = [random_instruction(chip, rng, mode) for _ in range(30)]
    assert all(isinstance(nest, Compute) and not any(problems(nest, chip)) for nest in nests)
    assert max(duration(nest, chip) for nest in nests) <= 1200
    chains = [random_chain(chip, rng, nest, 3) for nest in nests if isinstance(nest, Compute)]
    kept = [chain for chain in chains if len(chain) == 3]
    assert all([(item.keep, item.hold) for item in chain] == [(0, 1), (1, 1), (1, 0)] for chain in kept)
    assert bool(kept) == ((mode, "keep and hold") in REACHABLE["mode, sums kept"])
    grouped = any(nest.outer > 1 for nest in nests if isinstance(nest, Compute))
    assert grouped == ((mode, "more", "one") in REACHABLE["mode, groups"])


def test_an_excluded_point_is_refused():
    rng = np.random.default_rng(0)
    program = random_program(TINY, rng, 6, kinds=["load_bias"])
    done = samples(TINY, program, "main", FastMachine(program).run("main", count_zeros=True))
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
