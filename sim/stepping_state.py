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
from arch.isa import ENGINES, Compute, Engine, Instruction, Load, Loss, Transfer, executed
from arch.modes import BY_LANE, mode_of
from arch.program import Program
from arch.transfer import burst_beats

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


class Order(IntEnum):
    """In which order weight rows are fetched."""

    CONSECUTIVE = 0  # an iteration's after another's
    STRIDED = 1  # `row_inner` apart in a position, from a row further on in the next
    GROUPED = 2  # a run for each group


class First(IntEnum):
    """What a step does to the old values of its accumulators."""

    ADD = 0
    REPLACE = 1
    CLEAR_TAPS = 2  # replace, and the bank's other taps become 0
    CLEAR_BANKS = 3  # every iteration's bank becomes 0, then add


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
    line_words=_INT,  # of a line of the line buffer; 0: there is none
    external_beats=_INT,  # of a word; 0: there is no external memory
    beat_lanes=_INT,
    burst=_INT,  # no burst crosses a multiple of so many beats
    latency=_INT,
)
SEQUENCER = _record(
    phase=(_INT, (_ENGINES,)),
    place=(_INT, (_ENGINES,)),  # of the instruction, in the code table
    first=(_INT, (_ENGINES,)),  # place of the engine's whole stream
    known=(_INT, (_ENGINES,)),  # a bit an opcode that the engine executes
    tokens=(_INT, (_ENGINES, _ENGINES)),  # from, to
    sent=(_INT, (_ENGINES, _ENGINES)),  # visible in the next cycle
)
LOADER = _record(
    left=_INT,  # units not yet swapped in
    outer=_INT,  # the unit's group
    inner=_INT,
    row=_INT,  # of the position, or of the next word of a block
    column=_INT,
    move=_INT,
    words=_INT,  # of the group's blocks not yet swapped in
    block_row=_INT,  # of the block's first position
    block_column=_INT,
    kernel_row=_INT,  # the unit's inner step
    kernel_column=_INT,
    reach=_INT,  # positions that an access of a PIXELS block brings at most
    accesses=_INT,  # of the unit; of a PIXELS block, its positions
    access=_INT,  # the next one; of a PIXELS block, the next tap
    held=_INT,  # the window is a unit's whose steps are not all taken
    shadow=(np.int16, (PLANE,)),
    pixels=(np.int16, (PLANE,)),
)
ROWS = _record(
    order=_INT,  # `Order`
    left=_INT,  # runs of rows, one an iteration, not all used
    first=_INT,  # row of the run's iteration 0
    row=_INT,
    j=_INT,
    count=_INT,  # iterations of a run
    outer=_INT,  # the run's group
    inner=_INT,
    beat=_INT,  # the next one; the row is held when all are requested
)
STEP = _record(
    groups=_INT,  # whose steps are not all taken
    outer=_INT,
    inner=_INT,
    position=_INT,
    positions=_INT,
    words=_INT,  # of the group's blocks whose steps are not all taken
    row=_INT,  # of the position, in a scatter
    column=_INT,
    bank=_INT,  # the position's accumulators
    tap=_INT,
    kernel_row=_INT,  # the inner step
    kernel_column=_INT,
    j=_INT,
    begun=_INT,  # the unit's first step is taken
    reloads=_INT,  # load events left before the first step
    drains=_INT,  # drain steps left of a group
    drain=_INT,  # cycles until a step may complete a position
    drained=_INT,  # bank that they read
    loads=_INT,
    streams=_INT,  # a step uses a row
    blocks=_INT,  # a position emits a word for each of its words
    updated=_INT,  # next weight row that a step writes
    valid=(_INT, (STAGES,)),
    first=(_INT, (STAGES,)),  # `First`
    cell=(_INT, (STAGES,)),
    number=(_INT, (STAGES,)),  # of the inner step
    row_of=(_INT, (STAGES,)),  # of the position
    column_of=(_INT, (STAGES,)),
    emits=(_INT, (STAGES,)),  # words, or 1 row
    emitted=(_INT, (STAGES,)),  # cell of the first
    target=(_INT, (STAGES,)),  # weight row that it replaces
    reduced=(_INT, (STAGES * PLANE,)),
    zeros=(_INT, (STAGES,)),  # products with an operand that is zero
    base=(np.int16, (STAGES * PLANE,)),
    mask=(np.int16, (STAGES * MAX_LANES,)),
)
EMISSION = _record(
    rows=_INT,  # weight rows are written, not words
    pending=_INT,  # words or rows that steps have emitted and that are not yet written
    left=_INT,  # words to come through B
    word=_INT,
    cell=_INT,
    outer=_INT,  # group and place in its map of the next word
    row=_INT,
    column=_INT,
    valid=_INT,  # B holds a word or a row
    address=_INT,
    target=_INT,  # its weight row
    value=(_INT, (PLANE,)),
    mask=(np.int16, (MAX_LANES,)),
    lost=_INT,
)
WRITER = _record(
    valid=_INT,  # S holds a word or a row
    address=_INT,
    value=(np.int16, (PLANE,)),
    row=_INT,  # to write
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
DMA = _record(
    clock=_INT,  # the instruction's cycle
    words=_INT,  # not yet read or written on the chip
    line=_INT,  # first word of the line on the chip, and the word of it that is next
    column=_INT,
    line_words=_INT,
    pitch=_INT,
    held=_INT,  # `value` is a whole word: the one to be written to the chip, or the one that leaves
    value=(np.int16, (MAX_LANES,)),
    part=_INT,  # the word's next beat
    word_beats=_INT,
    beats=_INT,  # not yet moved outside
    outside_line=_INT,  # first beat of the line outside, and the beat of it that is next
    outside_column=_INT,
    bursts=_INT,  # number of the burst that moves
    burst_left=_INT,  # its beats not yet moved
    answer=_INT,  # cycle in which the last beat's burst is answered, if that beat is its last
)
PORTS = _record(
    word=(_INT, (_ENGINES,)),  # written in this cycle by an engine, gradient words after feature words; -1: none
    row=_INT,  # -1: none
    beat=_INT,
    tap=_INT,  # word of the weight memory that the DMA writes, row * taps + tap; -1: none
    external=_INT,  # beat that is written outside; -1: none
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
    dma=DMA,
    bias=(np.int16, (PLANE,)),
    cells=(np.int16, (Plane.KERNEL + 16 * PLANE,)),
    accumulators=(_INT, (16 * PLANE,)),
)

_FIELDS = sorted({field.name for kind in (Load, Compute, Loss, Transfer) for field in fields.layout(kind)})
CODE = np.dtype([(name, np.int64) for name in [*_FIELDS, "by_lane"]])
"""An instruction: the fields of all kinds, addresses as linear words, and whether its mode is one of `BY_LANE`."""
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
    external: np.ndarray  # int16[words * lanes]
    lines: np.ndarray  # int16[(K - 1) * line_words * lanes], the line buffer


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
        ("line_words", chip.line_words),
    ):
        sizes[name] = value
    if chip.external_memory is not None:
        sizes["external_beats"] = chip.external_beats
        sizes["beat_lanes"] = chip.external_memory.bytes_per_cycle // 2
        sizes["burst"] = burst_beats(chip)
        sizes["latency"] = chip.external_memory.latency_cycles
    for engine in ENGINES:
        state["sequencer"]["known"][0, engine] = sum(1 << opcode for opcode in executed(engine, chip))
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
        if isinstance(instruction, Compute):
            code[place]["by_lane"] = mode_of(instruction) in BY_LANE
    return code, first
