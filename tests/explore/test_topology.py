"""SCALE-Sim's topologies: our reading of them, its cycles, and that ours are the compiled layer's."""

from pathlib import Path

import pytest

import tinycl
from arch.chip import Chip
from arch.errors import InputError
from compiler import Network
from explore.topology import Layer, read_topology, systolic_cycles, time_layer

RESNET18 = Path(__file__).parents[2] / "benchmarks" / "resnet18.csv"
MEASURED = {
    "Conv1": 121939,
    "Conv2_1a": 108359,
    "Conv3_1a": 63215,
    "Conv3_1b": 110879,
    "Conv3_s": 7479,
    "Conv4_1a": 83519,
    "Conv4_1b": 137087,
    "Conv4_s": 10207,
    "Conv5_1a": 164735,
    "Conv5_1b": 274175,
    "Conv5_s": 20223,
    "FC": 48639,
}
"""Compute cycles that SCALE-Sim 3.0.0 printed for a weight-stationary array of 32 x 32."""


def test_closed_form_is_what_scale_sim_printed():
    layers = read_topology(RESNET18)
    assert len(layers) == 21
    assert {name: systolic_cycles(layers[name], 32, 32) for name in MEASURED} == MEASURED


def test_a_layer_is_the_convolution_without_padding():
    layer = Layer(9, 8, 3, 2, 4, 6, 2)
    network = Network("same", (4, 9, 8)).conv(6, (3, 2), stride=2, padding=0)
    compiled = tinycl.compile(network, "paper")
    assert time_layer(layer, Chip.load("paper")).cycles == compiled.report.cycles
    assert layer.macs == compiled.report.macs


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,8,8,3,3,4", "line 2 must be a name and seven"),
        ("a,8,8,3,3,4,x,1", "line 2 must be a name and seven"),
        ("a,2,8,3,3,4,4,1", "filter within its input"),
        ("a,8,8,3,3,0,4,1", "positive"),
    ],
)
def test_refuses_lines(tmp_path, line, message):
    path = tmp_path / "net.csv"
    path.write_text(f"header\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_topology(path)
