"""Programs on the RTL in a C++ program of its own: for long runs, and to measure how fast Verilator can be."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from arch.bus import Control, Register, register_address, start_register
from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES
from arch.program import Program
from testbenches.bench import CHIP_TOP
from testbenches.memory_map import (
    READ,
    WRITE,
    image_addresses,
    image_of,
    image_words,
    input_words,
    instruction_words,
    script,
)
from testbenches.session import chip_verilog
from testbenches.verilator import SimulationError, build_executable

WAIT, BEGIN, END = 2, 3, 4
LONGEST = 0xFFFFFFFF
"""Cycles that a step may take."""


@dataclass(frozen=True)
class NativeRun:
    """What came of a native run.

    `cycles` are the program's in each step, `clocks` all clock cycles of all steps, with the host's writes in between,
    `seconds` the wall-clock time of these; `image` the memories at the end.
    """

    cycles: list[int]
    clocks: int
    seconds: float
    image: Image


def build_native(chip: Chip) -> Path:
    """The executable of the chip, from the cache or built now."""
    main = resources.files("testbenches").joinpath("harness.cpp").read_text()
    return build_executable(chip_verilog(chip), main, top=CHIP_TOP)


def run_native(program: Program, entry: str, inputs: Sequence[dict[str, np.ndarray]]) -> NativeRun:
    """Run the entry once for each item of `inputs`, integers by the names of the program's input regions."""
    executable = build_native(program.chip)
    addresses = image_addresses(program.chip)
    with tempfile.TemporaryDirectory() as folder:
        lines, reply = Path(folder, "script.txt"), Path(folder, "reply.bin")
        lines.write_text(_script(program, entry, inputs, addresses))
        done = subprocess.run([executable, lines, reply], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SimulationError(f"the native run of {entry} failed: {done.stderr.strip()}")
        words = np.fromfile(reply, np.uint32)
    count = 2 * len(inputs)
    halves = words[:count].astype(np.int64).reshape(-1, 2)
    measured = json.loads(done.stdout)
    return NativeRun(
        cycles=(halves[:, 0] | halves[:, 1] << 32).tolist(),
        clocks=measured["cycles"],
        seconds=measured["seconds"],
        image=image_of(words[count:], program.chip),
    )


def _script(program: Program, entry: str, inputs: Sequence[dict[str, np.ndarray]], addresses: np.ndarray) -> str:
    chip = program.chip
    starts = [(register_address(start_register(engine)), program.first(entry, engine)) for engine in ENGINES]
    parts = [
        script(WRITE, *instruction_words(program)),
        script(WRITE, addresses, image_words(program.image, chip)),
        script(WRITE, *np.array(starts).T),
        _line(BEGIN),
    ]
    run = [
        _line(WRITE, Register.CONTROL, Control.START),
        _line(WAIT, word=LONGEST),
        _line(WRITE, Register.INTERRUPT, 1),
        _line(READ, Register.CYCLES_LOW),
        _line(READ, Register.CYCLES_HIGH),
    ]
    for values in inputs:
        parts += [script(*item) for item in input_words(program, values)]
        parts += run
    return "".join([*parts, _line(END), script(READ, addresses, np.zeros_like(addresses))])


def _line(kind: int, register: int = 0, word: int = 0) -> str:
    return f"{kind:x} {register_address(register):x} {word:x}\n"
