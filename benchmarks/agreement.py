"""Training steps of the digits and the reference network on both simulators and on RTL under Verilator; prints JSON.

python benchmarks/agreement.py [--steps 2] [--chip paper] [--traversal raster]
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from arch.chip import Chip
from compiler import Calibration, compile_network
from compiler.pipeline import TRAIN
from tinycl.agreement import agree
from tinycl.data import digits
from tinycl.networks import digits_network
from tinycl.reference import compile_reference
from tinycl.reference import images as made_images
from tinycl.training import chip_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--traversal", choices=["snake", "raster", "line_buffer"], default="snake")
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip).replace(traversal=arguments.traversal)
    steps = np.arange(arguments.steps)
    data, images = digits(), made_images()
    network = digits_network()
    calibration = Calibration(data.samples, data.labels, 500)
    builds = {
        "digits": (data, compile_network(network, chip, network.initial(0), calibration)),
        "reference": (images, compile_reference(chip, images)),
    }
    jobs = []
    for source, build in builds.values():
        assert build.program
        jobs.append((build.program, chip_inputs(build.program, source.samples[steps], source.labels[steps])))
    result = {
        name: {
            "steps": found.steps,
            "cycles": found.cycles,
            "retirements_compared": found.retirements,
            "differences": len(found.differences),
            "first_differences": found.differences[:5],
        }
        for name, found in zip(builds, agree(jobs, TRAIN), strict=True)
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
