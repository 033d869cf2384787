"""Programs that take a micro-batch at once: what a pass is given, and what refuses them."""

from __future__ import annotations

import numpy as np
import pytest

import tinycl
from arch.errors import InputError
from compiler.pipeline import INFER, TRAIN
from tinycl.micro_batches import in_passes, label_region, samples_taken
from tinycl.simulation import passes


@pytest.fixture(scope="module")
def compiled() -> tinycl.Compiled:
    network = tinycl.Network("small", (1, 4, 4)).conv(3).batch_norm().relu().dense(2)
    return tinycl.compile(network, train=True, batch_norm="batch", micro_batch=3)


def test_a_pass_takes_as_many_samples(compiled):
    program = compiled.program
    assert (samples_taken(program, TRAIN), samples_taken(program, INFER)) == (3, 1)
    assert label_region(program) is program.inputs["label@0"]
    inputs = {"input": np.arange(8)[:, None], "label": -np.arange(8)[:, None]}
    given, order = in_passes(program, TRAIN, inputs, np.array([7, 5, 3, 1, 0, 2, 4, 6]))
    assert order.tolist() == [0, 1]
    assert [given[f"input@{k}"].ravel().tolist() for k in range(3)] == [[7, 1], [5, 0], [3, 2]]
    assert given["label@2"].ravel().tolist() == [-3, -2]
    assert list(in_passes(program, INFER, inputs, np.arange(8))[0]) == ["input"]


def test_passes_take_samples_in_turn_and_over_again(compiled):
    given, order = passes(compiled.program, TRAIN, {"input": np.arange(4)[:, None]}, 6)
    taken = [[int(given[f"input@{k}"][i, 0]) for k in range(3)] for i in order]
    assert taken == [[0, 1, 2], [3, 0, 1], [2, 3, 0], [1, 2, 3], [0, 1, 2], [3, 0, 1]]


def test_a_device_learns_from_one_sample(compiled):
    with pytest.raises(InputError, match="micro_batch=1"):
        tinycl.Device(compiled)
