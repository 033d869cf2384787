"""What lowering makes of a network's nodes, what it joins, and what it refuses."""

import numpy as np
import pytest

from compiler.float_twin import FloatTwin
from compiler.graph import ROWS, Graph, Operator
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import NetworkError


def lowered(network: Network, **options) -> Graph:
    return lower(network, network.initial(0), **options)


def operators(graph: Graph) -> list[str]:
    return [item.operator.value for item in graph.entries["infer"]]


def test_a_relu_joins_what_nothing_else_reads():
    net = Network("n", (2, 5, 5)).conv(3).relu().conv(3, name="a")
    assert operators(lowered(net)) == ["Conv", "Conv"]
    assert lowered(net).entries["infer"][0].relu
    shared = net.add("a", "conv1")
    graph = lowered(shared)
    assert operators(graph) == ["Conv", "Combine", "Conv", "Combine"]
    assert [item.relu for item in graph.entries["infer"]] == [False, True, False, False]


def test_a_relu_of_the_input_and_of_the_result():
    graph = lowered(Network("n", (2, 5, 5)).relu().conv(3).relu())
    assert operators(graph) == ["Combine", "Conv"]
    assert graph.entries["infer"][0].relu and graph.entries["infer"][1].relu
    assert graph.logits == "conv1"


def test_a_value_read_behind_an_identity_is_shared():
    net = Network("n", (2, 5, 5)).conv(3).identity().relu()
    net.add("identity1", "relu1")
    assert operators(lowered(net)) == ["Conv", "Combine", "Combine"]


def test_batch_normalisation_folds_into_weights():
    net = Network("n", (2, 5, 5)).conv(3).batch_norm().relu()
    assert operators(lowered(net)) == ["Conv"]
    assert "conv1.bias" in lowered(net).values
    assert operators(lowered(net, train=True)) == ["Conv", "Combine"]
    assert operators(lowered(net, batch_norm="frozen")) == ["Conv", "Combine"]
    assert operators(lowered(Network("n", (2, 5, 5)).batch_norm().conv(3))) == ["Combine", "Conv"]
    with pytest.raises(NetworkError, match=r"batch_norm1: statistics of a batch"):
        lowered(net, batch_norm="batch")
    with pytest.raises(NetworkError, match="batch_norm must be"):
        lowered(net, batch_norm="melted")


def test_folding_leaves_the_given_parameters_alone():
    net = Network("n", (2, 5, 5)).conv(3, bias=True).batch_norm()
    parameters = {name: value + 0.5 for name, value in net.initial(0).items()}
    before = {name: value.copy() for name, value in parameters.items()}
    graph = lower(net, parameters)
    assert not np.array_equal(graph.values["conv1.weight"], parameters["conv1.weight"])
    assert all(np.array_equal(parameters[name], before[name]) for name in before)


def test_scalings_join_their_sum():
    net = Network("n", (2, 5, 5)).conv(3, name="a").batch_norm(name="b")
    net.conv(3, name="c", after="input").batch_norm(name="d").add("b", "d")
    graph = lowered(net, batch_norm="frozen")
    assert operators(graph) == ["Conv", "Conv", "Combine"]
    assert graph.entries["infer"][-1].inputs == ("a", "c")
    assert "b" not in graph.tensors and "b.factor0" not in graph.values


def test_padding_joins_its_convolution():
    net = Network("n", (2, 5, 5)).pad((2, 1, 0, 3)).conv(3, 3, stride=2, padding=(1, 0, 0, 0))
    (operation,) = lowered(net).entries["infer"]
    assert (operation.inputs, operation.pads) == (("input",), (3, 1))


def test_an_average_over_the_map_is_global_and_a_vector_where_one_is_read():
    net = Network("n", (2, 4, 5)).average_pool((4, 5)).flatten().dense(3)
    graph = lowered(net)
    assert operators(graph) == ["GlobalAveragePool", "Gemm"]
    assert graph.tensors["average_pool1"].shape == (2,)
    assert lowered(Network("n", (2, 4, 5)).global_average_pool().conv(3, 1)).tensors["global_pool1"].shape == (2, 1, 1)
    assert lowered(Network("n", (2, 4, 5)).global_average_pool()).tensors["global_pool1"].shape == (2, 1, 1)


