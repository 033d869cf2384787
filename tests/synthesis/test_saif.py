"""SAIF files in: hand-written ones against what they say, waves made of statistics, and how bad files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arch.errors import InputError
from synthesis import activity
from synthesis.saif import CYCLES, Bit, Saif, Statistics, _wave

_TEXT = """// made by hand
(SAIFILE (SAIFVERSION "2.0") (DIRECTION "backward") (DESIGN "a (b") (DIVIDER / ) (TIMESCALE 1ns) (DURATION 400)
  (INSTANCE bench (INSTANCE tinycl
    (NET (clk (T0 200) (T1 200) (TX 0) (TC 80) (IG 0)))
    (NET (word\\[0\\] (T0 300) (T1 100) (TX 0) (TC 10)) (word\\[2\\] (T0 400) (T1 0) (TC 0)))
    (INSTANCE part$7 (NET (flag (T0 0) (T1 400) (TC 0))))
  ))
)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.saif"
    path.write_text(_TEXT)
    return path


def test_a_file_says_shares_and_toggles(file):
    found = Saif.read(file)
    assert found.duration == 400
    assert {name: (bit.high, bit.toggles) for name, bit in found.bits.items()} == {
        "bench.tinycl.clk": (0.5, 80),
        "bench.tinycl.word\\[0\\]": (0.25, 10),
        "bench.tinycl.word\\[2\\]": (0.0, 0),
        "bench.tinycl.part$7.flag": (1.0, 0),
    }


def test_waves_have_the_shares_and_the_toggles(file):
    found = Statistics(Saif.read(file), "tinycl")
    assert found.whole == 40  # half of the clock's toggles
    assert found.scale == 40 / CYCLES
    assert found.scope("part") == "part$7"
    assert "word" in found
    assert "part$7.flag" in found
    word = found.bits("word")
    assert word.shape == (CYCLES, 3)
    assert np.count_nonzero(word[1:, 0] != word[:-1, 0]) == 10 * CYCLES / 40
    assert word[:, 0].sum() == CYCLES / 4
    assert not word[:, 1:].any()  # bits that a file does not name are 0
    assert found.bits("part$7.flag").all()


@pytest.mark.parametrize("high", [0.0, 0.001, 0.5, 1.0])
@pytest.mark.parametrize("toggles", [1, 2, 3, 1000, CYCLES - 1, 2 * CYCLES])
def test_no_wave_toggles_more_than_it_can(high, toggles):
    wave = _wave(Bit(high, toggles), CYCLES, np.random.default_rng(0))
    assert wave.shape == (CYCLES,)
    assert abs(np.count_nonzero(wave[1:] != wave[:-1]) - min(toggles, CYCLES - 1)) <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$date today $end", "is not a SAIF file: it does not begin with"),
        ("(SAIFILE (DURATION 4)", "is not a SAIF file"),
        ("(SAIFILE (INSTANCE a (NET (b (T1 1) (TC 1)))))", "is not a SAIF file: it has no DURATION"),
        ("(SAIFILE (DURATION 4) (INSTANCE a (NET (b (T1 x) (TC 1)))))", "is not a SAIF file"),
        ("(SAIFILE (DURATION 0) (INSTANCE a (NET (b (T1 1) (TC 1)))))", "duration above 0"),
    ],
)
def test_what_is_no_saif_is_refused(tmp_path, text, message):
    path = tmp_path / "x.saif"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        Saif.read(path)


def test_a_file_of_something_else_is_one_line(file, tmp_path, capsys):
    with pytest.raises(InputError, match="must hold an instance chip"):
        Statistics(Saif.read(file), "chip")
    library = tmp_path / "none.lib"
    assert activity.main([str(library), str(file), "--chip", "tiny"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
