"""What elements of 8 bits save and cost: MLPerf Tiny's networks, inference; prints a Markdown table.

    python benchmarks/octets.py [--chip paper] [--network resnet8]

The weights are random and the samples made, so the error, that of the result relative to its size, compares formats and
says nothing of accuracy. Headroom is 1.
"""

from __future__ import annotations

import argparse

import numpy as np

from arch.chip import Chip
from compiler import Bits, Calibration, Options, compile_network
from compiler.formats import Headroom
from compiler.pipeline import INFER
from compiler.torch_export import load_torch
from tinycl.checking import check
from tinycl.mlperf import INPUTS, mlperf_network

SAMPLES = 8
FORMATS = {
    "16 bits": Bits(),
    "weights 8": Bits(weights=8),
    "activations 8": Bits(activations=8),
    "both 8": Bits(weights=8, activations=8),
}
ROW = "| {} | {} | {} | {} | {} | {} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--network", choices=INPUTS, action="append")
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip)
    print(ROW.format("network", "elements", "cycles", "multipliers at work", "KB outside", "error"))
    print(ROW.format(*["---"] * 6))
    for name in arguments.network or INPUTS:
        for words, bits in FORMATS.items():
            print(_row(name, words, bits, chip), flush=True)


def _row(name: str, words: str, bits: Bits, chip: Chip) -> str:
    network, parameters = load_torch(mlperf_network(name), INPUTS[name])
    samples = np.random.default_rng(0).standard_normal((SAMPLES, *INPUTS[name]))
    options = Options(train=False, bits=bits, headroom=Headroom(1, 1, 1))
    build = compile_network(network, chip, parameters, Calibration(samples, np.zeros(SAMPLES, int), SAMPLES), options)
    check(build, SAMPLES, lambda: None)
    assert build.reports and build.graph
    report = build.reports[INFER]
    result = next(row.check for row in report.tensors if row.name == build.graph.logits)
    assert result
    outside = report.traffic["external"]
    return ROW.format(
        name,
        words,
        f"{report.cycles:,}",
        f"{report.utilisation:.1%}",
        f"{(outside.reads + outside.writes) * chip.beat_bytes / 1000:,.0f}",
        f"{result.rms_error / result.rms_value:.2%}",
    )


if __name__ == "__main__":
    main()
