"""The whole chip in Verilator against `reference` (values), `arch.timing` (cycles) and `arch.counts` (events)."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from arch.chip import Chip
from arch.counts import counted
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Compute, Destination, Engine, Halt, Load, Loss, Space
from arch.legal import problems
from arch.modes import MODES
from arch.ordering import stream_problems
from arch.timing import duration, schedule
from tests.rtl.computes import Draw, held, loads_for
from tests.rtl.harness import Harness
from tests.rtl.reference import Reference
from tests.rtl.test_array import CHIPS, random_image


@pytest.fixture(scope="module", params=CHIPS)
def harness(request):
    return Harness(CHIPS[request.param])


def random_load(destination: Destination, chip: Chip, rng: np.random.Generator) -> Load:
    """A legal LOAD of the destination."""
    while True:
        count = 1 + int(rng.integers({0: chip.kernel_registers, 1: chip.taps, 2: 1}[int(destination)]))
        kernel = destination == Destination.KERNEL
        load = Load(
            destination=destination,
            rotate=int(rng.integers(2)) * kernel,
            transpose=int(rng.integers(2)) * kernel,
            row=int(rng.integers(chip.weight_rows)),
            count=count,
            space=Space(int(rng.integers(2))),
            source=int(rng.integers(chip.feature_words)),
        )
        if not list(problems(load, chip)):
            return load


def random_loss(chip: Chip, rng: np.random.Generator) -> Loss:
    """A legal LOSS."""
    while True:
        loss = Loss(
            space=Space(int(rng.integers(2))),
            source=int(rng.integers(chip.feature_words)),
            label=int(rng.integers(chip.feature_words)),
            target=int(rng.integers(chip.feature_words)),
            count=1 + int(rng.integers(chip.multipliers)),
            source_fraction=int(rng.integers(16)),
            target_fraction=int(rng.integers(16)),
        )
        if not list(problems(loss, chip)):
            return loss


def executed(array: list, image: Image, chip: Chip) -> dict[int, np.ndarray]:
    """The iterations that each COMPUTE with `skip` makes, by its place in the stream."""
    reference, found = Reference(image, chip), {}
    for index, instruction in enumerate(array):
        reference.run(instruction)
        if isinstance(instruction, Compute) and instruction.skip:
            found[index] = np.array(reference.executed)
    return found


def check(harness: Harness, array: list, vector: list, image: Image) -> None:
    """Run the streams and compare everything."""
    chip = harness.chip
    streams: dict[Engine, list] = {Engine.ARRAY: array, Engine.VECTOR: vector, Engine.DMA: [Halt()]}
    assert not list(stream_problems(streams, chip))
    made = {Engine.ARRAY: executed(array, image, chip), Engine.VECTOR: {}, Engine.DMA: {}}
    durations = {
        engine: [duration(item, chip, made[engine].get(index)) for index, item in enumerate(stream)]
        for engine, stream in streams.items()
    }
    slots = schedule(streams, durations)
    got = harness.run(streams, image)
    assert sorted(got.retired) == sorted((int(slot.engine), slot.index, slot.last) for slot in slots)
    assert got.cycles == slots[-1].last
    assert (got.control, got.interrupt) == (2, 1)
    reference = Reference(image, chip)
    for engine in ENGINES:
        expected: Counter = Counter()
        reference.events = dict.fromkeys(reference.events, 0)
        for slot in slots:
            if slot.engine == engine:
                expected += counted(streams[engine][slot.index], chip, made[engine].get(slot.index))
                reference.run(streams[engine][slot.index])
        expected += reference.events
        assert got.counters[engine] == {event: expected[event] for event in Event}
    for name in ("feature", "gradient", "weight", "random"):
        np.testing.assert_array_equal(getattr(got.image, name), getattr(reference.image, name), name)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode(harness, mode):
    rng = np.random.default_rng(list(mode.encode()))
    draw = Draw(mode, harness.chip, rng)
    if mode == "scatter" and harness.chip.accumulator_banks == 1:
        pytest.skip("a scatter needs two accumulator banks")
    for _ in range(2):
        stream: list = []
        while len(stream) < harness.chip.program_memory.instructions - 7:
            for part in held(draw.compute(), draw):
                stream += [*loads_for(part, harness.chip, rng), part]
        check(harness, [*stream, Halt()], [Halt()], random_image(harness.chip, rng))


def test_losses(harness):
    rng = np.random.default_rng(5)
    for _ in range(4):
        losses = [random_loss(harness.chip, rng) for _ in range(20)]
        check(harness, [Halt()], [*losses, Halt()], random_image(harness.chip, rng))


def test_tokens_order_the_engines(harness):
    rng = np.random.default_rng(6)
    to_array, to_vector = 1 << Engine.ARRAY, 1 << Engine.VECTOR
    array: list = []
    vector: list = []
    for i in range(8):
        load = random_load(Destination.VECTOR, harness.chip, rng)
        array.append(replace(load, wait=to_vector if i else 0, signal=to_vector))
        vector.append(replace(random_loss(harness.chip, rng), wait=to_array, signal=to_array))
    check(harness, [*array, Halt(wait=to_vector)], [*vector, Halt()], random_image(harness.chip, rng))
