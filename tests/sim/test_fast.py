"""The fast machine: values against the clockless reference, everything against the stepping machine."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from arch.counts import counted
from arch.errors import InputError
from arch.events import DATA_DEPENDENT, UNCOUNTED, Event
from arch.image import Image
from arch.isa import (
    ENGINES,
    Base,
    Compute,
    Destination,
    Emission,
    Engine,
    Halt,
    Load,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Space,
    Traversal,
)
from arch.layout import Kind, Region, Store
from arch.modes import MODES, SKIPPING, mode_fields
from arch.program import Program, ProgramError
from arch.retirement import digests
from sim import fast_table
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.generate import (
    KINDS,
    existing,
    random_chain,
    random_image,
    random_instruction,
    random_program,
)
from testbenches.transfers import TRANSFERS
from tests.sim.programs import program_of
from tests.sim.reference import Reference
from tinycl.reference import compile_reference

CHIPS = {name: Chip.load(name) for name in ("tiny", "wide", "paper")}
CHIPS["one bank"] = CHIPS["tiny"].replace(accumulator_banks=1)
CHIPS["two vectors a word"] = CHIPS["paper"].replace(
    lanes=16, vector_unit={"elements_per_cycle": 16}, kernel_registers=16, accumulator_banks=16
)
CHIPS["a vector and one lane"] = CHIPS["tiny"].replace(
    lanes=9,
    vector_unit={"elements_per_cycle": 9},
    word_bits=8,
    kernel_registers=12,
    accumulator_banks=12,
    weight_memory={"bytes": 16384, "banks": 2},
)
LOADS = ("load_kernel", "load_bias", "load_vector")
VALUES = [kind for kind in KINDS if kind not in TRANSFERS]


def corners(chip: Chip, rng: np.random.Generator) -> list[Image]:
    """Images of the lowest number everywhere, of zeros, of ties, of both extremes."""
    images = []
    for values in (
        [-chip.largest - 1],
        [0],
        [0, 1 << chip.word_bits - 2, -(1 << chip.word_bits - 2), 1],
        [-chip.largest - 1, chip.largest],
    ):
        image = Image.blank(chip, seed=int(rng.integers(1 << 32)))
        for array in (image.feature, image.gradient, image.weight):
            array[:] = rng.choice(values, array.shape)
        images.append(image)
    return images


def random_nest(chip: Chip, rng: np.random.Generator, mode: str, widest: int = 6) -> Compute:
    """A legal COMPUTE of `mode`."""
    nest = random_instruction(chip, rng, mode, widest)
    assert isinstance(nest, Compute)
    return nest


def check_values(program: Program) -> None:
    """Compare two runs, one instruction after another, with the reference; the registers stay as they are between."""
    machine = FastMachine(program)
    reference = Reference(program.chip, program.image)
    for _ in range(2):
        result = machine.run("main", trace=True)
        for item in result.retirements:
            instruction = program.streams[item.engine][item.index]
            reference.events.clear()
            reference.turned = 0
            reference.execute(instruction)
            assert digests(instruction, reference.image, program.chip) == item.digests, instruction
            got = result.per_instruction[item.engine][item.index]
            made = reference.executed if isinstance(instruction, Compute) and instruction.skip else None
            expected = {**dict.fromkeys(Event, 0), **counted(instruction, program.chip, made), **reference.events}
            assert got.tolist() == [expected[event] for event in Event], instruction
            if item.engine == Engine.ARRAY:
                assert result.turned[item.index] == reference.turned, instruction
        assert machine.image.differences(reference.image) == 0


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_single_instructions(chip: Chip, kind: str):
    if not existing([kind], chip):
        pytest.skip("the chip has too few accumulators")
    rng = np.random.default_rng(3)
    for image in [*(random_image(chip, rng) for _ in range(3)), *corners(chip, rng)]:
        loads = [random_instruction(chip, rng, name) for name in LOADS]
        order = [*(loads[i] for i in rng.permutation(3)), random_instruction(chip, rng, kind)]
        if kind.startswith("load"):  # what was loaded shows in what is computed with it
            names = ("convolution", "convolution_by_channel", "dense_input", "dense")
            order += [random_instruction(chip, rng, name) for name in names]
        check_values(program_of(chip, order, image))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chip", [CHIPS["tiny"], CHIPS["paper"], CHIPS["a vector and one lane"]], ids=lambda c: c.lanes)
def test_chains_keep_what_was_held(chip: Chip, mode: str):
    rng = np.random.default_rng(11)
    holding = 0
    for _ in range(4):
        chain = random_chain(chip, rng, random_nest(chip, rng, mode), 3) if existing([mode], chip) else []
        loads = [random_instruction(chip, rng, name) for name in LOADS]
        holding += any(nest.hold for nest in chain)
        check_values(program_of(chip, [*loads, *chain], random_image(chip, rng)))
    special = MODES[mode].reduction in (Reduction.MAXIMUM, Reduction.INDEX) or MODES[mode].moving == Moving.KERNEL
    rows = MODES[mode].emission in (Emission.STEP, Emission.ROW)
    assert holding > 0 or special or rows or not existing([mode], chip)


@pytest.mark.parametrize("mode", ["convolution", "pixelwise", "pixelwise_weights", "scatter", "maximum"])
def test_chunks_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(6)
    chip = CHIPS["paper"]
    for room in (1, 600, 5000):
        monkeypatch.setattr(fast_table, "_ROOM", room)
        for _ in range(4):
            loads = [random_instruction(chip, rng, name) for name in LOADS]
            nest = random_nest(chip, rng, mode, widest=12)
            check_values(program_of(chip, [*loads, nest], random_image(chip, rng)))


@pytest.mark.parametrize("mode", SKIPPING)
def test_steps_last_as_long_as_their_values_want(mode: str):
    chip, rng = CHIPS["paper"], np.random.default_rng(4)
    nest = random_nest(chip, rng, mode)
    while not (nest.skip and nest.iterations > 2):
        nest = random_nest(chip, rng, mode)
    start = Load(destination=Destination.VECTOR, source=0, count=chip.taps)
    values = Region(name="values", store=Store.FEATURE, kind=Kind.VECTOR, base=0, shape=(2000,), fraction=0)
    image = random_image(chip, rng)
    program = program_of(chip, [start, nest], image, {"inputs": {"values": values}})
    samples = rng.integers(-3, 3, (4, 2000)) * (rng.random((4, 2000)) < np.array([0, 0.1, 0.5, 1])[:, None])
    many, single = FastMachine(program), FastMachine(program)
    found = many.run("main", {"values": samples}, steps=4, count_zeros=True)
    expected = [single.run("main", {"values": sample[None]}, trace=True) for sample in samples]
    assert (found.counters == sum(item.counters for item in expected)).all()
    assert found.cycles == expected[-1].cycles
    assert all(item.retirements[-1].cycle == item.cycles for item in expected)
    assert many.image.differences(single.image) == 0


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_random_programs_as_stepped(chip: Chip):
    rng = np.random.default_rng(5)
    for _ in range(6):
        program = random_program(chip, rng, 14)
        fast, stepping = FastMachine(program), SteppingMachine(program)
        for _ in range(2):
            found, expected = fast.run("main", trace=True), stepping.run("main", trace=True)
            assert fast.image.differences(stepping.image) == 0
            assert found.retirements == expected.retirements
            assert found.cycles == expected.cycles
            assert (found.counters == expected.counters).all()
            for engine in ENGINES:
                assert (found.per_instruction[engine] == expected.per_instruction[engine]).all()


def test_every_rounding_of_a_large_map():
    chip = CHIPS["paper"]
    image = random_image(chip, np.random.default_rng(1))
    for rounding in Rounding:
        for overflow in Overflow:
            compute = Compute(
                **mode_fields("convolution"),
                iterations=7,
                height=19,
                width=17,
                source_height=19,
                source_width=17,
                pad_top=1,
                pad_left=1,
                source_pitch=19,
                target_space=Space.GRADIENT,
                target_pitch=17,
                base=Base.BIAS,
                base_shift=9,
                shift=14,
                rounding=rounding,
                overflow=overflow,
                traversal=Traversal.SNAKE,
            )
            bias = random_instruction(chip, np.random.default_rng(2), "load_bias")
            check_values(program_of(chip, [Load(count=7), bias, compute], image))


def stepper(chip: Chip) -> Program:
    """A program whose weights and random states change at each step, with an input and outputs."""
    rng = np.random.default_rng(8)
    order = [
        Load(row=0, count=2),
        Compute(
            **mode_fields("convolution"),
            iterations=2,
            height=4,
            width=5,
            source_height=4,
            source_width=5,
            source_pitch=7,
            target_space=Space.GRADIENT,
            target_pitch=5,
            shift=11,
            rounding=Rounding.STOCHASTIC,
        ),
        Compute(
            **mode_fields("convolution_weights"),
            iterations=2,
            height=4,
            width=5,
            source_height=4,
            source_width=5,
            source_pitch=7,
            pixel_space=Space.GRADIENT,
            pixel_pitch=5,
            base=Base.ROW,
            base_shift=14,
            shift=14,
            rounding=Rounding.STOCHASTIC,
        ),
    ]
    regions = {
        "inputs": {
            "image": Region(
                name="image", store=Store.FEATURE, kind=Kind.MAP, base=0, shape=(4, 5, 3), pitch=7, fraction=8
            )
        },
        "outputs": {
            "map": Region(
                name="map", store=Store.GRADIENT, kind=Kind.MAP, base=0, shape=(4, 5, 2), pitch=5, fraction=8
            ),
            "kernels": Region(
                name="kernels", store=Store.WEIGHT, kind=Kind.FILTERS, base=0, shape=(2, 3, 3, 3), fraction=8
            ),
        },
    }
    return program_of(chip, order, random_image(chip, rng), regions)


def test_steps_are_runs():
    program = stepper(CHIPS["paper"])
    samples = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (5, 4, 5, 3))
    order = np.array([4, 0, 0, 3, 1, 2, 4])
    many, single = FastMachine(program), FastMachine(program)
    collect = ("kernels", "map")
    found = many.run("main", {"image": samples}, steps=7, order=order, collect=collect, count_zeros=True)
    counters = np.zeros_like(found.counters)
    for step, sample in enumerate(order):
        expected = single.run("main", {"image": samples[sample][None]}, count_zeros=True)
        counters += expected.counters
        for name, values in expected.outputs.items():
            assert (found.outputs[name][step] == values).all()
        assert found.cycles == expected.cycles
    assert (found.counters == counters).all()
    assert many.image.differences(single.image) == 0
    assert set(many.run("main").outputs) == {"kernels", "map"}


def test_memory_does_not_grow_with_steps():
    program = stepper(CHIPS["paper"])
    machine = FastMachine(program)
    samples = np.zeros((1, 4, 5, 3), np.int16)
    peaks = []
    for steps in (10, 10, 10_000):
        order = np.zeros(steps, np.int64)
        tracemalloc.start()
        machine.run("main", {"image": samples}, steps=steps, order=order)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 10_000


def test_refuses_what_does_not_fit():
    program = stepper(CHIPS["paper"])
    machine = FastMachine(program)
    image = np.zeros((2, 4, 5, 3), np.int16)
    before = machine.image.copy()
    refused: list[tuple[dict[str, Any], str]] = [
        ({"steps": 0}, "steps"),
        ({"steps": 2, "trace": True}, "steps"),
        ({"inputs": {"picture": image}}, "picture"),
        ({"inputs": {"image": image[0]}}, "image"),
        ({"inputs": {"image": image.astype(float)}}, "image"),
        ({"inputs": {"image": np.full(image.shape, 1 << 15)}}, "16 bits"),
        ({"inputs": {"image": image}, "steps": 3}, "every step"),
        ({"inputs": {"image": image}, "order": np.array([2])}, "every step"),
        ({"inputs": {"image": image}, "order": np.array([-1])}, "every step"),
        ({"order": np.array([0, 0])}, "order"),
        ({"collect": ("image",)}, "image"),
    ]
    for arguments, reason in refused:
        with pytest.raises(InputError, match=reason):
            machine.run("main", **arguments)
    with pytest.raises(ProgramError, match="train"):
        machine.run("train")
    with pytest.raises(ProgramError):
        FastMachine(replace(program, streams={**program.streams, Engine.ARRAY: [Compute(), Halt()]}))
    assert machine.image.differences(before) == 0


def test_zeros_are_counted_where_asked_for():
    chip, rng = CHIPS["paper"], np.random.default_rng(8)
    program = program_of(chip, [random_nest(chip, rng, "dense") for _ in range(3)], random_image(chip, rng))
    asked, plain = FastMachine(program), FastMachine(program)
    found, without = asked.run("main", steps=2, count_zeros=True), plain.run("main", steps=2)
    traced = FastMachine(program).run("main", trace=True)
    zeros = Event.ZERO_PRODUCTS
    assert found.counters[Engine.ARRAY, zeros] == 2 * traced.counters[Engine.ARRAY, zeros] > 0
    assert set(without.counters[:, zeros]) == {UNCOUNTED} == set(without.turned)
    assert all(set(events[:, zeros]) == {UNCOUNTED} for events in without.per_instruction.values())
    without.counters[:, zeros] = found.counters[:, zeros]
    assert (without.counters == found.counters).all()
    assert asked.image.differences(plain.image) == 0


def test_counters_hold_every_step():
    machine = FastMachine(stepper(CHIPS["paper"]))
    result = machine.run("main", steps=3)
    once = machine.run("main")
    fixed = [event for event in Event if event not in DATA_DEPENDENT]
    assert (result.counters[:, fixed] == 3 * once.counters[:, fixed]).all()
    assert result.cycles == once.cycles


def test_a_single_group_has_a_function_of_its_own():
    """The reference network's step: executed as grouped nests its convolutions would take three times as long."""
    program = compile_reference(CHIPS["paper"]).program
    assert program
    nests = [item for stream in program.streams.values() for item in stream if isinstance(item, Compute)]
    assert nests and {fast_table.kind_of(nest) for nest in nests} <= set(fast_table.PLAIN)
