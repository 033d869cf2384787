"""How long everything takes, in cycles: one exact recurrence an instruction, and the schedule of the engines.

The array is a pipeline behind two elastic suppliers:

    loader      brings a position's words to a shadow window, one access of the source memory a cycle
    row fetcher brings a weight row, `row_beats` cycles of the weight memory a row
    X           a step: T x L multipliers work                          (needs the window, and its row if it uses one)
    P, A, B, S  products reduced; accumulated; base added and rounded; ReLU, mask, saturation; a cycle each
    W           written, WRITE_LATENCY cycles after X

Writes never wait. Reads of the same single-port memory wait for them. Nothing else stalls.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from arch.chip import Chip
from arch.isa import (
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
    Reduction,
    Space,
    Stationary,
    Transfer,
    Traversal,
    engines_in,
)
from arch.recall import by_form
from arch.softmax import DIVIDER_CYCLES
from arch.transfer import transfer_cycles
from arch.traversal import accesses, blocks, inner_steps, positions

WRITE_LATENCY = 5
"""Cycles from a step to the first write of what it completes."""
FETCH_CYCLES = 2
"""Cycles from the end of an instruction to the earliest start of the next: fetch, then decode and wait for tokens."""
HOLD_LATENCY = 2
"""Cycles from the last step to the accumulators that a COMPUTE with `hold` leaves."""
STALLS = ("loader", "row", "drain")
"""The loader waits for a write, the row fetcher waits for a write, a step waits until a block has drained."""
_LOADER, _ROW, _DRAIN = 1, 2, 4
_STEP, _POSITION, _END, _ROW_EMISSION = (
    int(item) for item in (Emission.STEP, Emission.POSITION, Emission.END, Emission.ROW)
)
_PENDING = 64
"""Writes that are remembered: more than can lie between a step and what still waits for its write."""
LOSS_SUM_LATENCY = 5
"""Cycles from the last logit's read in the summing pass to the divider's start."""
LOSS_WRITE_LATENCY = 6
"""Cycles from a logit word's read in the last pass to the write of its gradient."""


def loads(compute: Compute) -> bool:
    """Whether the loader brings something for each position."""
    return compute.moving in (Moving.WINDOW, Moving.BLOCK) or compute.stationary in (Stationary.PIXEL, Stationary.MATCH)


def waited_space(compute: Compute) -> Space | None:
    """The memory whose writes the loader waits for: the moving map's, or a scatter's pixel map's."""
    if compute.moving == Moving.KERNEL:
        return compute.pixel_space
    return compute.source_space if compute.moving in (Moving.WINDOW, Moving.BLOCK) else None


def streams_rows(compute: Compute) -> bool:
    """Whether every step takes a weight row."""
    return compute.stationary == Stationary.STREAM or (compute.base == Base.ROW and compute.emission != Emission.END)


def uses_rows(compute: Compute) -> bool:
    """Whether weight rows are read while the nest runs or drains."""
    return compute.stationary == Stationary.STREAM or writes_rows(compute) or bool(compute.reload)


def writes_rows(compute: Compute) -> bool:
    """Whether results replace weight rows; otherwise they are words of a map."""
    if compute.emission == Emission.END:
        return compute.reduction == Reduction.NONE or (
            compute.reduction == Reduction.TAPS and compute.stationary == Stationary.PIXEL
        )
    return compute.emission in (Emission.STEP, Emission.ROW)


def emits_blocks(compute: Compute) -> bool:
    """Whether a position emits several words, one a tap."""
    walks_blocks = compute.traversal in (Traversal.BLOCK, Traversal.PIXELS)
    return compute.emission == Emission.POSITION and walks_blocks


def duration(instruction: Instruction, chip: Chip, executed: np.ndarray | None = None) -> int:
    """Cycles from the first to the last of a legal instruction's execution; 0 for HALT.

    `executed`: what `measured` needs for a COMPUTE with `skip`; without it no iteration is skipped.
    """
    if isinstance(instruction, Compute):
        return measured(instruction, chip, executed)[0]
    if isinstance(instruction, Halt):
        return 0
    if isinstance(instruction, Load):
        if instruction.destination == Destination.VECTOR:
            return instruction.count + 1
        return instruction.count * chip.row_beats + 1
    if isinstance(instruction, Loss):
        words = chip.words(instruction.count)
        # three passes (the label is read in the cycle before them), the divider, and the latencies between
        return 3 * words + LOSS_SUM_LATENCY + DIVIDER_CYCLES + LOSS_WRITE_LATENCY
    if isinstance(instruction, Transfer):
        return transfer_cycles(instruction, chip)
    raise ValueError(f"{type(instruction).__name__} has no timing in this version")


