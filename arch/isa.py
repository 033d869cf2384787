"""The instruction set: engines, operand routes, reductions, emission, and the fields of every instruction.

Each engine runs its own stream. An instruction starts when its engine is free and a token waits from every engine in
`wait`; when it retires it sends a token to every engine in `signal`. What an instruction class may hold is checked by
`arch.legal`; how long it takes is said by `arch.timing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from operator import attrgetter
from typing import Self

from arch import fields
from arch.chip import Chip
from arch.fields import address, choice, number, place


class Engine(IntEnum):
    """Who runs an instruction. A token mask has bit `1 << engine`."""

    ARRAY = 0
    VECTOR = 1
    DMA = 2


@cache
def engines_in(mask: int) -> tuple[Engine, ...]:
    """The engines that a token mask names."""
    return tuple(engine for engine in Engine if mask >> engine & 1)


class Opcode(IntEnum):
    """What an instruction is. ELEMENTWISE is reserved: refused by this version."""

    HALT = 0
    LOAD = 1
    COMPUTE = 2
    LOSS = 3
    TRANSFER = 4
    ELEMENTWISE = 5


class Space(IntEnum):
    """A memory of words."""

    FEATURE = 0
    GRADIENT = 1


class OnChip(IntEnum):
    """A memory that the DMA moves words to and from."""

    FEATURE = 0
    GRADIENT = 1
    WEIGHT = 2


class Moving(IntEnum):
    """Where operand a[t, l] comes from."""

    WINDOW = 0  # K x K words around a position; tap t = row * K + column
    BLOCK = 1  # T words: consecutive ones, or (PIXELS) those that kernel tap k gives T positions
    VECTOR = 2  # the words held in kernel register 0
    ONE = 3  # the constant 1 in every tap
    UNIT = 4  # the constant 1 in tap 0, 0 elsewhere
    KERNEL = 5  # kernel register j


class Stationary(IntEnum):
    """Where operand b[t, l] comes from."""

    KERNEL = 0  # kernel register j
    STREAM = 1  # the next row of the weight memory
    PIXEL = 2  # the word of the gradient (or any) map at this position; (PIXELS) the T words of the T positions
    VECTOR = 3  # the words held in kernel register 0
    MATCH = 4  # 1 where the pixel map, read where the moving word is read, holds the kernel tap's number; else 0


class Route(IntEnum):
    """How T x L operands are made of a source s at iteration j; u is the kernel tap of an inner step, else 0."""

    FULL = 0  # s[t, l]
    LANE = 1  # s[u, l] to every tap
    TAP = 2  # s[t, j] to every lane
    SCALAR = 3  # s[j div L, j mod L] everywhere


class Reduction(IntEnum):
    """What T x L products are summed over."""

    NONE = 0  # T x L results
    TAPS = 1  # L results, one a lane
    BOTH = 2  # one result
    LANES = 3  # T results, one a tap
    MAXIMUM = 4  # nothing; an accumulator keeps the largest product, whose value is emitted
    INDEX = 5  # as MAXIMUM, but the number of the inner step that brought it is emitted (the first, if several did)


class Emission(IntEnum):
    """When accumulators are written back."""

    STEP = 0  # after every step, as a weight row
    POSITION = 1  # after a position's iterations, as words of a map
    END = 2  # after all positions: as words (BOTH; TAPS of a kernel) or as one weight row an iteration
    ROW = 3  # after a position's iterations, as a weight row


class Traversal(IntEnum):
    """The order of positions."""

    SNAKE = 0  # right along a row, one down, left along the next
    RASTER = 1  # every row from the left
    BLOCK = 2  # T words at a time
    PIXELS = 3  # T positions at a time, rows from the left, one after another


class Base(IntEnum):
    """What is added, shifted left by `base_shift`, to a sum before it is rounded."""

    NONE = 0
    BIAS = 1  # word i of the bias register to emitted word i
    ROW = 2  # the weight row that the result replaces


class Rounding(IntEnum):
    """Names as in ap_fixed, and stochastic."""

    RND = 0  # half up
    RND_CONV = 1  # half to even
    TRN = 2  # down
    STOCHASTIC = 3


class Overflow(IntEnum):
    """Names as in ap_fixed."""

    SAT = 0
    WRAP = 1


class Destination(IntEnum):
    """What a LOAD fills."""

    KERNEL = 0
    VECTOR = 1
    BIAS = 2


class Storage(IntEnum):
    """Bits of an element in the external memory: 16, the sign repeated, or the lowest 8 of the element."""

    WORD = 0
    BYTE = 1


BYTE_BITS = 8
"""Bits of an element whose storage is BYTE."""


class Operation(IntEnum):
    """What an ELEMENTWISE instruction does; all reserved."""

    ADD = 0
    MULTIPLY = 1
    MAX_POOL = 2
    SOFTMAX = 3
    LAYER_NORM = 4
    UPDATE = 5


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """The header of every instruction. `wait` and `signal` are masks of engines."""

    opcode: Opcode = choice(Opcode, 4, "what the instruction is")
    wait: int = number(4, "engines whose token must have arrived before the instruction starts")
    signal: int = number(4, "engines that get a token when the instruction retires")

    @cached_property
    def body(self) -> tuple:
        """All but the tokens: instructions with equal bodies do the same work."""
        return _getter(type(self), True)(self)

    @cached_property
    def form(self) -> tuple:
        """All but tokens and places: instructions with equal forms take as many cycles and count the same events, as
        far as these do not depend on values."""
        return _getter(type(self), False)(self)

    def with_tokens(self, wait: int, signal: int) -> Self:
        """The same work with other tokens, as a copy that keeps its `body` and `form`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, wait=wait, signal=signal)
        return other


