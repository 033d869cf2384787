"""Real networks, which the onnx package holds without their weights: published sizes, in seconds, in little memory."""

from __future__ import annotations

import time
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest

from compiler.counting import multiply_accumulates, parameter_count
from compiler.onnx_import import load_onnx

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SECONDS = 10


@pytest.mark.parametrize(
    ("name", "gigamacs", "megaweights", "nodes"),
    [
        ("resnet50", 4.089, 25.50, {"Conv": 53, "Add": 16, "MaxPool": 1}),
        ("vgg19", 19.632, 143.65, {"Conv": 16, "Gemm": 3, "Dropout": 2}),
        ("densenet121", 2.834, 7.89, {"Conv": 121, "Concat": 58, "BatchNormalization": 242}),
        ("bvlc_alexnet", 0.655, 60.95, {"Conv": 5, "LRN": 2, "Softmax": 1}),
        ("squeezenet", 0.349, 1.23, {"Conv": 26, "Concat": 8, "GlobalAveragePool": 1}),
        ("shufflenet", 0.125, 1.37, {"Conv": 49, "ChannelShuffle": 16, "Add": 13}),
        ("inception_v1", 1.432, 6.99, {"Conv": 57, "Concat": 9}),
        ("inception_v2", 2.019, 11.17, {"Conv": 69, "Concat": 10}),
        ("zfnet512", 1.482, 87.24, {"Conv": 5, "LRN": 2}),
    ],
)
def test_a_real_network_has_its_published_size(name, gigamacs, megaweights, nodes):
    begin = time.perf_counter()
    network, _ = load_onnx(FOLDER / f"light_{name}.onnx")
    assert time.perf_counter() - begin < SECONDS
    assert network.input_shape == (3, 224, 224) and prod(network.shape) == 1000
    assert multiply_accumulates(network) / 1e9 == pytest.approx(gigamacs, abs=6e-4)
    weights = sum(prod(shape) for key, shape in network.shapes.items() if len(shape) > 1)
    assert weights / 1e6 == pytest.approx(megaweights, abs=6e-3)
    assert weights < parameter_count(network) < weights * 1.05
    operators = [node.operator for node in network.nodes]
    assert {operator: operators.count(operator) for operator in nodes} == nodes
    assert "Reshape" not in operators and "Transpose" not in operators


def test_filled_weights_stay_one_number():
    network, parameters = load_onnx(FOLDER / "light_vgg19.onnx")
    for values in (parameters, network.checked(parameters)):
        assert all(not any(values[key].strides) for key, shape in network.shapes.items() if prod(shape) > 10**6)
    assert np.unique(parameters["n38.weight"]).size == 1
