"""Eyeriss' AlexNet table, predicted blind from its published counts by the 65 nm technology's tables, as it comes.

python benchmarks/eyeriss.py

Published (Chen et al., JSSC 2017): power, times, processing elements at work and bytes of the global buffer, for batch
4 at 200 MHz and 1.0 V. Multiply-accumulates follow from AlexNet's shapes. Recalled, not read: zeros of the inputs, and
what a processing element holds. Nothing is fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from estimate.book import bars, numbered
from estimate.clocking import clocking
from estimate.prices import CENTRAL, Answers, prices, variations
from estimate.technology import Technology

VOLTAGE = 1.0
CYCLE_NS = 5.0
BATCH = 4
ELEMENTS = 168
WORD = 16
BUFFER = (512, 64)
"""Words and bits of a bank of the global buffer (recalled)."""
FILTERS, INPUTS, SUMS = 224, 12, 24
"""Words of an element's scratchpads: the filters' an SRAM, the others registers (recalled)."""
REGISTER_BITS = WORD * (INPUTS + SUMS + 5 + 3 * 4)
"""Of an element: scratchpads, five pipeline words, three queues of four words (the last two assumed)."""
UNGATED = 1.0
"""Share of register bits that see the clock without gates; with them its registers are taken as this chip's are, since
neither is published."""
MISSING = (
    "scratchpad accesses (here: four a multiply-accumulate, as its dataflow has them), words on the network (here: as "
    "many as leave the buffer), the clock network's load beyond the elements' registers, run-length coders and pads"
)


@dataclass(frozen=True)
class Layer:
    """A row of the table, and what follows from AlexNet: filters, channels of a group, kernel side, output side."""

    name: str
    watts: float
    total_ms: float
    processing_ms: float
    active: int
    buffer_mb: float
    filters: int
    channels: int
    kernel: int
    side: int
    zeros: float

    @property
    def macs(self) -> int:
        """Of the whole batch."""
        return BATCH * self.filters * self.channels * self.kernel**2 * self.side**2

    @property
    def joules(self) -> float:
        """Measured: power times total time."""
        return self.watts * self.total_ms * 1e-3


LAYERS = (
    Layer("CONV1", 0.332, 20.9, 16.5, 154, 18.5, 96, 3, 11, 55, 0.0),
    Layer("CONV2", 0.288, 41.9, 39.2, 135, 77.6, 256, 48, 5, 27, 0.387),
    Layer("CONV3", 0.266, 23.6, 21.8, 156, 50.2, 384, 256, 3, 13, 0.725),
    Layer("CONV4", 0.235, 18.4, 16.0, 156, 37.4, 384, 192, 3, 13, 0.793),
    Layer("CONV5", 0.236, 10.5, 10.0, 156, 24.9, 256, 192, 3, 13, 0.776),
)


def predicted(layer: Layer, technology: Technology, answers: Answers, clocked: float) -> dict[str, float]:
    """J by part, at one set of answers and a share `clocked` of register bits that see the clock."""
    found = prices(technology, WORD, VOLTAGE, answers)
    register, adder, select, multiplier = found.units[:, 0] * found.turning
    tables = technology.memories()

    def memory(words: int, bits: int) -> np.ndarray:
        logs = [
            np.log(np.array(tables[place](words, bits).values()[:3]) * (energy, energy, leakage))
            for place, (energy, leakage, _) in zip(found.memory_tables, found.memory_factors, strict=True)
        ]
        return np.exp(np.mean(logs, axis=0))

    buffer, filters = memory(*BUFFER), memory(FILTERS, WORD)
    works = layer.macs * (1 - layer.zeros)
    read = WORD * select * (np.log2(INPUTS) + np.log2(SUMS))
    words = layer.buffer_mb * 1e6 / (BUFFER[1] / 8)
    seconds = layer.total_ms * 1e-3
    cycles = layer.processing_ms * 1e6 / CYCLE_NS
    seen = cycles * layer.active * REGISTER_BITS * clocked
    return {
        "multiply-accumulates": works * (multiplier + 2 * WORD * adder) * 1e-12,
        "scratchpads": works * (filters[0] + read + WORD * register) * 1e-12,
        "global buffer": words * (buffer[0] + buffer[1]) / 2 * 1e-12,
        "network": words * BUFFER[1] * 2 * register * 1e-12,
        "clock": seen * found.clock_pj * 1e-12,
        "leakage": seconds * (25 * buffer[2] + ELEMENTS * filters[2]) * 1e-3,
    }


def main() -> None:
    technology = Technology.load("65nm")
    answers, places = numbered(variations(technology, stated=True))
    least, mean, _ = clocking().seen
    cases = [*((item, mean) for item in answers), (CENTRAL, least), (CENTRAL, UNGATED)]
    places["clocked"] = len(answers), len(answers) + 1
    joules = np.array([[list(predicted(layer, technology, *case).values()) for layer in LAYERS] for case in cases])
    rows = [*((layer.name, layer.joules) for layer in LAYERS), ("all", sum(layer.joules for layer in LAYERS))]
    by_layer = np.concatenate([joules.sum(axis=2), joules.sum(axis=(1, 2))[:, None]], axis=1)
    for (name, measured), (low, central, high) in zip(rows, bars(by_layer, places).T, strict=True):
        error = central / measured - 1
        print(
            f"{name}: predicted {central * 1e3:.2f} mJ ({low * 1e3:.2f} to {high * 1e3:.2f}), "
            f"measured {measured * 1e3:.2f} mJ: {error:+.0%}, {'inside' if low <= measured <= high else 'outside'}"
        )
    parts = joules[0].sum(axis=0)
    for name, value in zip(predicted(LAYERS[0], technology, CENTRAL, mean), parts, strict=True):
        print(f"  {name}: {value * 1e3:.2f} mJ, {value / parts.sum():.0%}")
    for name, share in (("as this chip's", mean), ("half", 0.5), ("all, without gates", UNGATED)):
        whole = sum(sum(predicted(layer, technology, CENTRAL, share).values()) for layer in LAYERS)
        error = whole / rows[-1][1] - 1
        print(f"register bits that see the clock, {name} ({share:.2f}): {whole * 1e3:.1f} mJ, {error:+.0%}")
    print(f"not published, so missing or assumed: {MISSING}")


if __name__ == "__main__":
    main()
