"""Speed of the simulators on the reference network's training step, as ratios in one interleaved run; JSON.

python benchmarks/speed.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json

from arch.chip import Chip
from tinycl.reference import compile_reference
from tinycl.reference import images as made_images
from tinycl.speed import measure
from tinycl.training import chip_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    chip = Chip.load("paper")
    images = made_images()
    build = compile_reference(chip, images)
    assert build.program and build.reports
    cycles = build.reports["train"].cycles
    speed = measure(build.program, chip_inputs(build.program, images.samples, images.labels), arguments.rounds)
    # an ideal chip: every multiplier busy in every cycle
    ideal_seconds = build.reports["train"].macs / chip.multipliers * chip.clock_ns * 1e-9
    step_seconds = cycles / speed.fast
    result = {
        "microseconds_per_step": round(step_seconds * 1e6, 1),
        "ideal_chip_microseconds_per_step": round(ideal_seconds * 1e6, 1),
        "fast_over_ideal_chip": round(ideal_seconds / step_seconds, 3),
        "fast_over_verilator": round(speed.fast / speed.verilator, 1),
        "fast_cycles_per_second": round(speed.fast),
        "stepping_cycles_per_second": round(speed.stepping),
        "verilator_cycles_per_second": round(speed.verilator),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
