"""The builder: shapes that follow, names, values and parameters, and refusals that name the node and the way out."""

from __future__ import annotations

import numpy as np
import pytest

from arch.errors import InputError
from compiler.counting import multiply_accumulates, parameter_count
from compiler.network import Network
from compiler.nodes import BatchNormalizationAttributes, ConvAttributes, NetworkError, PoolAttributes


def small() -> Network:
    return Network("small", (1, 6, 6)).conv(4, bias=True).relu().dense(3, bias=True).softmax_cross_entropy()


def residual() -> Network:
    net = Network("residual", (3, 9, 9)).conv(8, stride=2, name="stem").batch_norm().relu(name="a")
    return net.conv(8).batch_norm().add("a", net.last).relu(name="b").global_average_pool().dense(10)


def test_shapes_are_those_of_onnx():
    assert small().shapes == {
        "conv1.weight": (4, 1, 3, 3),
        "conv1.bias": (4,),
        "dense1.weight": (3, 144),
        "dense1.bias": (3,),
    }


def test_a_node_says_what_it_is():
    net = residual()
    stem, norm = net.nodes[0], net.node("batch_norm1")
    assert stem.attributes == ConvAttributes((3, 3), (2, 2), (1, 1, 1, 1), (1, 1), 1)
    assert (stem.operator, stem.inputs, stem.shape, stem.parameters) == (
        "Conv",
        ("input",),
        (8, 5, 5),
        {"weight": "stem.weight"},
    )
    assert norm.attributes == BatchNormalizationAttributes(1e-5)
    assert norm.parameters["running_var"] == "batch_norm1.running_var"
    assert net.node("add1").inputs == ("a", "batch_norm2")
    assert {value: [node.name for node in nodes] for value, nodes in net.users().items()} == {
        "input": ["stem"],
        "stem": ["batch_norm1"],
        "batch_norm1": ["a"],
        "a": ["conv2", "add1"],
        "conv2": ["batch_norm2"],
        "batch_norm2": ["add1"],
        "add1": ["b"],
        "b": ["global_pool1"],
        "global_pool1": ["dense1"],
        "dense1": [],
    }
    net.validate()


@pytest.mark.parametrize(
    ("build", "operator", "shape"),
    [
        (lambda net: net.conv(8, 5), "Conv", (8, 9, 12)),
        (lambda net: net.conv(8, 4), "Conv", (8, 9, 12)),
        (lambda net: net.conv(8, (3, 1), stride=(2, 1)), "Conv", (8, 5, 12)),
        (lambda net: net.conv(8, dilation=2, padding=0), "Conv", (8, 5, 8)),
        (lambda net: net.conv(8, padding=(1, 0, 0, 2), groups=2), "Conv", (8, 8, 12)),
        (lambda net: net.conv(8, 9, padding=(0, 0, 0, 0)), "Conv", (8, 1, 4)),
        (lambda net: net.depthwise(stride=3), "Conv", (4, 3, 4)),
        (lambda net: net.max_pool(), "MaxPool", (4, 4, 6)),
        (lambda net: net.max_pool(3, stride=2, padding=1), "MaxPool", (4, 5, 6)),
        (lambda net: net.average_pool((9, 12)), "AveragePool", (4, 1, 1)),
        (lambda net: net.global_average_pool(), "GlobalAveragePool", (4, 1, 1)),
        (lambda net: net.relu6(), "Clip", (4, 9, 12)),
        (lambda net: net.leaky_relu(0.1), "LeakyRelu", (4, 9, 12)),
        (lambda net: net.lrn(5), "LRN", (4, 9, 12)),
        (lambda net: net.dropout(), "Dropout", (4, 9, 12)),
        (lambda net: net.identity(), "Identity", (4, 9, 12)),
        (lambda net: net.add("input", "input"), "Add", (4, 9, 12)),
        (lambda net: net.relu().concat("input", "relu1"), "Concat", (8, 9, 12)),
        (lambda net: net.slice((1, 0, 2), (3, 9, 4)), "Slice", (2, 9, 2)),
        (lambda net: net.pad((1, 2, 3, 4)), "Pad", (4, 13, 18)),
        (lambda net: net.flatten(), "Flatten", (432,)),
        (lambda net: net.reshape((12, 9, 4)), "Reshape", (12, 9, 4)),
        (lambda net: net.transpose((1, 2, 0)), "Transpose", (9, 12, 4)),
        (lambda net: net.channel_shuffle(2), "ChannelShuffle", (4, 9, 12)),
        (lambda net: net.flatten().softmax(), "Softmax", (432,)),
        (lambda net: net.flatten().mean_squared_error(), "MeanSquaredError", ()),
        (lambda net: net.relu().conv(2, after="input"), "Conv", (2, 9, 12)),
    ],
)
def test_shapes_follow(build, operator, shape):
    net = build(Network("n", (4, 9, 12)))
    assert (net.nodes[-1].operator, net.nodes[-1].shape, net.shape) == (operator, shape, shape)


