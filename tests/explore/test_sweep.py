"""Sweeps: the same table whoever makes it, resumable, and rows with reasons in place of crashes."""

import json

import pytest
import yaml
from pandas import DataFrame

import tinycl
from arch.chip import Chip
from arch.events import Event
from arch.workload import Workload
from compiler import Network, Options
from explore import measure
from explore.measure import timed
from explore.point import Point
from explore.runner import Crew, run
from explore.sweep import SWEEPS, Sweep, points_of
from tests.tinycl.test_cli import call
from tinycl.exploration import shown

VARY = {"lanes": [4, 8], "traversal": ["snake", "line_buffer"], "weight_memory.bytes": [200, 180224]}


def small() -> Network:
    return Network("small", (1, 6, 6)).conv(4).relu().dense(3).softmax_cross_entropy()


def points(vary=VARY) -> list[Point]:
    from explore.chips import varied

    return points_of([small()], list(varied(Chip.load("paper"), vary)), Options())


def test_rows_are_the_compiled_programs_or_say_why_not():
    table = tinycl.sweep(VARY, [small()])
    assert len(table) == 8
    for row in table.to_dict("records"):
        fits = row["weight_memory.bytes"] == 180224
        assert row["fits"] is fits
        if fits:
            lanes = row["lanes"]
            follow = {"kernel_registers": lanes, "accumulator_banks": lanes, "traversal": row["traversal"]}
            chip = Chip.load("paper").replace(lanes=lanes, vector_unit={"elements_per_cycle": lanes}, **follow)
            compiled = tinycl.compile(small(), chip, train=True)
            assert row["cycles"] == compiled.report.cycles
            assert row["window_words"] == sum(item.window_words for item in compiled.report.rows)
            counts = Workload.of(compiled.program, "train").counts
            assert row["map_reads"] == counts[Event.FEATURE_READS] + counts[Event.GRADIENT_READS]
        else:
            assert "must be" in row["reason"] or "too few; enlarge" in row["reason"]


def test_energy_and_area_are_those_of_the_compiled_program():
    from estimate.area import area
    from estimate.energy import energy
    from estimate.technology import Technology

    row = tinycl.sweep(["paper"], [small()], technology="65nm").to_dict("records")[0]
    compiled, technology = tinycl.compile(small(), train=True), Technology.load("65nm")
    work = Workload.of(compiled.program, "train")
    assert row["energy_uJ"] == pytest.approx(1e6 * energy(work, technology).total.central)
    assert row["area_mm2"] == pytest.approx(area(compiled.chip, technology).total.central)
    assert row["energy_low_uJ"] < row["energy_uJ"] < row["energy_high_uJ"]


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and a worker of one thread each, as on another machine."""
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'tinycl[dask]'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_the_table_does_not_depend_on_workers():
    assert run(points(), timed, Crew(2)) == run(points(), timed, Crew(1))


def test_the_table_does_not_depend_on_a_cluster(cluster):
    assert run(points(), timed, Crew(backend="dask", scheduler=cluster)) == run(points(), timed)


def test_the_table_does_not_depend_on_order():
    backwards = run(points()[::-1], timed)
    assert backwards[::-1] == run(points(), timed)


def test_goes_on_where_it_was(tmp_path, monkeypatch):
    """A run that is cut off after three rows, in the middle of the fourth, leaves the rest to the next."""
    store, seen = tmp_path / "rows.jsonl", []

    def counted(point: Point):
        seen.append(point.varied)
        return timed(point)

    whole = run(points(), timed, store=store)
    lines = store.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(whole) == 8
    store.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert run(points(), counted, store=store) == whole
    assert len(seen) == 5
    assert run(points(), counted, store=store) == whole
    assert len(seen) == 5


def test_rows_of_other_code_or_options_are_not_taken(monkeypatch):
    point = points()[0]
    other = points_of([small()], [(point.fields, point.varied)], Options(learning_rate=0.5))[0]
    renamed = points_of([small()], [({**point.fields, "name": "x"}, point.varied)], Options())[0]
    assert other.key != point.key == renamed.key
    key = point.key
    monkeypatch.setattr("explore.point.code_hash", lambda: "other")
    assert points()[0].key != key


def test_progress_comes_row_by_row():
    seen = []
    run(points(), timed, watch=seen.append)
    assert seen == list(range(9))


def test_a_defect_is_a_row_and_no_crash(monkeypatch):
    monkeypatch.setattr(measure, "time_network", lambda *_: 1 // 0)
    rows = run(points({"lanes": [4, 8]}), timed)
    assert [row["reason"] for row in rows] == ["defect: ZeroDivisionError: integer division or modulo by zero"] * 2


def test_exact_points_learn_the_digits():
    table = tinycl.sweep(["paper"], ["digits"], exact={"epochs": 2, "seeds": 1}, technology="65nm")
    row = table.to_dict("records")[0]
    assert row["accuracy"] > 0.8
    assert row["cycles"] == tinycl.timing("digits", train=True).cycles


def write(path, **changes):
    fields = {"networks": ["digits"], "chips": [{"base": "paper", "vary": {"lanes": [4, 8]}}]}
    path.write_text(yaml.safe_dump(fields | changes))
    return path


def test_the_command_prints_writes_and_resumes(tmp_path):
    asked = write(tmp_path / "sweep.yaml", pareto={"minimise": ["cycles"]})
    store, table = tmp_path / "rows.jsonl", tmp_path / "table.csv"
    result = call("explore", asked, "--store", store, "-o", table, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["lanes"] for row in rows] == [4, 8]
    assert table.read_text().splitlines()[0].startswith("chip,network,lanes,fits")
    again = call("explore", asked, "--store", store)
    assert again.exit_code == 0
    assert "2 points, 1 of them best" in again.stdout
    assert len(store.read_text().splitlines()) == 2


def test_each_network_has_its_best_points(tmp_path):
    """Cycles of a large network are never below those of a small one: together, the small one's would be all."""
    asked = write(tmp_path / "sweep.yaml", networks=["digits", "reference"], pareto={"minimise": ["cycles"]})
    shown = call("explore", asked).stdout
    assert "digits: 2 points, 1 of them best" in shown and "reference: 2 points, 1 of them best" in shown


