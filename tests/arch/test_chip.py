"""Chips: the shipped ones, YAML in and out, and those that cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch import bus
from arch.chip import CHIPS, Chip, ChipError

NAMES = sorted(path.stem for path in CHIPS.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_chips_survive_yaml(name):
    chip = Chip.load(name)
    assert chip.name == name
    assert Chip.parse(chip.to_yaml()) == chip


def test_the_yardstick_has_the_papers_sizes():
    chip = Chip.load("paper")
    assert (chip.taps, chip.lanes, chip.word_bits, chip.multipliers, chip.row_beats) == (9, 8, 16, 72, 1)
    assert chip.weight_rows >= 8192 * 10 // 72 + 3 + 8


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"lanes": 0}, ["lanes", "greater than or equal to 1", "0"]),
        ({"taps": 8}, ["taps must be a square", "8"]),
        ({"accumulator_bits": 32}, ["accumulator_bits must be at least 38", "32"]),
        ({"accumulator_bits": 64}, ["accumulator_bits", "48"]),
        ({"line_buffer_words": 32}, ["line_buffer_words must be left out", "snake", "32"]),
        ({"traversal": "line_buffer", "line_buffer_words": 2}, ["line_buffer_words must be at least 3", "2"]),
        ({"traversal": "line_buffer", "line_buffer_words": 1025}, ["line_buffer_words", "1024"]),
        ({"traversal": "spiral"}, ["traversal"]),
        ({"feature_memory": {"bytes": 100, "banks": 3}}, ["feature_memory.bytes must be at least", "one window"]),
        ({"weight_memory": {"bytes": 64, "banks": 9}}, ["weight_memory.bytes", "kernel registers"]),
        ({"weight_memory": {"bytes": 180224, "banks": 10}}, ["weight_memory.banks", "at most 9"]),
        ({"gradient_memory": {"bytes": 65536, "banks": 4}}, ["gradient_memory.banks must be 3"]),
        ({"feature_memory": {"bytes": 65536, "banks": 3, "ports": 2}}, ["feature_memory.ports"]),
        ({"vector_unit": {"elements_per_cycle": 4}}, ["vector_unit.elements_per_cycle must be 8"]),
        ({"color": "red"}, ["color"]),
        ({"clock_ns": float("nan")}, ["clock_ns"]),
    ],
)
def test_a_chip_that_cannot_be_is_one_line(fields, words):
    with pytest.raises(ChipError) as error:
        Chip.load("paper").replace(**fields)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_all_errors_at_once():
    with pytest.raises(ChipError) as error:
        Chip.parse("{name: x, taps: 900, lanes: 0, word_bits: 4}")
    assert all(word in str(error.value) for word in ("taps", "lanes", "word_bits", "clock_ns", "weight_memory"))


@pytest.mark.parametrize("text", ["", "[]", "taps: [", "42", "\x00"])
def test_what_is_no_chip_is_refused(text):
    with pytest.raises(ChipError):
        Chip.parse(text)


def test_a_key_that_is_there_twice_is_refused():
    with pytest.raises(ChipError, match="mine: not YAML: `taps` is there twice, in line 3"):
        Chip.parse("name: x\ntaps: 9\ntaps: 16\n", "mine")


def test_a_missing_file_names_the_shipped_chips():
    with pytest.raises(ChipError, match="one of paper-one-port, paper, tiny, wide"):
        Chip.load("nowhere.yaml")


@given(st.integers(0, 4094))
def test_bus_addresses_do_not_meet(index):
    chip = Chip.load("paper")
    here = bus.word_address(bus.Window.FEATURE, index, chip)
    assert here != bus.word_address(bus.Window.FEATURE, (index + 1) % 4095, chip)
    assert here >> bus.REGION_SHIFT == bus.Window.FEATURE
    assert here % chip.word_stride == 0
