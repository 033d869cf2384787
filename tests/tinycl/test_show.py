"""Tables stay readable: of long networks a row a layer, long names by their ends, notes and progress in few lines."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from rich.console import Console

from arch.chip import Chip
from compiler import Calibration, Network, Options, compile_network
from compiler.report import Report
from tinycl import late_progress, show
from tinycl.late_progress import late_progress as bar
from tinycl.show import LONGEST, MOST_ROWS, PIPED_WIDTH, shortened, tables

LAYERS = 60


def reports(layers: int, train: bool) -> list[Report]:
    net = Network("long", (2, 4, 4))
    for index in range(layers):
        net.conv(2, 1, name=f"network.backbone.stage{index}.convolution").relu()
    net.dense(3, name="dense").softmax_cross_entropy()
    data = Calibration(np.random.default_rng(0).uniform(0, 1, (2, 2, 4, 4)), np.zeros(2, np.int64), 2)
    built = compile_network(net, Chip.load("paper"), net.initial(0), data, Options(train=train))
    assert built.reports
    return list(built.reports.values())


def lines(found: list[Report]) -> list[str]:
    console = Console(file=io.StringIO(), width=PIPED_WIDTH)
    for table in tables(found):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("train", [False, True])
def test_a_long_network_has_a_row_a_layer(train):
    found = reports(LAYERS, train)
    assert len(found[-1].rows) > MOST_ROWS
    shown = lines(found)
    assert max(map(len, shown)) <= PIPED_WIDTH
    for index in range(LAYERS):
        assert sum(f"stage{index}.convolution" in line for line in shown) == len(found)
    assert sum("convolution" in line for line in shown) == LAYERS * len(found)
    assert not any("words read / written in each memory" in line for line in shown)
    assert any(f"{found[-1].cycles:,}" in line and "all" in line for line in shown)
    assert any("inputs" in line and "weights" in line for line in shown) == train


def test_a_short_network_has_a_row_a_phase():
    found = reports(2, True)
    shown = "\n".join(lines(found))
    assert "weight gradient" in shown and "words read / written in each memory" in shown
    assert "…" in shown


def test_names_are_cut_at_their_beginning():
    assert shortened("conv1") == "conv1"
    name = shortened("a.very.long.path.of.modules.conv1")
    assert len(name) == LONGEST and name.endswith("modules.conv1") and name.startswith("…")


def test_the_bar_appears_only_when_work_takes_long(monkeypatch):
    monkeypatch.setattr(late_progress, "SECONDS", 0.05)
    monkeypatch.setattr(show, "err", Console(stderr=True, force_terminal=True, force_interactive=True))
    with bar() as quick:
        assert not quick.live.is_started
    time.sleep(0.1)
    assert not quick.live.is_started
    with bar() as slow:
        time.sleep(0.2)
        assert slow.live.is_started
    assert not slow.live.is_started


def test_without_a_terminal_nothing_is_left(monkeypatch, capfd):
    """An error after long work stays one line."""
    monkeypatch.setattr(late_progress, "SECONDS", 0.01)
    monkeypatch.setattr(show, "err", Console(stderr=True))
    with bar() as slow:
        slow.add_task("work", total=1)
        time.sleep(0.1)
    assert capfd.readouterr().err == ""
