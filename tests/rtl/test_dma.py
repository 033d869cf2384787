"""The DMA engine by itself: bursts, back-pressure, and an abort that leaves the bus as its rules want."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from arch.chip import Chip
from arch.isa import OnChip, Storage, Transfer, encode
from arch.transfer import bursts, moved_words, transfer_cycles
from rtl.axi import Bursts
from rtl.dma import DmaEngine

SLOW = {"bytes_per_cycle": 4, "latency_cycles": 9, "bytes": 1 << 16}
CHIP = Chip.load("tiny").replace(external_memory=SLOW, name="slow")
WORD = CHIP.external_word_bytes
OCTETS = Chip.load("tiny").replace(lanes=4, external_memory=SLOW, vector_unit={"elements_per_cycle": 4}, name="octets")
TRANSFERS = {
    "short": Transfer(external=5, count=3, word=7),
    "long": Transfer(external=120, count=150, word=3),
    "lines": Transfer(external=250, count=4, lines=5, pitch=9, external_pitch=6, word=1),
    "rows": Transfer(memory=OnChip.WEIGHT, external=9, count=2, lines=2, external_pitch=40, row=4),
}


@pytest.mark.parametrize("name", TRANSFERS)
def test_bursts_are_those_of_the_recurrence(name):
    transfer, found = TRANSFERS[name], []
    walk = Bursts(CHIP)
    beats = CHIP.external_beats

    async def bench(context):
        words = transfer.count * (CHIP.taps if transfer.memory == OnChip.WEIGHT else 1)
        context.set(walk.first, transfer.external * beats)
        context.set(walk.line, words * beats)
        context.set(walk.lines, transfer.lines)
        context.set(walk.pitch, transfer.external_pitch * beats)
        context.set(walk.load, 1)
        await context.tick()
        context.set(walk.load, 0)
        context.set(walk.next, 1)
        while context.get(walk.valid):
            found.append((context.get(walk.address), context.get(walk.length)))
            await context.tick()

    _simulate(walk, bench)
    assert found == list(bursts(transfer, CHIP))


class Outside:
    """The memory outside, answering as declared or with stalls; asserts the bus's rules."""

    def __init__(self, engine: DmaEngine, rng: np.random.Generator | None = None):
        self.bus, self.rng = engine.external, rng
        self.memory = np.arange(1 << 16, dtype=np.uint64).astype(np.uint8)
        self.written: dict[int, int] = {}
        self.reads: list[list[int]] = []
        self.writes: list[list[int]] = []
        self.answers: list[int] = []
        self.cycle = 0
        self.waiting: dict[str, bool] = {}

    def drive(self, context):
        bus = self.bus
        for channel in ("ar", "aw", "w"):
            context.set(getattr(bus, f"{channel}ready"), not self._stalls())
        self.gives = bool(self.reads) and self.reads[0][2] <= self.cycle and not self._stalls()
        self.answers_now = bool(self.answers) and self.answers[0] <= self.cycle and not self._stalls()
        context.set(bus.rvalid, self.gives)
        if self.gives:
            address, left, _ = self.reads[0]
            context.set(bus.rdata, int.from_bytes(self.memory[address : address + 4].tobytes(), "little"))
            context.set(bus.rlast, left == 1)
        context.set(bus.bvalid, self.answers_now)

    def sample(self, context):
        bus = self.bus
        for channel, queue in (("ar", self.reads), ("aw", self.writes)):
            if self._goes(context, channel):
                address, length = (context.get(getattr(bus, f"{channel}{name}")) for name in ("addr", "len"))
                assert address // 4096 == (address + 4 * length) // 4096
                queue.append([address, length + 1, self.cycle + 9])
        if self._goes(context, "w"):
            assert self.writes, "data came before its address"
            burst = self.writes[0]
            if context.get(bus.wstrb):
                self.written[burst[0]] = context.get(bus.wdata)
            burst[0], burst[1] = burst[0] + 4, burst[1] - 1
            assert context.get(bus.wlast) == (burst[1] == 0)
            if burst[1] == 0:
                self.writes.pop(0)
                self.answers.append(self.cycle + 9)
        if self.gives:
            self.reads[0][0], self.reads[0][1] = self.reads[0][0] + 4, self.reads[0][1] - 1
            if self.reads[0][1] == 0:
                self.reads.pop(0)
        if self.answers_now:
            self.answers.pop(0)
        self.cycle += 1

    @property
    def quiet(self) -> bool:
        return not (self.reads or self.writes or self.answers)

    def _goes(self, context, channel: str) -> bool:
        valid, ready = (context.get(getattr(self.bus, f"{channel}{name}")) for name in ("valid", "ready"))
        assert valid or not self.waiting.get(channel), f"{channel}valid fell before its ready"
        self.waiting[channel] = bool(valid and not ready)
        return bool(valid and ready)

    def _stalls(self) -> bool:
        return self.rng is not None and self.rng.random() < 0.3


