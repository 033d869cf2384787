"""Forward values and gradients of every operator and of graphs, against PyTorch's autograd in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.differentiation import differentiate
from compiler.float_twin import FloatTwin
from compiler.graph import Operation, Operator, Optimiser
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import NetworkError

pytest.importorskip("torch", reason="PyTorch's autograd is the reference: pip install torch==2.13.0")


def parameters_of(network: Network, seed: int = 0) -> dict[str, np.ndarray]:
    """Random parameters, biases and batch normalisations too."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(0.5, 2.0, value.shape)
        if name.endswith("running_var")
        else value + rng.normal(0, 0.2, value.shape)
        for name, value in network.initial(seed).items()
    }


def compared(network: Network, seed: int = 0, batch_norm: str = "", trainable=None) -> list[Operation]:
    """Compare a training step's forward value and updates, and inference; return the operations of the step."""
    from tests.compiler.torch_reference import TorchNetwork

    rng = np.random.default_rng(seed)
    parameters = parameters_of(network, seed)
    sample = rng.normal(0, 1, network.input_shape)
    reference = TorchNetwork(network, parameters)
    expected = reference.run(sample).detach().numpy()
    label = rng.normal(0, 1, expected.shape) if network.nodes[-1].operator == "MeanSquaredError" else expected.size // 2
    gradients = reference.gradients(sample, label)

    inference = FloatTwin(lower(network, parameters))
    np.testing.assert_allclose(inference.infer(sample).reshape(-1), expected.reshape(-1), rtol=1e-9, atol=1e-9)
    graph = differentiate(lower(network, parameters, train=True, batch_norm=batch_norm), Optimiser(1.0), trainable)
    twin = FloatTwin(graph)
    before = twin.parameters
    np.testing.assert_allclose(twin.step(sample, label).reshape(-1), expected.reshape(-1), rtol=1e-9, atol=1e-9)
    chosen = set(before) if trainable is None else set(trainable)
    assert chosen
    for name, value in twin.parameters.items():
        moved = gradients[name] if name in chosen else 0.0
        np.testing.assert_allclose(before[name] - value, moved, rtol=1e-8, atol=1e-8, err_msg=name)
    return graph.entries["train"]


def ended(network: Network) -> Network:
    """The network with a dense layer and a loss behind it."""
    return network.dense(5, bias=True).softmax_cross_entropy()


def started(shape=(4, 7, 6)) -> Network:
    """A network that begins with a convolution, so that what follows has a gradient."""
    return Network("case", shape).conv(6, bias=True)


