"""The chip in Verilator, driven from a list of bus transactions."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch import bus
from arch.bus import Register, Window
from arch.chip import Chip
from arch.events import Event
from arch.image import Image
from arch.isa import ENGINES, INSTRUCTION_BITS, Engine, Instruction, encode
from rtl.chip import TinyCL
from rtl.verilog import to_verilog
from testbenches.verilator import build_executable

MAIN = r"""
#include <cstdio>
#include "Vtop.h"
#include "verilated.h"

int main() {
    Vtop top;
    unsigned long clocks = 0;
    auto clock = [&] { top.clk = 0; top.eval(); top.clk = 1; top.eval(); clocks++; };
    auto access = [&](unsigned address, int write, unsigned data) {
        top.bus___05Fadr = address >> 2; top.bus___05Fdat_w = data; top.bus___05Fsel = 15;
        top.bus___05Fwe = write; top.bus___05Fcyc = 1; top.bus___05Fstb = 1;
        while (!top.bus___05Fack) clock();
        unsigned got = top.bus___05Fdat_r;
        top.bus___05Fcyc = 0; top.bus___05Fstb = 0; clock();
        return got;
    };
    top.rst = 1; clock(); clock(); top.rst = 0; clock();
    char command; unsigned address, data;
    while (std::scanf(" %c", &command) == 1) {
        if (command == 'w' && std::scanf("%x %x", &address, &data) == 2) access(address, 1, data);
        else if (command == 'r' && std::scanf("%x", &address) == 1) std::printf("r %x\n", access(address, 0, 0));
        else if (command == 's' && std::scanf("%x", &address) == 1) {
            top.bus___05Fadr = address >> 2; top.bus___05Fdat_w = 1; top.bus___05Fsel = 15;
            top.bus___05Fwe = 1; top.bus___05Fcyc = 1; top.bus___05Fstb = 1;
            unsigned long limit = clocks + 20000000;
            bool accepted = false;
            do {
                clock();
                if (top.bus___05Fack) { top.bus___05Fcyc = top.bus___05Fstb = 0; accepted = true; }
                auto cycle = (unsigned long)top.trace___05Fcycle;
                if (top.trace___05Farray___05Fretire)
                    std::printf("t 0 %d %lu\n", top.trace___05Farray___05Findex, cycle);
                if (top.trace___05Fvector___05Fretire)
                    std::printf("t 1 %d %lu\n", top.trace___05Fvector___05Findex, cycle);
                if (top.trace___05Fdma___05Fretire)
                    std::printf("t 2 %d %lu\n", top.trace___05Fdma___05Findex, cycle);
            } while ((top.trace___05Frunning || !accepted) && clocks < limit);
            if (top.trace___05Frunning) { std::printf("hangs\n"); return 1; }
            clock();
        }
    }
    return 0;
}
"""


@dataclass
class Outcome:
    """What a run left: memories, (engine, index, cycle) of retirements, registers."""

    image: Image
    retired: list[tuple[int, int, int]]
    cycles: int
    counters: dict[Engine, dict[Event, int]]
    control: int
    interrupt: int


class Harness:
    """Runs programs on a chip's RTL, each on a freshly reset chip."""

    def __init__(self, chip: Chip, flags: tuple[str, ...] = ()):
        self.chip = chip
        self.verilog = to_verilog(TinyCL(chip), name="tinycl")
        self.binary: Path = build_executable(self.verilog, MAIN, top="tinycl", flags=flags, quick=True)

    def run(self, streams: dict[Engine, list[Instruction]], image: Image) -> Outcome:
        """Load, start, wait, read back."""
        words = list(self._memory_words(image))
        commands = [f"w {address:x} {value:x}" for address, value in words]
        for engine in ENGINES:
            for index, instruction in enumerate(streams[engine]):
                code = encode(instruction, self.chip)
                first = bus.program_address(engine, index, self.chip)
                for i in range(INSTRUCTION_BITS // 32):
                    commands.append(f"w {first + 4 * i:x} {code >> 32 * i & 0xFFFFFFFF:x}")
            commands.append(f"w {bus.register_address(bus.start_register(engine)):x} 0")
        commands.append(f"s {bus.register_address(Register.CONTROL):x}")
        registers = [Register.CYCLES_LOW, Register.CYCLES_HIGH, Register.CONTROL, Register.INTERRUPT]
        for engine in ENGINES:
            for event in Event:
                registers += [bus.counter_offset(engine, event), bus.counter_offset(engine, event) + 1]
        reads = [bus.register_address(offset) for offset in registers] + [address for address, _ in words]
        commands += [f"r {address:x}" for address in reads]
        done = subprocess.run([self.binary], input="\n".join(commands), capture_output=True, text=True)
        lines = done.stdout.splitlines()
        assert done.returncode == 0, lines[-3:]
        answers = [int(line[2:], 16) for line in lines if line[0] == "r"]
        retired = [tuple(int(part) for part in line[2:].split()) for line in lines if line[0] == "t"]
        low, high, control, interrupt, *rest = answers
        counts = iter(rest)
        counters = {e: {event: next(counts) | next(counts) << 32 for event in Event} for e in ENGINES}
        return Outcome(self._image(list(counts)), retired, low | high << 32, counters, control, interrupt)  # type: ignore[arg-type]

    def _memory_words(self, image: Image):
        """Every bus word of the memories: address and value."""
        chip = self.chip
        for window, memory in ((Window.FEATURE, image.feature), (Window.GRADIENT, image.gradient)):
            for index, word in enumerate(memory):
                yield from self._halves(bus.word_address(window, index, chip), word)
        for row in range(chip.weight_rows):
            for tap in range(chip.taps):
                yield from self._halves(bus.weight_address(row, tap, chip), image.weight[row, tap])
        for tap in range(chip.taps):
            for lane in range(chip.lanes):
                yield bus.random_address(tap, lane, chip), int(image.random[tap, lane])

    def _halves(self, address: int, word: np.ndarray):
        lanes = np.zeros(self.chip.word_stride // 2, np.int16)
        lanes[: len(word)] = word
        for i, value in enumerate(lanes.view(np.uint32)):
            yield address + 4 * i, int(value)

    def _image(self, answers: list[int]) -> Image:
        chip = self.chip
        words = np.array(answers, np.uint32)
        count = chip.feature_words + chip.gradient_words + chip.weight_rows * chip.taps
        half = chip.word_stride // 4
        elements = words[: count * half].view(np.int16).reshape(count, -1)
        assert not elements[:, chip.lanes :].any()
        feature, gradient, weight = np.split(
            elements[:, : chip.lanes], [chip.feature_words, chip.feature_words + chip.gradient_words]
        )
        random = words[count * half :].reshape(chip.taps, chip.lanes)
        weight = weight.reshape(chip.weight_rows, chip.taps, chip.lanes)
        return Image(feature, gradient, weight, random, np.zeros((0, chip.lanes), np.int16))
