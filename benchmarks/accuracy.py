"""Held-out accuracy on real digits, on the chip and in float64 by the same recipe; prints JSON.

    python benchmarks/accuracy.py [--network digits] [--batch-norm batch] [--seeds 5] [--epochs 20] [--chip paper]
                                  [--bits weights=8 ...]

`--network resnet8` trains MLPerf Tiny's ResNet-8 on the digits scaled to 3 x 32 x 32. `--batch-norm batch` trains the
digits' network with batch normalisations, by the statistics of micro-batches of eight.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import numpy as np

from arch.chip import Chip
from compiler import Bits
from tinycl.data import digits, digits_as_images
from tinycl.networks import digits_network, normalised_digits_network, resnet8_network
from tinycl.training import BATCH, RESNET8, Recipe, train_both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("digits", "resnet8"), default="digits")
    parser.add_argument("--batch-norm", choices=("frozen", "batch"), default="frozen", help="batch: of digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=0, help="20 for digits, 12 for resnet8")
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--bits", action="append", default=[], help="ROLE=8 of weights, activations or gradients")
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip)
    data, network, recipe = digits(), digits_network(), Recipe()
    if arguments.network == "resnet8":
        data, network, recipe = digits_as_images(), resnet8_network(), RESNET8
    if arguments.batch_norm == "batch":
        if arguments.network != "digits":
            parser.error("--batch-norm batch must come with --network digits")
        network, recipe = normalised_digits_network(), BATCH
    recipe = replace(recipe, epochs=arguments.epochs or recipe.epochs, bits=Bits.of(arguments.bits))
    chips, twins = [], []
    for seed in range(arguments.seeds):
        trained = train_both(network, chip, data, seed, recipe)
        chips.append(100 * trained.chip[-1])
        twins.append(100 * trained.float64[-1])
        print(f"seed {seed}: chip {chips[-1]:.2f} %, float64 {twins[-1]:.2f} %", file=sys.stderr)
    result = {
        "chip_percent": round(float(np.mean(chips)), 3),
        "float64_percent": round(float(np.mean(twins)), 3),
        "difference_points": round(float(np.mean(twins) - np.mean(chips)), 3),
        "chip_by_seed": [round(value, 3) for value in chips],
        "float64_by_seed": [round(value, 3) for value in twins],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
