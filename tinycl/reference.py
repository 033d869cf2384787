"""The reference network beside the paper: cycles and traffic on the yardstick chip."""

from __future__ import annotations

from arch.chip import Chip
from compiler import Build, Calibration, Options, compile_network
from compiler.pipeline import TRAIN
from compiler.report import Report
from tinycl.data import DataSet, made
from tinycl.networks import reference_network

PAPER_EPOCH_SECONDS = 1.76
PAPER_CLOCK_NS = 3.87
PAPER_STEPS = 10_000
"""Steps of an epoch: ten passes over 1,000 stored samples; an assumption, since the paper's is not published."""
PAPER_CYCLES_PER_STEP = round(PAPER_EPOCH_SECONDS / PAPER_CLOCK_NS * 1e9 / PAPER_STEPS)
CALIBRATION_IMAGES = 20


def images() -> DataSet:
    """Made images of the network's input shape."""
    return made(CALIBRATION_IMAGES, (3, 32, 32), 10, seed=0)


def compile_reference(chip: Chip, data: DataSet | None = None) -> Build:
    """The reference network's program on `chip`, calibrated on made images unless `data` is given."""
    data = data or images()
    network = reference_network()
    few = Calibration(data.samples[:CALIBRATION_IMAGES], data.labels[:CALIBRATION_IMAGES], CALIBRATION_IMAGES)
    return compile_network(network, chip, network.initial(0), few, Options(learning_rate=2.0**-8))


def comparison(report: Report, one_port: Report) -> dict[str, str]:
    """Our figures beside the paper's, ready to show."""
    epoch = PAPER_STEPS * report.cycles * report.clock_ns * 1e-9
    return {
        "multiply-accumulates of a step": f"{report.macs:,}",
        "cycles of a step": f"{report.cycles:,} ({report.utilisation:.1%} of the multipliers)",
        "with one 128-bit weight port": f"{one_port.cycles:,} ({one_port.utilisation:.1%})",
        "the paper's, derived": f"{PAPER_CYCLES_PER_STEP:,} "
        f"({PAPER_EPOCH_SECONDS} s / {PAPER_CLOCK_NS} ns / {PAPER_STEPS:,})",
        f"{PAPER_STEPS:,} steps": f"{epoch:.2f} s; the paper's epoch: {PAPER_EPOCH_SECONDS} s, if that is what it is",
    }


def train_report(build: Build) -> Report:
    """The report of a training step."""
    assert build.reports
    return build.reports[TRAIN]
