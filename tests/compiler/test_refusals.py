"""What a chip cannot do and what a user may not give is refused by name before anything runs."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.errors import InputError
from compiler import Calibration, Network, NetworkError, Options, compile_network
from explore.chips import changed

PAPER = Chip.load("paper")


def small() -> Network:
    return Network("small", (1, 6, 6)).conv(4, bias=True).relu().dense(3, bias=True).softmax_cross_entropy()


def calibration(network: Network) -> Calibration:
    rng = np.random.default_rng(0)
    return Calibration(rng.uniform(0, 1, (8, *network.input_shape)), rng.integers(0, 3, 8), 16)


ALONE = PAPER.replace(external_memory=None)
MANY_TAPS = changed(PAPER, ["taps=16", "lanes=4"])
INFER = Options(train=False)


@pytest.mark.parametrize(
    ("network", "options", "chip", "words"),
    [
        (
            Network("n", (1, 8, 8)).conv(2).lrn(3).relu().lrn(3).dense(3).softmax_cross_entropy(),
            Options(),
            PAPER,
            ["lrn1", "lrn2", "batch normalisation"],
        ),
        (
            Network("n", (2, 8, 8)).conv(2).transpose((0, 2, 1)),
            INFER,
            PAPER,
            ["transpose1", "channels first", "remove it"],
        ),
        (Network("n", (8, 100, 100)).conv(8).dense(3), INFER, ALONE, ["feature memory", "bytes too few", "external"]),
        (Network("n", (8, 60, 60)).dense(10), INFER, ALONE, ["dense1.weight", "weight memory", "bytes too few"]),
        (Network("n", (1, 40, 40)).max_pool(16), INFER, PAPER, ["max_pool1", "16 x 16", "at most 15", "pool twice"]),
        (Network("n", (3, 40, 40)).conv(8, dilation=16), INFER, PAPER, ["conv1: ", "rows of padding"]),
        (
            Network("n", (1, 8, 8)).conv(61, bias=True).dense(3).softmax_cross_entropy(),
            Options(),
            MANY_TAPS,
            ["conv1", "bias of at most 60 filters", "leave the bias out"],
        ),
        (small(), Options(learning_rate=0.03), PAPER, ["learning_rate", "power of two", "0.015625", "0.03125"]),
        (small(), Options(learning_rate=2.0), PAPER, ["learning_rate", "2.0"]),
        (small(), Options(momentum=1.0), PAPER, ["momentum", "1.0"]),
        (small(), Options(micro_batch=0), PAPER, ["micro_batch", "0"]),
        (small(), Options(trainable=("conv9.weight",)), PAPER, ["conv9.weight", "conv1.weight"]),
        (Network("n", (4,)).dense(3), Options(), PAPER, ["training needs a loss"]),
        (Network("n", (4,)).dense(80).softmax_cross_entropy(), Options(), PAPER, ["loss", "72 classes", "80"]),
        (
            Network("n", (1, 8, 8)).conv(2).batch_norm().dense(3).softmax_cross_entropy(),
            Options(batch_norm="batch"),
            PAPER,
            ["batch_norm1", "micro_batch", "frozen"],
        ),
        (
            Network("n", (1, 8, 8)).dropout().conv(2).dropout(0.2).dense(3).softmax_cross_entropy(),
            Options(),
            PAPER,
            ["dropout1", "dropout2", "ratio to 0"],
        ),
        (
            Network("n", (16, 8, 8)).conv(16).dense(3).softmax_cross_entropy(),
            Options(),
            PAPER.replace(kernel_registers=4),
            ["conv1", "8 kernel_registers", "not 4"],
        ),
        (
            Network("n", (8, 8, 8)).conv(8).conv(8).conv(8).dense(3),
            INFER,
            PAPER.replace(program_memory={"instructions": 4}),
            ["array", "program memory of 4", "enlarge program_memory.instructions"],
        ),
    ],
)
def test_what_the_chip_cannot_do_is_refused_by_name(network, options, chip, words):
    with pytest.raises(InputError) as error:
        compile_network(network, chip, network.initial(0), calibration(network), options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_kernels_wider_than_an_instruction_can_say_are_cut():
    """A field of kernel columns holds 15; a chip of 16 taps cuts 16 columns into two times 8, as one of 9 taps does."""
    network = Network("n", (1, 8, 20)).conv(2, (1, 16)).dense(3).softmax_cross_entropy()
    build = compile_network(network, MANY_TAPS, network.initial(0), calibration(network))
    assert build.program


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
    if scale == 1e-6 and rate == 2.0**-24:  # an update would need more bits than the accumulator has
        with pytest.raises(NetworkError, match="raise the learning rate"):
            compile_network(network, PAPER, network.initial(0), few, Options(learning_rate=rate))
        return
    build = compile_network(network, PAPER, network.initial(0), few, Options(learning_rate=rate))
    assert build.program


def test_data_too_large_is_refused_by_name():
    network, data = small(), calibration(small())
    huge = Calibration(data.samples * 1e9, data.labels, 8)
    with pytest.raises(NetworkError, match="scale the data"):
        compile_network(network, PAPER, network.initial(0), huge, Options(train=False))
