"""Layers of unusual forms trained on the chip: gradients are PyTorch's of the same numbers, executions agree."""

from __future__ import annotations

import numpy as np
import pytest

from arch.chip import Chip
from arch.isa import Rounding
from arch.layout import Store
from compiler import Calibration, Network, NetworkError, Options, compile_network
from compiler.differentiation import differentiate
from compiler.float_twin import FloatTwin
from compiler.graph import ACCUMULATE, ACCUMULATE_FIRST, INFER, TRAIN, UPDATE, Optimiser
from compiler.lowering import lower
from compiler.pipeline import Build
from compiler.splitting import split_maxima
from sim.fast import FastMachine
from tinycl.agreement import agree
from tinycl.training import chip_inputs

pytest.importorskip("torch", reason="PyTorch's autograd is the reference: pip install torch==2.13.0")
PAPER = Chip.load("paper")
ROOMY = PAPER.replace(program_memory={"instructions": 4096})
RATE = 2.0**-4
SLACK = 0.02
"""Of a layer's largest gradient: what the roundings of activations and gradients on the way may make of it."""


def started(height: int, width: int) -> Network:
    """A network that begins with a convolution, so that what follows has a gradient."""
    return Network("form", (3, height, width)).conv(6, bias=True)


FORMS = {
    "tall": lambda: started(8, 7).conv(5, 3, stride=(2, 1), bias=True).relu(),
    "wide": lambda: started(7, 8).conv(12, 3, stride=(1, 2), padding=1).relu(),
    "neither divides the other": lambda: started(9, 8).conv(5, (4, 3), stride=(3, 2)),
    "no common step": lambda: started(10, 11).conv(5, 3, stride=(3, 4)),
    "beyond any step": lambda: started(20, 17).conv(5, 8, stride=(9, 8), padding=0),
    "dilated unequally": lambda: started(9, 9).conv(5, (3, 2), dilation=(1, 3), stride=(1, 2)),
    "depthwise": lambda: started(7, 9).depthwise(3, stride=(1, 2)).conv(4, (3, 2), stride=(2, 1)),
    "groups that share lanes": lambda: started(6, 7).conv(8, 3, groups=2, bias=True).relu().conv(12, 3, groups=4),
    "depthwise, multiplied": lambda: started(6, 7).conv(18, 3, groups=6, stride=(2, 1)),
    "wider than the taps": lambda: started(5, 14).conv(4, (2, 11), stride=(1, 2)),
    "maximum": lambda: started(8, 9).max_pool((2, 3), stride=(2, 1)).max_pool(2, stride=(1, 2)),
    "maximum of many": lambda: started(9, 9).max_pool(4, stride=(2, 3), padding=1).relu(),
    "one row": lambda: started(1, 12).conv(20, (1, 3)).relu(),
    "average": lambda: started(8, 9).average_pool((2, 3), stride=(2, 1)).average_pool(2, stride=(1, 2)),
    "average of what is there": lambda: started(7, 8).average_pool(3, stride=(1, 2), padding=1).relu(),
}


def ended(network: Network) -> Network:
    return network.dense(4).softmax_cross_entropy()


def compiled(network: Network, chip: Chip = ROOMY, **options) -> tuple[Build, np.ndarray, np.ndarray]:
    """The build of a training, samples and labels."""
    rng = np.random.default_rng(3)
    samples, labels = rng.uniform(-1, 1, (3, *network.input_shape)), rng.integers(0, 4, 3)
    chosen = Options(learning_rate=RATE, update_rounding=Rounding.RND, **options)
    return compile_network(network, chip, network.initial(1), Calibration(samples, labels, 3), chosen), samples, labels


def compared(network: Network, build: Build, samples: np.ndarray, labels: np.ndarray, entries: list[str]) -> None:
    """Run entries, a sample each but for the update, and compare with PyTorch's gradients what parameters moved by, and
    with its result what the chip then infers: words between the parameters count too."""
    from tests.compiler.torch_reference import TorchNetwork

    program = build.program
    assert program
    machine, homes = FastMachine(program), program.parameters
    before = {name: machine.image.read(home, program.chip) * 2.0**-home.fraction for name, home in homes.items()}
    shapes = {name: value.shape for name, value in build.parameters.items()}
    reference = TorchNetwork(network, {name: value.reshape(shapes[name]) for name, value in before.items()})
    given = chip_inputs(program, samples, labels)
    count = len([entry for entry in entries if entry != UPDATE])
    for number, entry in enumerate(entries):
        some = slice(number, number + 1)
        machine.run(entry, {name: values[some] for name, values in given.items()} if entry != UPDATE else None)
    gradients = [reference.gradients(samples[number], labels[number]) for number in range(count)]
    for name, home in homes.items():
        expected = sum(found[name] for found in gradients) / count
        moved = before[name] - machine.image.read(home, program.chip) * 2.0**-home.fraction
        allowed = SLACK * np.abs(expected).max() + 2.0**-home.fraction / RATE
        assert np.abs(moved.reshape(shapes[name]) / RATE - expected).max() <= allowed, name
    after = {name: machine.image.read(home, program.chip) * 2.0**-home.fraction for name, home in homes.items()}
    trained = TorchNetwork(network, {name: value.reshape(shapes[name]) for name, value in after.items()})
    result, logits = trained.run(samples[0]).detach().numpy(), program.outputs["logits"]
    found = machine.run(INFER, {"input": given["input"][:1]}).outputs["logits"] * 2.0**-logits.fraction
    limit = program.chip.largest * 2.0**-logits.fraction
    assert np.abs(found.reshape(-1) - np.clip(result.reshape(-1), -limit, limit)).max() <= SLACK * limit


