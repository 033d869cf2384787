"""Chips of given memories, and networks that do not fit some of them."""

from __future__ import annotations

from arch.chip import Chip
from compiler.network import Network

TINY = Chip.load("tiny").replace(accumulator_banks=4)


def sized(feature: int, weight: int = 1 << 14, chip: Chip = TINY) -> Chip:
    memory = {"bytes": feature, "banks": chip.kernel, "pages": 2}
    return chip.replace(
        feature_memory=memory,
        gradient_memory=memory,
        weight_memory={"bytes": weight, "banks": 1, "pages": 2},
        external_memory={"bytes_per_cycle": 4, "latency_cycles": 3, "bytes": 1 << 20},
        program_memory={"instructions": 16384},
    )


def plain(size: int = 12) -> Network:
    net = Network("plain", (2, size, size)).conv(5, 3).relu().conv(4, 3, stride=2, padding=1).relu()
    return net.conv(3, 1).flatten().dense(4, bias=True).softmax_cross_entropy()


def residual(size: int = 12) -> Network:
    net = Network("residual", (3, size, size)).conv(6, 3, name="a").relu(name="ar").conv(6, 3, name="b")
    net.add("b", "ar", name="s").relu(name="sr").conv(4, 3, stride=2, padding=1, name="c").relu(name="cr")
    return net.global_average_pool().flatten().dense(3).softmax_cross_entropy()


def pooled(size: int = 12) -> Network:
    net = Network("pooled", (2, size, size)).conv(4, 3).relu().depthwise(3).conv(7, 1).relu().max_pool(2).conv(3, 3)
    return net.relu().flatten().dense(3).softmax_cross_entropy()


def expanded(size: int = 16) -> Network:
    net = Network("expanded", (2, size, size)).conv(3, 3).relu().conv(12, 1).relu()
    return net.depthwise(3, stride=2, padding=1).global_average_pool().flatten().dense(3).softmax_cross_entropy()


def wide(columns: int = 5, pool: int = 3) -> Network:
    """Maps of which not even a kernel's rows fit a small memory."""
    net = Network("wide", (4, 9, 41)).conv(7, (3, columns), bias=True).relu(name="a")
    net.depthwise(3, name="b").add("a", "b", name="s").conv(6, columns, stride=2, padding=1).relu()
    return net.max_pool(pool, stride=2, padding=pool // 3).conv(3, 3).relu().flatten().dense(3).softmax_cross_entropy()


def matrix(size: int = 6) -> Network:
    net = Network("matrix", (3, size, size)).conv(4).relu().flatten().dense(20, bias=True).relu()
    return net.dense(3).softmax_cross_entropy()


def deep(size: int = 6) -> Network:
    """Kernels of many channels both ways: of windows, of phases of a stride, of one pixel, of two groups."""
    net = Network("deep", (6, size, size)).conv(20, 3).relu().conv(18, 3, stride=2, padding=1).relu()
    net = net.conv(24, 1).relu().conv(20, 3, groups=2).relu()
    return net.global_average_pool().flatten().dense(3).softmax_cross_entropy()


def separable(size: int = 4) -> Network:
    """A depthwise convolution of many channels."""
    net = Network("separable", (6, size, size)).conv(120, 1).relu().depthwise(3).relu().conv(8, 1).relu()
    return net.global_average_pool().flatten().dense(3).softmax_cross_entropy()
