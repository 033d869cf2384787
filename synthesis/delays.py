"""Delays of gates: the library's tables at each net's load and at the slew that energy is taken at, no wires."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from synthesis.liberty import Library
from synthesis.netlist import Netlist
from synthesis.power import at_slew, capacitances, table


def delays(netlist: Netlist) -> np.ndarray:
    """Seconds from an input to the output as it falls and as it rises, float64[gates, 2], in the order of `gates`.

    The mean over the inputs and conditions of the library's tables, at `synthesis.power.SLEW_S`.
    """
    loads = capacitances(netlist)
    library = netlist.library
    rows = [
        [_delay(library, gate.kind, gate.pin, edge, loads.get(gate.net, 0.0)) for edge in ("cell_fall", "cell_rise")]
        for gate in netlist.gates
    ]
    return np.array(rows, np.float64).reshape(-1, 2)


@lru_cache(maxsize=1 << 16)
def _delay(library: Library, kind: str, pin: str, edge: str, load: float) -> float:
    curves = _curves(library, kind, pin, edge)
    return float(np.mean([np.interp(load, loads, seconds) for loads, seconds in curves])) if curves else 0.0


@lru_cache(maxsize=1 << 12)
def _curves(library: Library, kind: str, pin: str, edge: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    group = next(item for item in library.cells[kind].all("pin") if pin in item.names)
    tables = (item for timing in group.all("timing") for item in timing.all(edge))
    return tuple(at_slew(table(item, library, library.time_unit)) for item in tables)
