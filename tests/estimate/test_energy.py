"""Energy and area of hand-made counts in a technology of round numbers, computed anew here by other arithmetic."""

import json
from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
import pytest

from arch.errors import InputError
from arch.events import Event
from estimate.area import area
from estimate.cells import merged
from estimate.clocking import clocking
from estimate.energy import energy
from estimate.structure import structure
from estimate.switching import Errors, switching
from estimate.technology import Technology
from tests.estimate.made import PAPER, STEPS, SURE, technology, work

CYCLES = 2 * STEPS
HARDWARE = structure(PAPER)
BITS = sum(part.register_bits for part in HARDWARE.values())


def joules(found, line: str) -> float:
    return found.by_component()[line].central


def at_once(name: str) -> float:
    """J of a component's units with one accumulator bank and kernel register, each as it works by itself."""
    part = structure(PAPER.replace(accumulator_banks=1, kernel_registers=1))[name]
    pj = part.multipliers * 1.0 + part.adder_bits * 0.01 + part.register_bits * 0.02 + part.select_bits * 0.001
    return pj * 1e-12


@pytest.fixture
def certain(monkeypatch):
    """As if the shares of events, and what clock gates let through, had no error."""
    errors = Errors(runs=1, mean=0, worst=0)
    table = switching().model_copy(update={"held_out": errors})
    monkeypatch.setattr("estimate.prices.switching", lambda: table)
    gates = clocking().model_copy(update={"held_out": errors, "bounds": (1.0, 1.0)})
    monkeypatch.setattr("estimate.prices.clocking", lambda: gates)


def test_multipliers(tmp_path):
    share = switching().shares["multipliers"]
    drives = STEPS * (share["turned"] + share["active"])
    assert joules(energy(work(), technology(tmp_path)), "multipliers") == pytest.approx(drives * at_once("multipliers"))
    filled = work(WINDOW_WORDS=15)
    filled = replace(filled, rows=(replace(filled.rows[0], fills=7),))
    more = (drives + 7 * share["fills"] + 5 * share["window_moves"]) * at_once("multipliers")
    assert joules(energy(filled, technology(tmp_path)), "multipliers") == pytest.approx(more)


def test_products_with_a_zero_and_operands_that_stand_still_take_less(tmp_path):
    made, share = technology(tmp_path), switching().shares["multipliers"]
    full, half = energy(work(), made), energy(work().assuming(0.5), made)
    saved = joules(full, "multipliers") - joules(half, "multipliers")
    assert saved == pytest.approx(STEPS / 2 * share["active"] * at_once("multipliers")) and saved > 0
    assert half.estimated and half.zeros_known and not full.zeros_known
    saved = joules(full, "multipliers") - joules(energy(turning(0.25), made), "multipliers")
    assert saved == pytest.approx(STEPS * 0.75 * share["turned"] * at_once("multipliers")) and saved > 0


@pytest.mark.parametrize(
    ("mode", "cells"), [("convolution", 1), ("depthwise", 8), ("pixelwise", 9), ("dense_input", 72)]
)
def test_accumulators_by_reduction(tmp_path, mode, cells):
    share = dict(switching().shares["accumulators"])
    drives = STEPS * cells / 72 * share.pop("sums") + STEPS * sum(share.values())
    found = energy(work(mode), technology(tmp_path))
    assert joules(found, "accumulators") == pytest.approx(drives * at_once("accumulators"))


def turning(share: float):
    """The work with this share of what random operands turn: half of the 16 bits of 72 operands a step."""
    return replace(work(), rows=(replace(work().rows[0], turned_bits=round(share * 72 * 8 * STEPS)),))


def test_bits_that_turn_are_doubted_where_none_counted_them(tmp_path):
    made = technology(tmp_path, turning={"low": 0.5, "central": 0.75, "high": 1.0})
    unknown, counted = energy(work(), made), energy(turning(0.75), made)
    assert unknown.total.central == pytest.approx(counted.total.central)
    assert counted.doubts["turning"] == (1, 1) and unknown.doubts["turning"][0] < 1 < unknown.doubts["turning"][1]


