"""Calibration and formats: every shift exists, factors fit their words, and rounding to the formats changes little."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.chip import Chip
from arch.image import quantised
from compiler.calibration import Calibration, observe, saturation
from compiler.deviations import deviations
from compiler.differentiation import differentiate
from compiler.float_twin import FloatTwin
from compiler.formats import Headroom, described, fractions, sum_fraction
from compiler.graph import PARAMETER_GRADIENTS, ROWS, Graph, Operation, Operator, Optimiser, Role
from compiler.lowering import lower
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.updates import rate_exponent

PAPER = Chip.load("paper")


def network() -> Network:
    """A network with one of everything that formats treat differently."""
    net = Network("mixed", (3, 8, 8)).conv(8, bias=True).batch_norm().relu6(name="six").max_pool(2, name="pool")
    net.conv(8, name="a").leaky_relu(0.1, name="leaky").add("leaky", "pool", name="sum")
    net.average_pool(3, stride=1, padding=1, count_include_pad=True, name="mean", after="sum")
    net.concat("sum", "mean", name="both").channel_shuffle(4).depthwise(3, bias=True).relu()
    return net.global_average_pool().flatten().dense(5, bias=True).softmax_cross_entropy()


def regression() -> Network:
    """A network with a mean squared error."""
    return Network("line", (3, 5, 5)).conv(6).relu().slice((1, 1, 0), (4, 4, 5)).conv(2).mean_squared_error()


OPTIMISERS = [None, Optimiser(2.0**-6), Optimiser(2.0**-4, 0.9, 5e-4, 2)]


def prepared(net: Network, optimiser: Optimiser | None, chip: Chip = PAPER, scale: float = 1.0):
    """Graph, largest magnitudes, fractions, and the data they come from."""
    rng = np.random.default_rng(0)
    samples = scale * rng.normal(0, 1, (4, *net.input_shape))
    parameters = {
        name: value if "running" in name else value + rng.normal(0, 0.2, value.shape)
        for name, value in net.initial(1).items()
    }
    graph = lower(net, parameters, train=optimiser is not None)
    target = rng.normal(0, 1, (4, *graph.tensors[graph.logits].shape))
    labels = target if graph.loss == "MeanSquaredError" else rng.integers(0, 5, 4)
    if optimiser:
        graph = differentiate(graph, optimiser)
    largest = observe(graph, Calibration(samples, labels, 8))
    return graph, largest, fractions(graph, largest, chip), samples, labels


class RoundedTwin(FloatTwin):
    """The chip's numbers: every result rounded half up to its format and saturated; sums are exact, as float64 is."""

    def __init__(self, graph: Graph, fraction: dict[str, int], chip: Chip):
        super().__init__(graph)
        self.fraction = fraction
        self.chip = chip
        self.rows = {name: self.rounded(name, value) for name, value in self.rows.items()}

    def rounded(self, name: str, value: np.ndarray) -> np.ndarray:
        return np.ldexp(self.integers(name, value).astype(np.float64), -self.fraction[name])

    def integers(self, name: str, value: np.ndarray) -> np.ndarray:
        return quantised(value, self.fraction[name], self.chip.largest, name)

    def infer(self, sample: np.ndarray) -> np.ndarray:
        return super().infer(self.rounded("input", sample))

    def step(self, sample: np.ndarray, label) -> np.ndarray:
        return super().step(self.rounded("input", sample), label)

    def _write(self, operation: Operation, result: np.ndarray) -> None:
        super()._write(operation, result)
        store = self.rows if operation.output in self.rows else self.tensors
        store[operation.output] = self.rounded(operation.output, store[operation.output])


def check_shifts(graph: Graph, fraction: dict[str, int], chip: Chip) -> None:
    """What emission relies on."""
    rate = rate_exponent(graph.optimiser.learning_rate) if graph.optimiser else 0
    most = chip.accumulator_bits - chip.word_bits - 2
    for item in graph.operations:
        if item.operator in (Operator.MAX_POOL_INDEX, Operator.LOSS_GRADIENT):
            continue
        total = sum_fraction(item, fraction, rate)
        assert 0 <= total - fraction[item.output] < chip.accumulator_bits, item
        bases = [item.output] if item.update or item.accumulate else []
        if item.bias and item.operator not in PARAMETER_GRADIENTS:
            bases.append(item.bias)
        for base in bases:
            assert 0 <= total - fraction[base] <= most, item
        for name, factor in zip(item.inputs, item.factors, strict=False):
            assert fraction[name] + fraction[factor] == total, item
        if item.operator == Operator.MAX_POOL:
            assert fraction[item.inputs[0]] == fraction[item.output]


