"""Lock-step: the stepping simulator and the Verilated RTL clocked together, compared in every cycle in compiled code.

    lockstep = LockStep(chip)                   # builds the model, or takes it from the cache
    outcome = lockstep.run(program)             # entry `main`; programs follow one another without a reset
    if outcome.difference: print(outcome.difference)

Nothing is raised on a difference. `Scenario` says what the host does besides: bus stalls, reads of registers while the
program runs, an abort or a reset in some cycle, opcodes that no engine executes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arch.chip import Chip
from arch.isa import Engine
from arch.program import Program


@dataclass(frozen=True)
class Scenario:
    """What the host does around and during a run. `abort` and `reset` are cycles of the program in which it acts."""

    stalls: int = 0  # seed of random idle cycles between and within bus transactions; 0: none
    reads: int = 0  # seed of random reads of counters and registers while the program runs; 0: none
    abort: int | None = None
    reset: int | None = None
    opcodes: Mapping[tuple[Engine, int], int] = field(default_factory=dict)  # raw bits put in place of an opcode


@dataclass(frozen=True)
class Difference:
    """The first thing that differs: where, in which cycle of the program, and what."""

    engine: str
    index: int
    opcode: str
    mode: str
    cycle: int
    signal: str
    expected: int
    found: int


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `ended` is `ended`, `aborted`, `reset`, `stuck` or `differs`."""

    cycles: int  # of the program
    compared: int  # clock cycles that were compared, the host's included
    difference: Difference | None
    ended: str
    fault: int  # register FAULT
    counters: tuple[tuple[int, ...], ...]


class LockStep:
    """A chip's RTL beside its stepping simulator. `verilog` replaces the chip's own (planted bugs)."""

    def __init__(self, chip: Chip, *, coverage: bool = False, waveform: Path | None = None, verilog: str | None = None):
        raise NotImplementedError

    def run(self, program: Program, entry: str = "main", scenario: Scenario | None = None) -> Outcome:
        """Load the program by the bus, run it, and read the memories back."""
        raise NotImplementedError

    def reset(self) -> None:
        """The hardware's reset: registers are cleared, memories keep their contents."""
        raise NotImplementedError

    def write_coverage(self, path: Path) -> None:
        """Write coverage.dat of everything that ran so far (`coverage=True`)."""
        raise NotImplementedError
