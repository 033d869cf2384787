"""A technology whose every number is round, and a workload of counts chosen by hand."""

from pathlib import Path

import yaml

from arch.chip import Chip
from arch.events import Event
from arch.workload import Work, Workload
from estimate.technology import Technology

PAPER = Chip.load("paper")
STEPS = 1000
LOGIC = {
    "name": "round",
    "source": "made",
    "node_nm": 100,
    "voltage": 1.0,
    "multiplier": {16: {"energy_pj": 1.0, "area_um2": 1000, "leakage_nw": 10}},
    "adder": {10: {"energy_pj": 0.1, "area_um2": 100, "leakage_nw": 10}},
    "register_bit": {"energy_pj": 0.02, "area_um2": 10, "leakage_nw": 1},
    "clock_pj": 0.004,
    "select_bit": {"energy_pj": 0.001, "area_um2": 1, "leakage_nw": 0.1},
}
SURE = {"low": 1.0, "central": 1.0, "high": 1.0}
FIELDS = {
    "name": "round",
    "about": "made",
    "node_nm": 100,
    "voltage": {"low": 1.0, "central": 1.0, "high": 1.0},
    "logic": [{"table": "logic.yaml"}],
    "memory": [{"macros": "memory.csv", "voltage": 1.0}],
    "clock": {"gate": SURE, "tree": {"low": 0.5, "central": 0.5, "high": 0.5}},
    "turning": SURE,
    "logic_leakage": SURE,
    "density": {"low": 0.5, "central": 0.5, "high": 0.5},
    "external_pj_per_bit": {"low": 1, "central": 2, "high": 4},
}
MEMORY = "words,bits,read_pj,write_pj,leakage_mw,area_mm2\n512,128,10,20,0.001,0.1\n1024,512,50,60,0.01,0.5\n"


def write(folder: Path, fields: dict | None = None, logic: dict | None = None, memory: str = MEMORY) -> Path:
    """The technology's files in `folder`; returns its YAML's path."""
    (folder / "logic.yaml").write_text(yaml.safe_dump(logic or LOGIC))
    (folder / "memory.csv").write_text(memory)
    path = folder / "round.yaml"
    path.write_text(yaml.safe_dump(fields or FIELDS))
    return path


def technology(folder: Path, **fields) -> Technology:
    """The round technology with some fields changed."""
    return Technology.load(write(folder, {**FIELDS, **fields}))


def work(mode: str = "convolution", **counts: int) -> Workload:
    """One row of `STEPS` steps of `mode` in twice as many cycles, and counts by name of event."""
    events = {"STEPS": STEPS, "BUSY": 0, **counts}
    row = Work("layer", "forward", 2 * STEPS, tuple(events.get(event.name, 0) for event in Event), {mode: STEPS}, 0)
    return Workload(PAPER, "made", "infer", 2 * STEPS, False, (row,))
