"""The array lit: which multipliers have something to multiply, and how often."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from arch.errors import InputError
from arch.events import Event
from arch.isa import Engine, Opcode
from arch.program import Program
from explore.pictures.style import Picture, shortened, words
from sim.result import write_inputs
from sim.stepping import SteppingMachine
from sim.stepping_multipliers import operands
from sim.stepping_skip import first_made
from sim.stepping_state import Phase

_MOST_CYCLES = 200_000
"""Cycles of a pass beyond which watching every one takes too long."""
_COLUMNS = 4


def array_lit(program: Program, entry: str, inputs: dict[str, np.ndarray] | None = None) -> Picture:
    """The T x L multipliers for each layer and phase of one pass of `entry`, lit by how often they multiply.

    A multiplier's brightness is the share of the row's busy cycles in which both its operands are not zero, watched
    clock by clock on the stepping simulator: padding, lanes without a channel and zeros left by ReLU stay dark.
    `inputs` are integers by the names of the program's input regions; without them they are made, real numbers from 0
    to 1 and label 0, and the title says so. Raises `InputError` if the pass takes more than 200,000 cycles.

    >>> from tinycl import Network, compile
    >>> program = compile(Network("n", (3, 4, 4)).conv(4).dense(2)).program
    >>> array_lit(program, "infer").axes[0].get_title().splitlines()[0]
    'conv1 forward'
    """
    rows = watched(program, entry, inputs or _made(program))
    chip = program.chip
    lines = -(-len(rows) // _COLUMNS)
    columns = min(len(rows), _COLUMNS)
    size = (2.2 * columns + 1.2, (1.7 * chip.taps / chip.lanes + 0.7) * lines + 0.4)
    picture = Picture(figsize=size)
    panels = picture.subplots(lines, columns, squeeze=False).reshape(-1)
    image = None
    for axes, ((layer, phase), share) in zip(panels, rows.items(), strict=False):
        image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, aspect="equal")
        axes.set_title(f"{shortened(layer)} {words(phase)}\n{share.mean():.0%} lit", fontsize=9)
        axes.set_xticks([0, chip.lanes - 1], ["lane 0", str(chip.lanes - 1)], fontsize=8)
        axes.set_yticks([0, chip.taps - 1], ["tap 0", str(chip.taps - 1)], fontsize=8)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    made = "" if inputs else ", made inputs"
    picture.suptitle(f"one {entry} pass on chip {chip.name}, {chip.taps} taps x {chip.lanes} lanes{made}", fontsize=11)
    if image is not None:
        label = "share of busy cycles\nwith a product that is not zero"
        picture.colorbar(image, ax=panels.tolist(), label=label, fraction=0.05)
    return picture


def _made(program: Program) -> dict[str, np.ndarray]:
    """Random numbers from 0 to 1 for every input; a label, which has no fraction bits, is 0."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 2 ** max(0, item.fraction), item.shape) for name, item in program.inputs.items()}


def watched(program: Program, entry: str, inputs: dict[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """For each layer and phase with steps, the share of its busy cycles in which each multiplier works, float[T, L]."""
    chip = program.chip
    machine = SteppingMachine(program)
    write_inputs(program, machine.image, inputs)
    machine.start(entry)
    state, code = machine.state, machine.tables[1]
    sequencer, counters, cells = state["sequencer"], state["counters"][Engine.ARRAY], state["cells"]
    products: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(chip.multipliers))
    busy: dict[tuple[str, str], int] = defaultdict(int)
    while machine.running:
        if machine.cycle > _MOST_CYCLES:
            raise InputError(
                f"entry {entry} must end within {_MOST_CYCLES:,} cycles to be watched; take a smaller network"
            )
        running = sequencer["phase"][Engine.ARRAY] == Phase.RUN
        place = int(sequencer["place"][Engine.ARRAY])
        steps, works = int(counters[Event.STEPS]), None
        if running and code[place]["opcode"] == Opcode.COMPUTE and state["step"]["groups"]:
            works = _nonzero(state, code[place], cells, chip.multipliers)
        machine.advance(1)
        if running:
            step = program.steps[Engine.ARRAY][place - int(sequencer["first"][Engine.ARRAY])]
            busy[step.layer, step.phase] += 1
            if works is not None and counters[Event.STEPS] > steps:
                products[step.layer, step.phase] += works
    return {row: (count / busy[row]).reshape(chip.taps, chip.lanes) for row, count in products.items()}


def _nonzero(state: np.void, instruction: np.void, cells: np.ndarray, count: int) -> np.ndarray:
    """Whether both operands of each multiplier are not zero, if a step is taken in the coming cycle."""
    if not state["step"]["begun"]:
        state["step"]["j"] = first_made(state, instruction)
    a, b = operands(state, instruction)
    return (cells[a : a + count] != 0) & (cells[b : b + count] != 0)
