"""Whether making activations again for the backward pass beats keeping or spilling them: cycles of a step; JSON.

    python benchmarks/recomputation.py [--chip paper] [--network mobilenet] [--bytes-per-cycle 4]

Of a training step of an MLPerf Tiny network every layer is made again by itself (`recompute` in a mapping), then all
together whose gain by themselves holds beside the ones before. Cycles are exact and need no values.
"""

from __future__ import annotations

import argparse
import json
import sys

from arch.chip import Chip
from compiler import Network, Options
from compiler.costing import cost_network
from compiler.graph import TRAIN
from compiler.mapping import Choice, Mapping
from compiler.recomputation import candidates
from compiler.report import report
from compiler.torch_export import load_torch
from tinycl.mlperf import INPUTS, mlperf_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--network", choices=("resnet8", "ds_cnn", "mobilenet"), action="append")
    parser.add_argument("--bytes-per-cycle", type=int, action="append", help="of the external memory")
    given = parser.parse_args()
    chip = Chip.load(given.chip)
    if chip.external_memory is None:
        parser.error(f"chip {chip.name} has no external memory, so nothing is spilled")
    result = {}
    for name in given.network or ("resnet8", "ds_cnn", "mobilenet"):
        network = load_torch(mlperf_network(name), INPUTS[name])[0].softmax_cross_entropy()
        for width in given.bytes_per_cycle or (4, 8):
            memory = chip.external_memory.model_copy(update={"bytes_per_cycle": width})
            slower = chip.replace(external_memory=memory.model_dump())
            result[f"{name}, {width} bytes a cycle"] = _searched(network, slower)
    print(json.dumps(result, indent=1))


def _searched(network: Network, chip: Chip) -> dict:
    least, layers = _cost(network, chip, ())
    kept, alone = [], {}
    plain = least
    for layer in layers:
        alone[layer], _ = _cost(network, chip, (layer,))
        both = _cost(network, chip, (*kept, layer))[0] if kept else alone[layer]
        if both < least:
            least, kept = both, [*kept, layer]
        print(f"{network.name} {layer}: {alone[layer]} of {plain}", file=sys.stderr)
    return {
        "cycles": plain,
        "best": least,
        "gain_percent": round(100 * (1 - least / plain), 2),
        "recomputed": kept,
        "worst_of_one_percent": round(100 * (1 - max(alone.values()) / plain), 2),
    }


def _cost(network: Network, chip: Chip, layers: tuple[str, ...]) -> tuple[int, list[str]]:
    """Cycles of a training step with the results of `layers` made again, and the layers with which one could."""
    mapping = Mapping({layer: Choice(recompute=True) for layer in layers})
    build = cost_network(network, chip, Options(learning_rate=2.0**-8, mapping=mapping))
    assert build.program and build.graph
    return report(build.program, TRAIN, network.name).cycles, candidates(build.graph)


if __name__ == "__main__":
    main()
