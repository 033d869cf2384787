"""Toggles of a mapped netlist with the delays of its gates: those of the values at rest, and the glitches before it.

Event-driven and inertial, as Verilog's gates are: an output follows its inputs after the gate's delay, and a change
that its inputs take back before then does not happen. In each cycle all inputs, flip-flops and black boxes change at
once, at the clock's edge; what is left moving at the next edge cannot be, since a cycle ends when all is at rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numba import njit

from synthesis.delays import delays
from synthesis.functions import truth
from synthesis.netlist import Net, Netlist, Waves

MOST_INPUTS = 6
"""Of a gate: its truth table is one number of 64 bits."""


@dataclass(frozen=True)
class Circuit:
    """A netlist as arrays. Nets are numbered anew: `places` gives the row of each.

    `inputs` int32[gates, 6] nets, those beyond a gate's number the constant 0; `tables` uint64[gates] truth tables;
    `outputs` int32[gates] nets; `readers` int32, the gates that read net n at `bounds[n]` to `bounds[n + 1]`; `delay`
    float64[gates, 2] seconds to 0 and to 1. Gates stand after those that drive them.
    """

    places: Mapping[Net, int]
    inputs: np.ndarray
    tables: np.ndarray
    outputs: np.ndarray
    readers: np.ndarray
    bounds: np.ndarray
    delay: np.ndarray

    @classmethod
    def of(cls, netlist: Netlist, delay: np.ndarray | None = None) -> Circuit:
        """With the library's delays, or `delay` float64[gates, 2]. Raises `ValueError` on a gate of too many inputs."""
        places: dict[Net, int] = {"0": 0, "1": 1, "x": 0}
        for gate in netlist.gates:
            for net in (*(net for _, net in gate.inputs), gate.net):
                places.setdefault(net, len(places) - 1)
        inputs = np.zeros((len(netlist.gates), MOST_INPUTS), np.int32)
        for row, gate in zip(inputs, netlist.gates, strict=True):
            if len(gate.inputs) > MOST_INPUTS:
                raise ValueError(f"{gate.kind} has more than {MOST_INPUTS} inputs")
            row[: len(gate.inputs)] = [places[net] for _, net in gate.inputs]
        tables = {gate.function: truth(gate.function, [pin for pin, _ in gate.inputs]) for gate in netlist.gates}
        gates, nets = _readers(inputs)
        return cls(
            places,
            inputs,
            np.array([tables[gate.function] for gate in netlist.gates], np.uint64),
            np.array([places[gate.net] for gate in netlist.gates], np.int32),
            gates,
            np.searchsorted(nets, np.arange(len(places))).astype(np.int64),
            delays(netlist) if delay is None else delay,
        )

    def counted(self, sources: Waves) -> dict[Net, float]:
        """Toggles by net over all cycles, from values in each cycle of inputs, flip-flops and black boxes."""
        driven = set(self.outputs.tolist())
        moving = [
            net for net in sources if net in self.places and self.places[net] > 1 and self.places[net] not in driven
        ]
        waves = np.array([sources[net] for net in moving], np.uint8).reshape(len(moving), -1)
        rows = np.array([self.places[net] for net in moving], np.int32)
        values = _rest(self, rows, waves[:, 0]) if moving else np.zeros(len(self.places), np.uint8)
        found = _follow(
            self.inputs, self.tables, self.outputs, self.readers, self.bounds, self.delay, rows, waves, values
        )
        counts: dict[Net, float] = {net: int(found[row]) for net, row in self.places.items() if row > 1}
        others = (net for net in sources if net not in self.places)
        return counts | {net: int(np.count_nonzero(np.diff(sources[net].view(np.uint8)))) for net in others}


def _readers(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gates by the net that they read, and those nets, sorted."""
    pairs = np.unique(np.stack([inputs.ravel(), np.repeat(np.arange(len(inputs)), MOST_INPUTS)], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] > 1]
    return pairs[:, 1].astype(np.int32), pairs[:, 0]


def _rest(circuit: Circuit, rows: np.ndarray, first: np.ndarray) -> np.ndarray:
    """uint8[nets]: every net's value when the first cycle ends."""
    values = np.zeros(max(circuit.places.values()) + 1, np.uint8)
    values[1] = 1
    values[rows] = first
    for gate in range(len(circuit.outputs)):
        values[circuit.outputs[gate]] = _output(circuit.inputs, circuit.tables, values, gate)
    return values


@njit(cache=True)
def _output(inputs, tables, values, gate):
    place = np.uint64(0)
    for pin in range(MOST_INPUTS):
        place |= np.uint64(values[inputs[gate, pin]]) << np.uint64(pin)
    return np.uint8((tables[gate] >> place) & np.uint64(1))


@njit(cache=True)
def _follow(inputs, tables, outputs, readers, bounds, delay, rows, waves, values):
    """Toggles of every net, int64; `values` are those at rest in the first cycle, and become those of the last."""
    counts = np.zeros(len(values), np.int64)
    waiting = np.zeros(len(outputs), np.int64)  # the number of the change that a gate waits for; 0 for none
    number = np.int64(0)
    heap = [(0.0, np.int64(0), np.int64(0))]
    heap.clear()
    for cycle in range(1, waves.shape[1]):
        for source in range(len(rows)):
            if values[rows[source]] != waves[source, cycle]:
                values[rows[source]] ^= 1
                counts[rows[source]] += 1
        for source in range(len(rows)):
            if waves[source, cycle] != waves[source, cycle - 1]:
                net = rows[source]
                for place in range(bounds[net], bounds[net + 1]):
                    number = _ask(inputs, tables, outputs, delay, values, waiting, heap, readers[place], 0.0, number)
        while heap:
            time, gate, asked = heappop(heap)
            if waiting[gate] != asked:
                continue
            waiting[gate] = 0
            net = outputs[gate]
            values[net] ^= 1
            counts[net] += 1
            for place in range(bounds[net], bounds[net + 1]):
                number = _ask(inputs, tables, outputs, delay, values, waiting, heap, readers[place], time, number)
    return counts


@njit(cache=True)
def _ask(inputs, tables, outputs, delay, values, waiting, heap, gate, time, number):
    """Let a gate change later, or stay, as its inputs say; the number of the last change that was asked for."""
    wanted = _output(inputs, tables, values, gate)
    if wanted == values[outputs[gate]]:
        waiting[gate] = 0
    elif waiting[gate] == 0:
        number += 1
        waiting[gate] = number
        heappush(heap, (time + delay[gate, wanted], np.int64(gate), number))
    return number
