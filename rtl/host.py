"""The host's side: a Wishbone slave in front of registers, program memories, on-chip memories and random states.

The map is `arch.bus`. A half of 16 bits is written where both of its bytes are selected; registers, programs and random
states want all four bytes. While a program runs, memories read as 0 and are not written.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from arch import bus
from arch.bus import BUS_BITS, IDENTITY, Register, Window
from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.isa import ENGINES, INSTRUCTION_BITS
from rtl.counters import counts_layout
from rtl.memory import host_port
from rtl.sequencer import program_port
from rtl.writeback import random_port

ADDRESS_BITS = BUS_BITS - 2
"""Bits of a bus word's address: a byte address without its lowest two."""
WORD_SHIFT = bus.REGION_SHIFT - 2
HALF_BITS = BUS_BITS // 2


def bus_signature() -> wiring.Signature:
    """Wishbone classic, 32 bits wide, seen from the master: `adr` counts bus words, `sel` has a bit a byte."""
    return wiring.Signature(
        {
            "adr": Out(ADDRESS_BITS),
            "dat_w": Out(BUS_BITS),
            "dat_r": In(BUS_BITS),
            "sel": Out(BUS_BITS // 8),
            "cyc": Out(1),
            "stb": Out(1),
            "we": Out(1),
            "ack": In(1),
        }
    )


class _State(enum.Enum):
    IDLE = 0  # a request is registered
    ACCESS = 1  # and done: memories are asked or written
    READ = 2  # data stands on the memories' ports
    ACK = 3


class Host(wiring.Component):
    """`begin` starts the engines at `first_*`; `finish` is the cycle in which the last halts.

    From the cycle after `abort` on nothing runs. `fault_*`: the engine faults at its instruction `index_*`. `cycles`
    and `counts_*` are what registers show; each memory has its port.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        index = range(chip.program_memory.instructions)
        ports = {}
        for engine in ENGINES:
            name = engine.name.lower()
            ports |= {
                f"first_{name}": Out(index),
                f"counts_{name}": In(counts_layout()),
                f"program_{name}": Out(program_port(chip)),
                f"fault_{name}": In(1),
                f"index_{name}": In(index),
            }
        super().__init__(
            {
                "bus": In(bus_signature()),
                "begin": Out(1),
                "abort": Out(1),
                "running": In(1),
                "finish": In(1),
                "interrupt": Out(1),
                "cycles": In(COUNTER_BITS),
                "feature": Out(host_port(chip, chip.kernel)),
                "gradient": Out(host_port(chip, chip.kernel)),
                "weight": Out(host_port(chip, chip.weight_memory.banks)),
                "random": Out(random_port(chip)),
                **ports,
            }
        )

    def elaborate(self, platform):
        m = Module()
        port = self.bus
        state = Signal(_State)
        address, write = Signal(ADDRESS_BITS), Signal()
        self._data, self._selected = Signal(BUS_BITS), Signal(BUS_BITS // 8)
        self._window, self._offset = Signal(BUS_BITS - bus.REGION_SHIFT), Signal(WORD_SHIFT)
        self._memory_read, self._memory_write = Signal(), Signal()
        self._register_write, self._whole = Signal(), Signal()
        access = state == _State.ACCESS
        m.d.comb += [
            self._offset.eq(address),
            self._window.eq(address >> WORD_SHIFT),
            self._memory_read.eq(access & ~write & ~self.running),
            self._memory_write.eq(access & write & ~self.running),
            self._whole.eq(self._selected.all()),
            self._register_write.eq(access & write & self._whole & (self._window == Window.REGISTERS)),
            port.ack.eq(state == _State.ACK),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                with m.If(port.cyc & port.stb):
                    m.d.sync += [address.eq(port.adr), write.eq(port.we), state.eq(_State.ACCESS)]
                    m.d.sync += [self._data.eq(port.dat_w), self._selected.eq(port.sel)]
            with m.Case(_State.ACCESS):
                m.d.sync += state.eq(Mux(write, _State.ACK, _State.READ))
            with m.Case(_State.READ):
                m.d.sync += state.eq(_State.ACK)
            with m.Default():
                m.d.sync += state.eq(_State.IDLE)
        answers = {
            Window.REGISTERS: self._registers(m),
            Window.PROGRAM: self._program(m),
            Window.FEATURE: self._words(m, Window.FEATURE, self.feature, self._chip.feature_memory),
            Window.GRADIENT: self._words(m, Window.GRADIENT, self.gradient, self._chip.gradient_memory),
            Window.WEIGHT: self._words(m, Window.WEIGHT, self.weight, self._chip.weight_memory),
            Window.RANDOM: self._random(m),
        }
        with m.If(state == _State.READ):
            m.d.sync += port.dat_r.eq(0)
            with m.Switch(self._window):
                for window, answer in answers.items():
                    with m.Case(window):
                        hidden = 0 if window == Window.REGISTERS else self.running
                        m.d.sync += port.dat_r.eq(Mux(hidden, 0, answer))
        return m

    def _registers(self, m: Module) -> Value:
        """The registers' writes; what a read gives."""
        ended, aborted = Signal(), Signal()
        data, writes = self._data, self._register_write
        controls = writes & (self._offset == Register.CONTROL)
        m.d.comb += [
            self.begin.eq(controls & data[0] & ~self.running),
            self.abort.eq(controls & data[1] & self.running & ~self.finish),  # what ends in this cycle has ended
        ]
        firsts = {engine: getattr(self, f"first_{engine.name.lower()}") for engine in ENGINES}
        for engine, first in firsts.items():
            with m.If(writes & (self._offset == bus.start_register(engine))):
                m.d.sync += first.eq(data)
        with m.If(self.begin):
            m.d.sync += [ended.eq(0), aborted.eq(0)]
        with m.If(self.abort):
            m.d.sync += aborted.eq(1)
        with m.If(writes & (self._offset == Register.INTERRUPT) & data[0]):
            m.d.sync += self.interrupt.eq(0)
        with m.If(self.finish):
            m.d.sync += [ended.eq(1), self.interrupt.eq(1)]
        answer = Signal(BUS_BITS)
        shown: dict[int, Value | int] = {
            Register.ID: IDENTITY,
            Register.CONTROL: Cat(self.running, ended, aborted),
            Register.FAULT: self._fault(m),
            Register.INTERRUPT: self.interrupt,
            Register.CYCLES_LOW: self.cycles[:BUS_BITS],
            Register.CYCLES_HIGH: self.cycles[BUS_BITS:],
        }
        for engine, first in firsts.items():
            shown[bus.start_register(engine)] = first
            for event in Event:
                count = getattr(self, f"counts_{engine.name.lower()}")[event]
                shown[bus.counter_offset(engine, event)] = count[:BUS_BITS]
                shown[bus.counter_offset(engine, event) + 1] = count[BUS_BITS:]
        with m.Switch(self._offset):
            for offset, value in shown.items():
                with m.Case(offset):
                    m.d.comb += answer.eq(value)
        return answer

    def _fault(self, m: Module) -> Signal:
        """Register FAULT: the first fault since the start, the array's before the vector engine's before the DMA's."""
        fault = Signal(BUS_BITS)
        for engine in reversed(ENGINES):
            name = engine.name.lower()
            with m.If(getattr(self, f"fault_{name}") & ~fault[-1]):
                m.d.sync += fault.eq(1 << (BUS_BITS - 1) | int(engine) << 16 | getattr(self, f"index_{name}"))
        with m.If(self.begin):
            m.d.sync += fault.eq(0)
        return fault

    def _program(self, m: Module) -> Value:
        """The program memories: engine, instruction, bus word, each field of the address a power of two."""
        words = INSTRUCTION_BITS // BUS_BITS
        word_bits = (bus.instruction_stride() // 4 - 1).bit_length()
        index_bits = (self._chip.program_memory.instructions - 1).bit_length()
        word = self._offset[:word_bits]
        index = self._offset[word_bits : word_bits + index_bits]
        number = self._offset[word_bits + index_bits :]
        answer = Signal(BUS_BITS)
        here = self._window == Window.PROGRAM
        for engine in ENGINES:
            port = getattr(self, f"program_{engine.name.lower()}")
            called = here & (number == engine) & (index < self._chip.program_memory.instructions)
            m.d.comb += [
                port.index.eq(index),
                port.read.eq(self._memory_read & called),
                port.write.eq(Mux(self._memory_write & self._whole & called, 1 << word, 0)),
                port.value.eq(self._data),
            ]
            with m.If(called):
                with m.Switch(word):
                    for i in range(words):
                        with m.Case(i):
                            m.d.comb += answer.eq(port.data[i * BUS_BITS : (i + 1) * BUS_BITS])
        return answer

    def _words(self, m: Module, window: Window, port, memory) -> Value:
        """A memory of words: bank, place, pair of lanes, each field of the address a power of two."""
        chip = self._chip
        depth = chip.bank_depth(memory)
        pair_bits = (chip.word_stride // 4 - 1).bit_length()
        place_bits = (depth - 1).bit_length()
        lane_pair = self._offset[:pair_bits]
        place = self._offset[pair_bits : pair_bits + place_bits]
        bank = self._offset[pair_bits + place_bits :]
        called = (self._window == window) & (place < depth) & (bank < memory.banks)
        m.d.comb += [
            port.bank.eq(bank),
            port.place.eq(place),
            port.read.eq(self._memory_read & called),
        ]
        halves = [self._data[h * HALF_BITS : (h + 1) * HALF_BITS] for h in range(2)]
        selected = [self._selected[h * 2 : h * 2 + 2].all() for h in range(2)]
        for lane in range(chip.lanes):
            m.d.comb += port.value[lane].eq(halves[lane % 2][: chip.word_bits].as_signed())
            with m.If(self._memory_write & called & (lane_pair == lane // 2)):
                m.d.comb += port.write[lane].eq(selected[lane % 2])
        answer = [Signal(signed(HALF_BITS), name=f"{window.name.lower()}_half{h}") for h in range(2)]
        with m.Switch(lane_pair):
            for number in range(-(-chip.lanes // 2)):
                with m.Case(number):
                    for lane in range(2 * number, min(2 * number + 2, chip.lanes)):
                        m.d.comb += answer[lane % 2].eq(port.data[lane])
        return Mux(called, Cat(*answer), 0)

    def _random(self, m: Module) -> Value:
        """The random states: tap, lane, one bus word each."""
        port = self.random
        bits = (self._chip.lanes - 1).bit_length()
        lane, tap = self._offset[:bits], self._offset[bits:]
        called = (self._window == Window.RANDOM) & (tap < self._chip.taps) & (lane < self._chip.lanes)
        m.d.comb += [
            port.lane.eq(lane),
            port.tap.eq(tap),
            port.write.eq(self._memory_write & self._whole & called),
            port.value.eq(self._data),
        ]
        return Mux(called, port.state, 0)
