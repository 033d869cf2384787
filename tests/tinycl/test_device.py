"""The chip driven step by step: what it gives and takes has the network's shapes, and clipping is said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinycl

SHAPE = (2, 9, 9)


def device(train: bool = True) -> tinycl.Device:
    """Its first layer reads patches, in which kernels lie as channels."""
    network = tinycl.Network("patched", SHAPE).conv(8, 3, stride=2).relu().dense(3)
    samples = np.random.default_rng(0).random((32, *SHAPE))
    return tinycl.Device(tinycl.compile(network, "paper", train, calibration=(samples, np.zeros(32, int))))


def test_weights_have_the_networks_shapes_and_compile_again():
    first = device()
    assert first.compiled.build.graph and first.compiled.build.graph.patches
    first.step(np.full(SHAPE, 0.5), 1)
    weights = {name: first.weights(name) for name in first.parameters}
    network = first.compiled.build.network
    assert {name: value.shape for name, value in weights.items()} == network.shapes
    assert first.gradients("conv1.weight").shape == network.shapes["conv1.weight"]
    sample = np.random.default_rng(1).random(SHAPE)
    again = tinycl.Device(
        tinycl.compile(network, "paper", True, parameters=weights, calibration=first.compiled.build.calibration)
    )
    assert np.abs(again.infer(sample) - first.infer(sample)).max() < 0.01


def test_samples_beyond_the_format_are_said_to_be_clipped():
    chip = device(train=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chip.infer(np.ones(SHAPE))
    sample = np.ones(SHAPE)
    sample[0, :2, 0] = -3
    with pytest.warns(UserWarning, match="input: 2 of 162 values lie beyond 1, .* clipped"):
        chip.infer(sample)