def test_pads_keep_the_extents_and_an_odd_one_comes_last():
    net = Network("n", (1, 9, 9)).conv(1, (4, 5), dilation=(1, 2)).max_pool(3, stride=2, padding=(1, 0, 0, 1))
    assert net.nodes[0].attributes == ConvAttributes((4, 5), (1, 1), (1, 4, 2, 4), (1, 2), 1)
    assert net.nodes[1].attributes == PoolAttributes((3, 3), (2, 2), (1, 0, 0, 1))


def test_names_are_paths_and_numbers():
    net = Network("n", (4,)).dense(3, name="layer1.0.fc").relu(name="/relu/a").dense(2).dense(2)
    assert [node.name for node in net.nodes] == ["layer1.0.fc", "/relu/a", "dense2", "dense3"]
    assert list(net.shapes) == ["layer1.0.fc.weight", "dense2.weight", "dense3.weight"]


def test_a_loss_takes_the_place_of_a_softmax():
    net = Network("n", (4,)).dense(3).softmax(name="p").softmax_cross_entropy()
    assert [(node.operator, node.inputs) for node in net.nodes][1:] == [("SoftmaxCrossEntropyLoss", ("dense1",))]
    assert "p" not in net.values


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Network("n", (0, 8, 8)), ["input of n", "(0, 8, 8)"]),
        (lambda: Network("n", (4, 8)), ["input of n", "(4, 8)"]),
        (lambda: Network("n", (3, 2000, 8)), ["input of n", "1023"]),
        (lambda: Network("n", (65_535, 1023, 1023)), ["input of n", "elements"]),
        (lambda: Network("n", (1, 8, 8)).dense(4).conv(3), ["conv1", "map"]),
        (lambda: Network("n", (1, 2, 2)).conv(3, padding=0), ["conv1", "2 x 2"]),
        (lambda: Network("n", (1, 8, 8)).conv(0), ["conv1", "filters"]),
        (lambda: Network("n", (1, 8, 8)).conv(True), ["conv1", "filters"]),
        (lambda: Network("n", (1, 8, 8)).conv(2, padding=10**9), ["conv1", "padding"]),
        (lambda: Network("n", (1, 8, 8)).conv(2, padding=(1, 1)), ["conv1", "padding", "left"]),  # type: ignore[arg-type]
        (lambda: Network("n", (1, 8, 8)).conv(2, 0), ["conv1", "kernel"]),
        (lambda: Network("n", (1, 8, 8)).conv(2, stride=0), ["conv1", "stride"]),
        (lambda: Network("n", (1, 8, 8)).conv(2, dilation=8, padding=0), ["conv1", "fit"]),
        (lambda: Network("n", (6, 8, 8)).conv(6, groups=4), ["conv1", "groups", "6 channels"]),
        (lambda: Network("n", (6, 8, 8)).conv(4, groups=3), ["conv1", "groups", "4 filters"]),
        (lambda: Network("n", (6, 8, 8)).max_pool(3, padding=3), ["max_pool1", "below the kernel"]),
        (lambda: Network("n", (6, 8, 8)).relu().conv(4, stride=2).add("relu1", "conv1"), ["add1", "one shape"]),
        (lambda: Network("n", (6, 8, 8)).add("input", "b"), ["add1", "reads b"]),
        (lambda: Network("n", (6, 8, 8)).relu(after="later"), ["relu1", "reads later"]),
        (lambda: Network("n", (6, 8, 8)).concat("input"), ["concat1", "two or more"]),
        (lambda: Network("n", (6, 8, 8)).conv(2, stride=2).concat("input", "conv1"), ["concat1", "height"]),
        (lambda: Network("n", (6, 8, 8)).slice((0, 0, 0), (6, 9, 8)), ["slice1", "within"]),
        (lambda: Network("n", (6, 8, 8)).slice((0,), (6,)), ["slice1", "within"]),
        (lambda: Network("n", (6, 8, 8)).reshape((6, 8, 9)), ["reshape1", "elements"]),
        (lambda: Network("n", (6, 8, 8)).reshape((48, 8)), ["reshape1", "(C, H, W)"]),
        (lambda: Network("n", (6, 8, 8)).transpose((0, 1, 1)), ["transpose1", "perm"]),
        (lambda: Network("n", (6, 8, 8)).channel_shuffle(4), ["shuffle1", "divide"]),
        (lambda: Network("n", (6, 8, 8)).leaky_relu(1.5), ["leaky_relu1", "alpha"]),
        (lambda: Network("n", (6, 8, 8)).clip(float("nan")), ["clip1", "maximum"]),
        (lambda: Network("n", (6, 8, 8)).dropout(1.0), ["dropout1", "ratio"]),
        (lambda: Network("n", (6, 8, 8)).lrn(0), ["lrn1", "size"]),
        (lambda: Network("n", (6, 8, 8)).batch_norm(epsilon=-1.0), ["batch_norm1", "epsilon"]),
        (lambda: Network("n", (4,)).dense(65_536), ["dense1", "outputs"]),
        (lambda: Network("n", (4,)).dense(3, name="label"), ["label", "name"]),
        (lambda: Network("n", (4,)).dense(3, name="a\nb"), ["a\\nb", "printable"]),
        (lambda: Network("n", (4,)).dense(3, name="a").relu(name="a.weight"), ["a.weight", "taken"]),
        (lambda: Network("n", (4,)).relu(name="a.weight").dense(3, name="a"), ["a.weight", "taken"]),
        (lambda: Network("n", (1, 8, 8)).conv(4).softmax_cross_entropy(), ["loss", "logits"]),
        (lambda: Network("n", (1, 8, 8)).conv(4).softmax(), ["softmax1", "logits"]),
        (lambda: Network("n", (4,)).dense(3).softmax_cross_entropy().relu(), ["relu1", "ends the network"]),
        (lambda: Network("n", (4,)).dense(3).softmax().relu(), ["relu1", "ends the network"]),
        (lambda: Network("n", (4,)).dense(3, name="a").dense(3, name="a"), ["a", "taken"]),
        (lambda: Network("n", (1, 1023, 1023)).dense(1000).shapes, ["dense1.weight", "elements"]),
        (lambda: Network("n", (4,)).validate(), ["n", "at least one"]),
        (lambda: Network("n", (4,)).dense(3, name="a").dense(2, after="input").validate(), ["a", "read by no node"]),
        (lambda: Network("n", (4,)).node("b"), ["b", "no such node"]),
    ],
)
def test_a_layer_that_does_not_follow_is_refused(build, words):
    with pytest.raises(NetworkError) as error:
        build()
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_initial_parameters_are_repeatable_and_normalise_nothing():
    net = residual()
    first, again, other = net.initial(1), net.initial(1), net.initial(2)
    assert {name: values.shape for name, values in first.items()} == net.shapes
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["stem.weight"], other["stem.weight"])
    assert first["stem.weight"].std() == pytest.approx(np.sqrt(2 / 27), rel=0.2)
    for role, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        assert np.all(first[f"batch_norm1.{role}"] == value)


