"""The campaign at its smallest, and what it does with coverage.dat and with what differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import ENGINES, EXECUTED, Compute, Engine, Overflow, Rounding
from arch.modes import mode_of
from sim.fast import FastMachine
from testbenches import campaign_share
from testbenches.aiming import Aim, aimed_program, aims
from testbenches.campaign import Plan, run_campaign
from testbenches.campaign_page import page
from testbenches.campaign_share import Share, Tally, illegal_opcodes, replay, run_share, share_program
from testbenches.code_coverage import CodeCoverage, CodePoint, read_points
from testbenches.code_exclusions import exclusions
from testbenches.corners import CORNERS, corner_program
from testbenches.coverage import REACHABLE, Coverage
from testbenches.generate_chips import TAPS, random_chips

TINY = Chip.load("tiny")
KEYS = "f=design.sv", "l={line}", "n=3", "t={kind}", "page=v_{kind}/{module}", "o={what}", "h=TOP.tinycl"


def written(path: Path, *points: tuple[str, str, str, int]) -> Path:
    """A coverage.dat of points: kind, module, what, count; each on a line of its own."""
    lines = ["# SystemC::Coverage-3"]
    for line, (kind, module, what, count) in enumerate(points):
        keys = "".join("\x01" + key.replace("=", "\x02", 1) for key in KEYS)
        lines.append(f"C '{keys.format(line=line, kind=kind, module=module, what=what)}' {count}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_share_agrees_and_is_the_same_again(tmp_path: Path):
    share = Share(0, TINY, seed=4, programs=8, folder=tmp_path)
    first, second = run_share(share), run_share(share)
    assert first.difference == second.difference == ""
    assert first.functional == second.functional
    assert (first.programs, first.clocks) == (second.programs, second.clocks)
    assert first.programs == 8
    assert first.clocks > first.cycles > 0


def test_what_differs_is_kept_and_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(campaign_share, "_said", lambda outcome, result: "planted")
    tally = run_share(Share(7, TINY, seed=4, programs=3, folder=tmp_path))
    assert tally.programs == 1
    assert "planted" in tally.difference
    folder = tmp_path / "difference-7"
    assert str(folder) in tally.difference
    assert replay(folder).difference is None


def test_holes_are_aimed_at(tmp_path: Path):
    known = run_share(Share(0, TINY, seed=4, programs=4, folder=tmp_path)).functional
    aimed = run_share(Share(0, TINY, seed=5, programs=6, known=known, folder=tmp_path))
    assert 0 < aimed.programs <= 6
    before = known.percent
    known.merge(aimed.functional)
    assert known.percent > before


def test_a_campaign_s_page(tmp_path: Path):
    plan = Plan(programs=3, chips=0, workers=1, seed=2, instrumented=0, folder=tmp_path)
    shares = [share for share in plan.shares() if share.chip.name == "tiny"]
    campaign = run_campaign(plan, shares, rounds=0)
    text = page(campaign)
    assert "| programs | 2 |" in text
    assert "tiny" in text
    assert "{" not in text.replace("`{", "")


def test_programs_follow_from_the_seed():
    share = Share(3, TINY, seed=9, programs=5)
    for number in range(5):
        one, two = (share_program(share, number, Coverage()) for _ in range(2))
        assert one.streams == two.streams
        assert one.image.differences(two.image) == 0
        one.check()


@pytest.mark.parametrize("name", CORNERS)
def test_corner_programs_are_of_their_corner(name: str):
    program = corner_program(TINY, np.random.default_rng(1), name)
    nests = [item for stream in program.streams.values() for item in stream if isinstance(item, Compute)]
    assert all(CORNERS[name].wants(nest, TINY) for nest in nests)


def but_for(group: str, *point: str) -> Coverage:
    """Everything reached but one point."""
    known = Coverage()
    for name, points in REACHABLE.items():
        known.hits[name].update(points)
    del known.hits[group][point]
    return known


def test_holes_name_what_is_drawn_for_them():
    known = but_for("mode, skip", "dense_input", "some")
    assert aims(known, TINY) == [Aim(("dense_input",), {"skip": 1}, "some", "sparse")]
    program = aimed_program(TINY, np.random.default_rng(2), known)
    drawn = [item for item in program.streams[Engine.ARRAY] if isinstance(item, Compute)]
    assert {mode_of(item) for item in drawn} == {"dense_input"}
    alone = TINY.replace(accumulator_banks=1)
    assert not aims(but_for("mode, skip", "scatter", "some"), alone)


@pytest.mark.parametrize("event", ["saturation", "lost update", "both"])
def test_an_event_that_depends_on_data_is_soon_met(event: str):
    point = "rows", "STOCHASTIC", "WRAP", event
    known = but_for("mode, rounding, overflow, event", *point)
    (aim,) = aims(known, TINY)
    assert aim[:3] == (("rows",), {"rounding": Rounding.STOCHASTIC, "overflow": Overflow.WRAP}, event)
    for seed in range(20):
        program = aimed_program(TINY, np.random.default_rng(seed), known)
        known.record(TINY, program, "main", FastMachine(program).run("main", count_zeros=True))
    assert not known.holes()


def test_the_dma_of_a_chip_without_external_memory_only_halts():
    points = [
        CodePoint("toggle", "tinycl.counters_dma", "TOP", 1, 1, f"counts__05b{event}__05d[{bit}]:0->1")
        for event, bit in ((0, 0), (0, 14), (1, 0), (14, 0))
    ]
    counted = [exclusions(TINY.replace(external_memory=None), points, "")(point) is None for point in points]
    assert counted == [True, False, False, False]
    assert [exclusions(TINY, points, "")(point) is None for point in points] == [True, False, True, True]


def test_lines_that_cannot_run_are_left_out():
    verilog = "if (1'h1) begin\n  x = y;\nif (_1_) begin\n  dma_chosen <= 3'h4;\n"
    constant, otherwise = (CodePoint("line", "tinycl.array", "TOP", 1, 1, what) for what in ("if", "else"))
    moved, elsewhere = (CodePoint("line", f"tinycl.{name}.bank0", "TOP", 3, 1, "if") for name in ("weight", "array"))
    points = [constant, otherwise, moved, elsewhere]
    without = exclusions(TINY.replace(external_memory=None), points, verilog)
    assert [without(point) is None for point in points] == [True, False, False, True]
    assert exclusions(TINY, points, verilog)(moved) is None


def test_random_chips_are_legal_and_varied():
    chips = random_chips(24, 1)
    assert [chip.taps for chip in chips[:4]] == list(TAPS)
    assert chips == random_chips(24, 1)
    assert {chip.row_beats == 1 for chip in chips} == {True, False}
    assert any(chip.taps % chip.weight_memory.banks for chip in chips)
    assert {chip.external_beats for chip in chips if chip.external_memory} == {1, 2, 4, 8}
    assert {chip.traversal for chip in chips} == {"snake", "raster", "line_buffer"}
    assert any(chip.line_buffer_words for chip in chips)
    assert min(chip.lanes for chip in chips) == 1
    assert any(chip.accumulator_bits == max(16, chip.narrowest_accumulator) for chip in chips)


def test_illegal_opcodes_are_those_that_an_engine_does_not_execute():
    for engine in ENGINES:
        assert 0 not in illegal_opcodes(engine, TINY)
        assert len(illegal_opcodes(engine, TINY)) > 16 - len(EXECUTED)


def test_coverage_dat_is_read(tmp_path: Path):
    points = read_points(
        written(
            tmp_path / "coverage.dat",
            ("line", "tinycl.host", "block", 4),
            ("branch", "tinycl.host", "if", 0),
            ("toggle", "tinycl.array", "counts__05b2__05d[3]:0->1", 5),
            ("toggle", "tinycl.array", "counts__05b2__05d[40]:0->1", 0),
            ("toggle", "tinycl.array.nest", "held:1->0", 0),
        )
    )
    assert [(point.kind, point.name, point.bit) for point in points][2:] == [
        ("toggle", "counts[2]", 3),
        ("toggle", "counts[2]", 40),
        ("toggle", "held", 0),
    ]
    coverage = CodeCoverage.of(points, exclusions(TINY, points.keys(), "assign a = b;\n" * 9))
    assert coverage.percent("line") == 50
    assert coverage.percent("toggle", "tinycl.array") == 100
    assert coverage.percent("toggle") == 50
    assert sum(coverage.excluded.values()) == 1
    total = CodeCoverage()
    total.merge(coverage)
    total.merge(coverage)
    assert total.percent("toggle") == 50
    assert total.missed["tinycl.array.nest", "toggle", "held"] == 2


def test_a_record_is_counted_by_its_parts():
    names = "compute[3]:0->1", "compute.mask[0]:0->1", "load.sparse_index[0]:0->1"
    points = [CodePoint("toggle", "tinycl.array", "TOP", 1, 1, name) for name in names]
    reason = exclusions(TINY, points, "")
    assert "under the names of its parts" in str(reason(points[0]))
    assert reason(points[1]) is None
    assert "reserved" in str(reason(points[2]))


def test_a_tally_starts_empty():
    assert Tally(0, "tiny").functional.percent == 0
