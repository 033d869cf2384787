"""TRANSFER in both simulators: the words that numpy moves, cycles counted by hand, and overlap with the array."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Destination, Engine, Halt, Instruction, Load, OnChip, Storage, Transfer
from arch.layout import Kind, Region, Store
from arch.legal import problems
from arch.program import Entry, Program, Step
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from testbenches.generate import random_program
from testbenches.generate_chips import random_chips
from testbenches.images import random_image
from testbenches.transfers import TRANSFERS, random_transfer

TINY = Chip.load("tiny")
OCTETS = random_chips(6, 1)[5]
CHIPS = [TINY, *(chip for chip in (*random_chips(8, 2), OCTETS) if chip.external_memory)]
MACHINES = (FastMachine, SteppingMachine)


def program(dma: Sequence[Instruction], image: Image, array: Sequence[Instruction] = (), chip=TINY) -> Program:
    streams = {Engine.ARRAY: [*array, Halt()], Engine.VECTOR: [Halt()], Engine.DMA: [*dma, Halt()]}
    return Program(
        chip=chip,
        streams=streams,
        steps={engine: [Step(layer="test", phase="forward")] * len(stream) for engine, stream in streams.items()},
        entries={"main": Entry(start={engine.name.lower(): 0 for engine in ENGINES})},
        image=image,
    )


def moved(transfer: Transfer, image: Image, chip: Chip) -> Image:
    """The image afterwards, word by word from the fields' description."""
    image = image.copy()
    memory = getattr(image, transfer.memory.name.lower()).reshape(-1, chip.lanes)
    weights = transfer.memory == OnChip.WEIGHT
    unit = chip.taps if weights else 1
    octets = image.external.view(np.int8).reshape(-1, chip.lanes)
    external, spare = (octets, 0) if transfer.storage == Storage.BYTE else (image.external, 16 - chip.word_bits)
    for line in range(transfer.lines):
        for i in range(transfer.count * unit):
            first = (transfer.row + line * transfer.count) * unit if weights else transfer.word + line * transfer.pitch
            outside = transfer.external + line * transfer.external_pitch + i
            if transfer.outward:
                external[outside] = memory[first + i].astype(external.dtype)
            else:
                memory[first + i] = external[outside].astype(np.int16) << spare >> spare
    return image


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", TRANSFERS)
@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_words_lie_where_the_fields_say(machine, kind, chip):
    rng = np.random.default_rng(5)
    seen = 0
    while seen < 25:
        transfer = random_transfer(chip, rng, kind)
        if any(problems(transfer, chip)):
            continue
        image = random_image(chip, rng)
        run = machine(program([transfer], image, chip=chip))
        run.run("main")
        expected = moved(transfer, image, chip)
        assert run.image.differences(expected) == 0
        seen += expected.differences(image) > 0


def test_bytes_are_among_what_is_moved():
    rng = np.random.default_rng(5)
    drawn = [random_transfer(OCTETS, rng, TRANSFERS[0]) for _ in range(40)]
    assert OCTETS.word_bits == 16 and {item.storage for item in drawn} == set(Storage)
    assert {chip.word_bits for chip in CHIPS if chip.stores_bytes} > {16}


@pytest.mark.parametrize("machine", MACHINES)
def test_cycles_of_a_program(machine):
    # cycle 1 fetches, 2 waits; 20 words in take 44 cycles, 3 ... 46; fetch and wait; 3 words out take 3 + 6 + 2
    dma = [Transfer(count=5, lines=4, pitch=5, external_pitch=9), Transfer(count=3, outward=1, external=40)]
    result = machine(program(dma, Image.blank(TINY, external_words=64))).run("main", trace=True)
    assert [item.cycle for item in result.retirements if item.engine == Engine.DMA] == [46, 59, 61]
    counters = dict(zip(Event, result.counters[Engine.DMA].tolist(), strict=True))
    wanted = {Event.INSTRUCTIONS: 3, Event.BUSY: 55, Event.EXTERNAL_READS: 40, Event.EXTERNAL_WRITES: 6}
    wanted |= {Event.FEATURE_WRITES: 20, Event.FEATURE_READS: 3}
    assert {event: count for event, count in counters.items() if count} == wanted


@pytest.mark.parametrize("machine", MACHINES)
def test_the_array_runs_beside_a_transfer(machine):
    """Loads of page 0 while page 1 of the same memory is filled: neither takes a cycle more."""
    load = Load(destination=Destination.VECTOR, count=4)
    first = TINY.kernel * TINY.page_depth(TINY.feature_memory)
    transfer = Transfer(word=first, count=30)
    together = program([transfer], Image.blank(TINY, external_words=64), [load] * 6)
    result = machine(together).run("main", trace=True)
    array = [item.cycle for item in result.retirements if item.engine == Engine.ARRAY]
    assert array == [7 * (i + 1) for i in range(6)] + [44]
    assert result.cycles == 2 + 3 + 60 + 1 + 2 == 68
    ordered = replace(transfer, wait=1 << Engine.ARRAY)
    after = program([ordered], Image.blank(TINY, external_words=64), [*[load] * 5, replace(load, signal=1 << 2)])
    assert machine(after).run("main").cycles == 42 + 1 + 64 + 2


@pytest.mark.parametrize("machine", MACHINES)
def test_inputs_and_outputs_may_lie_outside(machine):
    made = program([Transfer(count=4), Transfer(count=4, outward=1, external=20)], Image.blank(TINY, external_words=32))
    x = Region(name="x", store=Store.EXTERNAL, kind=Kind.MAP, base=0, shape=(2, 2, 3), pitch=2, fraction=0)
    made.inputs = {"x": x}
    made.outputs = {"y": x.model_copy(update={"name": "y", "base": 20})}
    values = np.arange(12).reshape(2, 2, 3) - 6
    run = machine(made)
    given = {"x": values} if machine is SteppingMachine else {"x": values[None]}
    assert np.array_equal(run.run("main", given).outputs["y"], values)


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_the_simulators_agree_at_every_retirement(chip):
    for seed in range(12):
        made = random_program(chip, np.random.default_rng([seed, 8]), 10, kinds=(*TRANSFERS * 2, "load_vector", "loss"))
        fast, stepping = FastMachine(made), SteppingMachine(made)
        assert fast.run("main", trace=True).retirements == stepping.run("main", trace=True).retirements
        assert fast.image.differences(stepping.image) == 0


def test_an_abort_leaves_what_was_moved_before():
    """Beats of a word that leave one a cycle from cycle 4 on: in cycle 7 two words have left."""
    image = Image.blank(TINY, external_words=16)
    image.feature[:8] = 7
    machine = SteppingMachine(program([Transfer(count=8, outward=1)], image))
    machine.start("main")
    machine.advance(7)
    machine.abort()
    assert np.array_equal(np.flatnonzero(machine.image.external.all(axis=1)), [0, 1])
    assert not machine.running
