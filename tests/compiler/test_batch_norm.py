"""Batch normalisation by statistics of a micro-batch: the float64 twin and its parts against PyTorch; refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from arch.chip import Chip
from compiler import Calibration, Options, compile_network
from compiler.batch_twin import BatchTwin
from compiler.batching import batched, ones_spread, spreads
from compiler.differentiation import differentiate
from compiler.float_twin import FloatTwin
from compiler.formats import Headroom
from compiler.graph import INFER, ROWS, TRAIN, Graph, Operator, Optimiser, Role
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.reciprocal_root import RANGE, SCALE, guess, root_error

PAPER = Chip.load("paper")


def residual() -> Network:
    """Two convolutions around which an addition goes, maximum pooling, dense."""
    net = Network("residual", (2, 6, 6)).conv(4, bias=True).batch_norm(momentum=0.25).relu().conv(4).batch_norm()
    return net.add("batch_norm2", "relu1").relu().max_pool(2).dense(3, bias=True).softmax_cross_entropy()


def vectors() -> Network:
    """BatchNorm1d between dense layers."""
    return Network("vectors", (6,)).dense(5).batch_norm(epsilon=0.01).relu().dense(3).softmax_cross_entropy()


def strided() -> Network:
    """Statistics of the input, of few positions, and a mean squared error."""
    net = Network("strided", (3, 5, 5)).batch_norm().conv(4, stride=2, bias=True).batch_norm().relu()
    return net.global_average_pool().dense(2, bias=True).mean_squared_error()


NETWORKS = [residual, vectors, strided]
OPTIMISERS = [Optimiser(2.0**-4, micro_batch=4), Optimiser(2.0**-4, 0.5, 0.01, micro_batch=3)]


def started(network: Network) -> dict[str, np.ndarray]:
    """Random parameters, those of normalisations too."""
    rng = np.random.default_rng(2)
    parameters = network.initial(1)
    for name, value in parameters.items():
        if "batch_norm" in name:
            parameters[name] = rng.uniform(0.5, 1.5, value.shape)
    return parameters


def micro_batch(network: Network, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.5, 1, (count, *network.input_shape))
    if network.nodes[-1].operator == "MeanSquaredError":
        return samples, rng.normal(0, 1, (count, 2))
    return samples, rng.integers(0, 3, count)


def differentiated(network: Network, optimiser: Optimiser) -> Graph:
    return differentiate(lower(network, started(network), train=True, batch_norm="batch"), optimiser)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_the_twin_trains_as_pytorch_in_train_mode(network, optimiser):
    torch = pytest.importorskip("torch", reason="PyTorch is the reference: pip install torch==2.13.0")
    from tests.compiler.torch_reference import TorchBatchNetwork

    net = network()
    twin, reference = BatchTwin(differentiated(net, optimiser)), TorchBatchNetwork(net, started(net))
    rate, momentum, decay = optimiser.learning_rate, optimiser.momentum, optimiser.weight_decay
    sgd = torch.optim.SGD(list(reference.parameters.values()), rate, momentum=momentum, weight_decay=decay)
    for step in range(3):
        samples, labels = micro_batch(net, optimiser.micro_batch, step)
        result = reference.values(samples)["result"]
        sgd.zero_grad()
        reference.loss(result, labels).backward()
        sgd.step()
        np.testing.assert_allclose(twin.step(samples, labels), result.detach().numpy(), rtol=1e-9, atol=1e-10)
    for name, value in reference.all.items():
        found = twin.rows[name].reshape(value.shape)
        np.testing.assert_allclose(found, value.detach().numpy(), rtol=1e-9, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_parts_in_float64_are_the_normalisation(network):
    """What the array executes, without rounding, trains and infers as the twin that takes means and variances, but for
    what is left of the polynomial's error."""
    net, optimiser = network(), OPTIMISERS[1]
    graph = differentiated(net, optimiser)
    samples, labels = micro_batch(net, 12, 5)
    spread = spreads(BatchTwin(graph), Calibration(samples, labels, 12), Headroom())
    twin, parts = BatchTwin(graph), FloatTwin(batched(graph, PAPER, spread))
    for first in range(0, 12, 3):
        part = slice(first, first + 3)
        expected = twin.step(samples[part], labels[part])
        np.testing.assert_allclose(parts.step(samples[part], labels[part]), expected, rtol=1e-4, atol=1e-6)
    for name, value in twin.rows.items():
        np.testing.assert_allclose(parts.rows[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(parts.infer(samples[0]), twin.infer(samples[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_entry_reads_only_what_is_there(network):
    graph = differentiated(network(), OPTIMISERS[0])
    whole = batched(graph, PAPER, ones_spread(graph))
    kept = set(whole.values)
    assert kept == {name for name, tensor in whole.tensors.items() if tensor.role in ROWS}
    for entry, operations in whole.entries.items():
        given = (Role.INPUT, Role.LABEL, Role.TARGET)
        made = kept | {name for name, tensor in whole.tensors.items() if tensor.role in given}
        for item in operations:
            assert set(item.reads) <= made, (entry, item)
            assert item.output in kept or item.output not in made, f"{item.output} is made twice"
            made.add(item.output)
    assert list(whole.entries) == [INFER, TRAIN]
    assert not {Operator.NORMALISE, Operator.NORMALISE_GRADIENT} & {item.operator for item in whole.operations}
    used = {name for item in whole.operations for name in (*item.reads, item.output)}
    assert used == set(whole.tensors)


def test_the_guess_of_a_root_and_its_steps():
    found = guess(16)
    z = np.linspace(0, 1, 1001)
    exact = 1 / (SCALE * np.sqrt(z + 1 / RANGE))
    root = np.polynomial.Polynomial(found.coefficients)(z)
    for _ in range(found.steps):
        root = root * (1.5 - SCALE**2 / 2 * (z + 1 / RANGE) * root**2)
    assert np.abs(root / exact - 1).max() < 2.0**-16


def test_the_documented_bound_is_the_functions():
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    row = re.findall(r"error of 1/√w at most \|(.*)\|", page)[0]
    bounds = root_error(4.0 ** -np.arange(6), 0.0, 16)
    assert [float(cell.strip(" %")) for cell in row.split("|")] == [round(100 * bound, 2) for bound in bounds]
    assert guess(16).steps == 8 and RANGE == 4**5 and len(guess(16).coefficients) == 4


REFUSED = [
    (residual, Options(batch_norm="batch"), "batch_norm1: .* micro_batch of at least 2"),
    (residual, Options(batch_norm="batch", micro_batch=2, train=False), "batch_norm1: .* of training.* frozen"),
    (residual, Options(batch_norm="melted", micro_batch=2), "batch_norm must be folded, frozen or batch"),
]


@pytest.mark.parametrize(("network", "options", "message"), REFUSED)
def test_refusals_name_the_node_and_the_way_out(network, options, message):
    net = network()
    samples, labels = micro_batch(net, 2, 0)
    with pytest.raises(NetworkError, match=message):
        compile_network(net, PAPER, net.initial(0), Calibration(samples, labels, 2), options)


def test_scales_without_statistics_stay_constants():
    net = Network("n", (2, 4, 4)).conv(3).batch_norm(statistics=False).dense(3).softmax_cross_entropy()
    graph = lower(net, net.initial(0), train=True, batch_norm="batch")
    assert [item.operator for item in graph.entries[INFER]] == [Operator.CONV, Operator.COMBINE, Operator.GEMM]