@pytest.mark.parametrize("net", [network(), regression()], ids=["mixed", "line"])
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
@pytest.mark.parametrize("chip", [PAPER, Chip.load("tiny"), Chip.load("wide")], ids=lambda chip: chip.name)
@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_every_shift_exists(net, optimiser, chip, scale):
    if optimiser and scale > 1:
        optimiser = replace(optimiser, learning_rate=2.0**-16)
    graph, _, fraction, *_ = prepared(net, optimiser, chip, scale)
    assert set(fraction) == set(graph.tensors)
    check_shifts(graph, fraction, chip)


@settings(max_examples=100)
@given(st.data(), st.sampled_from(OPTIMISERS), st.sampled_from((PAPER, Chip.load("wide"))))
def test_shifts_exist_for_any_magnitudes_or_the_tensor_is_named(data, optimiser, chip):
    net = network()
    graph = lower(net, net.initial(0), train=optimiser is not None)
    if optimiser:
        graph = differentiate(graph, optimiser)
    constants = {name: float(np.abs(value).max()) for name, value in graph.values.items()}
    largest = {
        name: max(constants[name], 2.0**-20)
        if tensor.role == Role.CONSTANT
        else 2.0 ** data.draw(st.integers(-20, 9), name)
        for name, tensor in graph.tensors.items()
    }
    try:
        fraction = fractions(graph, largest, chip)
    except NetworkError as error:
        assert str(error).split(":")[0] in graph.tensors
        return
    check_shifts(graph, fraction, chip)
    for name, form in described(graph, fraction, largest, chip).items():
        if name not in constants and graph.tensors[name].role not in (Role.INDEX, Role.LABEL, Role.GRADIENT):
            assert not form.saturates, name


@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_factors_are_held_well(optimiser):
    graph, _, fraction, *_ = prepared(network(), optimiser)
    for item in graph.operations:
        for name in item.factors:
            values = graph.values[name]
            words = quantised(values, fraction[name], PAPER.largest, name)
            error = np.abs(np.ldexp(words.astype(np.float64), -fraction[name]) - values).max()
            bound = 2.0**-4 if item.operator == Operator.UPDATE else 2.0**-8
            assert error <= bound * np.abs(values).max(), (item, fraction[name])


def test_large_tensors_do_not_saturate():
    graph, largest, fraction, *_ = prepared(network(), Optimiser(2.0**-6))
    for name, form in described(graph, fraction, largest, PAPER).items():
        assert not form.saturates or graph.tensors[name].role == Role.INPUT, name
        assert form.limit == (2**15 - 1) / 2.0**form.fraction


def test_what_saturates_is_told_beforehand():
    graph, largest, _, samples, labels = prepared(network(), Optimiser(2.0**-6))
    data = Calibration(samples, labels, 8)
    tight = described(graph, fractions(graph, largest, PAPER, Headroom(0.25, 0.25, 0.25)), largest, PAPER)
    assert tight["conv1"].saturates
    found = saturation(graph, data, {name: form.limit for name, form in tight.items()})
    assert {name for name, share in found.items() if share > 0} == {
        name for name, form in tight.items() if form.saturates
    }
    assert 0 < found["conv1"] < 0.2
    once = saturation(graph, Calibration(samples[:1], labels[:1], 1), {"input": float(np.median(np.abs(samples[0])))})
    assert once == {"input": 0.5}


@pytest.mark.parametrize("net", [network(), regression()], ids=["mixed", "line"])
@pytest.mark.parametrize("optimiser", OPTIMISERS, ids=str)
def test_rounding_to_the_formats_changes_little(net, optimiser):
    graph, _, fraction, samples, labels = prepared(net, optimiser)
    twin, rounded = FloatTwin(graph), RoundedTwin(graph, fraction, PAPER)
    for index in range(2):
        for machine in (twin, rounded):
            if optimiser:
                machine.step(samples[index], labels[index])
            else:
                machine.infer(samples[index])
    names = [
        name
        for name, tensor in graph.tensors.items()
        if tensor.role not in (Role.INDEX, Role.LABEL, Role.CONSTANT) and (tensor.role in ROWS or name in twin.tensors)
    ]
    words = {name: rounded.integers(name, rounded.value(name)) for name in names}
    for name, found in deviations(twin, words, fraction, dict.fromkeys(words, PAPER.largest)).items():
        # a ReLU or a maximum may be decided otherwise near a tie, which a gradient shows in full
        error = np.abs(words[name] - np.ldexp(twin.value(name), fraction[name]))
        assert np.quantile(error, 0.8) <= max(0.02 * found.signal, 4), (name, found)
        if "gradient" not in name and "momentum" not in name:
            assert found.error <= max(0.01 * found.signal, 4), (name, found)
        assert found.saturated <= found.elements // 100, (name, found)


def test_small_gradients_use_their_words():
    _, largest, fraction, *_ = prepared(network(), Optimiser(2.0**-6))
    name = "depthwise3.gradient"
    assert largest[name] * 2.0 ** fraction[name] >= 2**13


