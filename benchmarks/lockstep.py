"""Speed of lock-step: cycles compared a second on the paper chip, a training step of the reference network; JSON.

python benchmarks/lockstep.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics

from arch.chip import Chip
from compiler.pipeline import TRAIN
from testbenches.lockstep import LockStep
from tinycl.data import made
from tinycl.reference import compile_reference
from tinycl.training import chip_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    chip = Chip.load("paper")
    images = made(20, (3, 32, 32), 10, seed=0)
    program = compile_reference(chip, images).program
    assert program
    for name, values in chip_inputs(program, images.samples, images.labels).items():
        program.image.write(program.inputs[name], values[0], chip)
    lockstep = LockStep(chip)
    outcomes = [lockstep.run(program, TRAIN) for _ in range(arguments.rounds + 1)][1:]  # the first one compiles
    lockstep.close()
    result = {
        "compared_cycles_per_second": round(statistics.median(item.cycles / item.seconds for item in outcomes)),
        "cycles_per_step": outcomes[0].cycles,
        "differences": sum(item.difference is not None for item in outcomes),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
