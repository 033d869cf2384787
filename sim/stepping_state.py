"""The registers of the stepping machine, each a field of one record, and the tables it reads.

A unit's registers are a record of their own with the unit's name. Arrays have room for the largest chip and are packed
for the chip at hand: word t of a row or window lies at t * lanes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from arch import fields
from arch.chip import Chip
from arch.events import Event
from arch.isa import ENGINES, Compute, Engine, Instruction, Load, Loss
from arch.program import Program

MAX_LANES = 16
PLANE = 832
"""Room for a word of every tap: 49 taps of 16 lanes, rounded up to whole cache lines."""
STAGES = 4
"""Steps that are between X and B at once, and the cycle that is being filled."""
LOSS_SLOTS = 8
"""Words that are between their read and their gradient's write at once, rounded up to a power of two."""


class Phase(IntEnum):
    """What an engine does in a cycle."""

    HALTED = 0
    FETCH = 1
    WAIT = 2
    RUN = 3


class Plane(IntEnum):
    """Where each operand source begins in `cells`; kernel registers follow one another, T x L cells apart."""

    WINDOW = 0
    ROW = PLANE
    PIXEL = 2 * PLANE
    ONE = 3 * PLANE
    UNIT = 4 * PLANE
    ROUTED_MOVING = 5 * PLANE
    ROUTED_STATIONARY = 6 * PLANE
    KERNEL = 7 * PLANE


