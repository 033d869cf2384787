"""The paper's chip and training step, estimated at 65 nm, beside what the paper states of its own.

What the paper leaves open is varied: how much its chip holds (a lean chip), how many products have a zero operand, how
weights reach the array, and what an epoch is. No constant of the model is fitted to the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from arch.chip import Chip
from arch.program import Program
from arch.workload import Workload
from compiler.pipeline import TRAIN
from estimate.area import Area, area
from estimate.energy import Energy, energy
from estimate.ranges import Range
from estimate.technology import Technology
from tinycl.reference import PAPER_EPOCH_SECONDS, PAPER_STEPS

PAPER_MM2 = 4.74
PAPER_WATT = 0.086
PAPER_JOULE = round(PAPER_WATT * PAPER_EPOCH_SECONDS, 3)
"""Derived: power times the time of an epoch."""
TECHNOLOGY = "65nm"
ZERO_SHARES = (0.0, 0.25, 0.5)
"""Of the products: none, the central estimate, as many as where a ReLU clears half of one operand."""

LEAST_INSTRUCTIONS = 32
"""The smallest program memory that all memory tables know; more than the reference network's program needs."""


@dataclass(frozen=True)
class Line:
    """One number: the estimate, the paper's, and in words why the one may not hold the other."""

    name: str
    unit: str
    estimate: Range
    paper: float
    why: str

    @property
    def inside(self) -> bool:
        """Whether the paper's number lies in the range."""
        return self.estimate.holds(self.paper)


def lean(chip: Chip, instructions: int) -> Chip:
    """The chip with no more than one accumulator and kernel register a multiplier, program memories of `instructions`,
    and memories that just hold the reference network's 16-bit tensors: image and two maps, two gradients, weights; in
    one page each.
    """
    sizes = {"feature_memory": 49_152, "gradient_memory": 32_768, "weight_memory": 167_936}
    memories = {name: {**getattr(chip, name).model_dump(), "bytes": size, "pages": 1} for name, size in sizes.items()}
    program = {"instructions": instructions}
    name = f"{chip.name}, lean"
    return chip.replace(name=name, accumulator_banks=1, kernel_registers=1, program_memory=program, **memories)


@dataclass(frozen=True)
class Comparison:
    """The lines, the estimates of a step and of the chip, those of a lean chip that does the same step, and of the step
    without clock gates."""

    lines: list[Line]
    energy: Energy
    area: Area
    lean_energy: Energy
    lean_area: Area
    ungated: Energy


def compare(program: Program, one_port_cycles: int) -> Comparison:
    """The paper's chip and step beside the paper.

    `program` is the reference network's; `one_port_cycles` are a step's with one port to the weight memory.
    """
    technology = Technology.load(TECHNOLOGY)
    chip = program.chip
    small = lean(chip, max(LEAST_INSTRUCTIONS, *map(len, program.streams.values())))
    few, some, half = (Workload.of(program, TRAIN, "reference").assuming(share) for share in ZERO_SHARES)
    found = energy(some, technology)
    lean_energy = energy(replace(some, chip=small), technology)
    ungated = energy(some, technology, clock_gating=False)
    others = [energy(few, technology), energy(half, technology), lean_energy]
    step = found.total.widened(*(item.total.central for item in others))
    size, lean_size = area(chip, technology), area(small, technology)
    ideal = sum(row.macs for row in some.rows) / chip.multipliers
    seconds = Range(*(PAPER_STEPS * cycles * chip.clock_ns * 1e-9 for cycles in (ideal, some.cycles, one_port_cycles)))
    parts = {name: item.central / found.seconds for name, item in found.by_component().items()}
    clock = parts["register clock"] + parts["clock tree"]
    sizes = {name: item.central for group in size.tree.values() for name, item in group.items()}
    general = sum(sizes[name] for name in ("accumulators", "kernels", "writeback"))
    lines = [
        Line(
            "area",
            "mm2",
            size.total.widened(lean_size.total.central),
            PAPER_MM2,
            f"{sizes['program memory']:.2g} mm2 are program memories and {general:.2g} mm2 accumulators, kernel "
            "registers and write-back for any network; what the paper's chip has of these, and of memories, is not "
            "known",
        ),
        Line(
            "power of a training step",
            "W",
            step * (1 / found.seconds),
            PAPER_WATT,
            f"multipliers and their adder trees alone take {parts['multipliers']:.2g} W, the registers' clock "
            f"{clock:.2g} W behind clock gates; how many registers the paper's chip has, whether their clock is gated "
            f"(without gates this chip takes {ungated.power.central:.2g} W), its supply and its data are not known",
        ),
        Line(
            f"time of {PAPER_STEPS:,} steps",
            "s",
            seconds,
            PAPER_EPOCH_SECONDS,
            "what an epoch is, is not stated; from no multiplier idle to one port to the weights",
        ),
        Line(
            f"energy of {PAPER_STEPS:,} steps",
            "J",
            step * PAPER_STEPS,
            PAPER_JOULE,
            "the same, and the paper's is its power times its time",
        ),
    ]
    return Comparison(lines, found, size, lean_energy, lean_size, ungated)
