"""`tinycl estimate` from a program file: what it prints, writes and refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from arch.chip import Chip
from arch.program import Program
from arch.workload import Workload
from compiler import Calibration, Network, Options, compile_network
from estimate.device import devices
from estimate.energy import energy
from estimate.pictures import figure, intensity
from estimate.technology import Technology, technologies
from tests.estimate.made import write
from tinycl.cli import main

NETWORK = Network("small", (3, 6, 6)).conv(3, name="c").relu().dense(4, name="d")


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    samples = np.random.default_rng(0).uniform(0, 1, (4, 3, 6, 6))
    options = Options(train=False)
    build = compile_network(
        NETWORK, Chip.load("paper"), NETWORK.initial(0), Calibration(samples, np.zeros(4, np.int64), 4), options
    )
    assert build.program
    path = tmp_path_factory.mktemp("build") / "small.tcl"
    build.program.save(path)
    return path


def call(*arguments: object):
    return CliRunner().invoke(main, ["estimate", *map(str, arguments)])


def test_json_is_the_estimate_of_the_technology_named(program):
    found = json.loads(call(program, "--tech", "ihp130", "--zeros", 0.5, "--device", "coin-cell", "--json").stdout)
    assert found["technology"]["name"] == "ihp130" and found["energy"]["entry"] == "infer"
    assert found["energy"]["estimated"] and found["energy"]["zeros_known"]
    assert 0 < found["energy"]["total_J"]["low"] < found["energy"]["total_J"]["high"]
    assert found["area"]["total"]["central"] > 1 and len(found["device"]) == 3


def test_tables_name_sources_and_rows(program):
    shown = call(program, "--tech", "ihp130").stdout
    for text in ("Horowitz", "Aladdin", "ihp_sg13g2", "clock tree", "memory leakage", "c", "forward", "not known"):
        assert text in shown
    assert "components are beyond the sizes measured" in shown


def test_without_clock_gates_the_clock_takes_more(program):
    gated, bare = (json.loads(call(program, *way, "--json").stdout)["energy"] for way in ((), ("--no-clock-gating",)))
    assert gated["clock_gating"] and not bare["clock_gating"]
    clocks = [item["components_J"]["register clock"]["central"] for item in (gated, bare)]
    assert 3 * clocks[0] < clocks[1]
    assert bare["total_J"]["central"] > gated["total_J"]["central"]
    assert "every register, every cycle" in call(program, "--no-clock-gating").stdout


def test_csv_sums_to_the_total(program, tmp_path):
    path = tmp_path / "rows.csv"
    found = json.loads(call(program, "--csv", path, "--json").stdout)
    with path.open() as file:
        total = sum(float(row["central_J"]) for row in csv.DictReader(file))
    assert total == pytest.approx(found["energy"]["total_J"]["central"], rel=1e-3)


def test_areas_add_up_in_tables_and_csv(program, tmp_path):
    path = tmp_path / "areas.csv"
    result = call(program, "--area-csv", path)
    parts = json.loads(call(program, "--json").stdout)["area"]["parts"]
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for part, size in parts.items():
        assert f"all {part}" in result.stdout
        assert sum(float(row["central_mm2"]) for row in rows if row["part"] == part) == pytest.approx(
            size["central"], rel=1e-3
        )


def test_help_names_every_technology_and_device():
    shown = call("--help").stdout
    assert all(name in shown for name in (*technologies(), *devices()))


def test_a_path_works_as_a_name(program, tmp_path):
    found = json.loads(call(program, "--tech", write(tmp_path), "--json").stdout)
    assert found["technology"]["name"] == "round"


def test_supply_and_clock_are_taken(program):
    base, other = (
        json.loads(call(program, "--json", *more).stdout)["energy"] for more in ((), ("--clock", 10, "--voltage", 1.0))
    )
    assert other["voltage"] == 1.0 and other["clock_ns"] == 10 and other["cycles"] == base["cycles"]
    assert other["power_W"]["central"] < base["power_W"]["central"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--tech", "3nm"), "65nm"),
        (("--chip", "tiny"), "built for chip"),
        (("--entry", "train"), "entry must be one of infer"),
        (("--voltage", 9), "voltage"),
        (("--clock", 0), "clock"),
        (("--zeros", 2), "share of zeros"),
        (("--zeros", 0.5, "--data", "x.npz"), "--data"),
        (("--data", "x.npz"), "x.npz"),
        (("--device", "car"), "phone"),
    ],
)
def test_refusals_are_one_line(program, arguments, named):
    result = call(program, *arguments)
    assert result.exit_code == 2 and named in result.stderr and result.stderr.count("\n") == 1


def test_a_memory_out_of_range_is_refused(program, tmp_path):
    small = write(tmp_path, memory="words,bits,read_pj,write_pj,leakage_mw,area_mm2\n16,8,1,1,1,1\n")
    result = call(program, "--tech", small)
    assert result.exit_code == 2 and "cannot be made of" in result.stderr and result.stderr.count("\n") == 1
    assert "feature memory: " in result.stderr and "feature_memory.bytes" in result.stderr


def test_data_is_counted_on(program, tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, samples=np.zeros((2, 3, 6, 6)))
    zeros, unknown = (json.loads(call(program, *more, "--json").stdout)["energy"] for more in (("--data", path), ()))
    assert zeros["zeros_known"] and not zeros["estimated"] and not unknown["zeros_known"]
    saved = unknown["components_J"]["multipliers"]["central"] - zeros["components_J"]["multipliers"]["central"]
    assert saved > 0.3 * unknown["components_J"]["multipliers"]["central"]  # every product has a zero


def test_picture_shows_every_row_with_energy(program, tmp_path):
    path = tmp_path / "energy.png"
    assert call(program, "--picture", path).exit_code == 0 and path.read_bytes().startswith(b"\x89PNG")
    work = Workload.of(Program.load(program), "infer", "small")
    bars, roof = figure(energy(work, Technology.load("65nm"))).axes
    assert [label.get_text() for label in bars.get_yticklabels()][:2] == ["c forward", "d forward"]
    assert "µJ" in bars.get_xlabel() and "byte" in roof.get_xlabel()
    row = work.rows[0]
    words = sum(row.counts[4:10])
    assert intensity(row, work.chip) == pytest.approx(row.macs / (words * 16))


def test_a_step_of_several_entries_is_not_guessed(tmp_path):
    network = Network("small", (3, 6, 6)).conv(3).relu().dense(4).softmax_cross_entropy()
    samples = Calibration(np.zeros((2, 3, 6, 6)), np.zeros(2, np.int64), 2)
    program = compile_network(network, Chip.load("paper"), network.initial(0), samples, Options(micro_batch=2)).program
    assert program
    program.save(tmp_path / "several.tcl")
    found = call(tmp_path / "several.tcl")
    assert found.exit_code == 2 and "entry must be one of infer, accumulate_first, accumulate, update" in found.output
    assert call(tmp_path / "several.tcl", "--entry", "update").exit_code == 0
