"""A sequencer runs an engine's stream: fetch, wait for tokens, run, retire."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import enum, memory, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.isa import ENGINES, INSTRUCTION_BITS, TOKEN_LIMIT, Engine, Instruction, Opcode, executed
from rtl.instruction import instruction_layout


class _State(enum.Enum):
    IDLE = 0
    FETCH = 1
    WAIT = 2
    RUN = 3


def program_port(chip: Chip) -> wiring.Signature:
    """The host's access to an engine's program memory: an instruction, written by bus words, read a cycle later."""
    return wiring.Signature(
        {
            "index": Out(range(chip.program_memory.instructions)),
            "read": Out(1),
            "write": Out(INSTRUCTION_BITS // 32),
            "value": Out(32),
            "data": In(INSTRUCTION_BITS),
        }
    )


class Sequencer(wiring.Component):
    """Runs an engine's stream from instruction `first`, beginning in the cycle after `begin`.

    `start` is the cycle before `instruction`'s first; `done` its last, given by the engine; `running` are its cycles.
    `sent` has a bit an engine whose token arrives here in this cycle; `signal` a bit an engine that gets one now.
    `retire` is the cycle in which instruction `index` ends, `halted` that of a HALT or of a `fault`: an instruction
    that the engine does not execute. From the cycle after `abort` on it idles.
    """

    def __init__(self, chip: Chip, engine: Engine):
        self._chip = chip
        self._known = executed(engine, chip)
        self._others = [other for other in ENGINES if other != engine]
        index = range(chip.program_memory.instructions)
        super().__init__(
            {
                "begin": In(1),
                "abort": In(1),
                "first": In(index),
                "sent": In(len(ENGINES)),
                "signal": Out(len(ENGINES)),
                "start": Out(1),
                "instruction": Out(INSTRUCTION_BITS),
                "done": In(1),
                "phase": Out(_State),
                "active": Out(1),
                "running": Out(1),
                "retire": Out(1),
                "halted": Out(1),
                "fault": Out(1),
                "index": Out(index),
                "host": In(program_port(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        state = Signal(_State)
        header = instruction_layout(Instruction)(self.instruction)
        self._fetch(m, state)
        ready, known, halts = Signal(), Signal(), Signal()
        m.d.comb += [
            ready.eq((state == _State.WAIT) & (self._waiting(m, ready, header) == 0)),
            known.eq(Cat(header.opcode == opcode for opcode in self._known).any()),
            halts.eq(ready & (header.opcode == Opcode.HALT)),
            self.phase.eq(state),
            self.active.eq(state != _State.IDLE),
            self.running.eq(state == _State.RUN),
            self.fault.eq(ready & ~known),
            self.halted.eq(halts | self.fault),
            self.start.eq(ready & ~self.halted),
            self.retire.eq(halts | (self.running & self.done)),
        ]
        with m.If(self.retire):
            m.d.comb += self.signal.eq(header.signal)
        with m.Switch(state):
            with m.Case(_State.IDLE):
                with m.If(self.begin):
                    m.d.sync += [state.eq(_State.FETCH), self.index.eq(self.first)]
            with m.Case(_State.FETCH):
                m.d.sync += state.eq(_State.WAIT)
            with m.Case(_State.WAIT):
                with m.If(self.halted):
                    m.d.sync += state.eq(_State.IDLE)
                with m.Elif(ready):
                    m.d.sync += state.eq(_State.RUN)
            with m.Case(_State.RUN):
                with m.If(self.done):
                    m.d.sync += [state.eq(_State.FETCH), self.index.eq(self.index + 1)]
        with m.If(self.abort):
            m.d.sync += state.eq(_State.IDLE)
        return m

    def _fetch(self, m: Module, state) -> None:
        """The program memory; the instruction stays on its port until the next fetch."""
        depth = self._chip.program_memory.instructions
        m.submodules.program = program = memory.Memory(shape=INSTRUCTION_BITS, depth=depth, init=[])
        write, read = program.write_port(granularity=32), program.read_port()
        host, fetches = self.host, state == _State.FETCH
        m.d.comb += [
            write.addr.eq(host.index),
            write.en.eq(host.write),
            write.data.eq(Cat(host.value for _ in range(INSTRUCTION_BITS // 32))),
            read.addr.eq(host.index),
            read.en.eq(fetches | host.read),
            self.instruction.eq(read.data),
            host.data.eq(read.data),
        ]
        with m.If(fetches):
            m.d.comb += read.addr.eq(self.index)

    def _waiting(self, m: Module, takes: Signal, header):
        """The engines that are waited for in vain; counts the tokens of every other engine."""
        lacking = Signal(len(ENGINES))
        for engine in self._others:
            tokens = Signal(range(TOKEN_LIMIT + 1), name=f"tokens_{engine.name.lower()}")
            waits = header.wait[engine]
            m.d.comb += lacking[engine].eq(waits & (tokens == 0))
            with m.If(self.begin | self.abort):
                m.d.sync += tokens.eq(0)
            with m.Else():
                m.d.sync += tokens.eq(tokens + self.sent[engine] - (takes & waits))
        return lacking
