"""Programs on the RTL in a C++ program of its own: for long runs, and to measure how fast Verilator can be."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from arch.bus import Control, Register, counter_offset, register_address, start_register
from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES
from arch.program import Program
from testbenches.bench import CHIP_TOP
from testbenches.external import external_bytes, external_model, external_words
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
    `seconds` the wall-clock time of these; `counters`, int64[engines, events], those of the last step, `image` the
    memories at the end.
    """

    cycles: list[int]
    clocks: int
    seconds: float
    counters: np.ndarray
    image: Image


def build_native(chip: Chip, *flags: str) -> Path:
    """The executable of the chip, from the cache or built now; `flags` are Verilator's, such as `--trace`."""
    main = external_model(chip) + resources.files("testbenches").joinpath("harness.cpp").read_text()
    return build_executable(chip_verilog(chip), main, top=CHIP_TOP, flags=flags, quick=bool(flags))


def run_native(
    program: Program,
    entry: str,
    inputs: Sequence[dict[str, np.ndarray]],
    *,
    stalls: int = 0,
    trace: Path | None = None,
) -> NativeRun:
    """Run the entry once for each item of `inputs`, integers by the names of the program's input regions.

    `stalls`: the seed of random stalls of the external memory's bus, which change cycles and nothing else; 0 for none.
    `trace`: a file that every signal is written to in every cycle, SAIF if it ends so, else VCD.
    """
    flags = () if trace is None else ("--trace-saif" if trace.suffix == ".saif" else "--trace",)
    executable = build_native(program.chip, *flags)
    addresses = image_addresses(program.chip)
    with tempfile.TemporaryDirectory() as folder:
        lines, reply, outside = (Path(folder, name) for name in ("script.txt", "reply.bin", "external.bin"))
        external_bytes(program.image.external, program.chip).tofile(outside)
        lines.write_text(_script(program, entry, inputs, addresses))
        command = [executable, lines, reply, outside, str(stalls)]
        environment = os.environ | ({} if trace is None else {"TINYCL_TRACE": str(trace)})
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SimulationError(f"the native run of {entry} failed: {done.stderr.strip()}")
        words = np.fromfile(reply, np.uint32)
        external = external_words(np.fromfile(outside, np.uint8), program.chip)
    count, events = 2 * len(inputs), 2 * len(ENGINES) * len(Event)
    measured = json.loads(done.stdout)
    return NativeRun(
        cycles=_pairs(words[:count]).tolist(),
        clocks=measured["cycles"],
        seconds=measured["seconds"],
        counters=_pairs(words[count : count + events]).reshape(len(ENGINES), len(Event)),
        image=image_of(words[count + events :], program.chip, external),
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
    offsets = [counter_offset(engine, event) + half for engine in ENGINES for event in Event for half in (0, 1)]
    counters = "".join(_line(READ, offset) for offset in offsets)
    return "".join([*parts, _line(END), counters, script(READ, addresses, np.zeros_like(addresses))])


def _pairs(words: np.ndarray) -> np.ndarray:
    """int64[n]: low and high halves joined."""
    halves = words.astype(np.int64).reshape(-1, 2)
    return halves[:, 0] | halves[:, 1] << 32


def _line(kind: int, register: int = 0, word: int = 0) -> str:
    return f"{kind:x} {register_address(register):x} {word:x}\n"
