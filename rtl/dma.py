"""The DMA engine: TRANSFER, lines of words between the external memory's bus and the on-chip memories.

Bursts are asked for ahead, one a cycle, and move a beat a cycle. Reading: the beats of a word are gathered, and the
word is written to the chip in the cycle after its last. Writing: a word read on the chip stands on the memory's port
until its last beat has left; the next one is read in that cycle. A word of bytes has half the beats of another one.

After an abort the bus is left as its rules want: the bursts that were asked for are ended, data that comes is dropped,
data that is owed has no strobes. A transfer that starts before that is done waits for it in its first cycle.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.events import Event
from arch.fields import ROW_BITS
from arch.isa import BYTE_BITS, INSTRUCTION_BITS, OnChip, Storage, Transfer
from rtl.address import PAIR, incremented, plus
from rtl.axi import INCR, Bursts, axi_signature
from rtl.counters import amounts_layout
from rtl.instruction import instruction_layout
from rtl.memory import word_port

_AHEAD = 3
"""Written bursts whose address has left and whose data has not, at most."""
_OUTSTANDING = 14
"""Bits of the number of bursts that are not answered: beyond the longest latency."""


class DmaEngine(wiring.Component):
    """Executes the TRANSFER `instruction`, held from `start`, the cycle before its first, to `done`, its last."""

    def __init__(self, chip: Chip):
        self._chip = chip
        self._beats = chip.external_beats
        super().__init__(
            {
                "start": In(1),
                "abort": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "done": Out(1),
                "feature": Out(word_port(chip, chip.kernel)),
                "gradient": Out(word_port(chip, chip.kernel)),
                "weight": Out(word_port(chip, chip.weight_memory.banks)),
                "external": Out(axi_signature(chip)),
                "amounts": Out(amounts_layout(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._transfer = instruction_layout(Transfer)(self.instruction)
        self._weights = self._transfer.memory == OnChip.WEIGHT
        self._bytes = self._transfer.storage == Storage.BYTE if self._chip.stores_bytes else Const(0)
        self._begin, self._running, self._dropping = Signal(), Signal(), Signal()
        self._outward = Signal()  # of the bursts under way, also after an abort
        self._advance, self._last, self._words = Signal(), Signal(), Signal()
        m.submodules.asks = self._asks = Bursts(self._chip)
        m.submodules.sends = self._sends = Bursts(self._chip)
        self._ports = [self.feature, self.gradient, self.weight]
        self._begin_and_end(m)
        self._place(m)
        self._ask(m)
        written = self._receive(m)
        fetches = self._send(m)
        m.d.comb += self._advance.eq(written | fetches)
        for number, port in enumerate(self._ports):
            here = self._transfer.memory == number
            name = OnChip(number).name
            m.d.comb += [
                port.write.eq(written & here),
                port.read.eq(fetches & here),
                self.amounts[f"{name}_WRITES"].eq(port.write),
                self.amounts[f"{name}_READS"].eq(port.read),
            ]
        return m

    def _begin_and_end(self, m: Module) -> None:
        """The instruction's first cycle comes after `begin`, at once or when an aborted one has left the bus."""
        waiting, owed = Signal(), Signal()
        self._outstanding = Signal(_OUTSTANDING)
        self._ahead = Signal(range(_AHEAD + 1))
        m.d.comb += [
            owed.eq(self._asks.valid | (self._ahead != 0) | (self._outstanding != 0)),
            self._begin.eq((self.start | waiting) & ~self._dropping & ~self.abort),
            self.done.eq(self._running & Mux(self._outward, ~owed & ~self._sends.valid, self._last & self._advance)),
        ]
        m.d.sync += waiting.eq((self.start | waiting) & ~self._begin & ~self.abort)
        with m.If(self._begin):
            m.d.sync += [self._running.eq(1), self._outward.eq(self._transfer.outward)]
        with m.Elif(self.abort | self.done):
            m.d.sync += self._running.eq(0)
        with m.If(self.abort & self._running):
            m.d.sync += self._dropping.eq(1)
        with m.Elif(~owed):
            m.d.sync += self._dropping.eq(0)

    def _place(self, m: Module) -> None:
        """Where the next word lies on the chip."""
        transfer, chip = self._transfer, self._chip
        at, line = Signal(PAIR), Signal(PAIR)
        banks = chip.weight_memory.banks
        bank, tap, place = Signal(range(banks)), Signal(range(chip.taps)), Signal(ROW_BITS)
        words = Signal(transfer.count.shape().width + chip.taps.bit_length())
        left, lines = Signal.like(words), Signal(transfer.lines.shape().width)
        following = plus(line, transfer.pitch, chip.kernel)
        ends = left == 1
        m.d.comb += [
            words.eq(Mux(self._weights, transfer.count * chip.taps, transfer.count)),
            self._words.eq(lines != 0),
            self._last.eq(ends & (lines == 1)),
            self.weight.bank.eq(bank),
            self.weight.place.eq(place),
        ]
        for port in (self.feature, self.gradient):
            m.d.comb += [port.bank.eq(at.bank), port.place.eq(at.place)]
        with m.If(self._begin):
            m.d.sync += [at.eq(transfer.word), line.eq(transfer.word), left.eq(words), lines.eq(transfer.lines)]
            m.d.sync += [bank.eq(0), tap.eq(0), place.eq(transfer.row * chip.row_beats)]
        with m.Elif(self._advance):
            m.d.sync += [at.eq(incremented(at, chip.kernel)), left.eq(left - 1), tap.eq(tap + 1), bank.eq(bank + 1)]
            with m.If(ends):
                m.d.sync += [at.eq(following), line.eq(following), left.eq(words), lines.eq(lines - 1)]
            with m.If((tap == chip.taps - 1) | (bank == banks - 1)):
                m.d.sync += [bank.eq(0), place.eq(place + 1)]
            with m.If(tap == chip.taps - 1):
                m.d.sync += tap.eq(0)

    def _ask(self, m: Module) -> None:
        """Addresses of bursts, and how many of them are not answered."""
        transfer, bus, asks = self._transfer, self.external, self._asks
        size = (self._chip.external_memory.bytes_per_cycle - 1).bit_length()  # type: ignore[union-attr]
        words = Mux(self._weights, transfer.count * self._chip.taps, transfer.count)
        accepted, answered, allowed = Signal(), Signal(), Signal()
        for walk in (asks, self._sends):
            m.d.comb += [
                walk.load.eq(self._begin),
                walk.first.eq(self._in_beats(transfer.external)),
                walk.line.eq(self._in_beats(words)),
                walk.lines.eq(transfer.lines),
                walk.pitch.eq(self._in_beats(transfer.external_pitch)),
            ]
        m.d.comb += [
            allowed.eq(asks.valid & (self._outstanding != (1 << _OUTSTANDING) - 1)),
            bus.arvalid.eq(allowed & ~self._outward),
            bus.awvalid.eq(allowed & self._outward & (self._ahead != _AHEAD)),
            accepted.eq((bus.arvalid & bus.arready) | (bus.awvalid & bus.awready)),
            answered.eq((bus.rvalid & bus.rlast) | bus.bvalid),
            asks.next.eq(accepted),
            asks.stop.eq(self.abort & self._running),
            asks.keep.eq((bus.arvalid | bus.awvalid) & ~accepted),
            bus.rready.eq(1),
            bus.bready.eq(1),
        ]
        for channel in ("ar", "aw"):
            m.d.comb += [
                getattr(bus, f"{channel}addr").eq(asks.address << size),
                getattr(bus, f"{channel}len").eq(asks.length - 1),
                getattr(bus, f"{channel}size").eq(size),
                getattr(bus, f"{channel}burst").eq(INCR),
            ]
        m.d.sync += self._outstanding.eq(self._outstanding + accepted - answered)

    def _in_beats(self, words: Value) -> Value:
        """`words` outside as beats."""
        shift = (self._beats - 1).bit_length()
        if not self._chip.stores_bytes:
            return words << shift
        return Mux(self._bytes, words << (shift - 1), words << shift)

    def _last_part(self, part: Signal) -> Value:
        """Whether beat `part` is a word's last one."""
        return Mux(self._bytes, part == self._beats // 2 - 1, part == self._beats - 1)

    def _receive(self, m: Module):
        """Gather the beats of a word; the cycle in which it is written (1 bit)."""
        bus, beats = self.external, self._beats
        width = len(bus.rdata)
        gathered, part = Signal(width * beats), Signal(range(beats))
        takes, last, whole, written = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            takes.eq(bus.rvalid & self._running & ~self._outward),
            last.eq(self._last_part(part)),
            written.eq(whole & self._running),
            self.amounts[Event.EXTERNAL_READS.name].eq(takes),
        ]
        m.d.sync += whole.eq(takes & last)
        with m.If(self._begin):
            m.d.sync += part.eq(0)
        with m.Elif(takes):
            m.d.sync += part.eq(Mux(last, 0, part + 1))
            for number in range(beats):
                with m.If(part == number):
                    m.d.sync += gathered[number * width : (number + 1) * width].eq(bus.rdata)
        for port in self._ports:
            for lane in range(self._chip.lanes):
                element = gathered[16 * lane : 16 * lane + self._chip.word_bits].as_signed()
                byte = gathered[BYTE_BITS * lane : BYTE_BITS * (lane + 1)].as_signed()
                m.d.comb += port.value[lane].eq(Mux(self._bytes, byte, element))
        return written

    def _send(self, m: Module):
        """Send the word that stands on the memory's port, beat by beat; the cycle in which the next is read (1 bit)."""
        bus, sends, beats = self.external, self._sends, self._beats
        held, part, sent = Signal(), Signal(range(beats)), Signal(range(256))
        goes, leaves, fetches, ended, asked = Signal(), Signal(), Signal(), Signal(), Signal()
        last = self._last_part(part)
        m.d.comb += [
            bus.wvalid.eq((held | self._dropping) & sends.valid & (self._ahead != 0)),
            bus.wlast.eq(sent == sends.length - 1),
            bus.wstrb.eq((~self._dropping).replicate(len(bus.wstrb))),
            goes.eq(bus.wvalid & bus.wready),
            leaves.eq(goes & last & ~self._dropping),
            ended.eq(goes & bus.wlast),
            asked.eq(bus.awvalid & bus.awready),
            sends.next.eq(ended),
            fetches.eq(self._running & self._outward & self._words & (~held | leaves)),
            self.amounts[Event.EXTERNAL_WRITES.name].eq(goes & ~self._dropping),
        ]
        m.d.sync += self._ahead.eq(self._ahead + asked - ended)
        with m.If(self._begin | self.abort):
            m.d.sync += held.eq(0)
        with m.Else():
            m.d.sync += held.eq(fetches | (held & ~leaves))
        with m.If(self._begin):
            m.d.sync += [part.eq(0), sent.eq(0)]
        with m.Elif(goes):
            m.d.sync += [part.eq(Mux(last, 0, part + 1)), sent.eq(Mux(bus.wlast, 0, sent + 1))]
        word = Signal(len(bus.wdata) * beats)
        for number, port in enumerate(self._ports):
            lanes = [port.data[lane] for lane in range(self._chip.lanes)]
            halves, octets = Cat(_half(lane) for lane in lanes), Cat(lane[:BYTE_BITS] for lane in lanes)
            with m.If(self._transfer.memory == number):
                m.d.comb += word.eq(Mux(self._bytes, octets, halves))
        m.d.comb += bus.wdata.eq(word.word_select(part, len(bus.wdata)))
        return fetches


def _half(element: Value) -> Value:
    """An element as 16 bits, its sign repeated."""
    return Cat(element, element[-1].replicate(16 - len(element)))
