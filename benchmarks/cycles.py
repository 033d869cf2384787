"""Cycles of a training step of the reference network, per layer and phase, with nine weight ports and with one; JSON.

python benchmarks/cycles.py [--traversal raster]
"""

from __future__ import annotations

import argparse
import json

from arch.chip import Chip
from tinycl.reference import PAPER_CYCLES_PER_STEP, compile_reference, train_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traversal", choices=["snake", "raster", "line_buffer"], default="snake")
    arguments = parser.parse_args()
    result: dict = {"paper_cycles_per_step": PAPER_CYCLES_PER_STEP}
    for name in ("paper", "paper-one-port"):
        report = train_report(compile_reference(Chip.load(name).replace(traversal=arguments.traversal)))
        rows = [
            {
                "layer": row.layer,
                "phase": row.phase,
                "cycles": row.cycles,
                "utilisation": row.utilisation,
                "limited_by": row.limited_by,
                "window_words": row.window_words,
            }
            for row in report.rows
        ]
        result[name] = {"cycles_per_step": report.cycles, "utilisation": round(report.utilisation, 4), "rows": rows}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
