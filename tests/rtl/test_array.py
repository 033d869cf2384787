"""Instructions on the array engine against `reference` (values), `arch.timing` (cycles), `arch.counts` (events)."""

from collections import Counter

import numpy as np
import pytest

from arch.chip import Chip
from arch.counts import counted
from arch.image import Image
from arch.isa import Compute
from arch.modes import MODES
from arch.timing import duration
from tests.rtl.array_bench import ArrayBench
from tests.rtl.computes import Draw, held, loads_for
from tests.rtl.reference import Reference

CHIPS = {
    "tiny": Chip.load("tiny"),
    # what `tiny` is not: 3 x 3, a row in two beats, narrow words, more accumulator banks and registers than lanes
    "odd": Chip.load("tiny").replace(
        name="odd",
        taps=9,
        lanes=2,
        word_bits=11,
        accumulator_bits=36,
        accumulator_banks=3,
        kernel_registers=4,
        external_memory=None,
        vector_unit={"elements_per_cycle": 2},
        feature_memory={"bytes": 4096, "banks": 3, "ports": 1},
        gradient_memory={"bytes": 3900, "banks": 3, "ports": 1},
        weight_memory={"bytes": 4096, "banks": 5, "ports": 1},
    ),
    # a row in one beat, one accumulator bank, one lane
    "flat": Chip.load("tiny").replace(
        name="flat",
        lanes=1,
        accumulator_banks=1,
        external_memory=None,
        vector_unit={"elements_per_cycle": 1},
        weight_memory={"bytes": 2048, "banks": 4, "ports": 1},
    ),
}


@pytest.fixture(scope="module", params=CHIPS)
def bench(request):
    return ArrayBench(CHIPS[request.param])


def random_image(chip: Chip, rng: np.random.Generator) -> Image:
    """Values of all sizes, so that some results saturate, some updates are lost, and some values are zero."""
    image = Image.blank(chip, seed=int(rng.integers(1 << 60)))
    for memory in (image.feature, image.gradient, image.weight):
        bits = rng.integers(1, chip.word_bits + 1, size=memory.shape)
        high = (1 << bits - 1).astype(np.int64)
        memory[...] = rng.integers(-high, high) * (rng.random(memory.shape) > 0.3)
    return image


def check(bench: ArrayBench, stream: list, image: Image) -> None:
    """Run the instructions one by one and compare everything."""
    chip = bench.chip
    bench.put(image)
    reference = Reference(image, chip)
    for instruction in stream:
        reference.events = dict.fromkeys(reference.events, 0)
        reference.run(instruction)
        executed = None
        if isinstance(instruction, Compute) and instruction.skip:
            executed = np.array(reference.executed)
        cycles, events = bench.run(instruction)
        got = bench.get()
        for name in ("feature", "gradient", "weight", "random"):
            actual, expected = getattr(got, name), getattr(reference.image, name)
            np.testing.assert_array_equal(actual, expected, f"{name} after {instruction}")
        assert cycles == duration(instruction, chip, executed), instruction
        expected = +(Counter(counted(instruction, chip, executed)) + Counter(reference.events))
        for ours in list(expected):
            if ours.name in ("INSTRUCTIONS", "BUSY"):
                del expected[ours]
        assert events == expected, instruction


def several(bench: ArrayBench, mode: str, count: int, seed: int = 0) -> None:
    """Random COMPUTEs of a mode, some of them in two instructions."""
    rng = np.random.default_rng([seed, *mode.encode()])
    draw = Draw(mode, bench.chip, rng)
    for _ in range(count):
        stream: list = []
        for part in held(draw.compute(), draw) if rng.integers(3) == 0 else [draw.compute()]:
            stream += [*loads_for(part, bench.chip, rng), part]
        check(bench, stream, random_image(bench.chip, rng))


@pytest.mark.parametrize("mode", MODES)
def test_a_mode(bench, mode):
    if mode == "scatter" and bench.chip.accumulator_banks == 1:
        pytest.skip("a scatter needs two accumulator banks")
    several(bench, mode, 25)
