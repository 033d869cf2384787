"""Performance counters: one an event of an engine, adding up strobes."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event


def amounts_layout(chip: Chip) -> data.StructLayout:
    """How often each event happens in a cycle, by the event's name: 0 to taps x lanes."""
    return data.StructLayout({event.name: range(chip.multipliers + 1) for event in Event})


def counts_layout() -> data.ArrayLayout:
    """An engine's counters in `Event` order, `COUNTER_BITS` bits each."""
    return data.ArrayLayout(COUNTER_BITS, len(Event))


class Counters(wiring.Component):
    """An engine's counters. `clear` sets them to 0; `amounts` is added in every other cycle."""

    def __init__(self, chip: Chip):
        super().__init__({"clear": In(1), "amounts": In(amounts_layout(chip)), "counts": Out(counts_layout())})

    def elaborate(self, platform):
        m = Module()
        for event in Event:
            amount = self.amounts[event.name]
            with m.If(self.clear):
                m.d.sync += self.counts[event].eq(0)
            with m.Elif(amount != 0):
                m.d.sync += self.counts[event].eq(self.counts[event] + amount)
        return m
