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

from arch.errors import InputError
from arch.files import write_whole
from rtl.verilog import NetlistError
from synthesis.blocks import Block
from synthesis.enables import FIND, LEGAL, add_enables
from synthesis.liberty import Library
from synthesis.power import gate_of
from testbenches.verilator import cache_folder

PERIOD_PS = 20_000
"""The clock period that ABC sizes cells for: one that every component reaches with small cells in every library."""
UNUSED = ("*lpflow*", "*probe*")
"""Cells that are for power gating and probing."""
_SMALL = "+strash;ifraig;scorr;dc2;&get,-n;&dch,-f;&nf;&put;topo;stime,-p"
"""ABC's steps towards the least area."""
_VERSION = "1"
_WORKER = Path(__file__).with_name("worker.py")
SPLIT = "enables that muxes share"
"""Stands among commands where `synthesis.enables.add_enables` works on the file of JSON."""
_FOUND = "found.json"
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
    """How blocks are mapped; with clock gates for enables of at least `gates` register bits, or without any.

    With `small` cells are chosen for area alone, neither sized nor buffered.
    """

    booth: bool = True
    period_ps: int = PERIOD_PS
    gates: int | None = None
    small: bool = False

    def key(self, library: Library, block: Block) -> str:
        """What decides the result, as a name."""
        parts = [_VERSION, library.fingerprint, self.booth, self.period_ps, block.top, block.text]
        parts += [] if self.gates is None and not self.small else commands(block, library, self)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def least_of(gates: int | None) -> int | None:
    """What a user gives as the least bits of a clock gate. Raises `InputError` where it is less than 1."""
    if gates is not None and gates < 1:
        raise InputError(f"--gates must be at least 1 register bit, not {gates}")
    return gates


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
    synth = f"synth -top {block.top} -flatten{' -booth' if recipe.booth else ''} -noabc -noshare"
    gated = [] if recipe.gates is None else _gated(block, library, recipe.gates)
    way = f"-script {_SMALL}" if recipe.small else f"-D {recipe.period_ps} -constr drive.constr"
    return [
        "read_rtlil block.il",
        f"{synth} -nofsm -run begin:fine" if gated else synth,
        *gated,
        f"dfflibmap {unused} -liberty library.lib",
        f"abc {unused} -liberty library.lib {way}",
        "setundef -zero",
        "opt_clean -purge",
        "tee -q -o stat.json stat -json -liberty library.lib",
        "write_rtlil mapped.il",
    ]


def _gated(block: Block, library: Library, least: int) -> list[str]:
    """The commands that put clock gates before registers, in two parts: between them enables are added to a file."""
    gate = gate_of(library)
    tied = " ".join(f"-tie_lo {pin}" for pin in gate.tied)
    return [
        *FIND,
        f"write_json {_FOUND}",
        SPLIT,
        "read_rtlil block.il",
        f"delete {block.top}",
        f"read_json {_FOUND}",
        f"hierarchy -top {block.top}",
        "opt -full",
        "techmap",
        "opt -fast",
        f"{LEGAL} -mince {least}",
        "opt -fast -nodffe -nosdff",
        f"clockgate -pos {gate.kind} {gate.enable}:{gate.clock}:{gate.gated} {tied} -min_net_size {least}",
    ]


def _run(block: Block, library: Library, recipe: Recipe, netlist: Path) -> Mapped:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "block.il").write_text(block.text)
        (folder / "library.lib").write_text(library.text)
        drive = f"set_driving_cell {library.driver}\nset_load {library.output_load:.3f}\n"
        (folder / "drive.constr").write_text(drive)
        log = ""
        for part in _parts(commands(block, library, recipe)):
            (folder / "commands.json").write_text(json.dumps(part))
            log = _in_process(folder, block.name)
            _add_enables(folder / _FOUND, block.top)
        write_whole(netlist, (folder / "mapped.il").read_bytes())
        return _read(json.loads((folder / "stat.json").read_text()), block.top, log, library)


def _parts(lines: list[str]) -> list[list[str]]:
    """The commands, cut where Yosys is left for a while."""
    place = lines.index(SPLIT) if SPLIT in lines else len(lines)
    return [part for part in (lines[:place], lines[place + 1 :]) if part]


def _add_enables(path: Path, top: str) -> None:
    """Add the enables that Yosys does not find to its JSON, if there is any."""
    if path.exists():
        module = json.loads(path.read_text())["modules"][top]
        add_enables(module)
        path.write_text(json.dumps({"modules": {top: module}}))


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
