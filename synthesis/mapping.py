"""A block mapped to a library by Yosys and ABC: its area, its cells, its longest path; kept by what it was made of.

The recipe: `synth -flatten -booth -noabc`, `dfflibmap`, `abc -liberty -D -constr` with the library's small inverter
before each input and four of them behind each output. Memories and blocks of other components are black boxes.
Yosys runs in a process of its own, since an error in it ends the process.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from arch.files import write_whole
from rtl.verilog import NetlistError
from synthesis.blocks import Block
from synthesis.liberty import Library
from testbenches.verilator import cache_folder

PERIOD_PS = 20_000
"""The clock period that ABC sizes cells for: one that every component reaches with small cells in every library."""
UNUSED = ("*lpflow*", "*probe*")
"""Cells that are for power gating and probing."""
_VERSION = "1"
_WORKER = Path(__file__).with_name("worker.py")
_DELAY = re.compile(r"Delay\s*=\s*([\d.]+) ps")


@dataclass(frozen=True)
class Mapped:
    """A mapped block: µm², of which flip-flops; cells by type; `delay_ps` between registers and ports as ABC says it.

    The delay leaves wires, and the flip-flops' own delay and setup time, out.
    """

    area: float
    sequential: float
    cells: dict[str, int]
    delay_ps: float

    @property
    def count(self) -> int:
        """Cells of the library."""
        return sum(self.cells.values())


@dataclass(frozen=True)
class Recipe:
    """How blocks are mapped."""

    booth: bool = True
    period_ps: int = PERIOD_PS

    def key(self, library: Library, block: Block) -> str:
        """What decides the result, as a name."""
        parts = [_VERSION, library.fingerprint, self.booth, self.period_ps, block.top, block.text]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def map_block(block: Block, library: Library, recipe: Recipe) -> Mapped:
    """Map `block`, or take what was kept. Raises `NetlistError` where Yosys refuses."""
    kept = cache_folder() / "synthesis" / f"{recipe.key(library, block)}.json"
    if not kept.exists():
        found = _run(block, library, recipe, kept.with_suffix(".il"))
        write_whole(kept, json.dumps(asdict(found)).encode())
    return Mapped(**json.loads(kept.read_text()))


def mapped_netlist(block: Block, library: Library, recipe: Recipe) -> str:
    """The mapped netlist as RTLIL."""
    map_block(block, library, recipe)
    return (cache_folder() / "synthesis" / f"{recipe.key(library, block)}.il").read_text()


def commands(block: Block, library: Library, recipe: Recipe) -> list[str]:
    """Yosys's commands, in a folder that holds `block.il`, `library.lib` and `drive.constr`."""
    unused = " ".join(f"-dont_use {name}" for name in UNUSED)
    return [
        "read_rtlil block.il",
        f"synth -top {block.top} -flatten{' -booth' if recipe.booth else ''} -noabc -noshare",
        f"dfflibmap {unused} -liberty library.lib",
        f"abc {unused} -liberty library.lib -D {recipe.period_ps} -constr drive.constr",
        "setundef -zero",
        "opt_clean -purge",
        "tee -q -o stat.json stat -json -liberty library.lib",
        "write_rtlil mapped.il",
    ]


def _run(block: Block, library: Library, recipe: Recipe, netlist: Path) -> Mapped:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "block.il").write_text(block.text)
        (folder / "library.lib").write_text(library.text)
        drive = f"set_driving_cell {library.driver}\nset_load {library.output_load:.3f}\n"
        (folder / "drive.constr").write_text(drive)
        (folder / "commands.json").write_text(json.dumps(commands(block, library, recipe)))
        log = _in_process(folder, block.name)
        write_whole(netlist, (folder / "mapped.il").read_bytes())
        return _read(json.loads((folder / "stat.json").read_text()), block.top, log, library)


def _in_process(folder: Path, name: str) -> str:
    child = subprocess.run([sys.executable, str(_WORKER), str(folder)], capture_output=True, text=True, check=False)
    log = child.stdout + child.stderr
    if child.returncode:
        reasons = [line for line in log.splitlines() if "ERROR" in line] or log.splitlines()[-1:]
        raise NetlistError(f"Yosys cannot map {name}: {'; '.join(reasons)}")
    return log


def _read(report: dict, top: str, log: str, library: Library) -> Mapped:
    module = report["modules"][f"\\{top}"]
    cells = {name: count for name, count in module["num_cells_by_type"].items() if name in library.cells}
    left = [name for name in module["num_cells_by_type"] if name.startswith("$")]
    if left:
        raise NetlistError(f"the library maps no {', '.join(left)} of {top}")
    area = sum(count * library.cells[name].number("area") for name, count in cells.items())
    flops = {name for name in cells if library.cells[name].first("ff")}
    sequential = sum(cells[name] * library.cells[name].number("area") for name in flops)
    delays = _DELAY.findall(log)
    return Mapped(area, sequential, cells, float(delays[-1]) if delays else 0.0)
