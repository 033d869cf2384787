"""The networks that the demo and the benchmarks run."""

from __future__ import annotations

from compiler.network import Network


def digits_network() -> Network:
    """Conv 3x3x8, ReLU, conv 3x3x8, ReLU, dense 10, with biases, on 8 x 8 grey images."""
    net = Network("digits", (1, 8, 8))
    return net.conv(8, bias=True).relu().conv(8, bias=True).relu().dense(10, bias=True).softmax_cross_entropy()


def normalised_digits_network() -> Network:
    """The digits' network with a batch normalisation after each convolution, which then needs no bias."""
    net = Network("normalised digits", (1, 8, 8)).conv(8).batch_norm().relu().conv(8).batch_norm().relu()
    return net.dense(10, bias=True).softmax_cross_entropy()


def reference_network() -> Network:
    """The network whose training step takes about what TinyCL reports: 3-8-8 convolutions on 32 x 32, dense 8192-10.

    Its shape is inferred from the paper's cycles, not published; no biases, as in the paper's equations.
    """
    net = Network("reference", (3, 32, 32))
    return net.conv(8).relu().conv(8).relu().dense(10).softmax_cross_entropy()


def resnet8_network() -> Network:
    """MLPerf Tiny's image classifier: three residual stacks of 16, 32 and 64 filters on 32 x 32 colour images.

    The network of the PyTorch module `tinycl.mlperf.mlperf_network("resnet8")`, and a loss.
    """
    net = Network("resnet8", (3, 32, 32)).conv(16, bias=True, name="conv").batch_norm(name="bn").relu(name="relu")
    for stack, (filters, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        name, source = f"stack{stack}", net.last
        net.conv(filters, stride=stride, bias=True, name=f"{name}.conv1").batch_norm(name=f"{name}.bn1")
        net.relu(name=f"{name}.relu1").conv(filters, bias=True, name=f"{name}.conv2").batch_norm(name=f"{name}.bn2")
        if stride > 1:
            net.conv(filters, 1, stride=stride, bias=True, name=f"{name}.shortcut", after=source)
            source = net.last
        net.add(f"{name}.bn2", source, name=f"{name}.add").relu(name=f"{name}.relu2")
    net.average_pool(8, name="pool").flatten(name="flatten").dense(10, bias=True, name="fc")
    return net.softmax_cross_entropy()
