"""The demo, in small: every number that its JSON promises, and the files it writes."""

import json

from click.testing import CliRunner

from tinycl.cli import main


def test_the_demo_reports_what_it_promises(tmp_path):
    arguments = ["demo", "--seeds", "1", "--epochs", "2", "--rtl-steps", "1", "-o", str(tmp_path), "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["accuracy"]["chip"] > 90 and found["accuracy"]["float64"] > 90
    assert 34_133 < found["reference"]["cycles_per_step"] <= 45_478
    assert found["reference"]["made"] is True
    assert found["rtl"]["steps"] == 2 and found["rtl"]["differences"] == 0
    digits = found["digits"]["report"]["cycles"]
    assert found["rtl"]["cycles"] == found["reference"]["cycles_per_step"] + digits
    assert found["speed"]["chip_cycles_per_second"] > 20 * found["speed"]["verilator_cycles_per_second"] > 0
    assert (tmp_path / "tinycl.v").read_text().count("module ") > 10
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_archive_stops_it_before_anything_runs(tmp_path):
    result = CliRunner().invoke(main, ["demo", "--cifar", str(tmp_path / "none.tar.gz"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "none.tar.gz" in result.stderr
    assert not (tmp_path / "out").exists()