def test_parameters_must_be_whole_and_finite():
    net = residual()
    good = net.initial(0)
    assert all(values.dtype == np.float64 for values in net.checked(good).values())
    for change, word in (
        ({"stem.weight": good["stem.weight"] * np.nan}, "NaN"),
        ({"stem.weight": np.broadcast_to(np.nan, (8, 3, 3, 3))}, "NaN"),
        ({"stem.weight": good["stem.weight"][:2]}, "shape"),
        ({"batch_norm1.running_var": -good["batch_norm1.running_var"]}, "negative"),
        ({"stem.bias": np.zeros(3)}, "no such parameter"),
    ):
        with pytest.raises(InputError, match=word):
            net.checked({**good, **change})
    with pytest.raises(NetworkError, match="missing"):
        net.checked({})


def test_a_filled_parameter_is_not_copied():
    net = Network("n", (4096,)).dense(65_535)
    weight = np.broadcast_to(np.float32(0.5), (65_535, 4096))
    checked = net.checked({"dense1.weight": weight})["dense1.weight"]
    assert checked.dtype == np.float64 and checked[3, 5] == 0.5 and not any(checked.strides)


def test_work_is_counted_by_hand():
    net = residual()
    assert multiply_accumulates(net) == 25 * 8 * 27 + 25 * 8 * 72 + 80
    assert parameter_count(net) == 8 * 27 + 8 * 72 + 80 + 2 * 16
    grouped = Network("n", (6, 4, 4)).conv(9, groups=3).depthwise(5, bias=True)
    assert multiply_accumulates(grouped) == 16 * 9 * 18 + 16 * 9 * 25
    assert parameter_count(grouped) == 9 * 18 + 9 * 25 + 9