def test_operations_and_tensors_know_each_other():
    net = Network("n", (4, 8, 8)).conv(8).batch_norm().relu6().average_pool(2).channel_shuffle(2)
    net.slice((2, 0, 1), (8, 4, 3)).leaky_relu().dense(3, bias=True)
    graph = lowered(net, batch_norm="frozen")
    made = {"input"} | {name for name, tensor in graph.tensors.items() if tensor.role in ROWS}
    assert made - {"input"} == set(graph.values)
    for item in graph.entries["infer"]:
        assert set(item.reads) <= made, item
        assert len(item.factors) == (0 if item.operator in (Operator.CONV, Operator.GEMM) else len(item.inputs))
        made.add(item.output)
    assert made == set(graph.tensors)
    for name, value in graph.values.items():
        assert value.shape == graph.tensors[name].shape


def test_multiply_accumulates_are_nominal():
    net = Network("n", (4, 8, 8)).conv(8, 3).depthwise(3).average_pool(2).dense(10)
    assert [item.macs for item in lowered(net).entries["infer"]] == [4 * 8 * 9 * 64, 8 * 9 * 64, 0, 8 * 16 * 10]


def test_softmax_is_left_out_and_noted():
    graph = lowered(Network("n", (4,)).dense(3).softmax())
    assert graph.logits == "dense1"
    assert graph.notes == ["softmax1: left out; the result is its input, the logits"]


def test_local_response_normalisation_is_onnx_s():
    pytest.importorskip("torch", reason="PyTorch is the reference: pip install torch==2.13.0")
    from tests.compiler.evaluate import evaluate

    for size in (1, 4, 5):
        net = Network("n", (7, 3, 4)).lrn(size, alpha=0.3, beta=0.6, bias=1.5)
        sample = np.random.default_rng(0).normal(0, 2, (7, 3, 4))
        np.testing.assert_allclose(FloatTwin(lowered(net)).infer(sample), evaluate(net, {}, sample)["lrn1"], rtol=1e-12)


def test_transposes_that_move_nothing_are_left_out():
    there = Network("n", (2, 5, 6)).transpose((1, 2, 0)).transpose((2, 0, 1)).conv(3)
    assert [item.inputs for item in lowered(there).entries["infer"]] == [("input",)]
    relabelled = Network("n", (2, 5, 6)).conv(3).global_average_pool().transpose((1, 2, 0)).flatten().dense(4)
    assert [item.operator for item in lowered(relabelled).entries["infer"]][1:] == ["GlobalAveragePool", "Gemm"]


def test_maps_are_joined_after_they_are_pooled():
    pytest.importorskip("torch", reason="PyTorch is the reference: pip install torch==2.13.0")
    from tests.compiler.evaluate import evaluate

    net = Network("n", (2, 6, 6)).conv(3, name="a").conv(2, name="b", after="input").concat("a", "b").max_pool(2)
    parameters = net.initial(0)
    graph = lower(net, parameters)
    assert [item.operator for item in graph.operations] == ["Conv", "Conv", "MaxPool", "MaxPool", "ChannelMap"]
    sample = np.random.default_rng(0).normal(size=(2, 6, 6))
    expected = evaluate(net, net.checked(parameters), sample)[net.last]
    np.testing.assert_allclose(FloatTwin(graph).infer(sample), expected, rtol=1e-12)
    assert len(lower(net, parameters, train=True).operations) == 4


def test_a_window_over_the_whole_map_is_a_global_average():
    net = Network("n", (2, 6, 5)).average_pool((7, 5), stride=1, padding=(0, 0, 1, 0))
    (operation,) = lowered(net).operations
    assert operation.operator == "GlobalAveragePool"
    sample = np.random.default_rng(0).normal(size=(2, 6, 5))
    np.testing.assert_allclose(FloatTwin(lowered(net)).infer(sample).reshape(2), sample.mean(axis=(1, 2)))
    padded = Network("n", (2, 6, 5)).average_pool((7, 5), stride=1, padding=(0, 0, 1, 0), count_include_pad=True)
    assert lowered(padded).operations[0].operator == "Conv"