def _record(**members: type | np.dtype | tuple) -> np.dtype:
    items = [(name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind in members.items()]
    return np.dtype(items, align=True)


_INT = np.int64
_ENGINES = len(ENGINES)

CHIP = _record(
    taps=_INT,
    lanes=_INT,
    multipliers=_INT,
    side=_INT,
    weight_banks=_INT,
    beats=_INT,
    banks=_INT,
    registers=_INT,
    word_bits=_INT,
    feature_words=_INT,
)
SEQUENCER = _record(
    phase=(_INT, (_ENGINES,)),
    place=(_INT, (_ENGINES,)),  # of the instruction, in the code table
    first=(_INT, (_ENGINES,)),  # place of the engine's whole stream
    tokens=(_INT, (_ENGINES, _ENGINES)),  # from, to
    sent=(_INT, (_ENGINES, _ENGINES)),  # visible in the next cycle
)
LOADER = _record(
    left=_INT,  # positions not yet swapped in
    row=_INT,
    column=_INT,
    move=_INT,
    words=_INT,  # of the blocks not yet swapped in
    accesses=_INT,  # of the position
    access=_INT,  # the next one
    held=_INT,  # the window is a position's whose steps are not all taken
    shadow=(np.int16, (PLANE,)),
    pixel=(np.int16, (MAX_LANES,)),
)
ROWS = _record(
    left=_INT,  # rows not yet used
    row=_INT,
    beat=_INT,  # the next one; the row is held when all are requested
)
STEP = _record(
    position=_INT,
    positions=_INT,
    words=_INT,  # of the blocks whose steps are not all taken
    j=_INT,
    drains=_INT,  # drain steps left
    drain=_INT,  # cycles until a step may complete a position
    loads=_INT,
    streams=_INT,  # a step uses a row
    valid=(_INT, (STAGES,)),
    first=(_INT, (STAGES,)),
    cell=(_INT, (STAGES,)),
    emits=(_INT, (STAGES,)),  # words, or 1 row
    reduced=(_INT, (STAGES * PLANE,)),
    base=(np.int16, (STAGES * PLANE,)),
)
EMISSION = _record(
    rows=_INT,  # weight rows are written, not words
    pending=_INT,  # words or rows that steps have emitted and that are not yet written
    left=_INT,  # words to come through B
    word=_INT,
    cell=_INT,
    row=_INT,  # place of the next word in its map
    column=_INT,
    valid=_INT,  # B holds a word or a row
    address=_INT,
    value=(_INT, (PLANE,)),
    mask=(np.int16, (MAX_LANES,)),
    lost=_INT,
)
WRITER = _record(
    valid=_INT,  # S holds a word or a row
    address=_INT,
    value=(np.int16, (PLANE,)),
    row=_INT,  # the next row to write
    beat=_INT,
)
LOSS = _record(
    stage=_INT,
    word=_INT,  # the next one of a pass
    wait=_INT,
    label=_INT,
    largest=_INT,
    total=_INT,
    remainder=_INT,
    inverse=_INT,
    slot=(_INT, (LOSS_SLOTS,)),  # 1 + the word that was read in this cycle modulo LOSS_SLOTS
    logits=(np.int16, (LOSS_SLOTS * MAX_LANES,)),
    rounded=_INT,  # 1 + the word whose gradient is made in this cycle, written in the next one; 0: none
    gradient=(np.int16, (MAX_LANES,)),
)
PORTS = _record(
    word=(_INT, (_ENGINES,)),  # written in this cycle by an engine, gradient words after feature words; -1: none
    row=_INT,  # -1: none
    beat=_INT,
)
STATE = _record(
    cycle=_INT,
    running=_INT,  # engines that have not halted
    ended=_INT,  # a program has ended since the last start
    aborted=_INT,  # by the host, since the last start
    interrupt=_INT,  # raised at a program's end
    fault=_INT,  # register FAULT
    retired=_INT,
    counters=(_INT, (_ENGINES, len(Event))),
    chip=CHIP,
    sequencer=SEQUENCER,
    ports=PORTS,
    loader=LOADER,
    rows=ROWS,
    step=STEP,
    emission=EMISSION,
    writer=WRITER,
    loss=LOSS,
    bias=(np.int16, (PLANE,)),
    cells=(np.int16, (Plane.KERNEL + 16 * PLANE,)),
    accumulators=(_INT, (16 * PLANE,)),
)

_FIELDS = sorted({field.name for kind in (Load, Compute, Loss) for field in fields.layout(kind)})
CODE = np.dtype([(name, np.int64) for name in _FIELDS])
"""An instruction: the fields of all kinds, addresses as linear words."""
RETIRED = np.dtype(
    [("engine", np.int64), ("place", np.int64), ("cycle", np.int64), ("counters", np.int64, (len(Event),))]
)
"""What is noted when an instruction retires; `place` in the code table, `counters` of its engine so far."""


class Memory(NamedTuple):
    """What the machine reads and writes, each flat: `words` is the feature memory, then the gradient memory."""

    words: np.ndarray  # int16[words * lanes]
    rows: np.ndarray  # int16[rows * taps * lanes]
    random: np.ndarray  # uint32[taps * lanes]
    table: np.ndarray  # int64[65], the exponential's


def registers(chip: Chip) -> np.ndarray:
    """The machine's registers after reset, an array of one `STATE`."""
    state = np.zeros(1, STATE)
    sizes = state["chip"][0]
    for name, value in (
        ("taps", chip.taps),
        ("lanes", chip.lanes),
        ("multipliers", chip.multipliers),
        ("side", chip.kernel),
        ("weight_banks", chip.weight_memory.banks),
        ("beats", chip.row_beats),
        ("banks", chip.accumulator_banks),
        ("registers", chip.kernel_registers),
        ("word_bits", chip.word_bits),
        ("feature_words", chip.feature_words),
    ):
        sizes[name] = value
    cells = state["cells"][0]
    cells[Plane.ONE : Plane.ONE + chip.multipliers] = 1
    cells[Plane.UNIT : Plane.UNIT + chip.lanes] = 1
    return state


def code_table(program: Program) -> tuple[np.ndarray, dict[Engine, int]]:
    """All engines' instructions, `CODE`[instructions], and for each engine the place of its first."""
    stream: list[Instruction] = []
    first: dict[Engine, int] = {}
    for engine in ENGINES:
        first[engine] = len(stream)
        stream += program.streams[engine]
    code = np.zeros(len(stream), CODE)
    for place, instruction in enumerate(stream):
        for field in fields.layout(type(instruction)):
            code[place][field.name] = int(getattr(instruction, field.name))
    return code, first
