"""The whole chip in Verilator against `reference` (values), `arch.timing` (cycles) and `arch.counts` (events)."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from arch.chip import Chip
from arch.counts import counted
from arch.events import Event
from arch.image import Image
from arch.isa import (
    ENGINES,
    MODES,
    Base,
    Compute,
    Destination,
    Emission,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Moving,
    Overflow,
    Reduction,
    Rounding,
    Space,
    Stationary,
    Traversal,
    mode_fields,
)
from arch.legal import problems
from arch.limits import memory_words
from arch.nest_rules import most_iterations
from arch.ordering import stream_problems
from arch.timing import duration, schedule
from tests.rtl.harness import Harness
from tests.rtl.reference import Reference

CHIPS = {
    "tiny": Chip.load("tiny"),
    # what `tiny` is not: 3 x 3, a row in two beats, narrow words, one accumulator bank, more registers than lanes
    "odd": Chip.load("tiny").replace(
        name="odd",
        taps=9,
        lanes=2,
        word_bits=11,
        accumulator_bits=36,
        accumulator_banks=1,
        kernel_registers=4,
        vector_unit={"elements_per_cycle": 2},
        feature_memory={"bytes": 1024, "banks": 3, "ports": 1},
        gradient_memory={"bytes": 900, "banks": 3, "ports": 1},
        weight_memory={"bytes": 2048, "banks": 5, "ports": 1},
    ),
    # a row in one beat
    "flat": Chip.load("tiny").replace(name="flat", weight_memory={"bytes": 2048, "banks": 4, "ports": 1}),
}


@pytest.fixture(scope="module", params=CHIPS)
def harness(request):
    return Harness(CHIPS[request.param])


def random_image(chip: Chip, rng: np.random.Generator) -> Image:
    """Values of all sizes, so that some results saturate and some updates are lost."""
    image = Image.blank(chip, seed=int(rng.integers(1 << 60)))
    for memory in (image.feature, image.gradient, image.weight):
        bits = rng.integers(2, chip.word_bits + 1, size=memory.shape)
        high = (1 << bits - 1).astype(np.int64)
        memory[...] = rng.integers(-high, high)
    return image


def random_compute(mode: str, chip: Chip, rng: np.random.Generator) -> Compute:
    """A legal COMPUTE of the mode."""
    while True:
        compute = _any_compute(mode, chip, rng)
        if not list(problems(compute, chip)):
            return compute


def _any_compute(mode: str, chip: Chip, rng: np.random.Generator) -> Compute:
    def below(limit: int) -> int:
        return int(rng.integers(limit))

    which = MODES[mode]
    walks = which.moving in (Moving.WINDOW, Moving.UNIT)
    spaces = [Space(int(space)) for space in rng.permutation(2)]
    side = chip.kernel
    rows = which.reduction == Reduction.NONE and which.emission != Emission.POSITION
    height, width = 1 + below(5), 1 + below(6)
    pads = below(side), below(side)
    fields: dict[str, Any] = dict(
        **mode_fields(mode),
        height=height,
        width=width,
        traversal=(Traversal.SNAKE, Traversal.RASTER)[below(2)] if walks else Traversal.BLOCK,
        source_height=max(1, height - pads[0] + below(2)),
        source_width=max(1, width - pads[1] + below(2)),
        pad_top=pads[0],
        pad_left=pads[1],
        source_space=spaces[0],
        source=below(memory_words(chip, spaces[0])),
        source_pitch=1 + side * below(5) if which.moving == Moving.WINDOW and below(6) else below(12),
        pixel_space=spaces[1],
        pixel=below(memory_words(chip, spaces[1])),
        pixel_pitch=below(12),
        row=below(chip.weight_rows),
        negate=below(2),
        base=Base.ROW if rows else Base(below(2)),
        base_shift=below(14),
        shift=below(18) if below(8) else below(chip.accumulator_bits),
        rounding=Rounding(below(4)),
        overflow=Overflow(below(2)),
    )
    if which.emission == Emission.END or which.moving not in (Moving.WINDOW, Moving.BLOCK):
        fields["iterations"] = 1
    if not rows:
        target = Space(below(2))
        fields |= {"target_space": target, "target": below(memory_words(chip, target)), "target_pitch": below(12)}
        fields |= {"relu": below(2), "mask": below(2), "mask_space": Space(1 - target)}
        fields |= {"mask_source": below(memory_words(chip, Space(1 - target))), "mask_pitch": below(12)}
    most = most_iterations(Compute(**fields), chip)
    return Compute(**{**fields, "iterations": 1 + below(most)})


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


def loads_for(compute: Compute, chip: Chip, rng: np.random.Generator) -> list[Instruction]:
    """Registers filled at random before a COMPUTE that uses them."""
    found: list[Instruction] = []
    if compute.moving == Moving.VECTOR or compute.stationary == Stationary.VECTOR:
        found.append(random_load(Destination.VECTOR, chip, rng))
    if compute.stationary == Stationary.KERNEL:
        found.append(random_load(Destination.KERNEL, chip, rng))
    if compute.base == Base.BIAS:
        found.append(random_load(Destination.BIAS, chip, rng))
    return found


def check(harness: Harness, array: list, vector: list, image: Image) -> None:
    """Run the streams and compare everything."""
    chip = harness.chip
    streams: dict[Engine, list] = {Engine.ARRAY: array, Engine.VECTOR: vector, Engine.DMA: [Halt()]}
    assert not list(stream_problems(streams, chip))
    slots = schedule(streams, {e: [duration(item, chip) for item in stream] for e, stream in streams.items()})
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
                expected += counted(streams[engine][slot.index], chip)
                reference.run(streams[engine][slot.index])
        expected += reference.events
        assert got.counters[engine] == {event: expected[event] for event in Event}
    for name in ("feature", "gradient", "weight", "random"):
        np.testing.assert_array_equal(getattr(got.image, name), getattr(reference.image, name), name)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode(harness, mode):
    rng = np.random.default_rng(list(mode.encode()))
    for _ in range(4):
        stream: list = []
        while len(stream) < harness.chip.program_memory.instructions - 5:
            compute = random_compute(mode, harness.chip, rng)
            stream += [*loads_for(compute, harness.chip, rng), compute]
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
        array.append(Load(**{**vars(load), "wait": to_vector if i else 0, "signal": to_vector}))
        vector.append(Loss(**{**vars(random_loss(harness.chip, rng)), "wait": to_array, "signal": to_array}))
    check(harness, [*array, Halt(wait=to_vector)], [*vector, Halt()], random_image(harness.chip, rng))
