"""PyTorch modules as networks: the same numbers, the modules' names, the sizes of the MLPerf Tiny networks."""

from __future__ import annotations

import sys
from math import prod

import numpy as np
import pytest

from compiler.counting import multiply_accumulates, parameter_count
from compiler.nodes import NetworkError
from compiler.torch_export import load_torch
from tinycl.mlperf import INPUTS, mlperf_network
from tinycl.networks import resnet8_network

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install tinycl[torch]")
pytest.importorskip("onnxscript", reason="PyTorch's exporter needs onnxscript: pip install tinycl[torch]")
nn = torch.nn


def agree(module, shape, seed=0):
    """Import the module; the network's result must be the module's. Returns network and parameters."""
    from tests.compiler.evaluate import evaluate

    network, parameters = load_torch(module, shape)
    sample = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(sample)[None])[0].numpy()
    result = evaluate(network, network.checked(parameters), sample)[network.last]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
    return network, parameters


def statistics(module, seed=1):
    """Running statistics and slopes of every batch normalisation away from their first values."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                values.uniform_(0.5, 1.5, generator=generator)
    return module


@pytest.mark.parametrize(
    ("name", "macs", "elements"),
    [
        ("resnet8", 12_501_632, 78_666),
        ("ds_cnn", 2_656_768, 24_908),
        ("mobilenet", 7_489_664, 221_794),
        ("autoencoder", 264_192, 269_992),
    ],
)
def test_mlperf_networks_are_those_of_the_benchmark(name, macs, elements):
    module = statistics(mlperf_network(name))
    network, parameters = agree(module, INPUTS[name])
    assert multiply_accumulates(network) == macs
    assert sum(prod(shape) for shape in network.shapes.values()) == elements
    assert parameter_count(network) == sum(values.numel() for values in module.parameters())
    state = {key: values for key, values in module.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert parameters.keys() == state.keys()
    for key, values in state.items():
        np.testing.assert_array_equal(parameters[key], values.numpy())
    modules = {path for path, part in module.named_modules() if not list(part.children())}
    extra = {node.name for node in network.nodes} - modules
    assert extra == ({"stack1.add", "stack2.add_1", "stack3.add_2"} if name == "resnet8" else set())


def test_the_builders_resnet8_is_the_module():
    imported, _ = load_torch(mlperf_network("resnet8"), INPUTS["resnet8"])
    built = resnet8_network()
    rename = {"stack2.add_1": "stack2.add", "stack3.add_2": "stack3.add"}
    for ours, theirs in zip(built.nodes, imported.nodes, strict=False):
        assert ours.name == rename.get(theirs.name, theirs.name)
        assert (ours.operator, ours.shape) == (theirs.operator, theirs.shape)
        if ours.operator == "BatchNormalization":  # ONNX holds its epsilon in 32 bits
            assert vars(ours.attributes) == pytest.approx(vars(theirs.attributes))
        else:
            assert ours.attributes == theirs.attributes
        assert ours.inputs == tuple(rename.get(value, value) for value in theirs.inputs)
    assert built.shapes == imported.shapes and len(built.nodes) == len(imported.nodes) + 1


def test_every_kind_of_layer():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d((8, 8)),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.ZeroPad2d((1, 0, 2, 0)),
        nn.ChannelShuffle(2),
        nn.Dropout(0.25),
        nn.PReLU(),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3, bias=False),
        nn.Softmax(1),
    )
    module.train()
    network, parameters = agree(statistics(module), (3, 32, 32))
    assert [node.operator for node in network.nodes] == [
        "Conv",
        "BatchNormalization",
        "Clip",
        "LeakyRelu",
        "AveragePool",
        "MaxPool",
        "AveragePool",
        "Pad",
        "ChannelShuffle",
        "Dropout",
        "LeakyRelu",
        "Conv",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    ]
    assert [node.name for node in network.nodes] == [str(position) for position in range(16)]
    assert network.node("9").attributes.ratio == 0.25
    assert "0.bias" not in parameters and "11.bias" in parameters


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        a, b = x.chunk(2, 1)
        y = self.relu(self.conv(torch.cat([b, a], 1)) * 0.5 + 1)
        n, c, h, w = y.shape
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)[:, :, 1:, :-1]
        return self.relu(y - 0.25).mean((2, 3))


def test_functions_are_named_after_their_module():
    network, _ = agree(nn.Sequential(Functional()), (4, 6, 6))
    names = [node.name for node in network.nodes]
    assert {"0.conv", "0.relu", "0.relu_1"} <= set(names)
    assert all(name.startswith("0.") for name in names)
    assert "ChannelShuffle" in {node.operator for node in network.nodes}


def test_modes_are_as_before():
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    module[0].eval()
    load_torch(module, (4,))
    assert module.training and module[1].training and not module[0].training


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(self.fc(x))


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Tanh()), (4,), ["1 (Sigmoid)", "2 (Tanh)", "Relu"]),
        (nn.Sequential(nn.Linear(4, 4)), (5,), ["PyTorch cannot export", "5"]),
        (Shared(), (4,), ["fc.weight", "several layers"]),
        (nn.Linear(4, 4), (0,), ["input of Linear"]),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line(module, shape, words, capfd):
    with pytest.raises(NetworkError) as error:
        load_torch(module, shape)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert capfd.readouterr().out == ""


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(NetworkError, match=r"onnxscript is not installed; .*tinycl\[torch\]"):
        load_torch(nn.Linear(4, 4), (4,))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NetworkError, match=r"tinycl\[torch\]"):
        mlperf_network("resnet8")


def test_an_unknown_mlperf_network_is_refused():
    with pytest.raises(NetworkError, match="resnet9: must be one of resnet8"):
        mlperf_network("resnet9")


def test_a_local_response_normalisation_is_one_node():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(5, alpha=0.3, beta=0.6, k=1.5), nn.ReLU())
    network, _ = agree(module, (3, 7, 7))
    assert [(node.name, node.operator) for node in network.nodes] == [("0", "Conv"), ("1", "LRN"), ("2", "Relu")]
    with pytest.raises(NetworkError, match="1: its size must be odd, not 4"):
        load_torch(nn.Sequential(nn.Conv2d(3, 8, 3), nn.LocalResponseNorm(4)), (3, 7, 7))
