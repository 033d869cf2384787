"""The external memory's bus: a subset of AXI4 (Arm IHI 0022), and the bursts that go over it.

Every burst is INCR, of whole beats, at most `arch.transfer.burst_beats` long and across no multiple of so many beats,
so never across 4 KiB. There are no identifiers: a direction's bursts are answered in order. Responses are not looked
at. A valid stays until its ready; reads' data and writes' answers are taken in any cycle.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import Transfer
from arch.transfer import burst_beats
from rtl.instruction import instruction_layout

ADDRESS_BITS = 36
"""Bits of a byte address."""
INCR = 1
"""`arburst` and `awburst`."""


def axi_signature(chip: Chip) -> wiring.Signature:
    """The bus of a chip with an external memory, seen from the chip."""
    assert chip.external_memory is not None
    size = chip.external_memory.bytes_per_cycle
    asks = {"addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2}
    return wiring.Signature(
        {
            **{f"{channel}{name}": Out(bits) for channel in ("ar", "aw") for name, bits in asks.items()},
            **{f"{channel}valid": Out(1) for channel in ("ar", "aw", "w")},
            **{f"{channel}ready": In(1) for channel in ("ar", "aw", "w")},
            "wdata": Out(8 * size),
            "wstrb": Out(size),
            "wlast": Out(1),
            "rdata": In(8 * size),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def beat_bits(chip: Chip) -> int:
    """Bits that number the beats of the external memory."""
    return max(1, (chip.external_words * chip.external_beats - 1).bit_length())


class Bursts(wiring.Component):
    """Cuts lines of beats into bursts, one after another: `length` beats from beat `address` on while `valid`.

    `load` takes `lines` of `line` beats, the first from `first` on, each `pitch` beats after the one before. `next`
    goes on to the burst after. `stop` ends the walk; with `keep` the present burst is still to be made.
    """

    def __init__(self, chip: Chip):
        self._longest = burst_beats(chip)
        bits = beat_bits(chip)
        super().__init__(
            {
                "load": In(1),
                "first": In(bits),
                "line": In(bits + 1),
                "lines": In(instruction_layout(Transfer)["lines"].width),
                "pitch": In(bits),
                "next": In(1),
                "stop": In(1),
                "keep": In(1),
                "valid": Out(1),
                "address": Out(bits),
                "length": Out(range(self._longest + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside = (self._longest - 1).bit_length()
        start, pitch = Signal.like(self.first), Signal.like(self.pitch)
        line, left, lines = Signal.like(self.line), Signal.like(self.line), Signal.like(self.lines)
        room = Signal(range(self._longest + 1))
        ends, following = Signal(), Signal.like(start)
        m.d.comb += [
            room.eq(self._longest - self.address[:inside]),
            ends.eq(left <= room),
            self.length.eq(Mux(ends, left, room)),
            self.valid.eq(lines != 0),
            following.eq(start + pitch),
        ]
        with m.If(self.load):
            m.d.sync += [start.eq(self.first), self.address.eq(self.first), pitch.eq(self.pitch)]
            m.d.sync += [line.eq(self.line), left.eq(self.line), lines.eq(self.lines)]
        with m.Elif(self.stop):
            m.d.sync += [lines.eq(self.keep), left.eq(self.length)]
        with m.Elif(self.next & ends):
            m.d.sync += [start.eq(following), self.address.eq(following), left.eq(line), lines.eq(lines - 1)]
        with m.Elif(self.next):
            m.d.sync += [self.address.eq(Cat(Const(0, inside), self.address[inside:] + 1)), left.eq(left - room)]
        return m
