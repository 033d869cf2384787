"""What a pass of a program takes: joules by layer, phase and component, and watts at a clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from arch.chip import Chip
from arch.errors import InputError
from arch.events import Event
from arch.workload import Workload
from estimate.book import Book, book, memories
from estimate.clocking import registers
from estimate.ranges import Range
from estimate.structure import Units
from estimate.switching import shares_of
from estimate.technology import Technology
from estimate.usage import drives, hardware, memory_accesses, moving

CLOCK = ("register clock", "clock tree")
LEAKAGE = ("logic leakage", "memory leakage")


@dataclass(frozen=True)
class Energy:
    """Energy of one pass on the chip; what the memory off the chip takes is `external`, apart.

    `lines` are the components: of logic, of memories, `CLOCK` and `LEAKAGE`. `joules` float64[S, rows, lines] by answer
    (`estimate.book`). `seconds` of the pass. `clock_gating`: whether registers stand behind clock gates. `estimated` as
    in the workload; `zeros_known`: whether products with a zero operand are told apart.
    """

    workload: Workload
    technology: str
    clock_ns: float
    voltage: float
    clock_gating: bool
    seconds: float
    estimated: bool
    zeros_known: bool
    lines: tuple[str, ...]
    joules: np.ndarray
    external: Range
    prices: Book

    @cached_property
    def total(self) -> Range:
        """J of the pass."""
        return self.prices.range(self.joules.sum(axis=(1, 2)))

    @property
    def power(self) -> Range:
        """W while the pass runs."""
        return self.total * (1 / self.seconds)

    @property
    def doubts(self) -> dict[str, tuple[float, float]]:
        """For each source of doubt, the lowest and highest total that it alone would give, beside the central one."""
        return self.prices.weights(self.joules.sum(axis=(1, 2)))

    def by_component(self) -> dict[str, Range]:
        """J by line."""
        return self._ranges(self.joules.sum(axis=1), self.lines)

    def by_row(self) -> dict[tuple[str, str], Range]:
        """J by layer and phase."""
        return self._ranges(self.joules.sum(axis=2), [(row.layer, row.phase) for row in self.workload.rows])

    def by_layer(self) -> dict[str, Range]:
        """J by layer."""
        return self._merged([row.layer for row in self.workload.rows])

    def by_phase(self) -> dict[str, Range]:
        """J by phase."""
        return self._merged([row.phase for row in self.workload.rows])

    def _merged(self, labels: list[str]) -> dict[str, Range]:
        names = list(dict.fromkeys(labels))
        belongs = np.array([[label == name for label in labels] for name in names], np.float64)
        return self._ranges(self.joules.sum(axis=2) @ belongs.T, names)

    def _ranges(self, values: np.ndarray, names) -> dict:
        return dict(zip(names, self.prices.ranges(values), strict=True))

    def table(self) -> pd.DataFrame:
        """A row a layer, phase and component: low, central and high in J."""
        bars = self.prices.bars(self.joules)
        return pd.DataFrame(
            {
                "layer": np.repeat([row.layer for row in self.workload.rows], len(self.lines)),
                "phase": np.repeat([row.phase for row in self.workload.rows], len(self.lines)),
                "component": np.tile(self.lines, len(self.workload.rows)),
                **{f"{name}_J": bars[place].reshape(-1) for place, name in enumerate(("low", "central", "high"))},
            }
        )

    def to_dict(self) -> dict:
        """For JSON; J, W, s, V, ns."""
        return {
            "chip": self.workload.chip.name,
            "network": self.workload.network,
            "entry": self.workload.entry,
            "technology": self.technology,
            "clock_ns": self.clock_ns,
            "voltage": self.voltage,
            "clock_gating": self.clock_gating,
            "cycles": self.workload.cycles,
            "seconds": self.seconds,
            "estimated": self.estimated,
            "zeros_known": self.zeros_known,
            "total_J": self.total.to_dict(),
            "power_W": self.power.to_dict(),
            "external_J": self.external.to_dict(),
            "components_J": {name: item.to_dict() for name, item in self.by_component().items()},
            "rows_J": [
                {"layer": layer, "phase": phase, **item.to_dict()} for (layer, phase), item in self.by_row().items()
            ],
            "doubts": self.doubts,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1)


def energy(
    workload: Workload,
    technology: Technology,
    clock_ns: float | None = None,
    voltage: float | None = None,
    clock_gating: bool = True,
) -> Energy:
    """The energy of one pass at a clock period (ns) and a supply (V); without them the chip's and the technology's.

    With `clock_gating` registers that share an enable stand behind a clock gate, as tools for chips place them; without
    every register sees every cycle, as the RTL stands and on an FPGA. Dynamic energy goes with the supply's square,
    leakage with its cube. Whether the chip reaches the clock is not looked at. Raises `InputError` on a clock or supply
    out of range, or a memory outside the technology's tables.
    """
    chip = workload.chip
    clock = chip.clock_ns if clock_ns is None else clock_ns
    if not 0 < clock <= 1e6:
        raise InputError(f"clock must be above 0 and at most 1e6 ns, not {clock}")
    low, high = 0.5 * technology.voltage.low, 1.5 * technology.voltage.high
    if voltage is not None and not low <= voltage <= high:
        raise InputError(f"voltage must be from {low:g} to {high:g} V in {technology.name}, not {voltage}")
    found = book(technology, chip, voltage)
    cycles = np.array([row.cycles for row in workload.rows], np.float64)
    driven = drives(workload, found.turning)
    parts = [
        _logic(workload.chip, driven, found),
        _memories(workload, found),
        _clock(_seen(workload.chip, cycles, driven, found, clock_gating), found),
        _leakage(workload, cycles * clock * 1e-9, found),
    ]
    bits = sum(row.counts[event] for row in workload.rows for event in _EXTERNAL) * 8 * workload.chip.beat_bytes
    return Energy(
        workload,
        technology.name,
        clock,
        technology.voltage.central if voltage is None else voltage,
        clock_gating,
        workload.cycles * clock * 1e-9,
        workload.estimated,
        all(row.zero_products is not None for row in workload.rows if row.steps),
        (*hardware(chip), *memories(chip), *CLOCK, *LEAKAGE),
        np.concatenate(parts, axis=2),
        Range(*(bits * 1e-12 * item for item in _triple(technology))),
        found,
    )


_EXTERNAL = (Event.EXTERNAL_READS, Event.EXTERNAL_WRITES)


def _triple(technology: Technology) -> tuple[float, float, float]:
    spread = technology.external_pj_per_bit
    return spread.low, spread.central, spread.high


def _logic(chip: Chip, driven: np.ndarray, found: Book) -> np.ndarray:
    """J [S, rows, components] of switching: drivers times measured shares of what a component's units take."""
    shares = driven @ shares_of(chip)
    units = np.array([part.values() for part in moving(chip).values()], np.float64)
    whole = found.logic_pj @ units.T * found.events[:, None]
    return shares * whole[:, None, :] * 1e-12