def test_events_are_doubted_as_far_as_runs_held_out_were_missed(tmp_path):
    found = energy(work(), technology(tmp_path, logic_leakage={"low": 0, "central": 0, "high": 0}))
    logic = sum(joules(found, name) for name in HARDWARE)
    more = found.doubts["events"][1] - 1
    assert more == pytest.approx(switching().held_out.worst * logic / found.total.central) and more > 0


def test_memories(tmp_path):
    counts = {"FEATURE_READS": 7, "FEATURE_WRITES": 5, "WEIGHT_READS": 3, "INSTRUCTIONS": 2}
    found = energy(work("convolution", **counts), technology(tmp_path))
    assert joules(found, "feature memory") == pytest.approx((7 * 10 + 5 * 20) * 1e-12)
    assert joules(found, "weight memory") == pytest.approx(3 * 10 * 1e-12)
    assert joules(found, "gradient memory") == 0
    assert joules(found, "program memory") == pytest.approx(2 * 50 * 1e-12)


def test_line_buffer(tmp_path):
    """64 words of two lines: two of the table's macros side by side, twice; its words move through the window too."""
    made, chip = technology(tmp_path), PAPER.replace(traversal="line_buffer")
    read = work(FEATURE_READS=9)
    found = energy(replace(read, chip=chip, rows=(replace(read.rows[0], line_reads=5, line_writes=3),)), made)
    assert joules(found, "line buffer") == pytest.approx((5 * 20 + 3 * 40) * 1e-12)
    assert joules(found, "window") == pytest.approx(joules(energy(work(FEATURE_READS=9 + 5 * 2), made), "window"))
    assert area(chip, made).tree["memories"]["line buffer"].central == pytest.approx(2 * 2 * 0.1)
    assert "line buffer" not in energy(read, made).lines


def test_clock_and_leakage(tmp_path):
    found = energy(work(), technology(tmp_path), clock_ns=10, clock_gating=False)
    assert joules(found, "register clock") == pytest.approx(CYCLES * BITS * 0.004e-12)
    assert joules(found, "clock tree") == pytest.approx(CYCLES * BITS * 0.002e-12)
    macros = 12 + 12 + 36
    watts = (macros * 0.001 + 3 * 0.01) * 1e-3
    assert joules(found, "memory leakage") == pytest.approx(watts * CYCLES * 10e-9)
    weights = {"multipliers": 10, "adder_bits": 1, "register_bits": 1, "select_bits": 0.1}
    nano = sum(getattr(part, name) * leak for part in HARDWARE.values() for name, leak in weights.items())
    assert joules(found, "logic leakage") == pytest.approx(nano * 1e-9 * CYCLES * 10e-9)


def gated_cycles(gate: float, steps: int = STEPS) -> float:
    """Register bits times the cycles that they see behind gates, each of which takes what `gate` bits do."""
    one = PAPER.replace(accumulator_banks=1, kernel_registers=1, **_one_page())
    reached = {name: part.register_bits for name, part in structure(one).items()}
    total = 0.0
    for name, part in clocking().components.items():
        bits = HARDWARE[name].register_bits
        total += CYCLES * bits * (part.free + part.gates * (1 - part.free) * gate)
        counts = {"cycles": CYCLES, "steps": steps, "sums": steps / PAPER.multipliers}
        total += reached[name] * sum(part.opened.get(driver, 0) * count for driver, count in counts.items())
    return total


def _one_page() -> dict:
    names = ("feature_memory", "gradient_memory", "weight_memory")
    return {name: {**getattr(PAPER, name).model_dump(), "pages": 1} for name in names}


