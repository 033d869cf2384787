"""The law of one answer: fast simulator = stepping simulator = RTL, at every retirement of random programs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.image import Image
from arch.isa import Base, Compute, Destination, Engine, Halt, Load, Loss, Opcode, Overflow, Rounding, Space, Traversal
from arch.layout import Kind, Region, Store
from arch.modes import MODES, mode_fields, mode_of
from arch.program import Program, Step
from arch.retirement import MEMORIES
from sim.fast import FastMachine
from sim.result import write_inputs
from sim.stepping import SteppingMachine
from testbenches.cocotb_program import MARGIN
from testbenches.comparison import Comparer, Difference
from testbenches.generate import LOADS, existing, random_program
from testbenches.generate_chips import random_chips
from testbenches.jobs import Job
from testbenches.session import run_on_rtl

CHIPS = {
    "paper": Chip.load("paper"),
    "tiny": Chip.load("tiny"),
    "tiny-one-bank": Chip.load("tiny").replace(accumulator_banks=1),
    "tiny-line-buffer": Chip.load("tiny").replace(traversal="line_buffer", line_buffer_words=6),
    "wide": Chip.load("wide"),
}
PROGRAMS, LENGTH = 24, 14
STEPS = 2
SEED = 2026


@pytest.mark.parametrize("name", CHIPS)
def test_all_executions_agree(name):
    programs = [_program(CHIPS[name], number) for number in range(PROGRAMS)]
    _assert_covered(programs, CHIPS[name])
    jobs = [_job(program) for program in programs]
    for job in jobs:
        assert not _said(_fast_differences(job))
    for outcome in run_on_rtl(jobs):
        assert not _said(outcome.differences)
        assert len(outcome.cycles) == STEPS


@pytest.mark.parametrize("chip", random_chips(6, SEED), ids=lambda chip: chip.name)
def test_simulators_agree_on_random_chips(chip: Chip):
    for number, mode in enumerate(existing(MODES, chip)):
        program = random_program(chip, np.random.default_rng([SEED, number]), 6, kinds=[mode, *LOADS], chains=0.4)
        assert not _said(_fast_differences(_job(program))), mode


def test_what_differs_is_named():
    """The bench must find planted bugs: at the instruction, in the memory and at the element where they are."""
    chip = CHIPS["tiny"]
    jobs = [_job(_program(chip, number)) for number in range(4)]
    index, stored = _corrupt_digest(jobs[0])
    changed = _negate_a_nest(jobs[1])
    _never_end(jobs[2])
    digest, wrong, endless, clean = run_on_rtl(jobs)

    assert digest.differences == [Difference(1, "array", index, "COMPUTE", stored, "", *digest.differences[0][-2:])]
    first = wrong.differences[0]
    assert (first.step, first.engine, first.instruction, first.opcode) == (0, "array", changed, "COMPUTE")
    memories = [item for item in wrong.differences if item.step == 0 and item.instruction == changed and item.place]
    assert memories
    assert all(item.what in ("feature", "gradient", "weight") and item.expected != item.got for item in memories)
    assert "lane" in memories[0].place
    assert f"array {changed} COMPUTE" in str(first)
    assert "not none" in _said(endless.differences)
    assert len(endless.cycles) == 1
    assert not clean.differences


def _program(chip: Chip, number: int) -> Program:
    """A random program with two inputs, one of which leaves lanes of its words alone."""
    rng = np.random.default_rng([SEED, number])
    program = random_program(chip, rng, LENGTH)
    shape = (2, 3, int(rng.integers(1, chip.lanes + 1)))
    words = Region(name="words", store=Store.FEATURE, kind=Kind.MAP, base=5, shape=shape, pitch=4, fraction=0)
    row = Region(name="row", store=Store.WEIGHT, kind=Kind.BIAS, base=1, shape=(chip.multipliers - 1,), fraction=0)
    program.inputs = {region.name: region for region in (words, row)}
    return program


def _job(program: Program) -> Job:
    """The program with random inputs for each step, and what the stepping simulator says."""
    chip, rng = program.chip, np.random.default_rng(SEED)
    low, high = -chip.largest - 1, chip.largest + 1
    inputs = [
        {name: rng.integers(low, high, region.shape) for name, region in program.inputs.items()} for _ in range(STEPS)
    ]
    machine = SteppingMachine(program)
    expected = [machine.run("main", values, trace=True).retirements for values in inputs]

    def reference(step: int, cycle: int) -> Image:
        replayed = SteppingMachine(program)
        for values in inputs[:step]:
            replayed.run("main", values)
        write_inputs(program, replayed.image, inputs[step])
        replayed.start("main")
        replayed.advance(cycle)
        return replayed.image

    return Job(program, "main", inputs, expected, machine.image, reference)


def _fast_differences(job: Job) -> Iterator[Difference]:
    machine = FastMachine(job.program)
    assert job.expected is not None and job.image is not None
    for step, (inputs, expected) in enumerate(zip(job.inputs, job.expected, strict=True)):
        given = {name: values[None] for name, values in inputs.items()}
        result = machine.run("main", given, trace=True)
        comparer = Comparer(job.program, step, expected)
        for retirement in result.retirements:
            yield from comparer.compare(retirement)
        yield from comparer.end(result.cycles, result.counters)
    assert job.image.differences(machine.image) == 0


def _said(differences: Iterable[Difference]) -> str:
    return "\n".join(map(str, differences))


def _assert_covered(programs: list[Program], chip: Chip) -> None:
    """Nothing that an instruction can be may be missing: what is not drawn is not compared."""
    drawn = [item for program in programs for stream in program.streams.values() for item in stream]
    computes = [item for item in drawn if isinstance(item, Compute)]
    loads = [item for item in drawn if isinstance(item, Load)]
    assert {mode_of(item) for item in computes} == set(existing(MODES, chip))
    assert {item.rounding for item in computes} == set(Rounding)
    assert {item.overflow for item in computes} == set(Overflow)
    assert {item.traversal for item in computes} == set(Traversal)
    assert {item.base for item in computes} == set(Base)
    assert {item.destination for item in loads} == set(Destination)
    kernels = [item for item in loads if item.destination == Destination.KERNEL]
    assert {(item.transpose, item.rotate) for item in kernels} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for name in (
        "negate",
        "mask",
        "relu",
        "source_space",
        "target_space",
        "keep",
        "hold",
        "skip",
        "reload",
        "rotate",
        "planes",
    ):
        assert {getattr(item, name) for item in computes} == {0, 1}, name
    for name in ("outer", "inner", "kernel_height", "kernel_width", "step", "dilation", "target_step"):
        assert max(getattr(item, name) for item in computes) > 1, name
    assert {item.space for item in drawn if isinstance(item, Loss)} == set(Space)
    assert any(item.wait for item in drawn)
    assert max(item.iterations for item in computes) >= chip.lanes


def _corrupt_digest(job: Job) -> tuple[int, str]:
    """Expect another digest after one nest of the last step; the nest's index and the memory."""
    assert job.expected is not None
    for place, item in enumerate(job.expected[-1]):
        opcode = job.program.streams[item.engine][item.index].opcode
        if opcode == Opcode.COMPUTE:
            memory = next(i for i, digest in enumerate(item.digests) if digest)
            digests = tuple(digest ^ (i == memory) for i, digest in enumerate(item.digests))
            job.expected[-1][place] = replace(item, digests=digests)
            job.reference = None
            return item.index, MEMORIES[memory]
    raise AssertionError("the program must hold a COMPUTE")


