"""The stepping simulator: the machine of docs/machine.md, one clock at a time.

Nothing here knows how long an instruction takes: cycles and events come out of the state machines of the units
(`stepping_sequencer`, `stepping_array`, `stepping_loader`, ...), which do in a cycle what the hardware does in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numba import njit

from arch.image import Image
from arch.isa import ENGINES, Engine
from arch.numerics import seeded
from arch.program import Program
from arch.retirement import Retirement, digests
from arch.softmax import TABLE
from sim.result import Result, read_outputs, write_inputs
from sim.sources import version
from sim.stepping_cells import COMPILED
from sim.stepping_sequencer import clock_machine
from sim.stepping_state import RETIRED, Memory, Phase, code_table, registers

_LONG = 1 << 40
"""Cycles that no program takes."""


@cache
def _clock() -> Callable:
    """The compiled clock: (state, code, memory, retired, cycles, pause).

    Runs until all engines have halted, `cycles` times at most, or, with `pause`, until an instruction retires.
    """
    mark = version("stepping")

    @njit(cache=True, nogil=True, **COMPILED)
    def advance(state, code, memory, retired, cycles, pause):
        s = state[0]
        before = s.retired
        for _ in range(cycles):
            if s.running == 0 or (pause and s.retired != before):
                break
            clock_machine(s, code, memory, retired)
        return mark

    return advance


class SteppingMachine:
    """A chip with a program in its memories.

    `image` holds the memories as they are now; it is a copy of the program's, and its arrays stay the machine's own.
    `state` is the record of all registers (`sim.stepping_state.STATE`); `state["ports"]` says what the last cycle
    wrote. Like the hardware's, registers keep their contents from one run to the next, and are 0 at first, or what the
    machine `after` has left in them. `opcodes` replaces those of single instructions by any four bits, legal or not.

    >>> import numpy as np
    >>> import tinycl
    >>> program = tinycl.compile(tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)).program
    >>> machine = SteppingMachine(program)
    >>> result = machine.run("infer", {"input": np.zeros((6, 6, 1), np.int16)})
    >>> result.cycles == machine.cycle, machine.running
    (True, False)

    Clock by clock:

    >>> machine.start("infer")
    >>> machine.advance(10), machine.cycle, machine.running
    (10, 10, True)
    >>> _ = machine.advance(1000, pause=True)
    >>> machine.retired[-1][2] == machine.cycle == machine.state["cycle"], len(machine.tables)
    (np.True_, 4)
    >>> machine.abort()
    >>> machine.reset()
    >>> machine.running
    False
    """

    def __init__(
        self,
        program: Program,
        after: SteppingMachine | None = None,
        opcodes: Mapping[tuple[Engine, int], int] | None = None,
    ):
        program.check()
        self.program = program
        chip = program.chip
        words = np.concatenate([program.image.feature, program.image.gradient])
        self.image = Image(
            words[: chip.feature_words],
            words[chip.feature_words :],
            program.image.weight.copy(),
            program.image.random.copy(),
            program.image.external.copy(),
        )
        self._registers = registers(chip) if after is None else after._registers.copy()
        image = self.image
        flat = image.weight.reshape(-1), image.random.reshape(-1), TABLE, image.external.reshape(-1)
        lines = np.zeros((chip.kernel - 1) * chip.line_words * chip.lanes, np.int16)
        self._memory = Memory(words.reshape(-1), *flat, lines)
        self._code, self._first = code_table(program)
        self.state["sequencer"]["first"][:] = list(self._first.values())
        for (engine, index), opcode in (opcodes or {}).items():
            self._code["opcode"][self._first[engine] + index] = opcode
        self._retired = np.zeros(len(self._code), RETIRED)
        self._entry = ""

    @property
    def state(self) -> np.void:
        """All registers, as they are after the last cycle; a view."""
        return self._registers[0]

    @property
    def cycle(self) -> int:
        """Cycles since the start."""
        return int(self.state["cycle"])

    @property
    def running(self) -> bool:
        """Whether an engine has not halted yet."""
        return bool(self.state["running"])

    def start(self, entry: str) -> None:
        """The host's start write: counters are cleared, and the next cycle is cycle 1. Raises if still running."""
        if self.running:
            raise RuntimeError(f"entry {self._entry} must end before {entry} starts")
        state = self.state
        for engine in ENGINES:
            state["sequencer"]["place"][engine] = self._first[engine] + self.program.first(entry, engine)
            state["sequencer"]["phase"][engine] = Phase.FETCH
        state["sequencer"]["tokens"][:] = 0
        state["counters"][:] = 0
        state["ended"] = state["aborted"] = state["fault"] = 0
        state["cycle"] = 0
        state["retired"] = 0
        state["running"] = len(ENGINES)
        self._entry = entry

    def abort(self) -> None:
        """The host's abort, after the cycle of its write: nothing is left of what is under way. Units empty themselves
        before each instruction; memories, counters and the contents of registers stay. Does nothing if none runs.
        """
        if self.running:
            state = self.state
            state["sequencer"]["phase"][:] = Phase.HALTED
            state["sequencer"]["tokens"][:] = 0
            state["running"] = 0
            state["aborted"] = 1

    def reset(self) -> None:
        """The hardware's reset: registers as at first, memories as they are."""
        chip = self.program.chip
        first = self.state["sequencer"]["first"].copy()
        self._registers[:] = registers(chip)
        self.state["sequencer"]["first"][:] = first
        self.image.random[:] = seeded(1, chip.taps, chip.lanes)

    @property
    def retired(self) -> list[tuple[Engine, int, int]]:
        """Engine, index and cycle of every instruction that has retired since the start, in order."""
        notes = self._retired[: self.state["retired"]]
        engines = [Engine(number) for number in notes["engine"].tolist()]
        places = zip(engines, notes["place"].tolist(), notes["cycle"].tolist(), strict=True)
        return [(engine, place - self._first[engine], cycle) for engine, place, cycle in places]

    @property
    def tables(self) -> tuple[np.ndarray, np.ndarray, Memory, np.ndarray]:
        """What compiled code clocks: registers, instructions, memories, notes of retirements; all views."""
        return self._registers, self._code, self._memory, self._retired

    def advance(self, cycles: int, *, pause: bool = False) -> int:
        """Clock at most `cycles` times, until the end, or, with `pause`, through the first cycle in which an
        instruction retires; how often it was.
        """
        before = self.cycle
        _clock()(*self.tables, cycles, pause)
        return self.cycle - before

    def run(self, entry: str, inputs: dict[str, np.ndarray] | None = None, *, trace: bool = False) -> Result:
        """One pass of `entry` with `inputs`, integers by the names of the program's input regions.

        With `trace`, the result lists every instruction's retirement. Raises `ValueError` on inputs that do not fit.
        """
        write_inputs(self.program, self.image, inputs or {})
        self.start(entry)
        retirements: list[Retirement] = []
        while self.running:
            noted = int(self.state["retired"])
            self.advance(_LONG, pause=trace)
            if trace:
                retirements += [self._retirement(note) for note in self._retired[noted : self.state["retired"]]]
        return self._result(retirements)

    def _retirement(self, note: np.void) -> Retirement:
        engine = Engine(int(note["engine"]))
        index = int(note["place"]) - self._first[engine]
        instruction = self.program.streams[engine][index]
        counters = tuple(note["counters"].tolist())
        return Retirement(
            engine, index, int(note["cycle"]), counters, digests(instruction, self.image, self.program.chip)
        )

    def _result(self, retirements: list[Retirement]) -> Result:
        notes = self._retired[: self.state["retired"]]
        return Result(
            cycles=self.cycle,
            counters=self.state["counters"].copy(),
            per_instruction={
                engine: np.diff(notes["counters"][notes["engine"] == engine], axis=0, prepend=0) for engine in ENGINES
            },
            outputs=read_outputs(self.program, self.image),
            all_cycles=self.cycle,
            retirements=retirements,
        )
