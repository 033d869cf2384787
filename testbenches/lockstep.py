"""Lock-step: the stepping simulator and the Verilated RTL clocked together, compared in every cycle in compiled code.

    lockstep = LockStep(chip)                   # builds the model, or takes it from the cache
    outcome = lockstep.run(program)             # entry `main`; programs follow one another without a reset
    if outcome.difference: print(outcome.difference)

Nothing is raised on a difference. `Scenario` says what the host does besides: bus stalls, reads of registers while the
program runs, an abort or a reset in some cycle, opcodes that no engine executes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from arch.bus import Control, Register, register_address, start_register
from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, INSTRUCTION_BITS, Engine
from arch.numerics import seeded
from arch.program import Program
from sim.stepping import SteppingMachine
from testbenches.external import external_bytes, external_words
from testbenches.lockstep_clock import Stop, loop
from testbenches.lockstep_compare import FOUND
from testbenches.lockstep_model import TRACE, TRANSACTION, Model
from testbenches.lockstep_report import Difference, difference, image_difference
from testbenches.memory_map import READ, WRITE, image_addresses, image_of, image_words, instruction_words

__all__ = ["Difference", "LockStep", "Outcome", "Scenario"]

_LONG = 1 << 40
"""Cycles that nothing takes."""
_READS = 40
"""Reads that are made while a program runs, if any."""


@dataclass(frozen=True)
class Scenario:
    """What the host does around and during a run.

    `stalls` and `reads` are seeds, 0 for none: of random idle cycles between and within bus transactions, and of reads
    of registers and memories while the program runs. `abort` and `reset` are cycles of the program; an abort comes
    later where the bus is busy. `opcodes` puts four bits in the place of an instruction's opcode. `passes` is how often
    the program is started, each time on what the last pass left, before the memories are read back.
    """

    stalls: int = 0
    reads: int = 0
    abort: int | None = None
    reset: int | None = None
    opcodes: Mapping[tuple[Engine, int], int] = field(default_factory=dict)
    passes: int = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `ended` is `ended`, `aborted`, `reset`, `stuck` (aborted then) or `differs`."""

    cycles: int  # of the program, all its passes
    compared: int  # clock cycles that were compared, the host's included
    difference: Difference | None
    ended: str
    fault: int  # register FAULT
    counters: np.ndarray  # int64[engines, events]
    seconds: float  # that the program's own cycles took
    retired: list[tuple[Engine, int, int]]  # engine, instruction, cycle


