"""YAML descriptions: the builder's own networks, and refusals that name file, layer and field."""

from __future__ import annotations

import inspect

import pytest

from compiler.description import LAYERS, load_network
from compiler.network import Network
from compiler.nodes import NetworkError


def written(tmp_path, *layers: str, shape: str = "[4, 6, 6]"):
    path = tmp_path / "net.yaml"
    path.write_text(f"name: small\ninput: {shape}\nlayers:\n" + "".join(f"  - {layer}\n" for layer in layers))
    return path


def test_a_description_builds_the_same_network(tmp_path):
    path = written(
        tmp_path,
        "conv: {filters: 4, bias: true}",
        "relu",
        "dense: {outputs: 3, bias: true}",
        "softmax_cross_entropy",
    )
    built = Network("small", (4, 6, 6)).conv(4, bias=True).relu().dense(3, bias=True).softmax_cross_entropy()
    assert load_network(path).nodes == built.nodes


def test_branches_and_every_argument(tmp_path):
    path = written(
        tmp_path,
        "conv: {filters: 8, kernel: [3, 1], stride: 2, padding: [1, 0, 1, 0], dilation: 1, groups: 2, name: stem}",
        "batch_norm: {epsilon: 0.001}",
        "relu6: {name: a}",
        "depthwise: {kernel: 3, after: a}",
        "add: {first: a, second: depthwise2, name: sum}",
        "concat: {values: [sum, a]}",
        "slice: {starts: [0, 0, 0], ends: [8, 3, 3]}",
        "global_average_pool:",
        "dense: {outputs: 2}",
    )
    net = Network("small", (4, 6, 6)).conv(8, (3, 1), stride=2, padding=(1, 0, 1, 0), groups=2, name="stem")
    net.batch_norm(epsilon=0.001).relu6(name="a").depthwise().add("a", "depthwise2", name="sum").concat("sum", "a")
    assert load_network(path).nodes == net.slice((0, 0, 0), (8, 3, 3)).global_average_pool().dense(2).nodes


def test_every_layer_of_the_builder_can_be_described():
    methods = {
        name for name, method in vars(Network).items() if inspect.isfunction(method) and not name.startswith("_")
    }
    assert set(LAYERS) == methods


@pytest.mark.parametrize("text", ["", "[1", "name: x\ninput: [1]\nlayers: [pool]\n", "name: 3\ninput: a\nlayers: []\n"])
def test_a_wrong_description_is_one_line(tmp_path, text):
    path = tmp_path / "net.yaml"
    path.write_text(text)
    with pytest.raises(NetworkError) as error:
        load_network(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["conv: {filters: many}"], ["layers.0.conv", "filters", "many"]),
        (["conv: {}"], ["layers.0.conv", "filters"]),
        (["relu", "conv: {filters: 2, kernal: 3}"], ["layers.1.conv", "kernal"]),
        (["conv: {filters: 2, kernel: [1, 2, 3]}"], ["layers.0.conv", "kernel"]),
        (["conv: {filters: 2.0}"], ["layers.0.conv", "filters"]),
        (["relu: [1]"], ["layers.0.relu"]),
        (["{relu: {}, conv: {filters: 1}}"], ["layers.0", "one of"]),
        (["initial: {seed: 1}"], ["layers.0", "one of"]),
        (["17"], ["layers.0", "one of"]),
        (["conv: {filters: 2, after: b}"], ["conv1", "reads b"]),
        (["relu: {name: a}", "relu: {after: input}"], ["a", "read by no node"]),
    ],
)
def test_a_wrong_layer_is_named(tmp_path, layers, words):
    with pytest.raises(NetworkError) as error:
        load_network(written(tmp_path, *layers))
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)
