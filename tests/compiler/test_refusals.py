"""What a chip cannot do and what a user may not give is refused by name before anything runs."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.errors import InputError
from compiler import Calibration, Network, NetworkError, Options, compile_network

PAPER = Chip.load("paper")


def small() -> Network:
    return Network("small", (1, 6, 6)).conv(4, bias=True).relu().dense(3, bias=True).softmax_cross_entropy()


def calibration(network: Network) -> Calibration:
    rng = np.random.default_rng(0)
    return Calibration(rng.uniform(0, 1, (8, *network.input_shape)), rng.integers(0, 3, 8), 16)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (Network("n", (1, 8, 8)).relu().dense(3), Options(train=False), ["relu1", "must follow"]),
        (Network("n", (1, 8, 8)).conv(9).dense(3), Options(train=False), ["conv1", "8 (lanes)", "9"]),
        (Network("n", (9, 8, 8)).conv(2).dense(3), Options(train=False), ["conv1", "input channels"]),
        (Network("n", (1, 8, 8)).conv(2, kernel=5).dense(3), Options(train=False), ["conv1", "3 x 3"]),
        (Network("n", (1, 8, 8)).conv(2, padding=3).dense(3), Options(train=False), ["conv1", "padding"]),
        (Network("n", (1, 8, 8)).dense(73), Options(train=False), ["dense1", "72"]),
        (Network("n", (8, 100, 100)).conv(8).dense(3), Options(train=False), ["feature memory", "bytes too few"]),
        (Network("n", (8, 60, 60)).dense(10), Options(train=False), ["dense1.weight", "weight memory", "bytes"]),
        (small(), Options(learning_rate=0.03), ["learning_rate", "power of two", "0.015625", "0.03125"]),
        (small(), Options(learning_rate=2.0), ["learning_rate", "2.0"]),
        (Network("n", (4,)).dense(3), Options(), ["training needs a loss"]),
        (Network("n", (4,)).dense(72).dense(300), Options(train=False), ["dense2", "72"]),
        (Network("n", (4,)).dense(3).relu().softmax_cross_entropy(), Options(), ["dense1", "ReLU"]),
    ],
)
def test_what_the_chip_cannot_do_is_refused_by_name(network, options, words):
    with pytest.raises(NetworkError) as error:
        compile_network(network, PAPER, network.initial(0), calibration(network), options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_parameters_must_be_whole_and_finite():
    network = small()
    good = network.initial(0)
    for change, word in (
        ({"conv1.weight": good["conv1.weight"] * np.nan}, "NaN"),
        ({"conv1.weight": good["conv1.weight"][:2]}, "shape"),
        ({"conv9.weight": np.zeros(3)}, "no such parameter"),
    ):
        with pytest.raises(InputError, match=word):
            compile_network(network, PAPER, {**good, **change}, calibration(network))
    with pytest.raises(NetworkError, match="missing"):
        compile_network(network, PAPER, {}, calibration(network))


def test_samples_must_be_whole_and_finite():
    network = small()
    good = calibration(network)
    for samples, labels, word in (
        (good.samples[:, :, :5], good.labels, "shape"),
        (good.samples * np.inf, good.labels, "finite"),
        (good.samples, good.labels[:2], "labels"),
        (good.samples, good.labels + 1, "from 0 to 2"),
    ):
        with pytest.raises(InputError, match=word):
            compile_network(network, PAPER, network.initial(0), Calibration(samples, labels, 8))


@pytest.mark.parametrize("rate", [2.0**-24, 2.0**-12, 2.0**-2])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0])
def test_any_small_data_and_learning_rate_find_formats(rate, scale):
    network, data = small(), calibration(small())
    few = Calibration(data.samples * scale, data.labels, 8)
    build = compile_network(network, PAPER, network.initial(0), few, Options(learning_rate=rate))
    assert build.program


def test_data_too_large_is_refused_by_name():
    network, data = small(), calibration(small())
    huge = Calibration(data.samples * 1e9, data.labels, 8)
    with pytest.raises(NetworkError, match="scale the data"):
        compile_network(network, PAPER, network.initial(0), huge, Options(train=False))