def _memories(workload: Workload, found: Book) -> np.ndarray:
    """J [S, rows, memories] of words read and written."""
    columns = []
    for place, name in enumerate(memories(workload.chip)):
        reads, writes = memory_accesses(workload, name)
        columns.append(np.outer(found.memory[:, place, 0], reads) + np.outer(found.memory[:, place, 1], writes))
    return np.stack(columns, axis=2) * 1e-12


def _seen(chip: Chip, cycles: np.ndarray, driven: np.ndarray, found: Book, clock_gating: bool) -> np.ndarray:
    """Register bits times the cycles that they see, [S, rows]; with gates, each of which is `found.gate` bits."""
    every, free, gates, opened = registers(chip)
    if not clock_gating:
        return np.outer(np.full_like(found.gate, every), cycles)
    through = np.minimum(driven @ opened * found.gating[:, None], (every - free) * cycles)
    return (np.outer(free + gates * found.gate, cycles) + through) * found.gate_bits[:, None]


def _clock(seen: np.ndarray, found: Book) -> np.ndarray:
    """J [S, rows, 2] of the registers' clock pins and gates, and of the tree that drives them."""
    whole = seen * found.clock_pj[:, None] * 1e-12
    tree = whole * found.tree[:, None]
    return np.stack([whole - tree, tree], axis=2)


def _leakage(workload: Workload, seconds: np.ndarray, found: Book) -> np.ndarray:
    """J [S, rows, 2] of logic and of memories."""
    units = sum(hardware(workload.chip).values(), Units())
    logic = found.logic_nw @ np.array(units.values()) * 1e-9
    memory = found.memory[:, :, 2].sum(axis=1) * 1e-3
    return np.stack([np.outer(logic, seconds), np.outer(memory, seconds)], axis=2)
