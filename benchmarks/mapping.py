"""How far the compiler's choices for small convolutions are from the best of all: cycles of forward passes; JSON.

    python benchmarks/mapping.py [--chip paper]

For each layer, every walk, layout of kernels and tile of its output is emitted and timed by `arch.timing`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from arch.chip import Chip
from arch.timing import FETCH_CYCLES, duration
from compiler import Build, Calibration, Network, NetworkError, Options, compile_network
from compiler.graph import INFER
from compiler.mapping import Choice, Mapping
from compiler.pipeline import PASSES, issues
from compiler.plan import Run

LAYERS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "3 -> 8, 3x3, 16x16": (3, 16, {"filters": 8}),
    "8 -> 8, 3x3, 12x12": (8, 12, {"filters": 8}),
    "16 -> 16, 3x3, 8x8": (16, 8, {"filters": 16}),
    "32 -> 16, 3x3, 7x7": (32, 7, {"filters": 16}),
    "16 -> 32, 1x1, 8x8": (16, 8, {"filters": 32, "kernel": 1}),
    "8 -> 16, 3x3, stride 2, 12x12": (8, 12, {"filters": 16, "stride": 2}),
    "1 -> 8, 5x5, 10x10": (1, 10, {"filters": 8, "kernel": 5}),
    "16, depthwise 3x3, 9x9": (16, 9, {"filters": 16, "groups": 16}),
}
"""Channels, side of the map, and the convolution's arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    chip = Chip.load(parser.parse_args().chip)
    result = {}
    for name, (channels, side, arguments) in LAYERS.items():
        print(name, file=sys.stderr)
        network = Network("layer", (channels, side, side)).conv(name="layer", **arguments)
        result[name] = _searched(network, chip)
    print(json.dumps(result, indent=1))


def _searched(network: Network, chip: Chip) -> dict:
    samples = np.random.default_rng(0).uniform(0, 1, (1, *network.input_shape))
    data = Calibration(samples, np.zeros(1, np.int64), 1)
    build = compile_network(network, chip, network.initial(0), data, Options(train=False), stop_after="formats")
    chosen = _cycles(build, Choice())
    assert chosen is not None
    found = {choice: cycles for choice in _choices(network.shape) if (cycles := _cycles(build, choice)) is not None}
    best = min(found, key=lambda choice: found[choice])
    return {
        "chosen": chosen,
        "best": found[best],
        "best_over_chosen": round(found[best] / chosen, 4),
        "by": best.model_dump(exclude_none=True),
        "tried": len(found),
    }


def _choices(shape: tuple[int, ...]) -> Iterator[Choice]:
    tiles = [(height, width) for height in range(1, shape[1] + 1) for width in range(1, shape[2] + 1)]
    for walk, layout, tile in product(("window", "pixels"), ("filters", "channels"), tiles):
        yield Choice(walk=walk, layout=layout, tile=tile)


def _cycles(build: Build, choice: Choice) -> int | None:
    """Cycles of the layer's instructions one after the other; None if the chip has no such way."""
    trial = replace(build, options=replace(build.options, mapping=Mapping({"layer": choice})))
    try:
        for name in ("kernels", "residency"):
            PASSES[name](trial)
        assert trial.plan
        runs = [step for step in trial.plan.steps[INFER] if isinstance(step, Run)]
        instructions = [instruction for step in runs for _, instruction in issues(trial, step)]
    except NetworkError:
        return None
    return sum(duration(instruction, build.chip) + FETCH_CYCLES for instruction in instructions)


if __name__ == "__main__":
    main()
