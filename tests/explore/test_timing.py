"""The timing mode is the compiled program's report and both simulators, to the last count; and says what is assumed."""

import numpy as np
import pytest

from arch.chip import Chip
from arch.errors import InputError
from arch.events import DATA_DEPENDENT, Event
from compiler import Calibration, Network, Options, compile_network
from compiler.network import Network as Net
from explore.timing import time_network
from sim import FastMachine, SteppingMachine

CHIPS = {
    "paper": Chip.load("paper"),
    "raster": Chip.load("paper").replace(name="raster", traversal="raster"),
    "narrow": Chip.load("paper").replace(
        name="narrow", word_bits=12, lanes=4, vector_unit={"elements_per_cycle": 4}, accumulator_banks=4
    ),
    "small": Chip.load("paper").replace(
        name="small",
        feature_memory={"bytes": 2048, "banks": 3, "pages": 4},
        gradient_memory={"bytes": 2048, "banks": 3, "pages": 4},
        weight_memory={"bytes": 10368, "banks": 9, "pages": 4},
    ),
}


def plain() -> Network:
    net = Net("plain", (2, 8, 8)).conv(6, bias=True).relu().conv(8, stride=2).batch_norm().relu()
    return net.max_pool(2).dense(4, bias=True).softmax_cross_entropy()


def residual() -> Network:
    net = Net("residual", (3, 8, 8)).conv(8, name="a").relu(name="b").conv(8, name="c")
    return net.add("b", "c", name="d").relu().global_average_pool().flatten().dense(5).softmax_cross_entropy()


def compiled(network: Network, chip: Chip, options: Options):
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (4, *network.input_shape))
    return compile_network(network, chip, network.initial(0), Calibration(samples, np.arange(4) % 3, 4), options)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("make", [plain, residual])
@pytest.mark.parametrize("options", [Options(), Options(train=False), Options(momentum=0.5, micro_batch=2)])
def test_equals_the_compiled_program(make, chip, options):
    timing = time_network(make(), CHIPS[chip], options)
    build = compiled(make(), CHIPS[chip], options)
    assert build.reports
    assert list(timing.workloads) == list(build.reports)
    for entry, report in build.reports.items():
        assert timing.reports[entry] == report.model_copy(update={"tensors": []})
        assert timing.workloads[entry].cycles == report.cycles
        assert not timing.workloads[entry].estimated


@pytest.mark.parametrize("machine", [FastMachine, SteppingMachine])
def test_equals_the_simulators(machine):
    timing = time_network(plain(), CHIPS["small"])
    program = compiled(plain(), CHIPS["small"], Options()).program
    assert program
    inputs = {name: np.zeros((1, *region.shape), np.int16) for name, region in program.inputs.items()}
    if machine is SteppingMachine:
        inputs = {name: values[0] for name, values in inputs.items()}
    result = machine(program).run("train", inputs)
    counts = result.counters.sum(axis=0)
    assert timing.cycles == result.cycles
    known = [event for event in Event if event not in DATA_DEPENDENT]
    assert [timing.workload.counts[event] for event in known] == counts[known].tolist()


def test_density_is_marked_and_bounded():
    dense, sparse, empty = (time_network(plain(), CHIPS["paper"], density=share) for share in (1.0, 0.5, 0.0))
    assert dense.estimated
    assert sparse.estimated
    assert empty.cycles < sparse.cycles < dense.cycles
    assert sparse.cycles == sum(row.cycles for row in sparse.workload.rows)
    assert "50%" in sparse._repr_html_()


def test_nothing_is_skipped_where_no_value_is_zero():
    timing = time_network(plain(), CHIPS["paper"], density=1.0)
    assert {entry: work.cycles for entry, work in timing.workloads.items()} == {
        entry: report.cycles for entry, report in timing.reports.items()
    }


@pytest.mark.parametrize("density", [-0.1, 1.5])
def test_refuses_densities(density):
    with pytest.raises(InputError, match="density must be from 0 to 1"):
        time_network(plain(), CHIPS["paper"], density=density)


def test_refuses_what_the_compiler_refuses():
    chip = CHIPS["small"].replace(external_memory=None)
    with pytest.raises(InputError) as compiling:
        compiled(plain(), chip, Options())
    with pytest.raises(InputError) as timing:
        time_network(plain(), chip)
    assert str(timing.value) == str(compiling.value)


def test_wide_rows_hold_no_more_planes_than_a_walk_takes():
    """16 groups of lanes would fit the 25 taps of a row; the instruction's field counts to 15."""
    chip = Chip.load("paper").replace(
        taps=25,
        lanes=2,
        vector_unit={"elements_per_cycle": 2},
        feature_memory={"bytes": 1 << 16, "banks": 5, "pages": 4},
        gradient_memory={"bytes": 1 << 16, "banks": 5, "pages": 4},
        external_memory=None,
    )
    network = Net("wide", (32, 2, 2)).conv(4, 1)
    build = compiled(network, chip, Options(train=False))
    assert build.reports
    assert time_network(network, chip, Options(train=False)).cycles == build.reports["infer"].cycles
