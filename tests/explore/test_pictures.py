"""Pictures show the numbers of the machine: each is compared with what another way of counting gives."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

import tinycl
from arch.chip import Chip
from arch.counts import counted
from arch.errors import InputError
from arch.events import Event
from arch.isa import Compute, Engine, Traversal
from arch.layout import Store
from arch.modes import mode_fields
from arch.timing import Slot
from explore import pictures
from explore.pictures.cycles import _losses
from explore.pictures.execution import slots_of
from explore.pictures.lit import watched
from explore.pictures.occupancy import _Lives, occupied
from explore.pictures.windows import WALKS, walk
from explore.vcd import read_vcd
from sim import SteppingMachine

PAPER = Chip.load("paper")


@pytest.fixture(scope="module")
def compiled():
    network = tinycl.Network("small", (3, 8, 8)).conv(8).relu().conv(12, stride=2).relu().dense(10)
    return tinycl.compile(network, PAPER, train=True)


def test_limits_sum_to_cycles(compiled):
    report = compiled.report
    assert sum(sum(_losses(row).values()) for row in report.rows) == pytest.approx(report.cycles)
    axes = pictures.cycles_by_limit(report).axes[0]
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(report.cycles)
    axes = pictures.cycles_by_phase(report).axes[0]
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(report.cycles)


def test_a_timeline_is_as_long_as_the_pass(compiled):
    axes = pictures.timeline(compiled.program, "train").axes[0]
    assert axes.get_title(loc="left").endswith(f" {compiled.report.cycles:,} cycles")


def test_no_row_is_above_the_roof(compiled):
    for memory in ("weight", "feature", "gradient"):
        axes = pictures.roofline(compiled.report, PAPER, memory).axes[0]
        (roof,) = axes.lines
        x, y = roof.get_data()
        for points in axes.collections:
            for across, up in np.asarray(points.get_offsets()):
                assert up <= np.exp(np.interp(np.log(across), np.log(x), np.log(y))) * 1.001
    with pytest.raises(InputError, match="memory must be one of"):
        pictures.roofline(compiled.report, PAPER, "disk")
    without = PAPER.replace(external_memory=None)
    with pytest.raises(InputError, match="has no external memory"):
        pictures.roofline(compiled.report, without, "external")


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (5, 9), (3, 3)])
@pytest.mark.parametrize("name", WALKS)
def test_walks_read_what_the_chip_reads(name, shape):
    """Each walk against `arch.counts` on its chip; a line buffer reads each word once."""
    height, width = shape
    found = walk(name, height, width, PAPER.kernel)
    assert found.new[0] and set.union(*found.new) == {(y, x) for y in range(height) for x in range(width)}
    assert sum(map(len, found.new)) == found.read[-1]
    if name == "line buffer":
        assert found.read[-1] == height * width
    nest = Compute(
        **mode_fields("convolution"),
        traversal=Traversal.SNAKE if name == "snake" else Traversal.RASTER,
        height=height,
        width=width,
        source_height=height,
        source_width=width,
        pad_top=1,
        pad_left=1,
    )
    events = counted(nest, PAPER.replace(traversal=name.replace(" ", "_")))
    assert (found.read[-1], found.brought[-1]) == (events[Event.FEATURE_READS], events[Event.WINDOW_WORDS])


@pytest.mark.parametrize("name", WALKS)
def test_a_window_has_what_it_needs(name):
    """At each position every word under the window is held."""
    found = walk(name, 5, 6, 3)
    for row, column, held in zip(found.rows, found.columns, found.held, strict=True):
        under = {(y, x) for y in range(row - 1, row + 2) for x in range(column - 1, column + 2)}
        assert {(y, x) for y, x in under if 0 <= y < 5 and 0 <= x < 6} <= held
        assert len(held) <= 3 * 3 + (2 * 6 if name == "line buffer" else 0)


def test_lives():
    """Found and read until 4; written 5 to 6, never read: to the end; written 1 to 2, read until 8, written again."""
    lives = _Lives(3, 20, lasting=False)

    def slot(first: int, last: int) -> Slot:
        return Slot(Engine.ARRAY, 0, first, last)

    lives.written(slice(2, 3), slot(1, 2))
    lives.read(slice(0, 1), slot(3, 4))
    lives.written(slice(1, 2), slot(5, 6))
    lives.read(slice(2, 3), slot(7, 8))
    lives.written(slice(2, 3), slot(11, 12))
    lives.read(slice(2, 3), slot(13, 14))
    cycles, live = lives.counted()
    assert dict(zip(cycles.tolist(), live.tolist(), strict=True)) == {0: 2, 8: 1, 10: 2, 14: 1, 20: 0}


def test_memories_hold_what_fits(compiled):
    report, program = compiled.report, compiled.program
    for store, (cycles, live) in occupied(program, "train", slots_of(program, "train")).items():
        size = getattr(PAPER, f"{store.value}_memory").bytes
        assert 0 < live.max() <= min(size, report.used_bytes[store.value])
        assert (np.diff(cycles) > 0).all() and live.min() >= 0
    _, weights = occupied(program, "train", slots_of(program, "train"))[Store.WEIGHT]
    assert weights[0] == report.used_bytes["weight"]  # they all stay


def test_a_trace_is_the_schedule(compiled):
    program = compiled.program
    machine = SteppingMachine(program)
    result = machine.run("train", {name: np.zeros(region.shape, np.int64) for name, region in program.inputs.items()})
    for some in (None, result):
        events = pictures.trace_events(program, "train", some)["traceEvents"]
        spans = [item for item in events if item["ph"] == "X"]
        busy = defaultdict(int)
        for item in spans:
            busy[item["tid"]] += item["args"]["cycles"]
        assert busy[Engine.ARRAY] == result.counters[Engine.ARRAY, Event.BUSY]
        assert busy[Engine.VECTOR] == result.counters[Engine.VECTOR, Event.BUSY]
        end = max(item["ts"] + item["dur"] for item in spans) * 1000 / PAPER.clock_ns
        assert compiled.report.cycles - 4 <= end < compiled.report.cycles


def test_lit_multipliers_are_the_counted_products(compiled):
    """The stepping simulator counts products with a zero; the picture watches operands."""
    program = compiled.program
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(0, 2, region.shape) * 300 for name, region in program.inputs.items()}
    inputs["label"] = np.array([3])
    shares = watched(program, "train", inputs)
    counters = SteppingMachine(program).run("train", inputs).counters[Engine.ARRAY]
    busy = {(row.layer, row.phase): 0 for row in compiled.report.rows}
    streams = program.entry_streams("train")[Engine.ARRAY]
    for slot in slots_of(program, "train"):
        step = program.steps[slot.engine][program.first("train", slot.engine) + slot.index]
        busy[step.layer, step.phase] += (slot.last - slot.first + 1) * (slot.engine == Engine.ARRAY)
    products = sum(share.sum() * busy[row] for row, share in shares.items())
    assert streams and products == pytest.approx(
        counters[Event.STEPS] * PAPER.multipliers - counters[Event.ZERO_PRODUCTS]
    )
    assert all(share.min() >= 0 and share.max() <= 1 for share in shares.values())


def test_fronts():
    table = pd.DataFrame({"chip": ["paper", "a", "b", "c"], "cycles": [9, 5, 7, None], "right": [0.9, 0.8, 0.7, 1.0]})
    axes = pictures.pareto_front(table, "cycles", "right", maximise=("right",)).axes[0]
    assert sorted(map(tuple, axes.collections[1].get_offsets().tolist())) == [(5, 0.8), (9, 0.9)]
    assert "1 more" in axes.get_title(loc="left")
    with pytest.raises(InputError, match="must have columns area"):
        pictures.pareto_front(table, "cycles", "area")
    with pytest.raises(InputError, match="no row"):
        pictures.pareto_front(table.assign(cycles=None), "cycles", "right")
    nothing = table[["chip"]].assign(fits=False, reason="array: 4782 instructions")
    with pytest.raises(InputError, match="because of array: 4782"):
        pictures.pareto_front(nothing, "cycles", "right")


def test_long_names_of_a_front_are_whole():
    names = [f"paper lanes={number} accumulator_banks=8 weight_memory.banks=9" for number in range(20)]
    table = pd.DataFrame({"chip": names, "cycles": range(20), "area": range(20, 0, -1)})
    (legend,) = pictures.pareto_front(table, "cycles", "area").legends
    texts = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert texts[2] == f"1 {names[0]}"
    assert len(texts) == 2 + 8  # as many as have room in full


def test_vcd(tmp_path):
    path = tmp_path / "a.vcd"
    inner = "$scope module u $end $var wire 3 # b [2:0] $end $upscope $end"
    head = f"$timescale 10 ps $end $scope module t $end $var wire 1 ! a $end {inner} $upscope $end $enddefinitions $end"
    path.write_text(f"{head} #0 $dumpvars 0! bx # $end #3 1! b101 # #9 0!")
    recording = read_vcd(path, ["a", "u.b"])
    assert (recording.unit, recording.end) == ("10ps", 9)
    assert recording.signals["a"].times == [0, 3, 9] and recording.signals["a"].values == [0, 1, 0]
    assert recording.signals["u.b"].values == [None, 5] and recording.signals["u.b"].at(8) == 5
    for name, text in (("c", "no signal is called c"), ("", "no signal is called")):
        with pytest.raises(InputError, match=text):
            read_vcd(path, [name])
    path.write_text("hello")
    with pytest.raises(InputError, match="not a VCD file"):
        read_vcd(path, ["a"])
    with pytest.raises(InputError, match="No such file"):
        read_vcd(tmp_path / "none", ["a"])


def test_refusals():
    with pytest.raises(InputError, match="height and width must be 1 to 32"):
        pictures.window_paths(33, 4)
    with pytest.raises(InputError, match="kernel must be 2 to 3"):
        pictures.window_animation(3, 9, 4)
