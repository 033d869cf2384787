"""MLPerf Tiny's four networks, built in torch.nn, inference and training step: cycles, utilisation, one answer; JSON.

    python benchmarks/mlperf.py [--chip paper] [--network resnet8] [--bits weights=8 ...] [--rtl]

Both simulators are compared at every retirement. With `--rtl`, an inference of each network and ResNet-8's training
step also run on the Verilog under Verilator. Inputs are made.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

from arch.chip import Chip
from compiler import Bits, Build, Calibration, Network, Options, compile_network
from compiler.pipeline import INFER, TRAIN
from compiler.torch_export import load_torch
from tinycl.executions import compare
from tinycl.mlperf import INPUTS, mlperf_network
from tinycl.training import chip_inputs

SAMPLES = 4
_USUAL = Bits()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--network", choices=INPUTS, action="append")
    parser.add_argument("--bits", action="append", default=[], help="ROLE=8 of weights, activations or gradients")
    parser.add_argument("--rtl", action="store_true")
    arguments = parser.parse_args()
    chip, bits = Chip.load(arguments.chip), Bits.of(arguments.bits)
    result = {}
    for name in arguments.network or INPUTS:
        for entry in (INFER, TRAIN):
            rtl = arguments.rtl and (entry == INFER or name == "resnet8")
            result[f"{name} {entry}"] = _measured(name, entry, chip, bits, rtl)
            print(f"{name} {entry}: {result[f'{name} {entry}']}", file=sys.stderr)
    print(json.dumps(result, indent=1))


def _measured(name: str, entry: str, chip: Chip, bits: Bits, rtl: bool) -> dict:
    start = time.perf_counter()
    build, samples, targets = compiled(name, entry, chip, bits)
    seconds = time.perf_counter() - start
    assert build.program and build.reports
    program, report = build.program, build.reports[entry]
    inputs = chip_inputs(program, samples[:1], targets[:1])
    found = compare(program, entry, {key: values[0] for key, values in inputs.items()}, rtl=rtl)
    weights = sum(report.traffic[memory].reads for memory in ("weight",)) * chip.lanes
    return {
        "macs": report.macs,
        "cycles": found.cycles,
        "utilisation_percent": round(100 * report.macs / (chip.multipliers * found.cycles), 2),
        "dma_cycles": report.dma_cycles,
        "external_beats": report.traffic["external"].reads + report.traffic["external"].writes,
        "weight_elements_read": weights,
        "instructions": sum(report.instructions.values()),
        "retirements_compared": found.retirements,
        "on_rtl": found.on_rtl,
        "differences": found.differences[:5],
        "compile_seconds": round(seconds, 1),
    }


def compiled(name: str, entry: str, chip: Chip, bits: Bits = _USUAL) -> tuple[Build, np.ndarray, np.ndarray]:
    """A network's program for inference or training, calibrated on made samples, which come with it."""
    network, parameters = load_torch(mlperf_network(name), INPUTS[name])
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((SAMPLES, *INPUTS[name]))
    targets = np.arange(SAMPLES) % 2
    if entry == TRAIN:
        network = _with_loss(network, name)
        if name == "autoencoder":
            targets = samples
    options = Options(train=entry == TRAIN, learning_rate=2.0**-8, bits=bits)
    build = compile_network(network, chip, parameters, Calibration(samples, targets, SAMPLES), options)
    return build, samples, targets


def _with_loss(network: Network, name: str) -> Network:
    return network.mean_squared_error() if name == "autoencoder" else network.softmax_cross_entropy()


if __name__ == "__main__":
    main()
