"""Run the demo and every benchmark, and write their results into README.md between its markers.

    python benchmarks/readme.py [measured] [networks] [demo]

Without arguments all sections; `networks` takes about ten minutes on a quiet machine, the others three.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    for name in parser.parse_args().sections or SECTIONS:
        print(f"{name} ...", file=sys.stderr)
        README.write_text(_between(README.read_text(), name, SECTIONS[name]()))


def _measured() -> str:
    raster = _json("cycles", "--traversal", "raster")
    accuracy, cycles, agreement = _json("accuracy"), _json("cycles"), _json("agreement")
    return _table(accuracy, cycles, raster, agreement, _json("speed"), _json("lockstep"))


def _demo() -> str:
    demo = subprocess.run([_tool(), "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shutil.copy(ROOT / "build/demo/demo.png", ROOT / "docs/demo.png")
    return f"```\n{demo.strip()}\n```"


def _networks() -> str:
    """MLPerf Tiny's networks, zeros left out, ResNet-8 learning."""
    tiny, zeros = _json("mlperf", "--rtl"), _json("skipping")
    learnt = _json("accuracy", "--network", "resnet8", "--seeds", "3")
    lines = [
        "| network, entry | MAC | cycles | multipliers at work | DMA at work | differences | on RTL too |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, item in tiny.items():
        at_work = f"{item['utilisation_percent']} % | {100 * item['dma_cycles'] / item['cycles']:.0f} %"
        on_rtl = "yes" if item["on_rtl"] else ""
        numbers = f"{item['macs']:,} | {item['cycles']:,} | {at_work} | {len(item['differences'])} | {on_rtl}"
        lines.append(f"| {name} | {numbers} |")
    after = zeros["trained"]
    return "\n".join(
        [
            *lines,
            "",
            "| measure | value | command |",
            "|---|---|---|",
            f"| reference step, zeros left out: dense; half zeros | {zeros['dense_cycles']:,}; "
            f"{zeros['half_zeros_cycles']:,} cycles | `python benchmarks/skipping.py` |",
            f"| the same trained on digits of 3 × 32 × 32 | {after['mean_cycles']:,} cycles on average, "
            f"accuracy {after['accuracy_percent']} % | `python benchmarks/skipping.py` |",
            f"| ResNet-8 trained on chip on the same digits | {learnt['chip_percent']:.2f} % (float64 twin "
            f"{learnt['float64_percent']:.2f} %, 3 seeds) "
            "| `python benchmarks/accuracy.py --network resnet8 --seeds 3` |",
        ]
    )


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


SECTIONS = {"measured": _measured, "networks": _networks, "demo": _demo}
"""What stands between a marker of this name and its end."""


if __name__ == "__main__":
    main()
