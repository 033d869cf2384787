"""What a training step costs of networks whose kernels and maps are many times the chip's memories.

    python benchmarks/training.py [--chip paper] [--networks resnet18,vgg11] [--compared resnet18,vgg11]

ResNet-18 and VGG-11 of 3 x 32 x 32 images, and ResNet-18 of 3 x 224 x 224, with ten classes, frozen batch
normalisations of gain one half and made weights. The chip gets program memories and an external memory that are large
enough. A step of the networks that are `--compared` runs on both simulators: cycles, and every bit of the parameters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from arch.chip import Chip
from arch.program import Program
from compiler import Calibration, Network, Options, compile_network
from compiler.pipeline import TRAIN
from sim.fast import FastMachine
from sim.stepping import SteppingMachine
from tinycl.training import chip_inputs

ROW = "{:18} {:>8} {:>10} {:>14} {:>7} {:>11} {:>11} {:>7}  {}"
VGG11 = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)
"""Filters of a convolution, or 0 for a maximum of 2 x 2."""


def _block(net: Network, name: str, filters: int, stride: int) -> Network:
    source, (channels, *_) = net.last, net.shape
    net.conv(filters, 3, stride=stride, name=f"{name}a").batch_norm().relu()
    net.conv(filters, 3, name=f"{name}b").batch_norm(name=f"{name}n")
    if stride > 1 or channels != filters:
        net.conv(filters, 1, stride=stride, after=source, name=f"{name}c").batch_norm(name=f"{name}s")
        source = f"{name}s"
    return net.add(f"{name}n", source).relu()


def _resnet18(size: int) -> Network:
    net = Network("resnet18", (3, size, size))
    if size > 64:
        net.conv(64, 7, stride=2).batch_norm().relu().max_pool(3, stride=2, padding=1)
    else:
        net.conv(64, 3).batch_norm().relu()
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            _block(net, f"s{stage}{block}", filters, 2 if stage and not block else 1)
    return net.global_average_pool().dense(10).softmax_cross_entropy()


def _vgg11() -> Network:
    net = Network("vgg11", (3, 32, 32))
    for filters in VGG11:
        net = net.conv(filters, 3, bias=True).relu() if filters else net.max_pool(2)
    return net.dense(512).relu().dense(10).softmax_cross_entropy()


NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet18": lambda: _resnet18(32),
    "vgg11": _vgg11,
    "resnet18_imagenet": lambda: _resnet18(224),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", default="paper")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--compared", default="resnet18,vgg11")
    arguments = parser.parse_args()
    chip = Chip.load(arguments.chip).replace(
        program_memory={"instructions": 65536},
        external_memory={"bytes_per_cycle": 8, "latency_cycles": 50, "bytes": 1 << 29},
    )
    print(
        ROW.format("a training step", "GMAC", "M weights", "cycles", "used", "MB outside", "instructions", "CPU s", "")
    )
    for name in arguments.networks.split(","):
        print(_row(name, chip, name in arguments.compared.split(",")), flush=True)


def _row(name: str, chip: Chip, compared: bool) -> str:
    network, begin = NETWORKS[name](), time.process_time()
    rng = np.random.default_rng(0)
    samples, labels = rng.uniform(-1, 1, (2, *network.input_shape)), np.array([1, 7])
    parameters = network.initial(0)
    gains = {name: value / 2 for name, value in parameters.items() if value.ndim == 1 and name.endswith("weight")}
    options = Options(learning_rate=2.0**-10)
    build = compile_network(network, chip, parameters | gains, Calibration(samples, labels, 2), options)
    assert build.program and build.reports
    report, seconds = build.reports[TRAIN], time.process_time() - begin
    traffic = report.traffic["external"]
    return ROW.format(
        name,
        f"{report.macs / 1e9:.3f}",
        f"{sum(value.size for value in build.parameters.values()) / 1e6:.2f}",
        f"{report.cycles:,}",
        f"{report.utilisation:.1%}",
        f"{(traffic.reads + traffic.writes) * chip.beat_bytes / 1e6:.1f}",
        f"{max(len(stream) for stream in build.program.streams.values()):,}",
        f"{seconds:.1f}",
        _comparison(build.program, chip_inputs(build.program, samples[:1], labels[:1])) if compared else "",
    )


def _comparison(program: Program, inputs: dict[str, np.ndarray]) -> str:
    """Whether both simulators do the same in one step."""
    fast, slow = FastMachine(program), SteppingMachine(program)
    cycles = (
        fast.run(TRAIN, inputs).cycles,
        slow.run(TRAIN, {name: values[0] for name, values in inputs.items()}).cycles,
    )
    regions = program.parameters.values()
    same = all(
        np.array_equal(fast.image.read(home, program.chip), slow.image.read(home, program.chip)) for home in regions
    )
    return "simulators agree" if same and len(set(cycles)) == 1 else "SIMULATORS DIFFER"


if __name__ == "__main__":
    main()
