"""The stepping machine: values against a clockless reference, cycles and events against arch.timing and arch.counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.counts import counted
from arch.events import DATA_DEPENDENT, Event
from arch.isa import (
    ENGINES,
    Base,
    Compute,
    Destination,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Rounding,
    Space,
    Traversal,
)
from arch.layout import Kind, Region, Store
from arch.legal import problems
from arch.modes import MODES, mode_fields
from arch.nest_rules import chain_problems
from arch.program import Entry, Program, Step
from arch.retirement import digests
from arch.timing import Slot, duration, schedule
from sim.stepping import SteppingMachine
from testbenches.generate import KINDS, existing, random_instruction, random_program
from testbenches.images import random_image
from tests.sim.nests import random_nest
from tests.sim.programs import program_of
from tests.sim.reference import Reference

CHIPS = {name: Chip.load(name) for name in ("tiny", "wide", "paper")}
CHIPS["tiny, 1 bank"] = CHIPS["tiny"].replace(accumulator_banks=1)
CHIPS["paper, 1 bank"] = CHIPS["paper"].replace(accumulator_banks=1)
CHIPS["few registers, line buffer"] = CHIPS["paper"].replace(
    kernel_registers=3, accumulator_banks=3, traversal="line_buffer", line_buffer_words=7
)
CHIPS["tiny, 3 banks"] = CHIPS["tiny"].replace(accumulator_banks=3, kernel_registers=5)
CHIPS["one weight port"] = Chip.load("paper-one-port")
CHIPS["many registers"] = CHIPS["wide"].replace(kernel_registers=7, accumulator_banks=16)


Executed = dict[tuple[Engine, int], np.ndarray]
"""Iterations made at each position by the COMPUTEs that skip, by engine and place in its stream."""


def expected_slots(program: Program, executed: Executed) -> list[Slot]:
    chip = program.chip
    durations = {
        engine: [duration(item, chip, executed.get((engine, index))) for index, item in enumerate(stream)]
        for engine, stream in program.streams.items()
    }
    return schedule(program.streams, durations)


def check(program: Program) -> None:
    """Compare a run with the timing, the counts and the reference, which executes instructions as they retire."""
    machine = SteppingMachine(program)
    result = machine.run("main", trace=True)
    reference = Reference(program.chip, program.image)
    executed: Executed = {}
    for item in result.retirements:
        instruction = program.streams[item.engine][item.index]
        reference.execute(instruction)
        if isinstance(instruction, Compute) and instruction.skip:
            executed[item.engine, item.index] = reference.executed
    total = np.zeros_like(result.counters)
    for engine in ENGINES:
        stream = program.streams[engine]
        assert len(result.per_instruction[engine]) == len(stream)
        for index, (instruction, got) in enumerate(zip(stream, result.per_instruction[engine], strict=True)):
            total[engine] += got
            events = counted(instruction, program.chip, executed.get((engine, index)))
            expected = [got[event] if event in DATA_DEPENDENT else events[event] for event in Event]
            assert got.tolist() == expected, instruction
    assert result.cycles == expected_slots(program, executed)[-1].last
    assert (result.counters == total).all()
    assert machine.image.differences(reference.image) == 0, program.streams[Engine.ARRAY]
    for event in DATA_DEPENDENT:
        assert total[:, event].sum() == reference.events[event]


def first_loads(chip: Chip, rng: np.random.Generator) -> list[Instruction]:
    """Contents for all kernel registers and the bias register; half the time a vector in register 0."""
    rows = [int(rng.integers(chip.weight_rows - chip.kernel_registers + 1)) for _ in range(2)]
    loads: list[Instruction] = [
        Load(count=chip.kernel_registers, row=rows[0], rotate=int(rng.integers(2))),
        Load(destination=Destination.BIAS, row=rows[1]),
        Load(destination=Destination.VECTOR, count=chip.taps, source=3),
    ]
    return loads[: 2 + int(rng.integers(2))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_every_mode(chip: Chip, mode: str):
    """Every field of random nests; sums that are held are kept by the same nest with other signs."""
    if mode == "scatter" and chip.accumulator_banks == 1:
        pytest.skip("a scatter needs two banks")
    rng = np.random.default_rng(2)
    for _ in range(6):
        nest = random_nest(chip, rng, mode)
        order = [*first_loads(chip, rng), nest]
        if nest.hold:
            order.append(replace(nest, keep=1, negate=1 - nest.negate))
            order.append(replace(nest, keep=1, hold=0, source=0))
        if any(chain_problems(order, chip)) or any(any(problems(item, chip)) for item in order):
            continue
        check(program_of(chip, order, random_image(chip, rng)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_single_instructions(chip: Chip, kind: str):
    if not existing([kind], chip):
        pytest.skip("the chip does not execute it")
    rng = np.random.default_rng(7)
    for _ in range(8):
        loads = [random_instruction(chip, rng, name) for name in ("load_kernel", "load_bias", "load_vector")]
        chosen = [loads[k] for k in rng.permutation(3)]
        order = [*chosen, random_instruction(chip, rng, kind)]
        if kind.startswith("load"):  # what was loaded shows in what is computed with it
            order += [
                random_instruction(chip, rng, name)
                for name in ("convolution", "convolution_by_channel", "dense_input", "dense")
            ]
        check(program_of(chip, order, random_image(chip, rng)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_random_programs(chip: Chip, seed: int):
    rng = np.random.default_rng(seed)
    check(random_program(chip, rng, int(rng.integers(1, 16))))


def test_generated_instructions_reach_the_corners():
    rng = np.random.default_rng(3)
    seen: Counter[str] = Counter()
    for chip in CHIPS.values():
        for name in existing(list(MODES), chip):
            for _ in range(20):
                nest = random_instruction(chip, rng, name)
                assert isinstance(nest, Compute)
                words = nest.height * nest.width
                seen[nest.rounding.name] += 1
                seen[nest.overflow.name] += 1
                seen[nest.traversal.name] += 1
                seen["one place"] += words == 1
                seen["one iteration"] += nest.iterations == 1
                seen["broken block"] += nest.traversal == Traversal.BLOCK and words % chip.taps > 0
                seen["several blocks"] += nest.traversal == Traversal.BLOCK and words > chip.taps
                seen["odd snake"] += nest.traversal == Traversal.SNAKE and nest.height > 2 and nest.height % 2 == 1
                seen["padding"] += nest.pad_top > 0 or nest.pad_left > 0
                seen["no shift"] += nest.shift == 0
                seen["large shift"] += nest.shift > 32
                for flag in ("mask", "relu", "negate"):
                    seen[flag] += getattr(nest, flag)
                seen[nest.base.name] += 1
    assert len(seen) == 24
    assert min(seen.values()) >= 20, seen


def test_the_write_goes_before_the_loader_s_read():
    chip = CHIPS["paper"]
    shared = Compute(
        **mode_fields("convolution"),
        height=4,
        width=9,
        source_height=4,
        source_width=9,
        source_pitch=10,
        target=100,
        target_pitch=9,
        shift=12,
    )
    apart = replace(shared, target_space=Space.GRADIENT)
    cycles = []
    for nest in (shared, apart):
        program = program_of(chip, [nest], random_image(chip, np.random.default_rng(0)))
        check(program)
        cycles.append(SteppingMachine(program).run("main").cycles)
    assert cycles[0] > cycles[1]


def test_engines_run_at_once():
    chip = CHIPS["paper"]
    load, update = Load(count=8), Compute(**mode_fields("dense_bias"), traversal=Traversal.BLOCK, base=Base.ROW, row=9)
    loss = Loss(count=10, source=0, label=20, target=0)
    program = program_of(chip, [load, update], random_image(chip, np.random.default_rng(0)))
    program.streams[Engine.VECTOR].insert(0, loss)
    program.steps[Engine.VECTOR].append(Step(layer="test", phase="loss"))
    check(program)
    machine = SteppingMachine(program)
    assert machine.run("main").cycles < 2 * 3 + sum(duration(item, chip) for item in (load, update, loss))


def test_tokens_hold_an_instruction_back():
    chip = CHIPS["tiny"]
    rng = np.random.default_rng(0)
    order = [
        Loss(count=3, source=0, label=4, target=0),
        random_instruction(chip, rng, "dense_input"),
        Loss(count=5, source=0, label=4, target=0),
    ]
    check(program_of(chip, order, random_image(chip, rng)))


def test_stepping_a_cycle_at_a_time_is_the_same_run():
    program = random_program(CHIPS["tiny"], np.random.default_rng(11), 9)
    whole = SteppingMachine(program)
    result = whole.run("main")
    machine = SteppingMachine(program)
    assert not machine.running
    machine.start("main")
    cycles = 0
    written = 0
    while machine.running:
        assert machine.advance(1) == 1
        cycles += 1
        assert machine.cycle == cycles
        written += int((machine.state["ports"]["word"] >= 0).sum())
    assert machine.advance(1) == 0
    assert cycles == result.cycles
    assert machine.image.differences(whole.image) == 0
    assert written == result.counters[:, [Event.FEATURE_WRITES, Event.GRADIENT_WRITES]].sum()


def test_the_ports_show_every_write():
    chip = CHIPS["wide"]
    program = random_program(chip, np.random.default_rng(5), 12)
    machine = SteppingMachine(program)
    machine.start("main")
    before = machine.image.copy()
    while machine.running:
        machine.advance(1)
        ports = machine.state["ports"]
        words = {int(word) for word in ports["word"] if word >= 0}
        changed = np.flatnonzero((machine.image.feature != before.feature).any(axis=1)).tolist()
        gradient = np.flatnonzero((machine.image.gradient != before.gradient).any(axis=1)) + chip.feature_words
        assert {*changed, *gradient.tolist()} <= words
        rows = np.flatnonzero((machine.image.weight != before.weight).any(axis=(1, 2)))
        assert set(rows.tolist()) <= {int(ports["row"])}
        before = machine.image.copy()


def test_a_trace_has_every_retirement():
    program = random_program(CHIPS["tiny"], np.random.default_rng(2), 10)
    machine = SteppingMachine(program)
    result = machine.run("main", trace=True)
    assert [(item.engine, item.index, item.cycle) for item in result.retirements] == [
        (slot.engine, slot.index, slot.last) for slot in expected_slots(program, {})
    ]
    for engine in ENGINES:
        own = [item for item in result.retirements if item.engine == engine]
        assert own[-1].counters == tuple(result.counters[engine])
    last = max(
        (item for item in result.retirements if not isinstance(program.streams[item.engine][item.index], Halt)),
        key=lambda item: item.cycle,
    )
    assert last.digests == digests(program.streams[last.engine][last.index], machine.image, program.chip)
    assert not SteppingMachine(program).run("main").retirements


def test_entries_inputs_and_outputs():
    chip = CHIPS["tiny"]
    rng = np.random.default_rng(0)
    first, second = (Loss(count=3, source=0, label=4, target=place) for place in (0, 7))
    program = program_of(chip, [first], random_image(chip, rng))
    program.streams[Engine.VECTOR] += [second, Halt()]
    program.steps[Engine.VECTOR] *= 2
    program.entries["again"] = Entry(start={"array": 0, "vector": 2, "dma": 0})
    program.inputs["logits"] = Region(
        name="logits", store=Store.FEATURE, kind=Kind.VECTOR, base=0, shape=(3,), fraction=0
    )
    program.outputs["gradient"] = Region(
        name="gradient", store=Store.GRADIENT, kind=Kind.VECTOR, base=7, shape=(3,), fraction=0
    )
    machine = SteppingMachine(program)
    result = machine.run("again", {"logits": np.array([1, 5, -2])}, trace=True)
    assert machine.image.feature[0].tolist() == [1, 5, -2]
    assert (result.outputs["gradient"] == machine.image.gradient[7]).all()
    assert [item.index for item in result.retirements if item.engine == Engine.VECTOR] == [2, 3]
    assert result.per_instruction[Engine.VECTOR].shape == (2, len(Event))
    assert program.image.differences(machine.image) > 0, "the program's own image stays"
    with pytest.raises(ValueError, match="input must be one of logits, not label"):
        machine.run("again", {"label": np.zeros(1)})


def test_a_running_machine_is_not_started_again():
    program = random_program(CHIPS["tiny"], np.random.default_rng(1), 3)
    machine = SteppingMachine(program)
    machine.start("main")
    with pytest.raises(RuntimeError, match="entry main must end before main starts"):
        machine.start("main")


def test_random_states_advance_by_value():
    chip = CHIPS["tiny"]
    rng = np.random.default_rng(4)
    for kind in ("dense", "dense_bias"):
        nest = random_instruction(chip, rng, kind)
        assert isinstance(nest, Compute)
        nest = replace(nest, rounding=Rounding.STOCHASTIC, shift=0)
        program = program_of(chip, [nest], random_image(chip, rng))
        machine = SteppingMachine(program)
        machine.run("main")
        moved = machine.image.random != program.image.random
        assert moved[0].all()
        assert moved[1:].all() == (kind == "dense_bias")
        assert moved[1:].any() == (kind == "dense_bias")
