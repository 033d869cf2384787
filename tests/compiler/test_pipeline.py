"""The passes: what each makes, where the pipeline can stop, and what the report says."""

from dataclasses import fields

import numpy as np
import pytest

from arch.chip import Chip
from arch.events import Event
from arch.isa import Compute, Engine, Rounding, Traversal
from arch.workload import Workload
from compiler import Calibration, Network, NetworkError, Options, compile_network
from compiler.pipeline import INFER, PASSES, TRAIN
from compiler.report import Report

PAPER = Chip.load("paper")


def reference() -> Network:
    return Network("reference", (3, 32, 32)).conv(8).relu().conv(8).relu().dense(10).softmax_cross_entropy()


@pytest.fixture(scope="module")
def build():
    network = reference()
    rng = np.random.default_rng(0)
    few = Calibration(rng.uniform(0, 1, (4, 3, 32, 32)), rng.integers(0, 10, 4), 4)
    return compile_network(network, PAPER, network.initial(0), few, Options(learning_rate=2.0**-8))


def test_it_stops_after_any_pass(build):
    made = {
        "lowering": "graph",
        "capping": "graph",
        "patches": "graph",
        "normalisation": "graph",
        "differentiation": "graph",
        "batching": "graph",
        "recomputation": "graph",
        "octets": "graph",
        "kernels": "kernels",
        "calibration": "largest",
    }
    made |= {"formats": "fractions", "residency": "plan", "emission": "program", "report": "reports"}
    done = set()
    for name in PASSES:
        done.add(made[name])
        stopped = compile_network(
            build.network, PAPER, build.parameters, build.calibration, build.options, stop_after=name
        )
        filled = {field.name for field in fields(stopped) if getattr(stopped, field.name) is not None}
        assert filled & set(made.values()) == done
    with pytest.raises(NetworkError, match="stop_after"):
        compile_network(build.network, PAPER, build.parameters, build.calibration, stop_after="magic")


def test_the_reference_network_trains_within_the_papers_cycles(build):
    report = build.reports[TRAIN]
    assert report.macs == 2_457_600
    assert report.cycles <= 45_478
    assert sum(row.cycles for row in report.rows) == report.cycles
    assert {row.layer for row in report.rows if row.utilisation > 0.98} >= {"conv1", "conv2", "dense1"}


def test_the_snake_loads_what_it_should(build):
    windowed = [row for row in build.reports[TRAIN].rows if row.window_words]
    assert len(windowed) == 5
    assert all(row.window_words == 3 * 32 * 32 + 3 * 2 for row in windowed)
    raster = compile_network(
        build.network, PAPER.replace(traversal="raster"), build.parameters, build.calibration, build.options
    )
    assert raster.reports
    assert {row.window_words for row in raster.reports[TRAIN].rows if row.window_words} == {3_264}


def test_the_line_buffer_reads_each_word_once(build):
    """As many cycles and words of windows as the raster, and of every convolution's moving map 32 x 32 reads."""
    work = {}
    for traversal in ("raster", "line_buffer"):
        chip = PAPER.replace(traversal=traversal)
        program = compile_network(build.network, chip, build.parameters, build.calibration, build.options).program
        assert program
        work[traversal] = Workload.of(program, TRAIN)
    raster, buffered = work["raster"], work["line_buffer"]
    assert buffered.cycles == raster.cycles
    walks = [pair for pair in zip(raster.rows, buffered.rows, strict=True) if pair[0].counts[Event.WINDOW_WORDS]]
    assert len(walks) == 5
    for before, after in walks:
        assert after.counts[Event.WINDOW_WORDS] == before.counts[Event.WINDOW_WORDS] == 3_264
        reads = [row.counts[Event.FEATURE_READS] + row.counts[Event.GRADIENT_READS] for row in (before, after)]
        assert reads[0] - reads[1] == 3_008 - 1_024
        assert (after.line_reads, after.line_writes) == (31 * 32, 32 * 32)
    for name in Event:
        if name not in (Event.FEATURE_READS, Event.GRADIENT_READS):
            assert buffered.counts[name] == raster.counts[name]


def test_maps_wider_than_the_line_buffer_are_walked_as_pixels():
    chip = PAPER.replace(traversal="line_buffer", line_buffer_words=7)
    for width, traversal in ((7, Traversal.RASTER), (8, Traversal.PIXELS)):
        network = Network("wide", (8, 5, width)).conv(8)
        few = Calibration(np.ones((1, *network.input_shape)), np.zeros(1, int), 1)
        program = compile_network(network, chip, network.initial(0), few, Options(train=False)).program
        assert program
        nests = [item for item in program.streams[Engine.ARRAY] if isinstance(item, Compute)]
        assert {item.traversal for item in nests} == {traversal}


def test_inference_has_no_gradient(build):
    network = reference()
    inference = compile_network(network, PAPER, build.parameters, build.calibration, Options(train=False))
    assert inference.program
    assert set(inference.program.entries) == {INFER}
    assert not [name for name in inference.program.tensors if "gradient" in name]


def test_formats_use_the_bits_and_keep_shifts_legal(build):
    for instruction in build.program.streams[Engine.ARRAY]:
        if isinstance(instruction, Compute):
            assert 0 <= instruction.shift < 48
    for name, fraction in build.fractions.items():
        if name != "label":
            assert build.largest[name] * 2.0**fraction <= PAPER.largest + 1


def test_rounding_is_what_was_asked_for(build):
    nearest = compile_network(
        build.network, PAPER, build.parameters, build.calibration, Options(update_rounding=Rounding.RND_CONV)
    )
    assert nearest.program
    computes = [item for item in nearest.program.streams[Engine.ARRAY] if isinstance(item, Compute)]
    assert {item.rounding for item in computes if item.negate} == {Rounding.RND_CONV}
    assert {item.rounding for item in computes if not item.negate} == {Rounding.RND}


def test_the_report_reads_back(build):
    report = build.reports[TRAIN]
    assert Report.model_validate_json(report.model_dump_json()) == report
