"""Run the demo and every benchmark, and write their results into README.md between its markers.

python benchmarks/readme.py
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def main() -> None:
    print("accuracy, cycles, agreement, speed, demo: some minutes", file=sys.stderr)
    accuracy, cycles = _json("accuracy"), _json("cycles")
    raster, agreement = _json("cycles", "--traversal", "raster"), _json("agreement")
    table = _table(accuracy, cycles, raster, agreement, _json("speed"), _json("lockstep"))
    text = _between(README.read_text(), "measured", table)
    demo = subprocess.run([_tool(), "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shutil.copy(ROOT / "build/demo/demo.png", ROOT / "docs/demo.png")
    README.write_text(_between(text, "demo", f"```\n{demo.strip()}\n```"))


def _tool() -> str:
    return str(Path(sys.executable).with_name("tinycl"))


def _json(name: str, *arguments: str) -> dict:
    command = [sys.executable, f"benchmarks/{name}.py", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _between(text: str, name: str, content: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    assert start in text and end in text
    return re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{content}\n{end}", text, flags=re.DOTALL)


def _table(accuracy: dict, cycles: dict, raster: dict, agreement: dict, speed: dict, lockstep: dict) -> str:
    paper, one_port = cycles["paper"], cycles["paper-one-port"]
    rows = [
        (
            "held-out accuracy on digits, 16 bits on chip",
            f"{accuracy['chip_percent']:.2f} % (float64 twin {accuracy['float64_percent']:.2f} %, "
            f"{len(accuracy['chip_by_seed'])} seeds)",
            "accuracy",
        ),
        (
            "cycles of the reference network's training step",
            f"{paper['cycles_per_step']:,} ({paper['utilisation']:.1%} of 72 multipliers); "
            f"the paper's, derived: {cycles['paper_cycles_per_step']:,}",
            "cycles",
        ),
        ("the same with one 128-bit weight port", f"{one_port['cycles_per_step']:,}", "cycles"),
        (
            "words brought into the window in a pass, 32 × 32 map",
            f"snake {_words(cycles)}, raster {_words(raster)}",
            "cycles",
        ),
        (
            "training steps on RTL: steps, cycles, differences",
            "; ".join(
                f"{name} {item['steps']}, {item['cycles']:,}, {item['differences']}" for name, item in agreement.items()
            ),
            "agreement",
        ),
        (
            "fast simulator: a step of the reference network",
            f"{speed['microseconds_per_step']} µs, {speed['fast_over_ideal_chip']} of an ideal chip's speed "
            f"({speed['ideal_chip_microseconds_per_step']} µs), {speed['fast_over_verilator']} × Verilator -O3",
            "speed",
        ),
        ("stepping simulator", f"{speed['stepping_cycles_per_second'] / 1e6:.1f} M cycles/s", "speed"),
        (
            "simulator and RTL in lock-step, every cycle compared",
            f"{lockstep['compared_cycles_per_second'] / 1e3:.0f} k cycles/s",
            "lockstep",
        ),
    ]
    lines = ["| measure | value | command |", "|---|---|---|"]
    lines += [f"| {name} | {value} | `python benchmarks/{command}.py` |" for name, value, command in rows]
    return "\n".join(lines)


def _words(cycles: dict) -> str:
    return " / ".join(f"{n:,}" for n in sorted({row["window_words"] for row in cycles["paper"]["rows"]} - {0}))


if __name__ == "__main__":
    main()