@cache
def _getter(kind: type[Instruction], places: bool) -> Callable[[Instruction], tuple]:
    """Takes the class and the fields but `wait` and `signal`, also those that name places if asked, of a `kind`."""
    named = [field.name for field in fields.layout(kind) if places or not field.place]
    return attrgetter("__class__", *(name for name in named if name not in ("wait", "signal")))


@dataclass(frozen=True, kw_only=True)
class Halt(Instruction):
    """Ends the engine's stream."""

    opcode: Opcode = choice(Opcode, 4, "HALT", Opcode.HALT)


@dataclass(frozen=True, kw_only=True)
class Load(Instruction):
    """Fills the kernel file or the bias register from the weight memory, or the vector from a map.

    KERNEL: register i = row (row + i); rotated: tap t takes word T-1-t; transposed: lane i of register j = lane j of
    row i, lanes from `count` on are cleared. VECTOR: tap i of register 0 = word (source + i), further taps are cleared.
    BIAS: the row. STOCHASTIC's random state is not touched.
    """

    opcode: Opcode = choice(Opcode, 4, "LOAD", Opcode.LOAD)
    destination: Destination = choice(Destination, 2, "what is filled")
    rotate: int = number(1, "reverse the taps")
    transpose: int = number(1, "exchange register and lane")
    row: int = place(16, "first weight row (KERNEL, BIAS)")
    count: int = number(8, "rows (KERNEL), words (VECTOR), 1 (BIAS)", 1)
    space: Space = choice(Space, 1, "memory of the source (VECTOR)")
    source: int = address("first word (VECTOR)")
    sparse_index: int = number(8, "row of N:M indices", reserved=True)