def emitted_words(compute: Compute, chip: Chip) -> np.ndarray:
    """Words that each position of a group emits with emission POSITION, int64[positions]."""
    if emits_blocks(compute):
        return blocks(compute, chip)
    if compute.moving == Moving.KERNEL:  # a scatter's first rows and columns complete nothing
        words = np.zeros((compute.height, compute.width), np.int64)
        words[compute.pad_top :, compute.pad_left :] = 1
        return words.reshape(-1)
    return np.ones(positions(compute, chip), np.int64)


class Nest(NamedTuple):
    """What the recurrence needs to know of a COMPUTE; 1 and 0 stand for yes and no."""

    groups: int
    inner: int
    inner_steps: int
    iterations: int
    emission: int
    banks: int
    row_beats: int
    loads: int
    shares: int  # the loader's memory is the one that words are written to
    streams: int  # every step takes a weight row
    reload: int
    hold: int
    blocks: int  # a position emits several words
    rows: int  # weight rows are written
    end_words: int


def nest_of(compute: Compute, chip: Chip) -> Nest:
    """The recurrence's constants."""
    return Nest(
        groups=compute.outer * compute.inner,
        inner=compute.inner,
        inner_steps=inner_steps(compute),
        iterations=compute.iterations,
        emission=int(compute.emission),
        banks=chip.accumulator_banks,
        row_beats=chip.row_beats,
        loads=int(loads(compute)),
        shares=int(not writes_rows(compute) and compute.target_space == waited_space(compute)),
        streams=int(streams_rows(compute)),
        reload=int(compute.reload),
        hold=int(compute.hold),
        blocks=int(emits_blocks(compute)),
        rows=int(writes_rows(compute)),
        end_words=chip.words(compute.iterations) if compute.reduction == Reduction.BOTH else 1,
    )


def measured(compute: Compute, chip: Chip, executed: np.ndarray | None = None) -> tuple[int, frozenset[str]]:
    """Cycles of a COMPUTE, and which of `STALLS` it meets.

    `executed`: with `skip`, the iterations that each position of each group really makes, int64[groups * positions].
    """
    if executed is None:
        return _measured(compute, chip)
    return _recurred(nest_of(compute, chip), accesses(compute, chip), emitted_words(compute, chip), executed)


@by_form
def _measured(compute: Compute, chip: Chip) -> tuple[int, frozenset[str]]:
    """Of a COMPUTE that skips nothing."""
    every = np.zeros(0, np.int64)
    return _recurred(nest_of(compute, chip), accesses(compute, chip), emitted_words(compute, chip), every)


def _recurred(nest: Nest, access: np.ndarray, words: np.ndarray, executed: np.ndarray) -> tuple[int, frozenset[str]]:
    cycles, seen = _run(nest, access, words, executed)
    return int(cycles), frozenset(name for bit, name in enumerate(STALLS) if int(seen) >> bit & 1)


