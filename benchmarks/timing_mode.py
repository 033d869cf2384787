"""CPU time and memory of the timing mode on ResNet-18, layer by layer as SCALE-Sim's topology file lists it.

The chip holds all maps and weights, as SCALE-Sim's model assumes by default that memory never keeps the array waiting:
windows of 7 x 7 and 16 lanes, 784 multipliers, beside SCALE-Sim's array of 32 x 32. Equal layers are timed once.
`cpu_seconds` is the process's CPU time, user and system, of the calls that time the 21 layers in a warm process:
modules are imported and numba's code is loaded, by other layers, before the clock starts. The whole process's time is
reported beside it.
With `--scale-sim` the Python of an environment that has scalesim 3.0.0 (numpy < 2), the same layers are simulated there
in this run (about ten minutes, 5.5 GB), and the ratio of CPU times is printed; of SCALE-Sim the whole process's is
taken, of which its imports are seconds.

    python benchmarks/timing_mode.py [--scale-sim VENV/bin/python]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from arch.chip import Chip
from explore.topology import Layer, read_topology, systolic_cycles, time_layer

TOPOLOGY = Path(__file__).parent / "resnet18.csv"
SIDE = 32
WARM = (Layer(40, 40, 3, 3, 48, 48, 1), Layer(12, 12, 3, 3, 384, 512, 2), Layer(30, 30, 7, 7, 3, 16, 2))
"""Layers that load compiled code; none is of the network."""
CONFIG = """[general]
run_name = resnet18
[architecture_presets]
ArrayHeight = 32
ArrayWidth = 32
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 10
Dataflow = ws
MemoryBanks = 1
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""
SCRIPT = """
import resource, sys
from scalesim.scale_sim import scalesim
run = scalesim(save_disk_space=True, verbose=False, config="scale.cfg", topology="net.csv", layout="layout.csv",
               input_type_gemm=False)
run.run_scale(top_path="out")
used = resource.getrusage(resource.RUSAGE_SELF)
print("USED", used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


def chip() -> Chip:
    """784 multipliers, and memories for the largest layer."""
    return Chip.load("paper").replace(
        name="resnet18",
        taps=49,
        lanes=16,
        vector_unit={"elements_per_cycle": 16},
        accumulator_banks=16,
        kernel_registers=16,
        feature_memory={"bytes": 7 << 20, "banks": 7, "pages": 4},
        gradient_memory={"bytes": 7 << 20, "banks": 7, "pages": 4},
        weight_memory={"bytes": 16 << 20, "banks": 32, "pages": 4},
        external_memory={"bytes_per_cycle": 32, "latency_cycles": 50, "bytes": 1 << 28},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale-sim", type=Path, help="a Python that has scalesim 3.0.0")
    options = parser.parse_args()
    layers, machine = read_topology(TOPOLOGY), chip()
    for layer in WARM:
        time_layer(layer, machine)
    start = time.process_time()
    cycles = [time_layer(layer, machine).cycles for layer in layers.values()]
    seconds = time.process_time() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    result = {
        "layers": len(layers),
        "macs": sum(layer.macs for layer in layers.values()),
        "cycles": sum(cycles),
        "cpu_seconds": round(seconds, 4),
        "process_cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "peak_bytes": used.ru_maxrss * 1024,
        "systolic_cycles": sum(systolic_cycles(layer, SIDE, SIDE) for layer in layers.values()),
    }
    if options.scale_sim:
        seconds_there, bytes_there = scale_sim(options.scale_sim, layers)
        result |= {
            "scale_sim_cpu_seconds": round(seconds_there, 1),
            "scale_sim_peak_bytes": bytes_there,
            "ratio": round(seconds_there / seconds),
        }
    print(json.dumps(result, indent=1))


def scale_sim(python: Path, layers: dict[str, Layer]) -> tuple[float, int]:
    """CPU seconds and peak bytes of SCALE-Sim's process."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        rows = [", ".join(map(str, (name, *vars(layer).values()))) + "," for name, layer in layers.items()]
        (there / "net.csv").write_text("\n".join(["layer, h, w, fh, fw, c, n, s,", *rows]) + "\n")
        (there / "scale.cfg").write_text(CONFIG)
        (there / "layout.csv").write_text("")
        done = subprocess.run(
            [python.absolute(), "-c", SCRIPT], cwd=there, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        line = next(line for line in done.stdout.decode().splitlines() if line.startswith("USED"))
        return float(line.split()[1]), int(line.split()[2])


if __name__ == "__main__":
    main()