def test_clock_behind_gates(tmp_path):
    """A convolution's step adds to one accumulator. Only what opens a gate, and the gates, see the clock."""
    gate = {"low": 0.5, "central": 2.0, "high": 3.0}
    tree = {"low": 0.5, "central": 0.5, "high": 0.5}
    found = energy(work(), technology(tmp_path, clock={"gate": gate, "tree": tree}))
    assert found.clock_gating and found.to_dict()["clock_gating"]
    assert joules(found, "register clock") == pytest.approx(gated_cycles(2.0) * 0.004e-12)
    assert joules(found, "clock tree") == pytest.approx(gated_cycles(2.0) * 0.002e-12)
    clock = found.joules[:, :, found.lines.index("register clock")].sum(axis=1)
    assert clock[found.prices.doubts["gate"][0]] == pytest.approx(gated_cycles(0.5) * 0.004e-12)
    few, many = clocking().bounds
    assert clock[list(found.prices.doubts["gate_bits"])] == pytest.approx([few * clock[0], many * clock[0]])
    assert few < 1 < many
    assert clock[0] < 0.5 * joules(energy(work(), technology(tmp_path), clock_gating=False), "register clock")


def test_what_gates_let_through_is_doubted_as_far_as_runs_held_out_were_missed(tmp_path):
    found = energy(work(), technology(tmp_path))
    line = found.lines.index("register clock")
    low, high = (found.joules[place, :, line].sum() for place in found.prices.doubts["gating"])
    still, all_of_it = gated_cycles(1.0, steps=0), gated_cycles(1.0)
    cycles = sum(
        part.opened.get("cycles", 0) * CYCLES * reached_bits(name) for name, part in clocking().components.items()
    )
    through = (all_of_it - still) + cycles
    factor = 1 + clocking().held_out.worst
    assert factor > 1
    assert high == pytest.approx((all_of_it + through * (factor - 1)) * 0.004e-12)
    assert low == pytest.approx((all_of_it + through * (1 / factor - 1)) * 0.004e-12)


def reached_bits(name: str) -> int:
    return structure(PAPER.replace(accumulator_banks=1, kernel_registers=1, **_one_page()))[name].register_bits


def test_no_more_than_every_register_sees_the_clock(tmp_path):
    """However many events a row has; gates come on top."""
    made = technology(tmp_path, clock={"gate": {"low": 0, "central": 0, "high": 0}, "tree": SURE})
    crowded = energy(work(STEPS=10**6, ROUNDED_WORDS=10**7, WEIGHT_READS=10**7), made)
    assert joules(crowded, "register clock") == pytest.approx(CYCLES * BITS * 0.004e-12)


def test_memory_off_the_chip_is_apart(tmp_path):
    made = technology(tmp_path)
    found = energy(work(EXTERNAL_READS=4), made)
    assert found.external.central == pytest.approx(4 * 64 * 2e-12)
    assert found.external.high == pytest.approx(4 * 64 * 4e-12)
    assert joules(found, "dma") > 0


def test_area(tmp_path):
    found = area(PAPER, technology(tmp_path))
    part = HARDWARE["accumulators"]
    micro = part.adder_bits * 10 + part.register_bits * 10 + part.select_bits * 1
    left = dict(zip(HARDWARE, merged(PAPER)[0], strict=True))["accumulators"]
    assert found.tree["logic"]["accumulators"].central == pytest.approx(left * micro / 0.5 / 1e6)
    assert found.parts["memories"].central == pytest.approx(60 * 0.1 + 3 * 0.5)
    parts = sum(item.central for part in found.tree.values() for item in part.values())
    assert found.total.central == pytest.approx(parts)