@njit(cache=True)
def _run(nest, accesses, words, executed):
    """The recurrence: cycles, counted from the instruction's first, at which each access and step happens."""
    positions = len(words)
    map_writes, weight_writes = np.full((_PENDING, 2), -1), np.full((_PENDING, 2), -1)
    map_count, weight_count, map_done, weight_done = 0, 0, 0, 0
    step, last_unit, row_free, swap, last_write, seen = -1, 0, 0, 0, -1, 0
    drained, drained_bank = 0, -1
    if nest.reload:
        for _ in range(nest.iterations):
            beat, weight_done = _free(row_free, nest.row_beats, weight_writes, weight_done, weight_count)
            step = max(step + 1, beat + 1)
            row_free = step
    for group in range(nest.groups):
        emits = not nest.hold and group % nest.inner == nest.inner - 1
        for position in range(positions):
            bank = position % nest.banks
            for k in range(nest.inner_steps):
                ready = -1
                if nest.loads:
                    beat, map_done = _free(
                        swap, accesses[position], map_writes, map_done, map_count if nest.shares else 0
                    )
                    if beat + 1 > swap + accesses[position]:
                        seen |= _LOADER
                    ready = max(beat + 1, last_unit)
                    swap = ready
                count = nest.iterations
                if len(executed):
                    count = executed[group * positions + position]
                final_unit = position == positions - 1 and k == nest.inner_steps - 1
                takes_row = nest.streams or (nest.reload and final_unit and group < nest.groups - 1)
                for i in range(count):
                    completes = k == nest.inner_steps - 1 and i == count - 1
                    earliest = max(step + 1, ready + 1 if i == 0 else 0)
                    if nest.emission == _POSITION:
                        emitting = completes and emits and words[position] > 0
                        if (emitting or (nest.blocks and bank == drained_bank)) and drained > earliest:
                            if drained > step + 1:
                                seen |= _DRAIN
                            earliest = drained
                    if takes_row:
                        beat, weight_done = _free(row_free, nest.row_beats, weight_writes, weight_done, weight_count)
                        if beat + 1 > row_free + nest.row_beats:
                            seen |= _ROW
                        earliest = max(earliest, beat + 1)
                        row_free = earliest
                    step = earliest
                    if nest.emission == _STEP or (nest.emission == _ROW_EMISSION and completes):
                        last_write = step + WRITE_LATENCY + nest.row_beats - 1
                        _note(weight_writes, weight_count, step + WRITE_LATENCY, last_write)
                        weight_count += 1
                last_unit = step
            if nest.emission == _POSITION and emits and words[position] > 0:
                drained, drained_bank = step + words[position], bank
                last_write = step + WRITE_LATENCY + words[position] - 1
                _note(map_writes, map_count, step + WRITE_LATENCY, last_write)
                map_count += 1
        if nest.emission == _END and not nest.hold:
            if nest.rows:
                for _ in range(nest.iterations):
                    beat, weight_done = _free(row_free, nest.row_beats, weight_writes, weight_done, weight_count)
                    if beat + 1 > row_free + nest.row_beats:
                        seen |= _ROW
                    step = max(step + 1, beat + 1)
                    row_free = step
                    last_write = step + WRITE_LATENCY + nest.row_beats - 1
                    _note(weight_writes, weight_count, step + WRITE_LATENCY, last_write)
                    weight_count += 1
            else:
                last_write = step + WRITE_LATENCY + nest.end_words - 1
                _note(map_writes, map_count, step + WRITE_LATENCY, last_write)
                map_count += 1
    return (step + HOLD_LATENCY if nest.hold else last_write) + 1, seen


@njit(cache=True)
def _note(writes, count, first, last):
    """Remember that a memory is written from cycle `first` to `last`."""
    writes[count % _PENDING, 0] = first
    writes[count % _PENDING, 1] = last


@njit(cache=True)
def _free(first, accesses, writes, done, count):
    """The cycle of the last of `accesses` accesses, one a cycle from `first` on but not in a write's; and `done`."""
    cycle = first - 1
    for _ in range(accesses):
        cycle += 1
        while done < count and writes[done % _PENDING, 0] <= cycle:
            cycle = max(cycle, writes[done % _PENDING, 1] + 1)
            done += 1
    return cycle, done


@dataclass(frozen=True, slots=True)
class Slot:
    """When one instruction runs: its first and last cycle, counted from the program's start in cycle 0."""

    engine: Engine
    index: int
    first: int
    last: int


class Deadlock(ValueError):
    """Engines that wait for each other's tokens for ever."""


def schedule(streams: dict[Engine, list[Instruction]], durations: dict[Engine, list[int]]) -> list[Slot]:
    """When each instruction of each stream runs, in order of retirement; streams end with HALT.

    start = max(engine free + FETCH_CYCLES, tokens there) + 1, end = start + duration - 1; a HALT retires in the cycle
    before its start. The program takes as many cycles as the last slot's `last`. Raises `Deadlock`.
    """
    free = dict.fromkeys(streams, 0)
    done = dict.fromkeys(streams, 0)
    tokens: dict[tuple[Engine, Engine], deque[int]] = {(a, b): deque() for a in Engine for b in Engine}
    slots: list[Slot] = []
    progress = True
    while progress:
        progress = False
        for engine, stream in streams.items():
            while done[engine] < len(stream):
                instruction = stream[done[engine]]
                sources = engines_in(instruction.wait)
                if not all(tokens[other, engine] for other in sources):
                    break
                wait = free[engine] + FETCH_CYCLES
                for other in sources:
                    wait = max(wait, tokens[other, engine].popleft() + 1)
                last = wait + durations[engine][done[engine]]
                slots.append(Slot(engine, done[engine], wait + 1, last))
                for other in engines_in(instruction.signal):
                    tokens[engine, other].append(last)
                free[engine] = last
                done[engine] += 1
                progress = True
    for engine, stream in streams.items():
        if done[engine] < len(stream):
            raise Deadlock(f"{engine.name} instruction {done[engine]} waits for a token that never comes")
    return sorted(slots, key=lambda slot: (slot.last, slot.engine))