class LockStep:
    """A chip's RTL beside its stepping simulator, just reset.

    `coverage` counts lines and toggles for `write_coverage`; `waveform` is a VCD file to write; `verilog` takes the
    place of the chip's own (planted bugs); `quick` builds sooner what then runs slower.
    """

    def __init__(
        self,
        chip: Chip,
        *,
        coverage: bool = False,
        waveform: Path | None = None,
        verilog: str | None = None,
        quick: bool = False,
    ):
        self.chip = chip
        self._model = Model(chip, verilog=verilog, coverage=coverage, waveform=waveform, quick=quick)
        self._trace = np.zeros(1, TRACE)
        self._found = np.zeros(1, FOUND)
        self._addresses = image_addresses(chip)
        self._known: Image | None = None
        self._machine: SteppingMachine | None = None
        self._stalls: np.random.Generator | None = None

    def run(self, program: Program, entry: str = "main", scenario: Scenario | None = None) -> Outcome:
        """Load the program by the bus, run it, and read the memories back; what the last run left stays."""
        scenario = scenario or Scenario()
        compared = int(self._found["compared"][0])
        self._stalls = np.random.default_rng(scenario.stalls) if scenario.stalls else None
        self._machine = machine = SteppingMachine(program, self._machine, scenario.opcodes)
        self._entry = entry
        self._load(program, scenario)
        loaded = self._play() == Stop.QUIET
        begin = time.perf_counter()
        ended = self._run(scenario) if loaded else "differs"
        cycles = int(self._found["cycle"][0]) if ended == "reset" else machine.cycle
        for _ in range(scenario.passes - 1):
            if ended == "ended":
                self._write({Register.INTERRUPT: 1})
                ended = self._run(scenario)
                cycles += machine.cycle
        seconds = time.perf_counter() - begin
        counters, fault = machine.state["counters"].copy(), int(machine.state["fault"])
        words = None if ended == "differs" or self._play() != Stop.QUIET else self._read(self._addresses)
        if words is None:
            found = difference(self._found[0], program, dict(scenario.opcodes))
        else:
            self._known = image_of(words, self.chip, external_words(self._model.read_external(), self.chip))
            found = image_difference(machine.image, self._known, cycles)
        if found:
            self._forget()
        total = int(self._found["compared"][0]) - compared
        return Outcome(cycles, total, found, "differs" if found else ended, fault, counters, seconds, machine.retired)

    def write(self, addresses: Sequence[int], words: Sequence[int]) -> None:
        """Queue bus writes, which go before all else that comes."""
        self._queue(WRITE, np.array(addresses), np.array(words))

    def reset(self) -> None:
        """The hardware's reset while nothing runs: registers are cleared, memories keep their contents."""
        self._reset()

    def close(self) -> None:
        """Let go of the model; a waveform's file is whole then."""
        self._model.close()

    def write_coverage(self, path: Path) -> None:
        """Write Verilator's counts of everything that ran so far."""
        self._model.write_coverage(path)

    def _forget(self) -> None:
        """After a difference the two are brought together again: all is reset, and written anew."""
        self._model.reset()
        self._machine = self._known = None

    def _load(self, program: Program, scenario: Scenario) -> None:
        """Queue the instructions, those words of the image that differ from what is there, and the start."""
        addresses, words = instruction_words(program)
        words = words.copy()
        per_instruction = INSTRUCTION_BITS // 32
        for (engine, index), opcode in scenario.opcodes.items():
            before = sum(len(program.streams[other]) for other in ENGINES if other < engine)
            place = (before + index) * per_instruction
            words[place] = words[place] & ~np.uint32(15) | np.uint32(opcode)
        self._queue(WRITE, addresses, words)
        self._model.write_external(external_bytes(program.image.external, self.chip))
        words = image_words(program.image, self.chip)
        old = None if self._known is None else image_words(self._known, self.chip)
        changed = np.arange(len(words)) if old is None else np.flatnonzero(words != old)
        self._queue(WRITE, self._addresses[changed], words[changed])
        starts = {start_register(engine): program.first(self._entry, engine) for engine in ENGINES}
        self._write({Register.INTERRUPT: 1, **starts})

    def _run(self, scenario: Scenario) -> str:
        """Start the program and clock it to its end, its abort or its reset; how it ended."""
        assert self._machine
        self._write({Register.CONTROL: Control.START})
        if scenario.reads:
            self._queue_reads(np.random.default_rng(scenario.reads))
        until = _LONG
        if scenario.reset is not None:
            until = scenario.reset - 1
        if scenario.abort is not None:  # a write takes effect in its transaction's second cycle
            until = scenario.abort - 2
        stop = self._play(max(until, 0))
        if stop == Stop.UNTIL and scenario.abort is None:
            return "reset" if self._reset() else "differs"
        if stop in (Stop.UNTIL, Stop.STUCK):
            self._write({Register.CONTROL: Control.ABORT})
            stuck, stop = stop == Stop.STUCK, Stop(self._play(wait=True))
            if stop != Stop.DIFFERS and self._machine.state["aborted"]:
                return "stuck" if stuck else "aborted"
        self._model.replies()
        return "differs" if stop == Stop.DIFFERS else "ended"

    def _reset(self) -> bool:
        """Reset in this cycle, which still is compared: the memories' writes in it are made. False if it differs."""
        stop = Stop.UNTIL
        if self._machine:
            self._model.hold_reset()
            stop = self._loop(_LONG, 1)
            self._machine.reset()
        self._model.reset()
        if self._known is not None:
            self._known.random[:] = seeded(1, self.chip.taps, self.chip.lanes)
        return stop != Stop.DIFFERS

    def _play(self, until: int = _LONG, wait: bool = False) -> Stop:
        """Clock until nothing is left to do, or something is to be done; start and abort on the way.

        With `wait`, on through engines that wait for ever.
        """
        while True:
            stop = self._loop(until, _LONG)
            if stop == Stop.CONTROL:
                self._control()
            elif not (wait and stop == Stop.STUCK):
                return stop

    def _loop(self, until: int, cycles: int) -> Stop:
        assert self._machine
        handles = self._model.step, self._model.handle, self._trace.ctypes.data
        return Stop(loop()(*self._machine.tables, self._trace, self._found, *handles, until, cycles))

    def _control(self) -> None:
        """What the host has written to CONTROL, done to the stepping machine after that cycle."""
        assert self._machine
        found = self._found[0]
        if found["control"] & Control.START and not found["was_running"]:
            self._machine.start(self._entry)
        if found["control"] & Control.ABORT and found["was_running"]:
            self._machine.abort()

    def _read(self, addresses: np.ndarray) -> np.ndarray | None:
        """The words there; None if something differed on the way."""
        self._model.replies()
        self._queue(READ, addresses, np.zeros_like(addresses))
        return self._model.replies() if self._play() == Stop.QUIET else None

    def _write(self, registers: Mapping[int, int]) -> None:
        addresses = np.array([register_address(register) for register in registers])
        self._queue(WRITE, addresses, np.array(list(registers.values())))

    def _queue_reads(self, rng: np.random.Generator) -> None:
        """Reads of registers, counters and memories with pauses between them."""
        shown = [Register.ID, Register.CONTROL, Register.INTERRUPT, Register.FAULT, Register.CYCLES_LOW]
        counters = Register.COUNTERS + rng.integers(64 * len(ENGINES), size=_READS)
        counters = np.where(counters % 64 < 2 * len(Event), counters, Register.CYCLES_HIGH)
        registers = np.where(rng.random(_READS) < 0.6, counters, rng.choice(shown, _READS))
        hidden = rng.choice(self._addresses, _READS)
        items = self._transactions(READ, np.where(rng.random(_READS) < 0.8, registers * 4, hidden), np.zeros(_READS))
        items["idle"] = rng.geometric(0.05, _READS) - 1
        self._model.queue(items)

    def _queue(self, kind: int, addresses: np.ndarray, words: np.ndarray) -> None:
        items = self._transactions(kind, addresses, words)
        if self._stalls is not None:
            for name, often in (("idle", 0.5), ("hold", 0.7)):
                items[name] = self._stalls.geometric(often, len(items)) - 1
        self._model.queue(items)

    @staticmethod
    def _transactions(kind: int, addresses: np.ndarray, words: np.ndarray) -> np.ndarray:
        items = np.zeros(len(addresses), TRANSACTION)
        items["kind"], items["address"], items["word"] = kind, addresses, words
        return items