def test_decided_formats_are_those_of_tensors():
    net = Network("n", (2, 5, 5)).conv(3).relu()
    net.fractions |= {"input": 7, "conv1": 9, "relu1": 9}
    assert lowered(net).fractions == {"input": 7, "conv1": 9}
    net.fractions["relu1"] = 6
    assert lowered(net).fractions == {"input": 7, "conv1": 9, "relu1": 6}
    flat = Network("n", (2, 5, 5)).conv(3).flatten()
    flat.fractions |= {"conv1": 9, "flatten1": 9}
    assert lowered(flat).fractions == {"conv1": 9}
    flat.octets.append("flatten1")
    with pytest.raises(NetworkError, match="flatten1: is quantised again with another scale or type"):
        lowered(flat)


@pytest.mark.parametrize(
    ("network", "value"),
    [
        (Network("n", (2, 6, 6)).relu(name="r").batch_norm(name="b").add("b", "r"), "b"),
        (Network("n", (2, 6, 6)).relu(name="r").pad(1, name="p").conv(3, padding=0), "p"),
        (Network("n", (2, 6, 6)).conv(3, name="c").batch_norm(name="b"), "c"),
    ],
)
def test_what_has_a_decided_format_is_rounded_to_it(network, value):
    """Nothing takes over the work of the operation that makes it, as would happen without a format."""
    outputs = [operation.output for operation in lowered(network).operations]
    network.fractions[value] = 5
    graph = lowered(network)
    assert graph.fractions == {value: 5}
    assert value in [operation.output for operation in graph.operations]
    assert len(graph.operations) == len(outputs) + 1


def test_names_that_tensors_need_are_refused():
    net = Network("n", (2, 5, 5)).conv(3, name="a").clip(6.0, name="b").conv(2, name="b.below")
    with pytest.raises(NetworkError, match=r"b\.below: the name is needed"):
        lowered(net)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network("n", (2, 5, 5)).conv(3).lrn(3), "lrn1: LRN has no gradient"),
        (Network("n", (2, 5, 5)).conv(3).dropout(0.5), "dropout1: dropout is not executed in training"),
        (Network("n", (2, 5, 5)).transpose((1, 0, 2)), r"transpose1: a transpose of \[2, 5, 5\] .* channels first"),
        (Network("n", (2, 5, 6)).transpose((1, 2, 0)).transpose((1, 0, 2)), "transpose2: a transpose of"),
        (Network("n", (2, 4, 4)).reshape((4, 2, 4)), r"reshape1: a reshape of \[2, 4, 4\]"),
        (Network("n", (2, 4, 4)).flatten().batch_norm(), "batch_norm1: reads flatten1, the map"),
        (Network("n", (2, 4, 4)).flatten().slice((1,), (3,)), "slice1: reads flatten1, the map"),
        (Network("n", (2, 4, 4)).flatten(), "at least one layer that computes"),
        (Network("n", (32,)).dense(16, name="a").reshape((4, 2, 2)), "reshape1: a reshape"),
    ],
)
def test_what_cannot_be_lowered_is_refused(network, message):
    with pytest.raises(NetworkError, match=message):
        lowered(network, train=True)


def test_flattened_maps_of_two_shapes_do_not_join():
    net = Network("n", (2, 4, 4)).conv(2).flatten(name="f").conv(2, stride=2, after="conv1").flatten(name="g")
    with pytest.raises(NetworkError, match="also before flattening"):
        lowered(net.concat("f", "g"))
    net = Network("n", (2, 4, 4)).conv(2).flatten(name="f").dense(32, after="conv1").add("f", "dense1")
    with pytest.raises(NetworkError, match="flatten both or none"):
        lowered(net)
