"""Training in float64: momentum, weight decay and micro-batches against torch.optim.SGD; what is refused."""

import numpy as np
import pytest

from compiler.differentiation import differentiate
from compiler.float_twin import FloatTwin
from compiler.graph import ACCUMULATE, ACCUMULATE_FIRST, ROWS, TRAIN, UPDATE, Operator, Optimiser, Role
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import INPUT, LABEL, NetworkError
from compiler.updates import check


def network() -> Network:
    """A residual network with biases."""
    net = Network("small", (2, 6, 6)).conv(4, bias=True).relu().conv(4, bias=True).add("conv2", "relu1").relu()
    return net.max_pool(2).dense(3, bias=True).softmax_cross_entropy()


OPTIMISERS = [
    Optimiser(2.0**-4),
    Optimiser(2.0**-4, momentum=0.9),
    Optimiser(2.0**-4, weight_decay=0.01),
    Optimiser(2.0**-4, momentum=0.9, weight_decay=0.01),
    Optimiser(2.0**-4, micro_batch=3),
    Optimiser(2.0**-4, momentum=0.5, weight_decay=0.001, micro_batch=4),
]


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_steps_equal_torch_sgd(optimiser):
    torch = pytest.importorskip("torch", reason="PyTorch's SGD is the reference: pip install torch==2.13.0")
    from tests.compiler.torch_reference import TorchNetwork

    net = network()
    rng = np.random.default_rng(1)
    parameters = net.initial(1)
    reference = TorchNetwork(net, parameters)
    leaves = list(reference.parameters.values())
    sgd = torch.optim.SGD(
        leaves, optimiser.learning_rate, momentum=optimiser.momentum, weight_decay=optimiser.weight_decay
    )
    twin = FloatTwin(differentiate(lower(net, parameters, train=True), optimiser))
    for _ in range(3):
        samples, labels = rng.normal(0, 1, (optimiser.micro_batch, 2, 6, 6)), rng.integers(0, 3, optimiser.micro_batch)
        sgd.zero_grad()
        losses = [reference.loss(sample, label) for sample, label in zip(samples, labels, strict=True)]
        torch.stack(losses).mean().backward()
        sgd.step()
        twin.train(samples, labels, np.arange(optimiser.micro_batch))
    for name, leaf in reference.parameters.items():
        np.testing.assert_allclose(twin.parameters[name], leaf.detach().numpy(), rtol=1e-9, atol=1e-10, err_msg=name)


def test_a_micro_batch_of_targets():
    torch = pytest.importorskip("torch", reason="PyTorch's SGD is the reference: pip install torch==2.13.0")
    from tests.compiler.torch_reference import TorchNetwork

    net = Network("line", (2, 5, 5)).conv(3, bias=True).relu().conv(2).mean_squared_error()
    rng = np.random.default_rng(1)
    samples, targets = rng.normal(0, 1, (3, 2, 5, 5)), rng.normal(0, 1, (3, 50))
    reference = TorchNetwork(net, net.initial(0))
    torch.stack(
        [reference.loss(sample, target) for sample, target in zip(samples, targets, strict=True)]
    ).mean().backward()
    twin = FloatTwin(differentiate(lower(net, net.initial(0), train=True), Optimiser(1.0, micro_batch=3)))
    twin.train(samples, targets, np.arange(3))
    for name, leaf in reference.parameters.items():
        assert leaf.grad is not None
        expected = (leaf - leaf.grad).detach().numpy()
        np.testing.assert_allclose(twin.parameters[name], expected, rtol=1e-9, atol=1e-10, err_msg=name)


def test_plain_updates_are_write_backs():
    graph = differentiate(lower(network(), network().initial(0), train=True), Optimiser())
    assert list(graph.entries) == ["infer", TRAIN]
    updated = {item.output for item in graph.entries[TRAIN] if item.update}
    assert updated == {name for name, tensor in graph.tensors.items() if tensor.role in (Role.WEIGHT, Role.BIAS)}
    assert not [item for item in graph.operations if item.operator == Operator.UPDATE]


def test_a_micro_batch_has_entries_of_its_own():
    graph = differentiate(lower(network(), network().initial(0), train=True), Optimiser(momentum=0.9, micro_batch=2))
    assert list(graph.entries) == ["infer", ACCUMULATE_FIRST, ACCUMULATE, UPDATE]
    first, later = graph.entries[ACCUMULATE_FIRST], graph.entries[ACCUMULATE]
    assert {item.output for item in later if item.accumulate} == {
        name for name, tensor in graph.tensors.items() if tensor.role == Role.PARAMETER_GRADIENT
    }
    assert not [item for item in first if item.accumulate or item.update]
    assert {item.operator for item in graph.entries[UPDATE]} == {Operator.UPDATE}


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_every_entry_reads_only_what_is_there(optimiser):
    graph = differentiate(lower(network(), network().initial(0), train=True), optimiser)
    kept = set(graph.values)
    assert kept == {name for name, tensor in graph.tensors.items() if tensor.role in ROWS}
    for entry in graph.entries.values():
        made = kept | {INPUT, LABEL}
        for item in entry:
            assert set(item.reads) <= made, item
            assert item.output in kept or item.output not in made, f"{item.output} is made twice"
            assert not item.mask or graph.tensors[item.mask].shape == graph.tensors[item.output].shape
            made.add(item.output)
    written = {item.output for item in graph.operations} | {INPUT, LABEL} | kept
    assert written == set(graph.tensors)


def test_an_input_gradient_comes_before_the_update_of_its_weight():
    for optimiser in OPTIMISERS[:2]:
        graph = differentiate(lower(network(), network().initial(0), train=True), optimiser)
        operations = graph.entries[TRAIN]
        for index, operation in enumerate(operations):
            if operation.operator in (Operator.CONV_INPUT_GRADIENT, Operator.GEMM_INPUT_GRADIENT):
                written = [i for i, item in enumerate(operations) if item.output == operation.weight]
                assert written and min(written) > index


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (Optimiser(0.03), "power of two"),
        (Optimiser(0.0), "learning_rate"),
        (Optimiser(momentum=1.0), "momentum"),
        (Optimiser(weight_decay=-0.1), "weight_decay"),
        (Optimiser(micro_batch=0), "micro_batch"),
    ],
)
def test_optimisers_that_cannot_be_are_refused(optimiser, message):
    with pytest.raises(NetworkError, match=message):
        check(optimiser)
    with pytest.raises(NetworkError, match=message):
        differentiate(lower(network(), network().initial(0), train=True), optimiser)


def test_training_needs_a_loss_and_something_to_train():
    net = Network("bare", (4,)).dense(3)
    with pytest.raises(NetworkError, match="needs a loss"):
        differentiate(lower(net, net.initial(0), train=True), Optimiser())
    with pytest.raises(NetworkError, match="at least one trainable"):
        differentiate(lower(network(), network().initial(0), train=True), Optimiser(), trainable=())


def test_the_given_values_stay_as_they_are():
    net = network()
    parameters = net.initial(0)
    graph = differentiate(lower(net, parameters, train=True), Optimiser(2.0**-4, momentum=0.9))
    twin = FloatTwin(graph)
    twin.step(np.ones((2, 6, 6)), 1)
    for name, value in parameters.items():
        assert np.array_equal(graph.values[name], value)
        assert np.array_equal(value, net.initial(0)[name])
    assert not np.array_equal(twin.parameters["conv1.weight"], parameters["conv1.weight"])