LAYERS = {
    "relu": lambda net: net.relu(),
    "two relus": lambda net: net.relu().relu(),
    "relu6": lambda net: net.relu6(),
    "clip": lambda net: net.clip(0.5),
    "leaky": lambda net: net.leaky_relu(0.1),
    "leaky of nothing": lambda net: net.leaky_relu(0.0),
    "max pool": lambda net: net.max_pool(2),
    "max pool, relu": lambda net: net.relu().max_pool(2).relu(),
    "overlapping max pool": lambda net: net.max_pool(3, stride=2, padding=1),
    "average pool": lambda net: net.average_pool(2),
    "padded average": lambda net: net.average_pool(3, stride=2, padding=1, count_include_pad=True),
    "average of what is there": lambda net: net.average_pool((3, 2), stride=(2, 1), padding=(1, 1, 1, 0)),
    "average of all": lambda net: net.average_pool((7, 6)),
    "global average": lambda net: net.global_average_pool().flatten(),
    "global average map": lambda net: net.global_average_pool().conv(3, 1),
    "batch norm": lambda net: net.batch_norm(),
    "batch norm, relu": lambda net: net.batch_norm().relu(),
    "relu, batch norm": lambda net: net.relu().batch_norm().conv(3),
    "dense batch norm": lambda net: net.dense(7).batch_norm().relu(),
    "slice of channels": lambda net: net.slice((1, 0, 0), (5, 7, 6)),
    "crop": lambda net: net.slice((0, 2, 1), (6, 5, 6)).conv(2),
    "slice of both": lambda net: net.slice((2, 2, 1), (6, 5, 6)),
    "slice of nothing": lambda net: net.slice((0, 0, 0), (6, 7, 6)),
    "slice of a vector": lambda net: net.dense(8).slice((2,), (7,)),
    "pad": lambda net: net.pad((1, 0, 2, 3)),
    "pad, conv": lambda net: net.pad((1, 0, 2, 3)).conv(3, 3, stride=2, padding=(0, 1, 0, 1)),
    "shuffle": lambda net: net.channel_shuffle(3),
    "depthwise": lambda net: net.depthwise(3, stride=2, bias=True),
    "multiplied depthwise": lambda net: net.conv(12, 3, groups=6),
    "grouped": lambda net: net.conv(8, 3, groups=2, bias=True),
    "dilated": lambda net: net.conv(3, 3, dilation=2),
    "asymmetric": lambda net: net.conv(3, (2, 3), stride=(2, 1), padding=(0, 2, 1, 0)),
    "flatten, relu": lambda net: net.flatten().relu(),
    "identity": lambda net: net.identity().dropout(0.0).reshape((6 * 7 * 6,)),
    "add": lambda net: net.relu().conv(6, name="a").add("a", "relu1").relu(),
    "add to itself": lambda net: net.add("conv1", "conv1").relu(),
    "add of a scaled value to itself": lambda net: net.batch_norm().add("batch_norm1", "batch_norm1").relu(),
    "add of padded": lambda net: (
        net.pad((0, 0, 2, 1)).conv(6, 1, name="a", padding=(0, 0, 2, 1), after="conv1").add("pad1", "a")
    ),
    "add of cropped": lambda net: (
        net.slice((0, 1, 2), (6, 5, 6))
        .conv(6, 3, padding=0, name="a", after="conv1")
        .slice((0, 0, 0), (6, 4, 4), name="b")
        .add("slice1", "b")
    ),
    "sum of many": lambda net: (
        net.batch_norm(name="b")
        .batch_norm(name="c", after="conv1")
        .add("b", "c", name="d")
        .add("d", "conv1", name="e")
        .batch_norm(name="f", after="conv1")
        .add("f", "e", name="g")
        .add("g", "conv1")
    ),
    "concat": lambda net: net.conv(3, name="a", after="conv1").relu().concat("relu1", "conv1", "relu1"),
    "concat of vectors": lambda net: net.dense(3, name="a").dense(4, name="b", after="conv1").concat("a", "b"),
    "concat of flattened": lambda net: net.flatten(name="f").flatten(name="g", after="conv1").concat("f", "g"),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer(layer):
    compared(ended(LAYERS[layer](started())))


def test_mean_squared_error_of_a_map_and_of_a_vector():
    compared(started().relu().conv(2).mean_squared_error())
    compared(started().dense(3).relu().mean_squared_error())


def test_a_relu_before_the_loss():
    compared(started().dense(5).relu().softmax_cross_entropy())


def test_a_1x1_map_is_a_vector_of_logits():
    compared(Network("case", (2, 3, 3)).conv(4, 3, padding=0).flatten().softmax_cross_entropy())
    compared(started().conv(4).global_average_pool().flatten().softmax_cross_entropy())


def residual(network: Network, filters: int, stride: int, name: str) -> Network:
    """A residual block of two convolutions with batch normalisation."""
    source = network.last
    network.conv(filters, 3, stride=stride, padding=1, name=f"{name}.conv1").batch_norm(name=f"{name}.bn1").relu()
    network.conv(filters, 3, name=f"{name}.conv2").batch_norm(name=f"{name}.bn2")
    if stride > 1:
        network.conv(filters, 1, stride=stride, padding=0, name=f"{name}.short", after=source)
        network.batch_norm(name=f"{name}.bn3")
        source = f"{name}.bn3"
    return network.add(f"{name}.bn2", source, name=f"{name}.add").relu(name=f"{name}.out")


def resnet() -> Network:
    network = Network("resnet", (3, 8, 8)).conv(4).batch_norm().relu()
    residual(residual(network, 4, 1, "a"), 6, 2, "b")
    return network.global_average_pool().flatten().dense(5, bias=True).softmax_cross_entropy()


def test_residual_network():
    operations = compared(resnet())
    assert not [item for item in operations if item.layer in ("a.bn2", "b.bn2", "b.bn3")], "scalings join their sum"


def test_a_value_with_more_readers_than_a_sum_has_terms():
    network = started().relu(name="shared")
    for index in range(6):
        network.conv(6, 1, name=f"c{index}", after="shared")
    network.add("c0", "c1", name="s0")
    for index in range(2, 6):
        network.add(f"s{index - 2}", f"c{index}", name=f"s{index - 1}")
    operations = compared(ended(network.add("s4", "shared")))
    assert max(len(item.inputs) for item in operations if item.operator == Operator.COMBINE) <= 4


def test_only_what_is_trainable_moves():
    network = resnet()
    operations = compared(network, trainable=["dense1.weight", "b.conv2.weight"])
    assert not [item for item in operations if item.phase != "forward" and item.layer.startswith("a.")]
    with pytest.raises(NetworkError, match="no such parameter to train"):
        compared(network, trainable=["nothing"])


def inverted_residual() -> Network:
    """MobileNetV2's block."""
    net = Network("mobile", (4, 6, 6)).conv(12, 1).batch_norm().relu6().depthwise(3).batch_norm().relu6()
    return net.conv(4, 1).batch_norm(name="out").add("out", "input").depthwise(3, stride=2).batch_norm().relu6()


def fire() -> Network:
    """SqueezeNet's module, its squeezed value read twice, and its end by a convolution."""
    net = Network("squeeze", (3, 6, 6)).conv(4, 1).relu(name="s").conv(5, 1).relu(name="one")
    return net.conv(6, 3, after="s").relu(name="three").concat("one", "three").conv(5, 1).relu().global_average_pool()


def shuffle_unit() -> Network:
    """ShuffleNetV2's unit: half of the channels as they are."""
    net = Network("shuffle", (3, 6, 6)).conv(8).relu(name="x").slice((0, 0, 0), (4, 6, 6), name="left")
    net.slice((4, 0, 0), (8, 6, 6), after="x").conv(4, 1).relu().depthwise(3).conv(4, 1).relu(name="right")
    return net.concat("left", "right").channel_shuffle(2)


def dense_block() -> Network:
    """DenseNet's block: each convolution reads all values before it."""
    net = Network("dense", (3, 6, 6)).conv(4, name="x0")
    joined = "x0"
    for index in range(3):
        net.batch_norm(after=joined).relu().conv(3, name=f"x{index + 1}")
        joined = net.concat(joined, f"x{index + 1}").last
    return net.batch_norm().relu().conv(4, 1).average_pool(2)


def inception() -> Network:
    """GoogLeNet's module."""
    net = Network("inception", (4, 6, 6)).conv(4).relu(name="x").conv(2, 1, name="a").relu(name="ra")
    net.conv(2, 1, after="x").relu().conv(3, 3).relu(name="b").conv(2, 1, after="x").relu().conv(3, 5).relu(name="c")
    net.max_pool(3, stride=1, padding=1, after="x").conv(2, 1).relu(name="d")
    return net.concat("ra", "b", "c", "d").average_pool(6)


@pytest.mark.parametrize("block", [inverted_residual, fire, shuffle_unit, dense_block, inception])
def test_blocks_of_known_networks(block):
    compared(ended(block()))


@st.composite
def convolutions(draw):
    """A convolution's attributes and the map that it fits."""
    groups = draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    extents, kernel, stride, dilation = (draw(st.tuples(st.integers(1, n), st.integers(1, n))) for n in (7, 3, 3, 2))
    pads = draw(st.tuples(*[st.integers(0, 3)] * 4))
    for axis in (0, 1):
        if dilation[axis] * (kernel[axis] - 1) >= extents[axis] + pads[axis] + pads[axis + 2]:
            kernel = (1, 1)
    return channels, filters, extents, kernel, stride, pads, dilation, groups, draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.integers(0, 99))
