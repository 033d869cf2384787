"""The on-chip memories: banks of one port each, shared by reading, writing and the host.

A bank has one address a cycle. Who asks sees to it that a cycle either reads or writes; the host only asks while no
program runs.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from rtl.address import PAIR
from rtl.words import total, word_of, words_of


def host_port(chip: Chip, banks: int) -> wiring.Signature:
    """The host's access to a bank's word: `write` has a bit a lane; `data` is there a cycle after `read`."""
    return wiring.Signature(
        {
            "bank": Out(range(banks)),
            "place": Out(ROW_BITS),
            "read": Out(1),
            "write": Out(chip.lanes),
            "value": Out(word_of(chip)),
            "data": In(word_of(chip)),
        }
    )


def map_port(chip: Chip) -> wiring.Signature:
    """An engine's access to a feature or gradient memory: up to K words read from K banks, or one word written.

    `read` has a bit a bank, `places` each bank's place; `data` are the banks' words, a cycle after the request.
    """
    return wiring.Signature(
        {
            "read": Out(chip.kernel),
            "places": Out(data.ArrayLayout(ROW_BITS, chip.kernel)),
            "data": In(words_of(chip, chip.kernel)),
            "write": Out(1),
            "address": Out(PAIR),
            "value": Out(word_of(chip)),
        }
    )


def row_port(chip: Chip) -> wiring.Signature:
    """The array's access to the weight memory: a beat of up to B words, all at one `place`, read or written.

    `write` has a bit a bank; `data` is there a cycle after `read`.
    """
    banks = chip.weight_memory.banks
    return wiring.Signature(
        {
            "read": Out(1),
            "write": Out(banks),
            "place": Out(ROW_BITS),
            "value": Out(words_of(chip, banks)),
            "data": In(words_of(chip, banks)),
        }
    )


class _Bank(wiring.Component):
    """`depth` words behind one port: `read` and `write` (a bit a lane) exclude each other."""

    def __init__(self, chip: Chip, depth: int):
        self._chip = chip
        self._depth = depth
        word = word_of(chip)
        super().__init__(
            {
                "place": In(range(depth)),
                "read": In(1),
                "write": In(chip.lanes),
                "value": In(word),
                "data": Out(word),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = self._chip.word_bits
        m.submodules.cells = cells = memory.Memory(shape=bits * self._chip.lanes, depth=self._depth, init=[])
        write = cells.write_port(granularity=bits)
        read = cells.read_port()
        m.d.comb += [
            write.addr.eq(self.place),
            write.en.eq(self.write),
            write.data.eq(self.value),
            read.addr.eq(self.place),
            read.en.eq(self.read),
            self.data.eq(read.data),
        ]
        return m


class MapMemory(wiring.Component):
    """The feature or the gradient memory: K banks of `depth` words."""

    def __init__(self, chip: Chip, depth: int):
        self._chip = chip
        self._depth = depth
        super().__init__({"engine": In(map_port(chip)), "host": In(host_port(chip, chip.kernel))})

    def elaborate(self, platform):
        m = Module()
        engine, host = self.engine, self.host
        for k in range(self._chip.kernel):
            m.submodules[f"bank{k}"] = bank = _Bank(self._chip, self._depth)
            here = engine.write & (engine.address.bank == k)
            called = host.bank == k
            host_writes = Mux(called, host.write, 0)
            calls = called & (host.read | host.write.any())
            m.d.comb += [
                bank.place.eq(Mux(calls, host.place, Mux(here, engine.address.place, engine.places[k]))),
                bank.read.eq(engine.read[k] | (called & host.read)),
                bank.write.eq(here.replicate(self._chip.lanes) | host_writes),
                bank.value.eq(Mux(calls, host.value.as_value(), engine.value.as_value())),
                engine.data[k].eq(bank.data),
            ]
            with m.If(called):
                m.d.comb += host.data.eq(bank.data)
        return m


class WeightMemory(wiring.Component):
    """The weight memory: B banks, a beat moves the words at one place of all of them."""

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__({"engine": In(row_port(chip)), "host": In(host_port(chip, chip.weight_memory.banks))})

    def elaborate(self, platform):
        m = Module()
        engine, host = self.engine, self.host
        depth = self._chip.bank_depth(self._chip.weight_memory)
        for b in range(self._chip.weight_memory.banks):
            m.submodules[f"bank{b}"] = bank = _Bank(self._chip, depth)
            called = host.bank == b
            host_writes = Mux(called, host.write, 0)
            calls = called & (host.read | host.write.any())
            m.d.comb += [
                bank.place.eq(Mux(calls, host.place, engine.place)),
                bank.read.eq(engine.read | (called & host.read)),
                bank.write.eq(engine.write[b].replicate(self._chip.lanes) | host_writes),
                bank.value.eq(Mux(calls, host.value.as_value(), engine.value[b].as_value())),
                engine.data[b].eq(bank.data),
            ]
            with m.If(called):
                m.d.comb += host.data.eq(bank.data)
        return m


def ask_word(port, address) -> list:
    """Statements that read the word at pair `address` through a `map_port`."""
    return [port.read.eq(1 << address.bank), Cat(*port.places).eq(address.place.replicate(len(port.read)))]


def count_ones(bits: Value) -> Value:
    """How many bits of `bits` are set."""
    return total(list(bits))
