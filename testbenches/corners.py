"""Programs of one corner each: what random draws meet too seldom, said by the instructions wanted and the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from arch.chip import Chip
from arch.isa import Base, Compute, Instruction, Reduction, Rounding, Stationary, Traversal
from arch.legal import problems
from arch.modes import MODES, SKIPPING
from arch.nest_rules import most_iterations
from arch.program import Program
from arch.spans import source_spans
from arch.timing import writes_rows
from testbenches.generate import KINDS, LOADS, random_instruction, random_program
from testbenches.images import IMAGES

_DRAWS = 200
"""Draws after which a corner that a chip does not have is given up for any instruction of the kind."""


@dataclass(frozen=True)
class Corner:
    """Kinds of instructions, which of them are wanted, and a name of `IMAGES`. What is no COMPUTE is always wanted.

    `fields` are given to each instruction that is legal with them, where what is wanted is drawn too seldom.
    """

    kinds: tuple[str, ...] = KINDS
    nest: Callable[[Compute, Chip], bool] = lambda nest, chip: True
    image: str = "mixed"
    length: int = 8
    chains: float = 0
    fields: Mapping[str, int] = field(default_factory=dict)

    def wants(self, instruction: Instruction, chip: Chip) -> bool:
        """Whether the instruction is of the corner."""
        return not isinstance(instruction, Compute) or self.nest(instruction, chip)


_WINDOWS = tuple(name for name in MODES if name.startswith(("convolution", "depthwise")))
_BLOCKS = tuple(name for name in MODES if name.startswith("dense"))
_PIXELS = tuple(name for name in MODES if name.startswith(("pixelwise", "maximum", "match")))
_GATHERS = tuple(name for name in _PIXELS if name != "pixelwise_bias")
_GROUPED = (*(name for name in _WINDOWS if name != "convolution_bias"), *_GATHERS)
_RELOADED = (*(name for name in _GROUPED if MODES[name].stationary == Stationary.KERNEL), "scatter")
_MAXIMA = ("maximum", "maximum_index", "match")
_UPDATES = tuple(name for name, mode in MODES.items() if writes_rows(Compute(**mode._asdict())))
_FORWARD = ("convolution", "convolution_by_channel")


def _words(nest: Compute) -> int:
    return nest.height * nest.width


def _fills_accumulator(nest: Compute, chip: Chip) -> bool:
    """All that its mode can sum: the most iterations, no shift to hide the low bits."""
    summed = nest.reduction != Reduction.NONE or _words(nest) > 4
    return summed and nest.iterations == most_iterations(nest, chip) and nest.shift <= 1


def _busy_port(nest: Compute, chip: Chip) -> bool:
    """A position a step, read and written in one memory."""
    shares = source_spans(nest) != [] and nest.source_space == nest.target_space and not writes_rows(nest)
    return shares and nest.iterations == 1 and _words(nest) >= 4


def _ties(nest: Compute, chip: Chip) -> bool:
    return 0 < nest.shift < 2 * chip.word_bits - 2 and nest.rounding in (Rounding.RND, Rounding.RND_CONV)


def _updates(nest: Compute, chip: Chip) -> bool:
    """Weights to which small updates add nothing, and which large ones carry beyond the word."""
    return nest.base == Base.ROW and nest.shift > 1 and nest.shift <= nest.base_shift <= nest.shift + 4


def _matches(nest: Compute, chip: Chip) -> bool:
    """Kernel tap 1 of whole blocks inside the map."""
    inside = nest.pad_top + nest.pad_left == 0 and _words(nest) % chip.taps == 0
    return inside and nest.tap == 1 and nest.outer * nest.kernel_height * nest.kernel_width == 1


_ONE_TAP = {"pad_top": 0, "pad_left": 0, "tap": 1, "outer": 1, "kernel_height": 1, "kernel_width": 1}
CORNERS: dict[str, Corner] = {
    "one place": Corner(nest=lambda nest, _: _words(nest) == 1),
    "one channel": Corner(_WINDOWS + LOADS, lambda nest, _: nest.iterations == 1),
    "partial last block": Corner(_BLOCKS + _PIXELS + LOADS, lambda nest, chip: _words(nest) % chip.taps != 0),
    "even snake": Corner(_WINDOWS, lambda n, _: n.traversal == Traversal.SNAKE and n.height > 1 and n.height % 2 == 0),
    "odd snake": Corner(_WINDOWS, lambda n, _: n.traversal == Traversal.SNAKE and n.height > 2 and n.height % 2 == 1),
    "all smallest": Corner(image="smallest"),
    "full accumulators": Corner((*MODES, *LOADS), _fills_accumulator, "smallest"),
    "saturation both ways": Corner(nest=lambda nest, chip: nest.shift < chip.word_bits, image="extremes"),
    "ties": Corner(nest=_ties, image="ties"),
    "all zero": Corner(image="zeros"),
    "no zero": Corner(image="no zeros"),
    "a port used every cycle": Corner((*_FORWARD, "load_kernel", "load_bias"), _busy_port),
    "groups": Corner(_GROUPED + LOADS, lambda nest, _: nest.outer * nest.inner > 1),
    "kernels loaded by nests": Corner(_RELOADED, lambda nest, _: nest.reload * nest.outer > 1),
    "inner steps": Corner(_PIXELS + LOADS, lambda nest, _: nest.kernel_height * nest.kernel_width > 1),
    "sums kept": Corner(_WINDOWS + _BLOCKS + _PIXELS + LOADS, chains=1),
    "equal maxima": Corner((*_MAXIMA, "load_kernel"), image="few values"),
    "one number matched": Corner(("match",), _matches, "ones", fields=_ONE_TAP),
    "updates lost and too large": Corner(_UPDATES, _updates, "scales"),
    "little to do": Corner((*SKIPPING, *LOADS), lambda nest, _: nest.skip == 1, "sparse"),
    "nothing to do": Corner((*SKIPPING, *LOADS), lambda nest, _: nest.skip == 1, "zeros"),
    "engines back to back": Corner(("dense_bias", "load_vector", "loss"), length=12),
    "tokens both ways": Corner(("dense", "loss", "dense_input"), length=10),
}
"""Every corner, by name."""


def _drawn(chip: Chip, rng: np.random.Generator, kind: str, corner: Corner) -> Instruction:
    """A legal instruction, with the corner's fields if it is legal with them too."""
    item = random_instruction(chip, rng, kind)
    fixed = replace(item, **corner.fields) if corner.fields else item
    return item if list(problems(fixed, chip)) else fixed


def corner_program(chip: Chip, rng: np.random.Generator, name: str) -> Program:
    """A legal program of a corner of `CORNERS`."""
    corner = CORNERS[name]

    def wanted(chip: Chip, rng: np.random.Generator, kind: str) -> Instruction:
        item = _drawn(chip, rng, kind, corner)
        for _ in range(_DRAWS):
            if corner.wants(item, chip):
                break
            item = _drawn(chip, rng, kind, corner)
        return item

    length = min(corner.length, chip.program_memory.instructions - 2)
    return random_program(
        chip,
        rng,
        length,
        kinds=corner.kinds,
        draw=wanted,
        image=IMAGES[corner.image],
        chains=corner.chains,
    )