def test_convolutions_of_any_attributes(case, seed):
    channels, filters, extents, kernel, stride, pads, dilation, groups, bias = case
    network = Network("case", (2, *extents)).conv(channels, 1, padding=0)
    network.conv(filters, kernel, stride=stride, padding=pads, dilation=dilation, groups=groups, bias=bias)
    compared(network.mean_squared_error(), seed)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(3, 8), st.integers(3, 8)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.sampled_from(("max", "average", "average of what is there")),
    st.integers(0, 99),
)
def test_pools_of_any_attributes(extents, kernel, stride, pads, kind, seed):
    pads = tuple(min(pad, extent - 1) for pad, extent in zip(pads, kernel * 2, strict=True))
    network = Network("case", (2, *extents)).conv(3, 1, padding=0)
    if kind == "max":
        network.max_pool(kernel, stride=stride, padding=pads)
    else:
        network.average_pool(kernel, stride=stride, padding=pads, count_include_pad=kind == "average")
    compared(network.mean_squared_error(), seed)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_graphs_of_shared_values(data):
    """Random graphs of one extent, in which values are read again and again."""
    network = Network("graph", (3, 5, 4)).conv(4)
    values = [network.last]
    for index in range(data.draw(st.integers(1, 8))):
        name, first, second = f"n{index}", *(data.draw(st.sampled_from(values)) for _ in range(2))
        match data.draw(st.sampled_from(("conv", "relu", "norm", "leaky", "clip", "add", "shuffle", "concat", "pool"))):
            case "conv":
                network.conv(4, name=name, after=first)
            case "relu":
                network.relu(name=name, after=first)
            case "norm":
                network.batch_norm(name=name, after=first)
            case "leaky":
                network.leaky_relu(0.2, name=name, after=first)
            case "clip":
                network.clip(0.7, name=name, after=first)
            case "add":
                network.add(first, second, name=name)
            case "shuffle":
                network.channel_shuffle(2, name=name, after=first)
            case "concat":
                network.concat(first, second, name=f"{name}c").slice((2, 0, 0), (6, 5, 4), name=name)
            case "pool":
                network.max_pool(3, stride=1, padding=1, name=name, after=first)
        values.append(name)
    unread = [value for value, users in network.users().items() if not users and value != network.last]
    for value in unread:
        network.add(network.last, value)
    compared(ended(network), data.draw(st.integers(0, 99)))
