"""The formulas of `estimate.structure` against the elaborated netlist."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from arch.chip import Chip
from estimate.structure import MODULES, Units, structure
from synthesis.blocks import TOP, elaborated

_CELL = re.compile(r"^  cell \$(\w+) [^\n]*\n((?:    [^\n]*\n)*)  end\n", re.MULTILINE)
_SIZE = re.compile(r"parameter (?:signed )?\\(\w+) (\d+)\n")
_OWNERS = {path: component for component, paths in MODULES.items() for path in paths}
_TOLERANCE = {"adder_bits": 0.12, "select_bits": 0.12}
"""How far the formulas of adder and select bits may be off, of a component that makes at least 3 % of them."""


def odd() -> Chip:
    """A chip of one lane, one accumulator bank, one kernel register, as many weight banks as taps, one page."""
    memory = {"bytes": 2048, "banks": 3, "ports": 1, "pages": 1}
    return Chip.load("tiny").replace(
        name="odd",
        taps=9,
        lanes=1,
        word_bits=11,
        accumulator_bits=37,
        accumulator_banks=1,
        kernel_registers=1,
        feature_memory=memory,
        gradient_memory=memory,
        weight_memory={**memory, "banks": 9},
        vector_unit={"elements_per_cycle": 1},
        program_memory={"instructions": 20},
    )


def inside() -> Chip:
    """A chip without an external memory, of four lanes, with a line buffer."""
    return Chip.load("tiny").replace(
        name="inside",
        lanes=4,
        word_bits=9,
        accumulator_bits=30,
        accumulator_banks=5,
        vector_unit={"elements_per_cycle": 4},
        external_memory=None,
        traversal="line_buffer",
        line_buffer_words=11,
    )


@pytest.fixture(scope="module", params=["tiny", "odd", "inside"])
def counted(request) -> tuple[Chip, dict[str, Units]]:
    chip = {"tiny": Chip.load("tiny"), "odd": odd(), "inside": inside()}[request.param]
    return chip, netlist_units(chip)


def netlist_units(chip: Chip) -> dict[str, Units]:
    """The units in the netlist of `chip`, by component."""
    found: dict[str, Units] = {}
    for name, body in elaborated(chip).items():
        component = _owner(re.sub(r"\$\d+", "", name).removeprefix(TOP).removeprefix("."))
        counts: Counter[str] = Counter()
        for kind, text in _CELL.findall(body):
            counts.update(_units_of(kind, {key: int(value) for key, value in _SIZE.findall(text)}, text, chip))
        found[component] = found.get(component, Units()) + Units(**counts)
    return found


def _owner(path: str) -> str:
    while path not in _OWNERS:
        path = path.rpartition(".")[0]
    return _OWNERS[path]


def _units_of(kind: str, sizes: dict[str, int], text: str, chip: Chip) -> dict[str, int]:
    if kind.startswith("dff"):
        return {"register_bits": sizes["WIDTH"]}
    if kind == "mem_v2":
        if "RD_CLK_ENABLE 1'" in text:  # read by clock: an SRAM
            return {}
        reads, width, size = sizes["RD_PORTS"], sizes["WIDTH"], sizes["SIZE"]
        return {"register_bits": width * size, "select_bits": width * (reads * (size - 1) + size)}
    if kind == "mul" and (sizes["A_WIDTH"], sizes["B_WIDTH"]) == (chip.word_bits, chip.word_bits):
        return {"multipliers": 1}
    if kind in ("add", "sub", "neg"):
        return {"adder_bits": sizes["Y_WIDTH"]}
    if kind in ("ge", "gt", "le", "lt"):
        return {"adder_bits": sizes["A_WIDTH"]}
    if kind in ("mux", "pmux"):
        return {"select_bits": sizes["WIDTH"] * sizes.get("S_WIDTH", 1)}
    if kind in ("shl", "shr", "sshr", "shift", "shiftx"):
        return {"select_bits": sizes["Y_WIDTH"]}
    return {}


def test_registers_and_multipliers_are_exact(counted):
    chip, found = counted
    expected = {name: (units.register_bits, units.multipliers) for name, units in structure(chip).items()}
    assert expected == {name: (units.register_bits, units.multipliers) for name, units in found.items()}


def test_adders_and_selects_are_near(counted):
    chip, found = counted
    for kind, tolerance in _TOLERANCE.items():
        whole = sum(getattr(units, kind) for units in found.values())
        for name, units in structure(chip).items():
            real = getattr(found[name], kind)
            if real < 0.03 * whole or name in ("feature", "gradient", "weight"):
                continue  # a memory's comparisons stand in the text many times, and are shared in the netlist
            assert getattr(units, kind) == pytest.approx(real, rel=tolerance), f"{kind} of {name}"
