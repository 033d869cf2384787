"""What a run of a program costs in events, layer by layer: the ground on which energy is estimated and chips compared.

From closed forms alone (`arch.timing`, `arch.counts`), so that no value is needed; what depends on values can be
replaced by a simulator's counts or by an assumption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from arch.chip import Chip
from arch.counts import counted, fills
from arch.errors import InputError
from arch.events import UNCOUNTED, Event
from arch.isa import Compute, Engine, Instruction
from arch.modes import mode_of
from arch.phases import Phase, scheduled
from arch.program import Program
from arch.traversal import line_accesses


@dataclass(frozen=True)
class Work:
    """One phase of one layer in one pass.

    `cycles` as in the compiler's report: rows sum to the pass. `counts` by `arch.events.Event`, summed over engines;
    those that depend on values are 0 in closed form. `steps` are array steps by name in `arch.modes.MODES`. `macs` by
    the layer's definition. `fills`: how often the loader fills a block or the pixels, windows apart. `zero_products`:
    products of steps with an operand that is zero; `turned_bits`: bits of multipliers' stationary operands that are
    others than in the step before; None if unknown.
    `line_reads`, `line_writes`: accesses of a line buffer, K - 1 words each; by closed form, for they have no counter.
    """

    layer: str
    phase: str
    cycles: int
    counts: tuple[int, ...]
    steps: dict[str, int]
    macs: int
    fills: int = 0
    zero_products: int | None = None
    turned_bits: int | None = None
    line_reads: int = 0
    line_writes: int = 0


@dataclass(frozen=True)
class Workload:
    """One pass of one entry of a program on its chip, in rows that sum to it.

    `estimated`: some number is assumed or an upper bound: zeros of an assumed share, or instructions that skip zeros
    taken as skipping nothing.
    """

    chip: Chip
    network: str
    entry: str
    cycles: int
    estimated: bool
    rows: tuple[Work, ...]

    @classmethod
    def of(cls, program: Program, entry: str, network: str = "") -> Workload:
        """By closed forms. Raises `ProgramError` on an unknown entry."""
        run = scheduled(program, entry)
        rows = tuple(_closed(phase, program.chip) for phase in run.phases)
        skips = any(isinstance(item, Compute) and item.skip for item in run.streams[Engine.ARRAY])
        return cls(program.chip, network, entry, run.cycles, skips, rows)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Events of the whole pass, by `Event`."""
        return tuple(sum(row.counts[event] for row in self.rows) for event in Event)

    def measured(
        self,
        program: Program,
        counts: Mapping[Engine, np.ndarray],
        passes: int = 1,
        turned: np.ndarray | None = None,
    ) -> Workload:
        """With a simulator's counts, int64[instructions, events] by engine (`sim.result.Result.per_instruction`), and
        the bits that turn, int64[instructions of the array] (`Result.turned`), which are unknown without.

        `program` is the one that this is a workload of. Of several passes it is the mean, each count rounded: exact
        but for the cycles of instructions that skip. Products with a zero operand are known if they were counted.
        Raises `InputError` on counts of another shape.
        """
        for engine, stream in program.entry_streams(self.entry).items():
            if counts[engine].shape != (len(stream), len(Event)):
                raise InputError(f"counts of {engine.name.lower()} must be [{len(stream)}, {len(Event)}]")
        zeros = all((values[:, Event.ZERO_PRODUCTS] != UNCOUNTED).all() for values in counts.values())
        mean = {engine: np.rint(values / passes).astype(np.int64) for engine, values in counts.items()}
        lengths = {engine: values[:, Event.BUSY].tolist() for engine, values in mean.items()}
        run = scheduled(program, self.entry, lengths)
        known = None if turned is None or (turned == UNCOUNTED).any() else np.rint(turned / passes)
        rows = tuple(_measured(phase, mean, zeros, known, program.chip) for phase in run.phases)
        return replace(self, cycles=run.cycles, estimated=False, rows=rows)

    def assuming(self, zero_share: float) -> Workload:
        """With this share, 0 to 1, of each row's products taken to have a zero operand. Raises `InputError`."""
        if not 0 <= zero_share <= 1:
            raise InputError(f"the share of zeros must be from 0 to 1, not {zero_share}")
        rows = (
            replace(row, zero_products=round(zero_share * row.counts[Event.STEPS] * self.chip.multipliers))
            for row in self.rows
        )
        return replace(self, estimated=True, rows=tuple(rows))


def _closed(phase: Phase, chip: Chip) -> Work:
    events: Counter[Event] = Counter()
    steps: Counter[str] = Counter()
    for item in phase.instructions:
        found = counted(item, chip)
        events.update(found)
        steps[_mode(item)] += found[Event.STEPS]
    return _work(phase, tuple(events[event] for event in Event), steps, chip)


def _measured(
    phase: Phase, counts: Mapping[Engine, np.ndarray], zeros: bool, turned: np.ndarray | None, chip: Chip
) -> Work:
    """The phase with its counts; without `zeros`, products with a zero operand were not counted."""
    taken = [counts[engine][index] for engine, index in phase.places]
    steps: Counter[str] = Counter()
    for item, row in zip(phase.instructions, taken, strict=True):
        steps[_mode(item)] += int(row[Event.STEPS])
    total = np.sum(taken, axis=0)
    if not zeros:
        total[Event.ZERO_PRODUCTS] = 0
    work = _work(phase, tuple(total.tolist()), steps, chip)
    array = [index for engine, index in phase.places if engine == Engine.ARRAY]
    return replace(
        work,
        zero_products=int(total[Event.ZERO_PRODUCTS]) if zeros else None,
        turned_bits=None if turned is None else int(turned[array].sum()),
    )


def _work(phase: Phase, counts: tuple[int, ...], steps: Counter[str], chip: Chip) -> Work:
    lines = [line_accesses(item, chip) for item in phase.instructions if isinstance(item, Compute)]
    reads, writes = (sum(counted) for counted in zip((0, 0), *lines, strict=True))
    return Work(
        phase.layer,
        phase.phase,
        phase.cycles,
        counts,
        dict(+steps),
        phase.macs,
        sum(fills(item, chip) for item in phase.instructions),
        line_reads=reads,
        line_writes=writes,
    )


def _mode(item: Instruction) -> str:
    """The name in `MODES` of what the array does; "" of what has none."""
    return (mode_of(item) or "") if isinstance(item, Compute) else ""