def test_tables_for_people_are_short():
    """Reasons that differ in numbers alone are one; what all rows have is said once."""
    fields = (
        "lanes",
        "taps",
        "word_bits",
        "traversal",
        "clock_ns",
        "cycles",
        "utilisation",
        "multipliers",
        "macs_a_cycle",
    )
    fits = [
        {"chip": "a", "network": "n", "fits": True, "reason": "", **dict.fromkeys(fields, 4), "lanes": i}
        for i in (4, 8)
    ]
    none = [{**fits[0], "fits": False, "reason": f"{i} bytes too few"} for i in (10, 200, 10)]
    table = DataFrame([*fits, *none])
    best, why = shown(table, table[:2])
    assert [column.header for column in best.columns] == ["lanes"] and "taps 4" in str(best.caption)
    assert [list(column.cells) for column in why.columns] == [["10 bytes too few, or alike"], ["3"]]


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"nets": []}, [], "nets"),
        ({"networks": []}, [], "networks"),
        ({"networks": ["nowhere"]}, [], "nowhere: must be a file"),
        ({"chips": [{"base": "nowhere"}]}, [], "nowhere"),
        ({"chips": [{"vary": {"lanse": [4]}}]}, [], "lanse must be a field"),
        ({"chips": [{"vary": {"lanes": list(range(1000)), "taps": list(range(1000))}}]}, [], "at most 100000 chips"),
        ({"technology": "1nm"}, [], "1nm"),
        ({"density": 2}, [], "density"),
        ({"density": 0.5, "exact": {}}, [], "density is assumed"),
        ({"learning_rate": 0.3}, [], "learning_rate"),
        ({}, ["--backend", "dask"], "must have a scheduler"),
        ({}, ["--scheduler", "h:1"], "must come with backend dask"),
    ],
)
def test_bad_sweeps_are_one_line(tmp_path, changes, options, words):
    result = call("explore", write(tmp_path / "sweep.yaml", **changes), *options)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert words in result.stderr


@pytest.mark.parametrize("text", ["hello\n", "no line end", '{"key": 1}\n'])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, text):
    store = tmp_path / "rows.jsonl"
    store.write_text(text)
    result = call("explore", write(tmp_path / "sweep.yaml"), "--store", store)
    assert result.exit_code == 2
    assert "is not of a sweep" in result.stderr
    assert store.read_text() == text


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_are_legal(path):
    asked = Sweep.load(path.stem)
    from tinycl.models import read_network

    made = asked.points(read_network)
    assert len({point.key for point in made}) == len(made)
    assert path.stem in call("explore", "--help").stdout