def test_concatenated_planes_have_one_format():
    _, _, fraction, *_ = prepared(network(), None)
    assert fraction["sum"] == fraction["mean"] == fraction["both"]


def test_a_pooling_keeps_its_inputs_format():
    graph, largest, *_ = prepared(network(), None)
    for name in ("pool", "six"):
        fraction = fractions(graph, largest | {name: 0.01}, PAPER)
        assert fraction["pool"] == fraction["six"]


def test_a_factor_that_rounds_up_fits_its_word():
    net = Network("n", (2, 4, 4)).conv(2).batch_norm()
    graph = lower(net, net.initial(0), batch_norm="frozen")
    largest = observe(graph, Calibration(np.ones((1, 2, 4, 4)), np.zeros(1), 1))
    # 1 / sqrt(1 + 1e-5) is 1 in 15 fraction bits, which no word holds
    assert fractions(graph, largest, PAPER)["batch_norm1.factor0"] == 14


def test_small_terms_of_a_sum_leave_their_factors_bits():
    graph, largest, *_ = prepared(network(), None)
    fraction = fractions(graph, largest | {"a": 2.0**-9, "leaky.positive": 1000.0}, PAPER)
    assert fraction["sum.factor0"] >= 8
    check_shifts(graph, fraction, PAPER)


@pytest.mark.parametrize("optimiser", OPTIMISERS[1:], ids=str)
def test_an_old_value_leaves_the_accumulator_room(optimiser):
    graph, largest, *_ = prepared(network(), replace(optimiser, learning_rate=2.0**-20))
    fraction = fractions(graph, largest | {"dense2.weight": 2000.0, "dense2.weight.gradient": 20000.0}, PAPER)
    check_shifts(graph, fraction, PAPER)


def test_a_result_is_read_from_within_the_accumulator():
    net = Network("n", (2, 4, 4)).conv(2)
    graph = lower(net, net.initial(0))
    check_shifts(graph, fractions(graph, {"input": 2.0**-18, "conv1.weight": 2.0**-18, "conv1": 30000.0}, PAPER), PAPER)


def test_decided_formats_stay_or_are_refused():
    graph, largest, fraction, *_ = prepared(network(), None)
    graph.fractions["a"] = fraction["a"] - 3
    assert fractions(graph, largest, PAPER)["a"] == fraction["a"] - 3
    graph.fractions |= {"input": -4, "conv1": 16}
    with pytest.raises(NetworkError, match="conv1: has 16 fraction bits"):
        fractions(graph, largest, PAPER)
    graph.fractions = {"a": 99}
    with pytest.raises(NetworkError, match="a: fraction bits must be"):
        fractions(graph, largest, PAPER)


def test_a_decay_that_vanishes_is_refused():
    with pytest.raises(NetworkError, match=r"gradient: its factor 1e-12 of .*weight vanishes"):
        prepared(network(), Optimiser(2.0**-4, 0.0, 1e-12))


@pytest.mark.parametrize(
    ("samples", "labels", "message"),
    [
        (np.zeros((2, 3, 8, 7)), np.zeros(2, int), "input: calibration samples must have shape"),
        (np.zeros((0, 3, 8, 8)), np.zeros(0, int), "input: calibration samples must have shape"),
        (np.zeros((2, 3, 8, 8)), np.zeros(2), "label: calibration needs 2 integer labels from 0 to 4"),
        (np.zeros((2, 3, 8, 8)), np.array([0, 5]), "label: calibration needs 2 integer labels from 0 to 4"),
        (np.full((2, 3, 8, 8), 1e300), np.zeros(2, int), "overflow|too large"),
    ],
)
def test_bad_data_is_refused(samples, labels, message):
    graph = differentiate(lower(network(), network().initial(0), train=True), Optimiser())
    with pytest.raises(NetworkError, match=message):
        fractions(graph, observe(graph, Calibration(samples, labels, 4)), PAPER)


def test_bad_targets_are_refused():
    graph = differentiate(lower(regression(), regression().initial(0), train=True), Optimiser())
    with pytest.raises(NetworkError, match="label: calibration needs 2 targets of 30 numbers"):
        observe(graph, Calibration(np.zeros((2, 3, 5, 5)), np.zeros((2, 29)), 1))


def test_deviations_are_in_steps():
    graph, _, fraction, samples, _ = prepared(network(), None)
    twin = FloatTwin(graph)
    twin.infer(samples[0])
    words = quantised(twin.tensors["conv1"], fraction["conv1"], PAPER.largest).astype(np.int64)
    assert deviations(twin, {"conv1": words}, fraction, {"conv1": PAPER.largest})["conv1"].error < 0.5
    words[0, 0, 0] = PAPER.largest
    words += 3
    found = deviations(twin, {"conv1": words}, fraction, {"conv1": PAPER.largest})["conv1"]
    assert found.error > 2.5 and found.largest_error > 1000 and found.elements == 8 * 64