def _negate_a_nest(job: Job) -> int:
    """Give the RTL another instruction than the simulators had, one bit of it, where that matters; its index."""
    assert job.expected is not None
    for index, item in enumerate(job.program.streams[Engine.ARRAY]):
        if isinstance(item, Compute):
            stream = list(job.program.streams[Engine.ARRAY])
            stream[index] = replace(item, negate=1 - item.negate)
            changed = replace(job.program, streams=job.program.streams | {Engine.ARRAY: stream})
            retired = SteppingMachine(changed).run("main", job.inputs[0], trace=True).retirements
            first = next((a for a, b in zip(retired, job.expected[0], strict=True) if a.digests != b.digests), None)
            if first is not None and (first.engine, first.index) == (Engine.ARRAY, index):
                job.program = changed
                return index
    raise AssertionError("the program must hold a COMPUTE whose sign matters")


def _never_end(job: Job) -> None:
    """Give the RTL nests of far more cycles than are expected of the whole program."""
    words = job.program.chip.gradient_words
    nest = Compute(
        **mode_fields("convolution_bias"),
        base=Base.ROW,
        pixel_space=Space.GRADIENT,
        width=words,
        pixel_pitch=words,
    )
    streams = {Engine.ARRAY: [nest] * (MARGIN // words + 2) + [Halt()], Engine.VECTOR: [Halt()], Engine.DMA: [Halt()]}
    steps = {engine: [Step(layer="endless", phase="forward")] * len(stream) for engine, stream in streams.items()}
    job.program = replace(job.program, streams=streams, steps=steps)