class Bench:
    """The engine, the memory outside, and feature words that hold their own numbers."""

    def __init__(self, rng: np.random.Generator | None = None, chip: Chip = CHIP):
        self.chip = chip
        self.engine = DmaEngine(chip)
        self.outside = Outside(self.engine, rng)
        self.written: list[tuple[int, list[int]]] = []

    async def tick(self, context) -> bool:
        """A cycle; whether the engine says that it is the last one."""
        self.outside.drive(context)
        port = self.engine.feature
        done = bool(context.get(self.engine.done))
        place, bank = context.get(port.place), context.get(port.bank)
        word = place * self.chip.kernel + bank
        if context.get(port.write):
            self.written.append((word, [context.get(port.value[lane]) for lane in range(self.chip.lanes)]))
        reads = context.get(port.read)
        self.outside.sample(context)
        await context.tick()
        if reads:
            for lane in range(self.chip.lanes):
                context.set(port.data[lane], word * 4 + lane)
        return done

    async def begin(self, context, transfer: Transfer):
        context.set(self.engine.instruction, encode(transfer, self.chip))
        context.set(self.engine.start, 1)
        await self.tick(context)
        context.set(self.engine.start, 0)

    async def end(self, context) -> int:
        """Clock to the instruction's last cycle; how many there were."""
        for cycle in range(1, 5000):
            if await self.tick(context):
                return cycle
        raise AssertionError("it does not end")


def _simulate(component, bench) -> None:
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def _outside_words(bench: Bench, transfer: Transfer) -> list[list[int]]:
    memory = bench.outside.memory.view(np.int16).reshape(-1, WORD // 2)
    first = transfer.external
    return [memory[first + i, : CHIP.lanes].tolist() for i in range(transfer.count)]


@pytest.mark.parametrize("stalls", [None, 1, 2])
def test_words_come_whole_and_in_time(stalls):
    made = Bench(None if stalls is None else np.random.default_rng(stalls))
    transfer = TRANSFERS["long"]
    cycles = []

    async def bench(context):
        await made.begin(context, transfer)
        cycles.append(await made.end(context))

    _simulate(made.engine, bench)
    wanted = list(zip(range(3, 153), _outside_words(made, transfer), strict=True))
    assert made.written == wanted
    assert made.outside.quiet
    assert (cycles[0] == transfer_cycles(transfer, CHIP)) == (stalls is None)


@pytest.mark.parametrize("outward", [0, 1])
@pytest.mark.parametrize("stalls", [None, 3])
@pytest.mark.parametrize("cycle", [0, 1, 2, 8, 9, 10, 11, 30, 60])
def test_after_an_abort_the_bus_is_whole_and_the_next_transfer_right(cycle, stalls, outward):
    """The next one starts at once, in the cycle after the abort's, while bursts are still under way."""
    made = Bench(None if stalls is None else np.random.default_rng(stalls))
    first = Transfer(external=100, count=40, word=0, outward=outward)
    second = Transfer(external=2000, count=3, word=300, outward=1 - outward)

    async def bench(context):
        await made.begin(context, first)
        for _ in range(cycle):
            assert not await made.tick(context)
        context.set(made.engine.abort, 1)
        await made.tick(context)
        context.set(made.engine.abort, 0)
        before = dict(made.outside.written)
        made.written.clear()
        await made.begin(context, second)
        await made.end(context)
        after = {place: data for place, data in made.outside.written.items() if place not in before}
        if outward:
            assert not after
            assert made.written == list(zip(range(300, 303), _outside_words(made, second), strict=True))
        else:
            assert not made.written
            assert sorted(after) == list(range(2000 * WORD, 2003 * WORD, 4))
        assert made.outside.quiet

    _simulate(made.engine, bench)


def test_moved_words_are_read_one_a_word():
    made = Bench()
    transfer = Transfer(external=20, count=4, lines=3, pitch=6, external_pitch=5, outward=1)

    async def bench(context):
        await made.begin(context, transfer)
        assert await made.end(context) == transfer_cycles(transfer, CHIP)

    _simulate(made.engine, bench)
    assert len(made.outside.written) == moved_words(transfer, CHIP) * CHIP.external_beats
    for line in range(3):
        for i in range(4):
            place, word = (20 + 5 * line + i) * WORD, 6 * line + i
            halves = [word * 4 + lane for lane in range(CHIP.lanes)] + [0]
            assert made.outside.written[place] == halves[0] | halves[1] << 16
            assert made.outside.written[place + 4] == halves[2] | halves[3] << 16


@pytest.mark.parametrize("stalls", [None, 1, 2])
def test_bytes_come_with_their_signs_in_half_the_beats(stalls):
    made = Bench(None if stalls is None else np.random.default_rng(stalls), OCTETS)
    transfer = Transfer(external=121, count=150, word=3, storage=Storage.BYTE)
    cycles = []

    async def bench(context):
        await made.begin(context, transfer)
        cycles.append(await made.end(context))

    _simulate(made.engine, bench)
    octets = made.outside.memory.view(np.int8).reshape(-1, OCTETS.lanes)[121:271].tolist()
    assert made.written == list(zip(range(3, 153), octets, strict=True))
    assert min(map(min, octets)) < 0 and made.outside.quiet
    assert (cycles[0] == transfer_cycles(transfer, OCTETS) == 9 + 150 + 1) == (stalls is None)


@pytest.mark.parametrize("stalls", [None, 1, 2])
def test_the_lowest_bytes_leave(stalls):
    made = Bench(None if stalls is None else np.random.default_rng(stalls), OCTETS)
    transfer = Transfer(external=21, count=4, lines=3, pitch=60, external_pitch=5, outward=1, storage=Storage.BYTE)

    async def bench(context):
        await made.begin(context, transfer)
        cycles = await made.end(context)
        assert stalls or cycles == transfer_cycles(transfer, OCTETS) == 9 + 12 + 2

    _simulate(made.engine, bench)
    wanted = {}
    for line in range(3):
        for i in range(4):
            word = 60 * line + i
            wanted[(21 + 5 * line + i) * 4] = sum((word * 4 + lane) % 256 << 8 * lane for lane in range(4))
    assert made.outside.written == wanted
