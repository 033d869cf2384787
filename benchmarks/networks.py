"""What inference of real networks costs on a chip: a table of compiled programs, without running them.

    python benchmarks/networks.py [--chip paper] [--networks squeezenet,resnet50]

The networks are those that the onnx package holds without weights; each weight is one over its fan-in, since cycles do
not depend on values. The chip gets program memories and an external memory that are large enough.
"""

from __future__ import annotations

import argparse
import time
from math import prod
from pathlib import Path

import numpy as np
import onnx

from arch.chip import Chip
from arch.errors import InputError
from compiler import Calibration, Network, Options, compile_network
from compiler.onnx_import import load_onnx
from compiler.report import Report

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = (
    "squeezenet",
    "shufflenet",
    "inception_v2",
    "densenet121",
    "resnet50",
    "inception_v1",
    "bvlc_alexnet",
    "zfnet512",
    "vgg19",
)
ROW = "{:13} {:>9} {:>9} {:>12} {:>7} {:>12} {:>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--networks", default=",".join(NAMES))
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip)
    chip = chip.replace(
        program_memory={"instructions": 65536},
        external_memory={"bytes_per_cycle": 8, "latency_cycles": 50, "bytes": 1 << 30},
    )
    print(ROW.format("network", "GMAC", "M weights", "cycles", "used", "MB outside", "CPU s"))
    for name in arguments.networks.split(","):
        print(_row(name, chip), flush=True)


def _row(name: str, chip: Chip) -> str:
    begin = time.process_time()
    network, _ = load_onnx(FOLDER / f"light_{name}.onnx")
    weights = sum(prod(shape) for shape in network.shapes.values() if len(shape) > 1)
    try:
        report = _report(network, chip)
    except InputError as error:
        return f"{name:13} {str(error).splitlines()[0]}"
    seconds = time.process_time() - begin
    return ROW.format(
        name,
        f"{report.macs / 1e9:.3f}",
        f"{weights / 1e6:.2f}",
        f"{report.cycles:,}",
        f"{report.utilisation:.1%}",
        f"{_moved(report, chip) / 1e6:.1f}",
        f"{seconds:.1f}",
    )


def _report(network: Network, chip: Chip) -> Report:
    parameters = {name: np.broadcast_to(_value(name, shape), shape) for name, shape in network.shapes.items()}
    samples = Calibration(np.random.default_rng(0).uniform(0, 1, (1, *network.input_shape)), np.zeros(1, int), 1)
    build = compile_network(network, chip, parameters, samples, Options(train=False))
    assert build.reports
    return build.reports["infer"]


def _value(name: str, shape: tuple[int, ...]) -> np.float64:
    """One over the fan-in of a weight; scales and variances 1, biases and means 0."""
    if len(shape) > 1:
        return np.float64(1 / prod(shape[1:]))
    return np.float64(name.endswith(("weight", "running_var")))


def _moved(report: Report, chip: Chip) -> float:
    """Bytes between the chip and its external memory."""
    traffic = report.traffic["external"]
    return (traffic.reads + traffic.writes) * chip.beat_bytes


if __name__ == "__main__":
    main()
