"""Learning on the chip: real digits are learnt, and the float64 twin is the same network."""

import io
import pickle
import tarfile

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from compiler import Calibration, Options, compile_network
from compiler.float_twin import FloatTwin
from sim.fast import FastMachine
from tinycl.data import DataError, cifar10, digits, made
from tinycl.networks import digits_network
from tinycl.training import Recipe, chip_inputs, split, train_both

PAPER = Chip.load("paper")


def test_digits_are_learnt_as_well_as_in_float64():
    results = [train_both(digits_network(), PAPER, digits(), seed, Recipe(epochs=6)) for seed in range(2)]
    chip = np.mean([item.chip[-1] for item in results])
    twin = np.mean([item.float64[-1] for item in results])
    assert chip > 0.95
    assert abs(chip - twin) < 0.02


def test_nearest_rounding_loses_updates_that_stochastic_rounding_keeps():
    lost = {}
    for rounding in (Rounding.RND, Rounding.STOCHASTIC):
        trained = train_both(digits_network(), PAPER, digits(), 0, Recipe(epochs=1), rounding)
        lost[rounding] = trained.lost_updates
    assert lost[Rounding.RND] > lost[Rounding.STOCHASTIC] > 0


def test_the_split_is_stratified_and_held_out():
    data = digits()
    train, test = split(data, Recipe(), 3)
    assert not set(train) & set(test)
    assert len(test) == 360
    share = np.bincount(data.labels[test]) / len(test) - np.bincount(data.labels) / len(data.labels)
    assert np.abs(share).max() < 0.005


def test_one_step_is_close_to_the_twins():
    data, network = digits(), digits_network()
    start = network.initial(0)
    few = Calibration(data.samples[:200], data.labels[:200], 200)
    build = compile_network(network, PAPER, start, few, Options(learning_rate=2.0**-6, update_rounding=Rounding.RND))
    assert build.program and build.graph
    machine = FastMachine(build.program)
    twin = FloatTwin(build.graph)
    inputs = chip_inputs(build.program, data.samples[:1], data.labels[:1])
    machine.run("train", inputs)
    twin.step(data.samples[0], int(data.labels[0]))
    for name, region in build.program.parameters.items():
        found = machine.image.read(region, PAPER) / 2.0**region.fraction
        step = 2.0**-region.fraction
        assert np.abs(found.reshape(twin.parameters[name].shape) - twin.parameters[name]).max() < 8 * step + 1e-3


def test_made_images_say_so_and_repeat():
    images = made(4, (3, 32, 32), 10, seed=1)
    assert images.made and images.samples.shape == (4, 3, 32, 32)
    assert np.array_equal(images.samples, made(4, (3, 32, 32), 10, seed=1).samples)


def _archive(path, batch):
    data = pickle.dumps(batch, protocol=2)
    with tarfile.open(path, "w:gz") as tar:
        item = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        item.size = len(data)
        tar.addfile(item, io.BytesIO(data))
    return path


def test_cifars_archive_is_read(tmp_path):
    data = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    found = cifar10(_archive(tmp_path / "c.tar.gz", {b"data": data, b"labels": [7, 2]}))
    assert found.labels.tolist() == [7, 2] and not found.made
    assert np.array_equal(found.samples[1].reshape(-1) * 255, data[1])


def test_an_archive_that_would_run_code_is_refused(tmp_path):
    with pytest.raises(DataError, match="python archive"):
        cifar10(_archive(tmp_path / "c.tar.gz", {b"data": np.zeros(3), b"labels": print}))


def test_a_wrong_cifar_archive_is_one_line(tmp_path):
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="cifar"):
        cifar10(path)
    with pytest.raises(DataError, match="No such file"):
        cifar10(tmp_path / "none.tar.gz")
