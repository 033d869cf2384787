"""The chip: three engines with their sequencers, three memories, counters, the host's and the external memory's bus.

Ports in Verilog (L lanes of W bits, K and B banks, n = ceil(log2 of the program memory's instructions)):

    clk, rst                            the only clock domain; a synchronous reset; memories keep their contents
    bus__adr[29:0], bus__dat_w[31:0], bus__sel[3:0], bus__cyc, bus__stb, bus__we   in: Wishbone classic
    bus__dat_r[31:0], bus__ack          out; a write is acknowledged 2 cycles after it is seen, a read 3 cycles after
    interrupt                           out: a program has ended (register INTERRUPT)

    external__*                         on chips with an external memory of D bytes a cycle: AXI4 (`rtl.axi`), the chip
                                        is master. araddr[35:0], arlen[7:0], arsize[2:0], arburst[1:0], arvalid,
                                        arready; rdata[8*D-1:0], rlast, rvalid, rready; awaddr ... awready as ar;
                                        wdata[8*D-1:0], wstrb[D-1:0], wlast, wvalid, wready; bvalid, bready. Element l
                                        of a word lies in bytes 2*l and 2*l+1, lowest first

    trace__running                      a program runs: 1 in cycles 1 ... the one in which the last engine halts
    trace__cycle[47:0]                  the number of this cycle while it runs; 0 otherwise
    trace__array__phase[1:0]            what the engine does in this cycle: 0 idles, 1 fetches, 2 waits for tokens, 3
                                        runs; as all that follows also trace__vector__*, trace__dma__*
    trace__array__retire                an instruction of the engine ends in this cycle
    trace__array__index[n-1:0]          its place in the program memory
    trace__array__counts[17*48-1:0]     the engine's counters in `Event` order, 48 bits each, the first lowest; in the
                                        cycle after `retire` they include all of the instruction's events
    trace__feature__write, trace__feature__address[19:0], trace__feature__value[L*W-1:0]
                                        array or vector engine write this word in this cycle: address = place << 4 |
                                        bank, lane 0 of the value lowest; trace__gradient__* likewise
    trace__weight__write[B-1:0], trace__weight__place[15:0], trace__weight__value[B*L*W-1:0]
                                        a beat of a row: bit b writes word b of the value to bank b at this place
    trace__transfer__write, trace__transfer__memory[1:0], trace__transfer__bank[5:0], trace__transfer__place[15:0],
    trace__transfer__value[L*W-1:0]     the DMA writes this word in this cycle: memory 0 feature, 1 gradient, 2 weight

The host's own writes are not traced. The random states are read through the bus.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.fields import ROW_BITS
from arch.isa import ENGINES, Engine, OnChip
from rtl.address import PAIR
from rtl.array_engine import ArrayEngine
from rtl.axi import axi_signature
from rtl.counters import Counters, counts_layout
from rtl.dma import DmaEngine
from rtl.host import Host, bus_signature
from rtl.loss import VectorEngine
from rtl.memory import MapMemory, WeightMemory
from rtl.sequencer import Sequencer
from rtl.words import word_of, words_of

_MOST_BANKS = 64


def trace_signature(chip: Chip) -> wiring.Signature:
    """What a testbench may watch: retirement, counters and writes, in the cycle in which they happen."""
    engine = wiring.Signature(
        {
            "phase": Out(2),
            "retire": Out(1),
            "index": Out(range(chip.program_memory.instructions)),
            "counts": Out(counts_layout()),
        }
    )
    map_write = wiring.Signature({"write": Out(1), "address": Out(PAIR), "value": Out(word_of(chip))})
    banks = chip.weight_memory.banks
    transfer = wiring.Signature(
        {
            "write": Out(1),
            "memory": Out(range(len(OnChip))),
            "bank": Out(range(_MOST_BANKS)),
            "place": Out(ROW_BITS),
            "value": Out(word_of(chip)),
        }
    )
    beat = wiring.Signature({"write": Out(banks), "place": Out(ROW_BITS), "value": Out(words_of(chip, banks))})
    return wiring.Signature(
        {
            "running": Out(1),
            "cycle": Out(COUNTER_BITS),
            "array": Out(engine),
            "vector": Out(engine),
            "dma": Out(engine),
            "feature": Out(map_write),
            "gradient": Out(map_write),
            "weight": Out(beat),
            "transfer": Out(transfer),
        }
    )


class TinyCL(wiring.Component):
    """The whole chip of one configuration."""

    def __init__(self, chip: Chip):
        self._chip = chip
        ports = {"bus": In(bus_signature()), "interrupt": Out(1), "trace": Out(trace_signature(chip))}
        if chip.external_memory is not None:
            ports["external"] = Out(axi_signature(chip))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        chip = self._chip
        m.submodules.host = self._host = Host(chip)
        m.submodules.array = self._array = ArrayEngine(chip)
        self._vector = VectorEngine(chip)
        m.submodules.vector = ResetInserter(self._host.abort)(self._vector)
        self._dma = None if chip.external_memory is None else DmaEngine(chip)
        if self._dma is not None:
            m.submodules.dma = self._dma
            connect(m, self._dma.external, flipped(self.external))
            m.d.comb += self._dma.abort.eq(self._host.abort)
        connect(m, flipped(self.bus), self._host.bus)
        connect(m, self._host.random, self._array.random)
        m.d.comb += self.interrupt.eq(self._host.interrupt)
        m.d.comb += self._array.abort.eq(self._host.abort)
        sequencers = self._sequence(m)
        self._time(m, sequencers)
        self._remember(m)
        return m

    def _sequence(self, m: Module) -> list[Sequencer]:
        """A sequencer and counters for each engine; tokens between all of them."""
        engines = {Engine.ARRAY: self._array, Engine.VECTOR: self._vector, Engine.DMA: self._dma}
        sequencers = [Sequencer(self._chip, engine) for engine in ENGINES]
        for number, sequencer in zip(ENGINES, sequencers, strict=True):
            name, engine = number.name.lower(), engines[number]
            counters = Counters(self._chip)
            m.submodules[f"sequencer_{name}"], m.submodules[f"counters_{name}"] = sequencer, counters
            connect(m, getattr(self._host, f"program_{name}"), sequencer.host)
            trace = getattr(self.trace, name)
            m.d.comb += [
                sequencer.begin.eq(self._host.begin),
                sequencer.abort.eq(self._host.abort),
                sequencer.first.eq(getattr(self._host, f"first_{name}")),
                sequencer.sent.eq(Cat(other.signal[number] for other in sequencers)),
                counters.clear.eq(self._host.begin),
                counters.amounts.eq(0 if engine is None else engine.amounts),
                counters.amounts[Event.INSTRUCTIONS.name].eq(sequencer.retire),
                counters.amounts[Event.BUSY.name].eq(sequencer.running),
                getattr(self._host, f"counts_{name}").eq(counters.counts),
                getattr(self._host, f"fault_{name}").eq(sequencer.fault),
                getattr(self._host, f"index_{name}").eq(sequencer.index),
                trace.phase.eq(sequencer.phase),
                trace.retire.eq(sequencer.retire),
                trace.index.eq(sequencer.index),
                trace.counts.eq(counters.counts),
            ]
            if engine is not None:
                m.d.comb += [
                    sequencer.done.eq(engine.done),
                    engine.start.eq(sequencer.start),
                    engine.instruction.eq(sequencer.instruction),
                ]
        return sequencers

    def _time(self, m: Module, sequencers: list[Sequencer]) -> None:
        """The cycle counter, and the end of a program."""
        cycles, running = Signal(COUNTER_BITS), Signal()
        m.d.comb += [
            running.eq(Cat(sequencer.active for sequencer in sequencers).any()),
            self._host.running.eq(running),
            self._host.finish.eq(running & Cat(~sequencer.active | sequencer.halted for sequencer in sequencers).all()),
            self._host.cycles.eq(cycles),
            self.trace.running.eq(running),
            self.trace.cycle.eq(Mux(running, cycles + 1, 0)),
        ]
        with m.If(self._host.begin):
            m.d.sync += cycles.eq(0)
        with m.Elif(running):
            m.d.sync += cycles.eq(cycles + 1)

    def _remember(self, m: Module) -> None:
        """The memories. Array and vector engine never use one in the same cycle, and the DMA no page that one of them
        uses: tokens keep them apart (`arch.ordering`).
        """
        chip = self._chip
        memories = {"feature": chip.feature_memory, "gradient": chip.gradient_memory}
        for name, shape in memories.items():
            m.submodules[name] = memory = MapMemory(chip, shape)
            connect(m, getattr(self._host, name), memory.host)
            array, vector, port = getattr(self._array, name), getattr(self._vector, name), memory.engine
            m.d.comb += [
                port.read.eq(array.read | vector.read),
                port.places.eq(Mux(array.read.any(), array.places.as_value(), vector.places.as_value())),
                port.write.eq(array.write | vector.write),
                port.address.eq(Mux(array.write, array.address.as_value(), vector.address.as_value())),
                port.value.eq(Mux(array.write, array.value.as_value(), vector.value.as_value())),
                array.data.eq(port.data),
                vector.data.eq(port.data),
            ]
            self._join_dma(m, name, memory)
            trace = getattr(self.trace, name)
            m.d.comb += [trace.write.eq(port.write), trace.address.eq(port.address), trace.value.eq(port.value)]
        m.submodules.weight = weight = WeightMemory(chip)
        connect(m, self._host.weight, weight.host)
        connect(m, self._array.weight, weight.engine)
        self._join_dma(m, "weight", weight)
        trace, beat = self.trace.weight, weight.engine
        m.d.comb += [trace.write.eq(beat.write), trace.place.eq(beat.place), trace.value.eq(beat.value)]

    def _join_dma(self, m: Module, name: str, memory: MapMemory | WeightMemory) -> None:
        """The DMA's port of a memory, and the trace of what it writes there."""
        if self._dma is None:
            return
        port, trace = getattr(self._dma, name), self.trace.transfer
        connect(m, port, memory.dma)
        with m.If(port.write):
            m.d.comb += [trace.write.eq(1), trace.memory.eq(OnChip[name.upper()])]
            m.d.comb += [trace.bank.eq(port.bank), trace.place.eq(port.place), trace.value.eq(port.value)]