@pytest.mark.parametrize("form", FORMS)
def test_a_step_is_pytorchs(form):
    network = ended(FORMS[form]())
    compared(network, *compiled(network), [TRAIN])


SMALLEST = PAPER.replace(weight_memory={"bytes": 256 * 144, "banks": 9, "pages": 4})
SCANT = PAPER.replace(weight_memory={"bytes": 512 * 144, "banks": 9, "pages": 4}, accumulator_banks=8)
"""Eight banks of accumulators, 512 weight rows."""


@pytest.mark.parametrize("outputs", [30, 80])
def test_matrices_that_pass_by_are_trained_as_if_they_stayed(outputs):
    """Rows of 13 words' blocks: with 80 outputs, sums over two groups of them, of eight blocks at a time."""
    network = Network("n", (8, 10, 11)).conv(7, 1).relu().dense(outputs, bias=True).relu().dense(4)
    network.softmax_cross_entropy()
    found = []
    for chip, store in ((PAPER, Store.WEIGHT), (SCANT if outputs > 72 else SMALLEST, Store.EXTERNAL)):
        build, samples, labels = compiled(network, chip)
        program = build.program
        assert program and program.parameters["dense1.weight"].store == store
        machine = FastMachine(program)
        machine.run(TRAIN, chip_inputs(program, samples[:2], labels[:2]), steps=2)
        found.append({name: machine.image.read(home, chip) for name, home in program.parameters.items()})
    for name, value in found[0].items():
        assert np.array_equal(value, found[1][name]), name


def test_vectors_whose_matrices_pass_by_are_trained():
    network = ended(Network("n", (300,)).dense(90, bias=True).relu().dense(80).relu())
    compared(network, *compiled(network, SMALLEST), [TRAIN])


def test_a_row_for_each_filter_of_an_input_gradient_must_fit():
    network = ended(started(4, 4).conv(24, 1).conv(60, 3))
    samples = Calibration(np.ones((1, 3, 4, 4)), np.zeros(1, int), 1)
    few, more = (PAPER.replace(weight_memory={"bytes": rows * 144, "banks": 9, "pages": 4}) for rows in (56, 80))
    assert compile_network(network, few, network.initial(0), samples, Options(train=False)).program
    assert compile_network(network, more, network.initial(0), samples, Options()).program
    with pytest.raises(NetworkError, match=r"conv3.weight does not fit the weight memory"):
        compile_network(network, few, network.initial(0), samples, Options())


def test_a_global_average_of_a_map_beyond_the_memory_is_pytorchs():
    memory = {"bytes": 12 << 10, "banks": 3, "ports": 1, "pages": 4}
    small = ROOMY.replace(feature_memory=memory, gradient_memory=memory)
    network = ended(started(9, 8).conv(88, 3, bias=True).relu().global_average_pool())
    build, samples, labels = compiled(network, small)
    assert build.graph and "global_pool1.rows" in build.graph.tensors
    compared(network, build, samples, labels, [TRAIN])


@pytest.mark.parametrize("form", ["groups that share lanes", "tall"])
def test_a_micro_batch_with_momentum_is_pytorchs(form):
    network = ended(FORMS[form]())
    build = compiled(network, momentum=0.5, micro_batch=3)
    compared(network, *build, [ACCUMULATE_FIRST, ACCUMULATE, ACCUMULATE, UPDATE])


def test_all_executions_agree():
    network = started(12, 11).conv(12, 3, stride=(2, 1), padding=1, groups=2).relu().depthwise(3, stride=(1, 2))
    network.max_pool((2, 1), stride=(1, 2)).average_pool(3, stride=1, padding=1).conv(5, (3, 2), stride=(3, 2))
    build, samples, labels = compiled(ended(network), PAPER)
    assert build.program
    (found,) = agree([(build.program, chip_inputs(build.program, samples[:1], labels[:1]))], TRAIN)
    assert found.differences == []


def test_of_equal_maxima_the_first_in_row_major_order_is_chosen():
    from tests.compiler.torch_reference import TorchNetwork

    network = Network("ties", (2, 9, 9)).conv(2, 1, padding=0).max_pool(4, stride=(2, 3), padding=1)
    network.mean_squared_error()
    parameters = {"conv1.weight": np.eye(2).reshape(2, 2, 1, 1)}
    sample = np.random.default_rng(0).integers(0, 2, (2, 9, 9)).astype(float)
    target = np.random.default_rng(1).normal(0, 1, network.values["max_pool1"])
    graph = split_maxima(lower(network, parameters, train=True), PAPER)
    assert [item.kernel for item in graph.operations] == [(1, 1), (1, 4), (4, 1)]
    twin = FloatTwin(differentiate(graph, Optimiser(1.0)))
    twin.step(sample, target)
    expected = TorchNetwork(network, parameters).gradients(sample, target)["conv1.weight"]
    np.testing.assert_allclose(parameters["conv1.weight"] - twin.parameters["conv1.weight"], expected, atol=1e-12)


def test_a_maximum_of_too_many_rows_is_refused():
    network = ended(started(20, 4).max_pool((10, 1), stride=(10, 1)))
    with pytest.raises(NetworkError, match="max_pool1: training needs a window of at most 9 rows and columns"):
        compiled(network)
