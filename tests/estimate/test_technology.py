"""What a technology's file may hold, and how a wrong one is refused."""

import numpy as np
import pytest

from estimate.area import area
from estimate.cells import cells, merged
from estimate.device import Device, told
from estimate.energy import energy
from estimate.logic_table import LogicTable
from estimate.prices import Answers
from estimate.structure import structure
from estimate.switching import switching
from estimate.technology import Technology, TechnologyError, technologies
from tests.estimate.made import FIELDS, LOGIC, PAPER, STEPS, technology, work, write

HARDWARE = structure(PAPER)
NAMES = list(HARDWARE)
LEFT = dict(zip(NAMES, merged(PAPER)[0], strict=True))


def test_shipped_ones_load_and_estimate():
    assert set(technologies()) >= {"45nm", "65nm", "ihp130", "sky130", "osu180"}
    for name in technologies():
        made = Technology.load(name)
        assert made.name == name and area(PAPER, made).total.low > 0


def test_unknown_one_names_those_there_are():
    with pytest.raises(TechnologyError, match="65nm"):
        Technology.load("7nm")


def test_every_error_at_once(tmp_path):
    wrong = {**FIELDS, "node_nm": -1, "nonsense": 1, "density": {"low": 2, "central": 1, "high": 1}}
    with pytest.raises(TechnologyError) as error:
        Technology.load(write(tmp_path, wrong))
    for named in ("node_nm", "nonsense", "density"):
        assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("memory", "named"),
    [
        ({"macros": "none.csv", "voltage": 1.0}, "none.csv"),
        ({"macros": "memory.csv"}, "voltage"),
        ({"cacti": {"node_nm": 28, "kind": "hp"}}, "node_nm"),
        ({"cacti": {"node_nm": 65, "kind": "hp"}, "voltage": 1.0}, "voltage"),
        ({}, "either cacti or macros"),
    ],
)
def test_wrong_memories(tmp_path, memory, named):
    with pytest.raises(TechnologyError, match=named):
        technology(tmp_path, memory=[memory])


def test_a_logic_table_that_is_not_there(tmp_path):
    with pytest.raises(TechnologyError, match=r"none\.yaml"):
        technology(tmp_path, logic=[{"table": "none.yaml"}])


def test_a_users_memory_table_decides(tmp_path):
    base = area(PAPER, technology(tmp_path)).parts["memories"].central
    (tmp_path / "other").mkdir()
    header = "words,bits,read_pj,write_pj,leakage_mw,area_mm2\n"
    path = write(tmp_path / "other", memory=header + "512,128,10,20,0.001,0.2\n1024,512,50,60,0.01,1\n")
    assert area(PAPER, Technology.load(path)).parts["memories"].central == pytest.approx(2 * base)


def test_widths_between_lie_on_a_power_law():
    points = {
        8: {"energy_pj": 0.2, "area_um2": 100, "leakage_nw": 1},
        32: {"energy_pj": 3.2, "area_um2": 400, "leakage_nw": 4},
    }
    units = LogicTable.model_validate({**LOGIC, "multiplier": points}).units(16)
    assert units[3] == pytest.approx([0.8, 200, 2])  # 16 is the geometric mean of 8 and 32
    alone = LogicTable.model_validate(LOGIC).units(8)
    assert alone[3] == pytest.approx([0.25, 250, 2.5])  # the square
    assert alone[1] == pytest.approx([0.01, 10, 1])  # a bit of the adder


def test_disagreeing_tables_are_the_bar(tmp_path):
    write(tmp_path)
    (tmp_path / "other.yaml").write_text((tmp_path / "logic.yaml").read_text().replace("1000", "4000"))
    made = technology(tmp_path, logic=[{"table": "logic.yaml"}, {"table": "other.yaml"}])
    one, other, mean = (cells(made, PAPER, Answers(logic=table)) for table in (0, 1, None))
    more = (other - one)[NAMES.index("multipliers")]
    assert more == pytest.approx(LEFT["multipliers"] * 72 * (4000 - 1000) / 0.5)
    assert mean == pytest.approx(np.sqrt(one * other))
    found = area(PAPER, made)
    memories = found.parts["memories"].central * 1e6
    totals = [(table.sum() + memories) / 1e6 / found.total.central for table in (one, other)]
    assert found.doubts["logic"] == pytest.approx(totals)


def test_a_central_table_is_the_centre(tmp_path):
    write(tmp_path)
    (tmp_path / "other.yaml").write_text((tmp_path / "logic.yaml").read_text().replace("1000", "4000"))
    tables = [{"table": "logic.yaml"}, {"table": "other.yaml"}]
    part = HARDWARE["multipliers"]
    rest = part.adder_bits * 10 + part.register_bits * 10 + part.select_bits
    one, other = (72 * micro + rest for micro in (1000, 4000))
    for central, expected in ((None, np.sqrt(one * other)), ("other.yaml", other)):
        made = technology(tmp_path, logic=tables, central=central)
        found = area(PAPER, made).tree["logic"]["multipliers"].central
        assert found == pytest.approx(LEFT["multipliers"] * expected / 0.5 / 1e6)
    with pytest.raises(TechnologyError, match="central"):
        technology(tmp_path, logic=tables, central="none")


def test_what_a_table_does_not_see_is_added_but_to_registers(tmp_path):
    twice = {"low": 2, "central": 2, "high": 2}
    base = energy(work(), technology(tmp_path)).by_component()
    found = energy(work(), technology(tmp_path, logic=[{"table": "logic.yaml", "unseen": twice}])).by_component()
    assert found["register clock"] == base["register clock"]
    share = switching().shares["multipliers"]
    drives = STEPS * (share["turned"] + share["active"])
    registers = drives * HARDWARE["multipliers"].register_bits * 0.02e-12
    assert found["multipliers"].central == pytest.approx(2 * base["multipliers"].central - registers)


def test_battery_and_heat(tmp_path):
    found = energy(work(), technology(tmp_path), clock_ns=10)
    device = Device(
        name="d",
        about="a",
        battery_wh=1.0,
        efficiency=0.5,
        battery_w=1e-6,
        kelvin_per_watt=10,
        ambient_c=30,
        junction_c=31,
    )
    assert device.passes(found.total).central == pytest.approx(1800 / found.total.central)
    assert device.kelvin(found.power).central == pytest.approx(10 * found.power.central)
    lines = told(device, found)
    assert "times slower" in lines[1] and "within the 1 K" in lines[2]
