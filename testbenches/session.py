"""Programs on the RTL: builds the chip's simulation, runs jobs in it under cocotb, and compares."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import arch
import rtl
from arch.chip import Chip
from arch.files import write_whole
from arch.isa import Engine
from rtl.chip import TinyCL
from rtl.verilog import to_verilog
from testbenches.bench import CHIP_TOP, TOP, bench
from testbenches.comparison import located
from testbenches.jobs import PROGRESS, Job, Outcome
from testbenches.verilator import CocotbSimulation, build_cocotb, cache_folder

MODULE = "testbenches.cocotb_program"
_POLL = 0.2  # seconds


def run_on_rtl(jobs: Sequence[Job], progress: Callable[[int], None] | None = None) -> list[Outcome]:
    """Run the jobs, all for one chip, one after another on its RTL.

    `progress` is called now and then with the number of steps done, of all jobs together.
    """
    simulation = build_chip(jobs[0].program.chip)
    if any(job.program.chip.fingerprint != jobs[0].program.chip.fingerprint for job in jobs):
        raise ValueError("all jobs of a session must be for the same chip")
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder, str(number)) for number in range(len(jobs))]
        for job, place in zip(jobs, places, strict=True):
            job.save(place)
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(simulation.run, MODULE, env={"TINYCL_JOBS": folder})
            _watch(run, Path(folder, PROGRESS), progress or (lambda _: None))
        run.result()
        outcomes = [Outcome.load(place) for place in places]
    for job, outcome in zip(jobs, outcomes, strict=True):
        _locate(job, outcome)
    return outcomes


def build_chip(chip: Chip) -> CocotbSimulation:
    """The simulation of the chip on its bench, from the cache or built now."""
    return build_cocotb(chip_verilog(chip) + bench(chip), top=TOP)


def chip_verilog(chip: Chip) -> str:
    """The chip's Verilog, from the cache if neither it nor the code that makes it has changed."""
    parts = [chip.fingerprint, version("amaranth"), version("pyosys")]
    for room in (arch, rtl):
        parts += [path.read_text() for path in sorted(Path(room.__path__[0]).glob("*.py"))]
    path = cache_folder() / "verilog" / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}.sv"
    if not path.exists():
        write_whole(path, to_verilog(TinyCL(chip), name=CHIP_TOP).encode())
    return path.read_text()


def _watch(run: Future, file: Path, progress: Callable[[int], None]) -> None:
    known = 0
    while not run.done():
        time.sleep(_POLL)
        done = file.stat().st_size if file.exists() else 0
        if done != known:
            progress(done)
            known = done


def _locate(job: Job, outcome: Outcome) -> None:
    """Name the elements where the memories differ after the first retirement that was not as expected."""
    suspect, reference = outcome.suspect, job.reference
    if job.expected is None or suspect is None or reference is None:
        return
    first = next(item for item in outcome.differences if item.engine)
    place = Engine[first.engine.upper()], first.instruction
    cycle = next((item.cycle for item in job.expected[first.step] if (item.engine, item.index) == place), None)
    if cycle is None:
        return
    image = reference(first.step, cycle)
    outcome.differences = [
        located(item, image, suspect) if (item.step, item.engine, item.instruction) == first[:3] else item
        for item in outcome.differences
    ]
