"""What lock-step says of the first difference: which instruction, which cycle, which signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, Compute, Engine, Instruction, Opcode, Transfer
from arch.modes import mode_of
from arch.pages import spaces
from arch.program import Program
from arch.retirement import MEMORIES
from testbenches.lockstep_compare import Signal

_MAPS = ("feature", "gradient")
_AXES = {
    "feature": ("word", "lane"),
    "gradient": ("word", "lane"),
    "weight": ("row", "tap", "lane"),
    "external": ("word", "lane"),
}


@dataclass(frozen=True)
class Difference:
    """The first thing that differs. `cycle` is the program's.

    `expected` is the stepping simulator's, `found` the RTL's. `engine` and `opcode` are empty, `index` -1 where no
    instruction is concerned; `mode` is a COMPUTE's in `arch.modes.MODES`, a LOAD's destination, a TRANSFER's direction.
    """

    engine: str
    index: int
    opcode: str
    mode: str
    cycle: int
    signal: str
    expected: int
    found: int

    def __str__(self) -> str:
        names = (self.engine, str(self.index) if self.engine else "", self.opcode, self.mode)
        where = " ".join(name for name in names if name) or "the chip"
        return f"cycle {self.cycle}, {where}: {self.signal} must be {self.expected}, not {self.found}"


def difference(found: np.void, program: Program, opcodes: dict[tuple[Engine, int], int]) -> Difference:
    """What the loop has noted, a `FOUND`, by name."""
    signal, item = Signal(int(found["signal"])), int(found["item"])
    engine = int(found["engine"])
    memory = _MAPS[item] if signal in (Signal.WRITE, Signal.ADDRESS, Signal.VALUE) else "weight"
    if engine < 0 and signal == Signal.WRITE:
        engine = _writer(found, program, memory)
    index = int(found["index"][engine]) if engine >= 0 else -1
    return Difference(
        *named(program, engine, index, opcodes),
        cycle=int(found["cycle"]),
        signal=_name(signal, item, int(found["lane"]), memory),
        expected=int(found["expected"]),
        found=int(found["found"]),
    )


def image_difference(expected: Image, read: Image, cycle: int) -> Difference | None:
    """The first element in which the memories, as read over the bus, differ from the machine's."""
    for name in MEMORIES:
        ours, theirs = getattr(expected, name), getattr(read, name)
        for place in np.argwhere(ours != theirs)[:1].tolist():
            axes = _AXES.get(name, ("tap", "lane"))
            words = " ".join(f"{axis} {number}" for axis, number in zip(axes, place, strict=True))
            pair = int(ours[tuple(place)]), int(theirs[tuple(place)])
            return Difference("", -1, "", "", cycle, f"{name} {words}, read back,", *pair)
    return None


def _writer(found: np.void, program: Program, memory: str) -> int:
    """The engine whose instruction uses the memory that was written unasked; -1 if it is not the only one."""
    users = []
    for engine in ENGINES:
        stream, index = program.streams[engine], int(found["index"][engine])
        if engine == Engine.DMA:
            continue  # its writes are told apart
        if index < len(stream) and memory in {name for name, _ in spaces(stream[index], program.chip)}:
            users.append(int(engine))
    return users[0] if len(users) == 1 else -1


def named(
    program: Program, engine: int, index: int, opcodes: dict[tuple[Engine, int], int] | None = None
) -> tuple[str, int, str, str]:
    """Engine, index, opcode and mode of an instruction, as `Difference` has them; `engine` -1: of none."""
    if engine < 0:
        return "", -1, "", ""
    name, stream = Engine(engine).name.lower(), program.streams[Engine(engine)]
    if not 0 <= index < len(stream):
        return name, index, "", ""
    if (number := (opcodes or {}).get((Engine(engine), index))) is not None:
        return name, index, Opcode(number).name if number in list(Opcode) else f"opcode {number}", ""
    return name, index, stream[index].opcode.name, _mode(stream[index])


def _mode(instruction: Instruction) -> str:
    if isinstance(instruction, Compute):
        return mode_of(instruction) or ""
    if isinstance(instruction, Transfer):
        return "out" if instruction.outward else "in"
    destination = getattr(instruction, "destination", None)
    return destination.name if destination is not None else ""


def _name(signal: Signal, item: int, lane: int, memory: str) -> str:
    names = {
        Signal.COUNTER: lambda: f"counter {Event(item).name}",
        Signal.WRITE: lambda: f"{memory} write",
        Signal.ADDRESS: lambda: f"{memory} address",
        Signal.VALUE: lambda: f"{memory} value lane {lane}",
        Signal.ROW_WRITE: lambda: "weight write (a bit a bank)",
        Signal.ROW_PLACE: lambda: "weight place",
        Signal.ROW_VALUE: lambda: f"weight value bank {item} lane {lane}",
        Signal.TRANSFER_VALUE: lambda: f"transfer value lane {lane}",
        Signal.EXTERNAL_WRITE: lambda: "beat written outside",
        Signal.EXTERNAL_VALUE: lambda: f"value written outside, lane {lane}",
        Signal.EXTERNAL_RULE: lambda: "breaches of the external bus's rules",
        Signal.REPLY: lambda: f"bus reply at {item:#x}",
        Signal.ACK: lambda: "bus acknowledge",
    }
    return names[signal]() if signal in names else signal.name.lower()
