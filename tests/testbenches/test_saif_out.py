"""The SAIF file of a run on the RTL: signals were 1 for as long, and toggled as often, as the run's counters say."""

import numpy as np

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.isa import Engine
from synthesis.saif import Saif
from testbenches.generate import random_program
from testbenches.native import run_native


def test_a_run_writes_its_activity(tmp_path):
    program = random_program(Chip.load("tiny"), np.random.default_rng(3), 6)
    run = run_native(program, "main", [{}], trace=tmp_path / "run.saif")
    found = Saif.read(tmp_path / "run.saif")
    running = found.bits["TOP.tinycl.trace__running"]
    assert running.high * found.duration == run.cycles[0]
    assert running.toggles == 2
    for event in (Event.STEPS, Event.INSTRUCTIONS):  # which are counted one by one: the lowest bit toggles each time
        lowest = found.bits[f"TOP.tinycl.counters_array.counts\\[{event * COUNTER_BITS}\\]"]
        assert lowest.toggles == run.counters[Engine.ARRAY, event] > 0