@dataclass(frozen=True, kw_only=True)
class Compute(Instruction):
    """A nest: for each position, for each iteration j, T x L products are formed, reduced and accumulated.

    `MODES` lists the combinations of sources, routes, reduction and emission that exist.
    """

    opcode: Opcode = choice(Opcode, 4, "COMPUTE", Opcode.COMPUTE)
    moving: Moving = choice(Moving, 3, "source of operand a")
    moving_route: Route = choice(Route, 2, "route of operand a")
    stationary: Stationary = choice(Stationary, 3, "source of operand b")
    stationary_route: Route = choice(Route, 2, "route of operand b")
    reduction: Reduction = choice(Reduction, 3, "what the products are summed over")
    emission: Emission = choice(Emission, 2, "when results are written back")
    negate: int = number(1, "subtract the products")
    iterations: int = number(10, "steps of a position: j = 0 ... iterations-1", 1)
    outer: int = number(10, "outer groups: what is emitted for each", 1)
    inner: int = number(10, "inner groups: what is accumulated over", 1)
    traversal: Traversal = choice(Traversal, 2, "order of positions")
    height: int = number(10, "rows of positions (of words, for blocks)", 1)
    width: int = number(10, "columns of positions (of words, for blocks)", 1)
    source_height: int = number(10, "rows of the windowed map", 1)
    source_width: int = number(10, "columns of the windowed map", 1)
    pad_top: int = number(4, "rows of zeros above the map; rows of a scatter before the first that is emitted")
    pad_left: int = number(4, "columns of zeros left of the map; columns of a scatter before the first emitted")
    source_space: Space = choice(Space, 1, "memory of the windows or blocks")
    source: int = address("first word of the map or the blocks")
    source_pitch: int = address("words from a row to the next")
    source_plane: int = address("words from a plane to the next, for inner steps over planes")
    source_group: int = address("words from an inner (`BY_LANE` modes: an outer) group's map to the next")
    step: int = number(3, "source columns and rows from a position to the next (PIXELS)", 1)
    kernel_height: int = number(4, "inner steps of a position, rows of kernel taps (PIXELS)", 1)
    kernel_width: int = number(4, "inner steps in a row: columns of kernel taps, or planes (PIXELS)", 1)
    dilation: int = number(4, "source columns and rows from a kernel tap to the next", 1)
    planes: int = number(1, "inner steps go over planes instead of columns")
    tap: int = number(6, "kernel tap u of the first inner step")
    tap_row: int = number(6, "taps from a row of inner steps to the next")
    tap_column: int = number(6, "taps from an inner step to the next")
    tap_outer: int = number(6, "taps from an outer group to the next")
    pixel_space: Space = choice(Space, 1, "memory of the pixel words")
    pixel: int = address("pixel word of the first position")
    pixel_pitch: int = address("words from a row to the next")
    pixel_plane: int = address("words from an outer group's (or, without a moving map, an inner step's) to the next")
    row: int = place(16, "first weight row: streamed, updated, or reloaded")
    row_outer: int = place(16, "rows from an outer group's to the next")
    row_inner: int = place(16, "rows from an inner group's (with emission ROW: an iteration's) to the next")
    reload: int = number(1, "load each group's kernels, `iterations` rows, while the group before ends")
    rotate: int = number(1, "reverse the taps of reloaded kernels")
    target_space: Space = choice(Space, 1, "memory of the emitted words")
    target: int = address("first emitted word")
    target_pitch: int = address("words from a row to the next")
    target_outer: int = address("words from an outer group's map to the next")
    target_step: int = number(3, "words (also of the mask) from a position to the next in its row", 1)
    target_row: int = place(16, "first weight row of emission ROW")
    mask: int = number(1, "keep a result only where the mask word is above zero")
    mask_space: Space = choice(Space, 1, "memory of the mask words")
    mask_source: int = address("mask word of the first emitted word")
    mask_pitch: int = address("words from a row to the next")
    mask_outer: int = address("words from an outer group's map to the next")
    base: Base = choice(Base, 2, "what is added before rounding")
    base_shift: int = number(6, "left shift of the base")
    bias_word: int = number(6, "word of the bias register for outer group 0 (emission POSITION)")
    shift: int = number(6, "right shift of the sum")
    rounding: Rounding = choice(Rounding, 2, "rounding of the shifted sum")
    overflow: Overflow = choice(Overflow, 1, "what becomes of a value that does not fit")
    relu: int = number(1, "replace negative results by zero")
    keep: int = number(1, "add to the accumulators that the COMPUTE before held")
    hold: int = number(1, "emit nothing: leave the accumulators to the next COMPUTE")
    skip: int = number(1, "spend no cycle on iterations whose stationary value is zero, or whose result is masked")
    target_storage: Storage = choice(Storage, 1, "bits that an emitted element has to fit: the word's, or 8")


@dataclass(frozen=True, kw_only=True)
class Loss(Instruction):
    """Gradient of softmax cross-entropy: target[i] = softmax(source)[i] - (i == label), as in `arch.softmax`."""

    opcode: Opcode = choice(Opcode, 4, "LOSS", Opcode.LOSS)
    space: Space = choice(Space, 1, "memory of the logits and the label; the gradient goes to the other one")
    source: int = address("first word of the logits")
    label: int = address("word whose lane 0 is the label")
    target: int = address("first word of the gradient")
    count: int = number(10, "logits", 1)
    source_fraction: int = number(4, "fraction bits of the logits")
    target_fraction: int = number(4, "fraction bits of the gradient")


