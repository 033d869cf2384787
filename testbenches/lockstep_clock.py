"""The loop of lock-step, compiled: the RTL and the stepping machine clocked together and compared in every cycle.

In a cycle the model shows its ports before its clock edge. Running, cycle, phases, instruction numbers, counters and
the interrupt are then what the stepping machine's registers hold before its clock; retirements and writes are what it
does in it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import cache
from hashlib import sha256
from pathlib import Path

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from arch.isa import ENGINES
from sim.sources import version
from sim.stepping_cells import COMPILED, clocked
from sim.stepping_sequencer import clock_machine
from sim.stepping_state import Phase
from testbenches import lockstep_compare
from testbenches.lockstep_compare import bus_differs, events_differ, registers_differ

_ENGINES = len(ENGINES)


class Stop(IntEnum):
    """Why the loop has come back."""

    QUIET = 0  # nothing runs and no transaction waits
    CONTROL = 1  # CONTROL was written in the last cycle
    DIFFERS = 2
    UNTIL = 3  # the program has come to the cycle that was asked for
    STUCK = 4  # all engines wait, or have halted, for ever


def _mark(path: str) -> int:
    """A number that changes with a file that is compiled into the loop, which numba's cache would not notice."""
    return int.from_bytes(sha256(Path(path).read_bytes()).digest()[:7], "big")


@intrinsic
def _call(_context, step, model, trace):
    """Call the C function `step`(model, trace); all are addresses."""

    def generate(_context, builder, _signature, arguments):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64), ir.IntType(64)])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return _context.get_dummy_value()

    return types.void(step, model, trace), generate


@cache
def loop() -> Callable:
    """The compiled loop: (registers, code, memory, retired, trace, found, step, model, until, cycles) -> `Stop`.

    The first four are the stepping machine's `tables`, `step` and `model` addresses. `until` is a cycle of the program.
    """
    mark = version("stepping") ^ _mark(lockstep_compare.__file__)

    @njit(cache=True, nogil=True, **COMPILED)
    def advance(registers, code, memory, retired, trace, found, step, model, address, until, cycles):
        s = registers[0]
        t = trace[0]
        f = found[0]
        for _ in range(cycles):
            if s.running and s.cycle >= until:
                return Stop.UNTIL + 0
            _call(step, model, address)  # pyright: ignore[reportCallIssue]  # numba gives the context
            f.compared += 1
            f.control = -1
            f.was_running = s.running
            if registers_differ(s, t, f) or bus_differs(s, t, f):
                return Stop.DIFFERS + 0
            before = s.retired
            stuck = False
            if s.running:
                stuck = _waits(s)
                for engine in range(_ENGINES):
                    f.index[engine] = s.sequencer.place[engine] - s.sequencer.first[engine]
                clock_machine(s, code, memory, retired)
                f.cycle = s.cycle
                stuck = stuck and _waits(s) and s.running == f.was_running  # a HALT's tokens arrive later
            if events_differ(s, t, f, memory, retired, before):
                return Stop.DIFFERS + 0
            if f.control >= 0:
                return Stop.CONTROL + 0
            if stuck and s.running:
                return Stop.STUCK + 0
            if s.running == 0 and t.pending == 0:
                return Stop.QUIET + 0
        return Stop.UNTIL + mark * 0

    return advance


@clocked
def _waits(s):
    """Whether no engine does anything but wait for a token."""
    for engine in range(_ENGINES):
        phase = s.sequencer.phase[engine]
        if phase == Phase.FETCH or phase == Phase.RUN:
            return False
    return True
