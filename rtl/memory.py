"""The on-chip memories: banks in pages of one port each, shared by reading, writing, the DMA and the host.

A page has one address a cycle. Who asks sees to it that a cycle either reads or writes; the host only asks while no
program runs, and the DMA and the other engines never use one page at once: tokens keep them apart (`arch.ordering`).
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip, OnChipMemory
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


def word_port(chip: Chip, banks: int) -> wiring.Signature:
    """The DMA's access to a bank's word; `data` is there from the cycle after `read` to the next one's."""
    return wiring.Signature(
        {
            "bank": Out(range(banks)),
            "place": Out(ROW_BITS),
            "read": Out(1),
            "write": Out(1),
            "value": Out(word_of(chip)),
            "data": In(word_of(chip)),
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


class _Pages(wiring.Component):
    """A bank of `depth` words in pages: one port for the engines and the host, one for the DMA.

    Both may be used in a cycle if their pages differ. `data` and `dma_data` stay until the next read.
    """

    def __init__(self, chip: Chip, shape: OnChipMemory):
        self._chip = chip
        self._count, self._depth = shape.pages, chip.page_depth(shape)
        word = word_of(chip)
        super().__init__(
            {
                "place": In(ROW_BITS),
                "read": In(1),
                "write": In(chip.lanes),
                "value": In(word),
                "data": Out(word),
                "dma_place": In(ROW_BITS),
                "dma_read": In(1),
                "dma_write": In(1),
                "dma_value": In(word),
                "dma_data": Out(word),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chosen, dma_chosen = Signal(range(self._count)), Signal(range(self._count))
        for number in range(self._count):
            m.submodules[f"page{number}"] = page = _Bank(self._chip, self._depth)
            first = number * self._depth
            here = self._holds(self.place, number)
            dma_here = self._holds(self.dma_place, number) & (self.dma_read | self.dma_write)
            m.d.comb += [
                page.place.eq(Mux(dma_here, self.dma_place - first, self.place - first)),
                page.read.eq((here & self.read) | (dma_here & self.dma_read)),
                page.write.eq(Mux(here, self.write, 0) | (dma_here & self.dma_write).replicate(self._chip.lanes)),
                page.value.eq(Mux(dma_here, self.dma_value.as_value(), self.value.as_value())),
            ]
            with m.If(chosen == number):
                m.d.comb += self.data.eq(page.data)
            with m.If(dma_chosen == number):
                m.d.comb += self.dma_data.eq(page.data)
            with m.If(here & self.read):
                m.d.sync += chosen.eq(number)
            with m.If(dma_here & self.dma_read):
                m.d.sync += dma_chosen.eq(number)
        return m

    def _holds(self, place: Value, number: int) -> Value:
        """Whether a place of the bank lies in page `number`."""
        first, end = number * self._depth, (number + 1) * self._depth
        return ((place >= first) if number else Const(1)) & ((place < end) if number < self._count - 1 else Const(1))


class MapMemory(wiring.Component):
    """The feature or the gradient memory: K banks. The `dma` and the others use different pages in a cycle."""

    def __init__(self, chip: Chip, shape: OnChipMemory):
        self._chip = chip
        self._shape = shape
        banks = chip.kernel
        super().__init__(
            {"engine": In(map_port(chip)), "host": In(host_port(chip, banks)), "dma": In(word_port(chip, banks))}
        )

    def elaborate(self, platform):
        m = Module()
        engine, host = self.engine, self.host
        banks = [_Pages(self._chip, self._shape) for _ in range(self._chip.kernel)]
        for k, bank in enumerate(banks):
            m.submodules[f"bank{k}"] = bank
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
        _join_dma(m, self.dma, banks)
        return m


class WeightMemory(wiring.Component):
    """The weight memory: B banks, a beat moves the words at one place of all of them; the `dma` moves single words."""

    def __init__(self, chip: Chip):
        self._chip = chip
        banks = chip.weight_memory.banks
        super().__init__(
            {"engine": In(row_port(chip)), "host": In(host_port(chip, banks)), "dma": In(word_port(chip, banks))}
        )

    def elaborate(self, platform):
        m = Module()
        engine, host = self.engine, self.host
        banks = [_Pages(self._chip, self._chip.weight_memory) for _ in range(self._chip.weight_memory.banks)]
        for b, bank in enumerate(banks):
            m.submodules[f"bank{b}"] = bank
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
        _join_dma(m, self.dma, banks)
        return m


def _join_dma(m: Module, dma, banks: list[_Pages]) -> None:
    """Connect the DMA's port to the banks; its data stays until its next read."""
    chosen = Signal(range(len(banks)))
    with m.If(dma.read):
        m.d.sync += chosen.eq(dma.bank)
    for number, bank in enumerate(banks):
        here = dma.bank == number
        m.d.comb += [
            bank.dma_place.eq(dma.place),
            bank.dma_read.eq(dma.read & here),
            bank.dma_write.eq(dma.write & here),
            bank.dma_value.eq(dma.value),
        ]
        with m.If(chosen == number):
            m.d.comb += dma.data.eq(bank.dma_data)


def ask_word(port, address) -> list:
    """Statements that read the word at pair `address` through a `map_port`."""
    return [port.read.eq(1 << address.bank), Cat(*port.places).eq(address.place.replicate(len(port.read)))]


def count_ones(bits: Value) -> Value:
    """How many bits of `bits` are set."""
    return total(list(bits))
