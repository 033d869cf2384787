"""The chip: two engines with their sequencers, three memories, counters, and the host's bus.

Ports in Verilog (L lanes of W bits, K and B banks, n = ceil(log2 of the program memory's instructions)):

    clk, rst                            the only clock domain; a synchronous reset; memories keep their contents
    bus__adr[29:0], bus__dat_w[31:0], bus__sel[3:0], bus__cyc, bus__stb, bus__we   in: Wishbone classic
    bus__dat_r[31:0], bus__ack          out; a write is acknowledged 2 cycles after it is seen, a read 3 cycles after
    interrupt                           out: a program has ended (register INTERRUPT)

    trace__running                      a program runs: 1 in cycles 1 ... the one in which the last engine halts
    trace__cycle[47:0]                  the number of this cycle while it runs; 0 otherwise
    trace__array__phase[1:0], trace__vector__phase      what the engine does in this cycle: 0 idles, 1 fetches, 2 waits
                                        for tokens, 3 runs
    trace__array__retire, trace__vector__retire         an instruction of the engine ends in this cycle
    trace__array__index[n-1:0], trace__vector__index    its place in the program memory
    trace__array__counts[14*48-1:0], trace__vector__counts
                                        the engine's counters in `Event` order, 48 bits each, the first lowest; in the
                                        cycle after `retire` they include all of the instruction's events
    trace__feature__write, trace__feature__address[19:0], trace__feature__value[L*W-1:0]
                                        an engine writes this word in this cycle: address = place << 4 | bank, lane 0 of
                                        the value lowest; trace__gradient__* likewise
    trace__weight__write[B-1:0], trace__weight__place[15:0], trace__weight__value[B*L*W-1:0]
                                        a beat of a row: bit b writes word b of the value to bank b at this place

The host's own writes are not traced. The random states are read through the bus.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.fields import ROW_BITS
from arch.isa import ENGINES, Engine
from rtl.address import PAIR
from rtl.array_engine import ArrayEngine
from rtl.counters import Counters, counts_layout
from rtl.host import Host, bus_signature
from rtl.loss import VectorEngine
from rtl.memory import MapMemory, WeightMemory
from rtl.sequencer import Sequencer
from rtl.words import word_of, words_of


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
    beat = wiring.Signature({"write": Out(banks), "place": Out(ROW_BITS), "value": Out(words_of(chip, banks))})
    return wiring.Signature(
        {
            "running": Out(1),
            "cycle": Out(COUNTER_BITS),
            "array": Out(engine),
            "vector": Out(engine),
            "feature": Out(map_write),
            "gradient": Out(map_write),
            "weight": Out(beat),
        }
    )


class TinyCL(wiring.Component):
    """The whole chip of one configuration."""

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__({"bus": In(bus_signature()), "interrupt": Out(1), "trace": Out(trace_signature(chip))})

    def elaborate(self, platform):
        m = Module()
        chip = self._chip
        m.submodules.host = self._host = Host(chip)
        m.submodules.array = self._array = ArrayEngine(chip)
        self._vector = VectorEngine(chip)
        m.submodules.vector = ResetInserter(self._host.abort)(self._vector)
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
        engines = {Engine.ARRAY: self._array, Engine.VECTOR: self._vector}
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
                sequencer.done.eq(engine.done),
                sequencer.sent.eq(Cat(other.signal[number] for other in sequencers)),
                engine.start.eq(sequencer.start),
                engine.instruction.eq(sequencer.instruction),
                counters.clear.eq(self._host.begin),
                counters.amounts.eq(engine.amounts),
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
        """The memories. Two engines never use one in the same cycle: tokens keep them apart (`arch.legal`)."""
        chip = self._chip
        memories = {"feature": chip.feature_memory, "gradient": chip.gradient_memory}
        for name, shape in memories.items():
            m.submodules[name] = memory = MapMemory(chip, chip.bank_depth(shape))
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
            trace = getattr(self.trace, name)
            m.d.comb += [trace.write.eq(port.write), trace.address.eq(port.address), trace.value.eq(port.value)]
        m.submodules.weight = weight = WeightMemory(chip)
        connect(m, self._host.weight, weight.host)
        connect(m, self._array.weight, weight.engine)
        trace, beat = self.trace.weight, weight.engine
        m.d.comb += [trace.write.eq(beat.write), trace.place.eq(beat.place), trace.value.eq(beat.value)]