@dataclass(frozen=True, kw_only=True)
class Transfer(Instruction):
    """Moves lines of words between the external memory and an on-chip one, as `arch.transfer` says.

    Weight rows lie outside as T words, tap 0 first, and on the chip one after another whatever the line.
    """

    opcode: Opcode = choice(Opcode, 4, "TRANSFER", Opcode.TRANSFER)
    outward: int = number(1, "0 reads, 1 writes the external memory")
    memory: OnChip = choice(OnChip, 2, "memory on the chip")
    word: int = address("first on-chip word (FEATURE, GRADIENT)")
    row: int = place(16, "first row (WEIGHT)")
    external: int = place(32, "first external word (of bytes: each half as large)")
    count: int = number(20, "words of a line (FEATURE, GRADIENT), rows of a line (WEIGHT)", 1)
    lines: int = number(16, "lines", 1)
    pitch: int = address("on-chip words from a line to the next (FEATURE, GRADIENT)")
    external_pitch: int = place(32, "external words from a line to the next")
    storage: Storage = choice(Storage, 1, "bits of an element outside")


@dataclass(frozen=True, kw_only=True)
class Elementwise(Instruction):
    """Elementwise work on maps; reserved, refused by this version."""

    opcode: Opcode = choice(Opcode, 4, "ELEMENTWISE", Opcode.ELEMENTWISE)
    operation: Operation = choice(Operation, 4, "what is done")
    space: Space = choice(Space, 1, "memory of the operands")
    source: int = address("first word of the first operand")
    other: int = address("first word of the second operand")
    target: int = address("first word of the result")
    height: int = number(10, "rows", 1)
    width: int = number(10, "columns", 1)
    pitch: int = address("words from a row to the next")
    shift: int = number(6, "right shift of the result")
    rounding: Rounding = choice(Rounding, 2, "rounding of the shifted result")


KINDS: dict[Opcode, type[Instruction]] = {
    Opcode.HALT: Halt,
    Opcode.LOAD: Load,
    Opcode.COMPUTE: Compute,
    Opcode.LOSS: Loss,
    Opcode.TRANSFER: Transfer,
    Opcode.ELEMENTWISE: Elementwise,
}
ENGINE_OF: dict[Opcode, tuple[Engine, ...]] = {
    Opcode.HALT: (Engine.ARRAY, Engine.VECTOR, Engine.DMA),
    Opcode.LOAD: (Engine.ARRAY,),
    Opcode.COMPUTE: (Engine.ARRAY,),
    Opcode.LOSS: (Engine.VECTOR,),
    Opcode.TRANSFER: (Engine.DMA,),
    Opcode.ELEMENTWISE: (Engine.VECTOR,),
}
EXECUTED = (Opcode.HALT, Opcode.LOAD, Opcode.COMPUTE, Opcode.LOSS, Opcode.TRANSFER)
ENGINES = (Engine.ARRAY, Engine.VECTOR, Engine.DMA)
"""The engines that every chip has; without an external memory the DMA executes HALT alone."""
TOKEN_LIMIT = 63
"""Tokens that may wait from one engine for another."""
INSTRUCTION_BITS = -(-max(fields.width(kind) for kind in KINDS.values()) // 32) * 32
"""Bits of an instruction in the program memory, a whole number of bus words."""


def executed(engine: Engine, chip: Chip) -> tuple[Opcode, ...]:
    """The opcodes that `engine` executes on `chip`; it faults at every other one."""
    known = (opcode for opcode in EXECUTED if engine in ENGINE_OF[opcode])
    return tuple(opcode for opcode in known if opcode != Opcode.TRANSFER or chip.external_memory is not None)


def encode(instruction: Instruction, chip: Chip) -> int:
    """The instruction's `INSTRUCTION_BITS` bits on `chip`, as an integer."""
    return fields.pack(instruction, chip)


def decode(bits: int, chip: Chip) -> Instruction:
    """The instruction in `bits`. Raises `ValueError` on an unknown opcode or enum value."""
    opcode = Opcode(bits & 15)
    return fields.unpack(KINDS[opcode], bits, chip)
