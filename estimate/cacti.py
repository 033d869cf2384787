"""Offline: CACTI 7 asked over a grid of memories; its answers are the data that `estimate.memory` interpolates.

No user needs CACTI: `python -m estimate.cacti DIR` is run once and writes `estimate/data/memories/cacti.csv`. DIR is a
built CACTI 7, for example the folder `zigzag/cacti/cacti_master` of zigzag-dse 3.9.1. A query takes about 0.5 s.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from arch.errors import InputError
from arch.files import write_whole

DATA = Path(__file__).parent / "data" / "memories" / "cacti.csv"
NODES = (65, 45, 90, 32, 22)
KINDS = ("lstp", "lop", "hp")
WIDTHS = (8, 16, 32, 64, 128, 256)
SIZES = tuple(2**power for power in range(7, 21))
BETWEEN = ((768, 48), (3000, 96), (5456, 128), (5006, 128), (24576, 96), (49152, 64), (196608, 192))
"""Sizes and widths off the grid, kept as rows of their own to say how far interpolation is from CACTI's answer."""
COLUMNS = ("node_nm", "kind", "bytes", "bits", "read_pj", "write_pj", "leakage_mw", "area_mm2", "cycle_ns")

_CONFIGURATION = """\
-size (bytes) {size}
-block size (bytes) {block}
-output/input bus width {bits}
-technology (u) {node}
-Data array cell type - "itrs-{kind}"
-Data array peripheral type - "itrs-{kind}"
-Tag array cell type - "itrs-{kind}"
-Tag array peripheral type - "itrs-{kind}"
-operating temperature (K) 360
-cache type "ram"
-associativity 1
-read-write port 1
-exclusive read port 0
-exclusive write port 0
-single ended read ports 0
-UCA bank count 1
-tag size (b) "default"
-access mode (normal, sequential, fast) - "normal"
-design objective (weight delay, dynamic power, leakage power, cycle time, area) 0:0:0:100:0
-deviate (delay, dynamic power, leakage power, cycle time, area) 20:100000:100000:100000:100000
-Optimize ED or ED^2 (ED, ED^2, NONE): "ED^2"
-Cache model (NUCA, UCA)  - "UCA"
-NUCA bank count 0
-Wire signaling (fullswing, lowswing, default) - "Global_30"
-Wire inside mat - "semi-global"
-Wire outside mat - "semi-global"
-Interconnect projection - "conservative"
-Array Power Gating - "false"
-WL Power Gating - "false"
-CL Power Gating - "false"
-Bitline floating - "false"
-Interconnect Power Gating - "false"
-Power Gating Performance Loss 0.01
-Add ECC - "false"
-Print level (DETAILED, CONCISE) - "DETAILED"
-Print input parameters - "false"
-Force cache config - "false"
-page size (bits) 8192
-burst length 8
-internal prefetch width 8
-Core count 8
-Cache level (L2/L3) - "L3"
-dram_type "DDR3"
-io state "WRITE"
-addr_timing 1.0
-mem_density 4 Gb
-bus_freq 800 MHz
-duty_cycle 1.0
-activity_dq 1.0
-activity_ca 0.5
-num_dq 72
-num_dqs 18
-num_ca 25
-num_clk 2
-num_mem_dq 2
-mem_data_width 8
-rtt_value 10000
-ron_value 34
-tflight_value
-num_bobs 1
-capacity 80
-num_channels_per_bob 1
-first metric "Cost"
-second metric "Bandwidth"
-third metric "Energy"
-DIMM model "ALL"
-mirror_in_bob "F"
"""
"""One read-write port, no tags, minimal leakage within 20 % of the best delay, then the least energy x delay^2."""

_NUMBER = r"[^:\n]*:\s*([0-9.eE+-]+)"
_ANSWERS = {
    "read_pj": ("Total dynamic read energy per access", 1e3),
    "write_pj": ("Total dynamic write energy per access", 1e3),
    "cycle_ns": ("Cycle time", 1.0),
}


def query(folder: Path, node: int, kind: str, size: int, bits: int) -> dict[str, float] | None:
    """CACTI's answer, by the last five of `COLUMNS`; None where it finds no organisation.

    `size` in bytes, `bits` of its port, `node` in nm, `kind` one of `KINDS`. Leakage holds the gates' too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "memory.cfg"
        block = max(1, bits // 8)
        path.write_text(_CONFIGURATION.format(size=size, block=block, bits=bits, node=node / 1000, kind=kind))
        run = subprocess.run(
            ["./cacti", "-infile", str(path)], cwd=folder, capture_output=True, text=True, check=False, timeout=300
        )
    sides = re.search(r"Cache height x width \(mm\): ([0-9.eE+-]+) x ([0-9.eE+-]+)", run.stdout)
    if not sides:
        return None
    found = {name: scale * _answer(run.stdout, key) for name, (key, scale) in _ANSWERS.items()}
    leaks = [_answer(run.stdout, f"Total {gate}leakage power of a bank") for gate in ("", "gate ")]
    return found | {"leakage_mw": sum(leaks), "area_mm2": float(sides[1]) * float(sides[2])}


def _answer(text: str, key: str) -> float:
    found = re.search(re.escape(key) + _NUMBER, text)
    if not found:
        raise InputError(f"CACTI printed no {key}")
    return float(found[1])


def questions(node: int, kind: str) -> Iterator[tuple[int, int]]:
    """Bytes and bits of every row of a node and kind; words must be at least 8 deep."""
    yield from ((size, bits) for size, bits in product(SIZES, WIDTHS) if size >= bits)
    yield from BETWEEN


def main(folder: Path) -> None:
    """Ask everything; what is known so far is written, whole or not at all, after each node and kind."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for node, kind in product(NODES, KINDS):
        for size, bits in questions(node, kind):
            answer = query(folder, node, kind, size, bits)
            if answer is not None:
                out.writerow([node, kind, size, bits, *(f"{answer[name]:.4g}" for name in COLUMNS[4:])])
        write_whole(DATA, text.getvalue().encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
