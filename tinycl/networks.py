"""The networks that the demo and the benchmarks run."""

from __future__ import annotations

from compiler.network import Network


def digits_network() -> Network:
    """Conv 3x3x8, ReLU, conv 3x3x8, ReLU, dense 10, with biases, on 8 x 8 grey images."""
    net = Network("digits", (1, 8, 8))
    return net.conv(8, bias=True).relu().conv(8, bias=True).relu().dense(10, bias=True).softmax_cross_entropy()


def reference_network() -> Network:
    """The network whose training step takes about what TinyCL reports: 3-8-8 convolutions on 32 x 32, dense 8192-10.

    Its shape is inferred from the paper's cycles, not published; no biases, as in the paper's equations.
    """
    net = Network("reference", (3, 32, 32))
    return net.conv(8).relu().conv(8).relu().dense(10).softmax_cross_entropy()
