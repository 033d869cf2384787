"""The memory outside on the benches: its contents, stalls of its bus, aborts, and planted bugs of the DMA."""

from unittest.mock import patch

import numpy as np
import pytest

import rtl.chip
import rtl.dma
import rtl.memory
import rtl.verilog
from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Engine, Halt, OnChip, Transfer
from arch.layout import Kind, Region, Store
from arch.program import Entry, Program, Step
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.bench_external import outside_bytes
from testbenches.external import external_bytes, external_words
from testbenches.generate import random_program
from testbenches.images import random_image
from testbenches.lockstep import LockStep, Scenario
from testbenches.native import run_native
from testbenches.transfers import TRANSFERS

CHIP = Chip.load("tiny")


@pytest.fixture(scope="module")
def lockstep():
    made = LockStep(CHIP, quick=True)
    yield made
    made.close()


def program(*dma: Transfer, seed: int = 1) -> Program:
    streams = {Engine.ARRAY: [Halt()], Engine.VECTOR: [Halt()], Engine.DMA: [*dma, Halt()]}
    return Program(
        chip=CHIP,
        streams=streams,
        steps={engine: [Step(layer="test", phase="forward")] * len(stream) for engine, stream in streams.items()},
        entries={"main": Entry(start={engine.name.lower(): 0 for engine in ENGINES})},
        image=random_image(CHIP, np.random.default_rng(seed)),
    )


def test_words_and_bytes_are_each_others_inverse():
    rng = np.random.default_rng(1)
    for lanes, size in ((1, 4), (3, 8), (8, 16), (16, 32)):
        chip = CHIP.replace(
            lanes=lanes,
            vector_unit={"elements_per_cycle": lanes},
            feature_memory={"bytes": 65536, "banks": 2},
            gradient_memory={"bytes": 65536, "banks": 2},
            weight_memory={"bytes": 65536, "banks": 1},
        )
        words = rng.integers(-32768, 32768, (7, lanes)).astype(np.int16)
        contents = external_bytes(words, chip)
        assert contents.shape == (7 * size,)
        assert contents[: 2 * lanes].view("<i2").tolist() == words[0].tolist()
        assert np.array_equal(external_words(contents, chip), words)


def test_the_benchs_file_may_leave_out_beats():
    contents = outside_bytes("@00000001\n04030201\n08070605\n@4\n0000000c\n", 4)
    assert contents.tolist() == [0] * 4 + [1, 2, 3, 4, 5, 6, 7, 8] + [0] * 4 + [12, 0, 0, 0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stalls_change_cycles_and_nothing_else(seed):
    slower = 0
    for number in range(4):
        made = random_program(CHIP, np.random.default_rng([number, 9]), 9, kinds=(*TRANSFERS, "load_vector", "dense"))
        fast = FastMachine(made)
        result = fast.run("main", count_zeros=True)
        run = run_native(made, "main", [{}], stalls=seed)
        assert run.image.differences(fast.image) == 0
        same = run.counters == result.counters
        same[:, Event.BUSY] = True
        assert same.all()
        slower += run.cycles[0] > result.cycles
    assert slower


def test_inputs_outside_are_written_before_each_step():
    made = program(Transfer(external=30, count=4, word=9), Transfer(external=60, count=4, word=9, outward=1))
    made.image = Image.blank(CHIP, external_words=100)
    x = Region(name="x", store=Store.EXTERNAL, kind=Kind.MAP, base=30, shape=(2, 2, 2), pitch=2, fraction=0)
    made.inputs = {"x": x}
    rng = np.random.default_rng(4)
    inputs = [{"x": rng.integers(-99, 99, (2, 2, 2))} for _ in range(3)]
    machine = SteppingMachine(made)
    cycles = [machine.run("main", values).cycles for values in inputs]
    run = run_native(made, "main", inputs)
    assert run.cycles == cycles
    assert run.image.differences(machine.image) == 0
    assert run.image.external[60:64].any()


@pytest.mark.parametrize("outward", [0, 1])
@pytest.mark.parametrize("memory", OnChip)
def test_an_abort_in_any_cycle_leaves_what_the_simulator_leaves(lockstep, memory, outward):
    transfer = Transfer(outward=outward, memory=memory, external=120, count=8, lines=2, pitch=9, external_pitch=70)
    for cycle in (3, 4, 5, 6, 7, 8, 13, 20, 29, 37):
        outcome = lockstep.run(program(transfer), scenario=Scenario(abort=cycle))
        assert outcome.difference is None, str(outcome.difference)
        assert outcome.ended == "aborted"
        outcome = lockstep.run(program(transfer, seed=2))
        assert outcome.difference is None, f"after an abort in {cycle}: {outcome.difference}"


def _wrong_holds(self, place, number):
    """The first place of the second page is one of the first page."""
    return (place > number * self._depth if number else 1) & (place <= (number + 1) * self._depth)


def _wrong_half(element):
    """The sign is not repeated, and the lowest bit is lost."""
    return element & -2


class _NoCrossing(rtl.dma.Bursts):
    """Bursts that may cross a boundary of 4 KiB."""

    def __init__(self, chip):
        super().__init__(chip)
        self._longest = 2 * self._longest


PLANTED = {
    "pages": (rtl.memory._Pages, "_holds", _wrong_holds, "value"),
    "data": (rtl.dma, "_half", _wrong_half, "value written outside"),
    "bursts": (rtl.dma, "Bursts", _NoCrossing, "breaches of the external bus's rules"),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bugs_are_found(bug):
    where, name, wrong, said = PLANTED[bug]
    with patch.object(where, name, wrong):
        verilog = rtl.verilog.to_verilog(rtl.chip.TinyCL(CHIP), name="tinycl")
    lockstep = LockStep(CHIP, verilog=verilog, quick=True)
    first = CHIP.kernel * CHIP.page_depth(CHIP.feature_memory)
    transfers = [Transfer(count=2, word=first - 1, external=5), Transfer(count=3, word=first - 1, outward=1)]
    transfers += [Transfer(count=390), Transfer(count=390, outward=1)]
    outcomes = [lockstep.run(program(item, seed=seed)) for seed in (3, 4) for item in transfers]
    lockstep.close()
    found = [str(outcome.difference) for outcome in outcomes if outcome.difference]
    assert any(said in item for item in found), found
