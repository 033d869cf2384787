"""How long 1,000 estimates of a compiled network take, each of another clock and supply: energy, its bar, and area.

python benchmarks/estimation.py
"""

from __future__ import annotations

import json
import time

from arch.chip import Chip
from arch.workload import Workload
from compiler.pipeline import TRAIN
from estimate.area import area
from estimate.energy import energy
from estimate.technology import Technology, technologies
from tinycl.reference import compile_reference

ESTIMATES = 1000


def main() -> None:
    program = compile_reference(Chip.load("paper")).program
    assert program
    work = Workload.of(program, TRAIN, "reference")
    names = list(technologies())
    begin = time.process_time()
    for i in range(ESTIMATES):
        made = Technology.load(names[i % len(names)])
        clock, volts = 3.87 + 0.01 * i, made.voltage.central * (0.9 + 0.0002 * (i // 10))
        assert energy(work, made, clock, volts).total.low > 0 and area(program.chip, made).total.low > 0
    print(json.dumps({"estimates": ESTIMATES, "cpu_seconds": round(time.process_time() - begin, 2)}))


if __name__ == "__main__":
    main()