def test_sums_and_units(tmp_path):
    made = technology(tmp_path)
    found = energy(work(FEATURE_READS=7), made, clock_ns=4)
    for parts in (found.by_component(), found.by_layer(), found.by_phase(), found.by_row()):
        assert sum(item.central for item in parts.values()) == pytest.approx(found.total.central)
    assert found.table()["central_J"].to_numpy().sum() == pytest.approx(found.total.central)
    assert found.power.central == pytest.approx(found.total.central / (CYCLES * 4e-9))
    assert json.loads(found.to_json())["total_J"]["central"] == pytest.approx(found.total.central, rel=1e-3)
    table = area(PAPER, made).table()
    assert table["central_mm2"].to_numpy().sum() == pytest.approx(area(PAPER, made).total.central)


def test_supply_and_clock(tmp_path):
    made = technology(tmp_path)
    base, high, slow = energy(work(), made), energy(work(), made, voltage=1.2), energy(work(), made, clock_ns=38.7)
    for line in ("multipliers", "register clock"):
        assert joules(high, line) == pytest.approx(1.44 * joules(base, line))
        assert joules(slow, line) == pytest.approx(joules(base, line))
    assert joules(high, "logic leakage") == pytest.approx(1.728 * joules(base, "logic leakage"))
    assert joules(slow, "memory leakage") == pytest.approx(10 * joules(base, "memory leakage"))
    assert slow.power.central < base.power.central < high.power.central


def test_without_doubt_there_is_no_bar(tmp_path, certain):
    found = energy(work(), technology(tmp_path))
    assert found.total.low == pytest.approx(found.total.central) == pytest.approx(found.total.high)


def test_doubts_add_as_independent(tmp_path, certain):
    """All energy but leakage doubles with either; leakage is made nothing."""
    two = {"low": 1.0, "central": 1.0, "high": 2.0}
    nothing = {"low": 0, "central": 0, "high": 0}
    memory = [{"macros": "memory.csv", "voltage": 1.0, "leakage": nothing}]
    table = [{"table": "logic.yaml", "energy": two}]
    made = technology(tmp_path, logic=table, logic_leakage=nothing, memory=memory, voltage={**two, "high": sqrt(2)})
    found = energy(work(), made)
    assert found.total.high / found.total.central == pytest.approx(exp(sqrt(2 * log(2) ** 2)))
    assert found.total.low == pytest.approx(found.total.central)
    assert found.doubts["voltage"] == pytest.approx((1, 2)) and found.doubts["logic_scale"] == pytest.approx((1, 2))
    assert "voltage" not in energy(work(), made, voltage=1.0).doubts


@pytest.mark.parametrize("event", [event for event in Event if event.name not in ("SATURATIONS", "LOST_UPDATES")])
def test_more_of_an_event_never_takes_less(tmp_path, event):
    made = technology(tmp_path)
    more = energy(work("convolution", **{event.name: 5000}), made)
    base = energy(work(), made)
    assert more.total.central + more.external.central >= base.total.central


@pytest.mark.parametrize("name", ["45nm", "65nm", "ihp130", "sky130", "osu180"])
def test_larger_chips_are_larger_in_every_technology(name):
    made = Technology.load(name)
    base = area(PAPER, made)
    for fields in ({"accumulator_banks": 16}, {"kernel_registers": 16}, {"accumulator_bits": 40}):
        other = area(PAPER.replace(**fields), made).total.central
        assert (other > base.total.central) == ("accumulator_bits" not in fields)
    assert base.total.low < base.total.central < base.total.high < 3 * base.total.low


def test_newer_nodes_are_smaller_and_take_less():
    names = ("osu180", "ihp130", "65nm", "45nm")
    sizes = [area(PAPER, Technology.load(name)).total.central for name in names]
    takes = [energy(work(FEATURE_READS=STEPS), Technology.load(name)).total.central for name in names]
    assert sizes == sorted(sizes, reverse=True) and takes == sorted(takes, reverse=True)


@pytest.mark.parametrize(("clock", "volts", "named"), [(0, None, "clock"), (np.inf, None, "clock"), (1, 9, "voltage")])
def test_refusals(tmp_path, clock, volts, named):
    with pytest.raises(InputError, match=named):
        energy(work(), technology(tmp_path), clock, volts)
