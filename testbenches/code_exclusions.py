"""Bits of the RTL that no legal program can move on a chip, by rule, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from arch import fields
from arch.chip import Chip
from arch.events import Event
from arch.isa import ENGINES, EXECUTED, KINDS
from testbenches.code_coverage import CodePoint

COUNTED_BITS = 15
"""Bits of a counter that are asked for: no program of the campaign takes 2^15 cycles."""
_NEST_BITS = 11
"""Bits of a nest's position: `testbenches.generate` draws none of 2^11 cycles."""
_MEMORIES = r"feature|gradient|weight"
_IDLE = "without an external memory the DMA moves nothing"
_OUTSIDE = (Event.EXTERNAL_READS, Event.EXTERNAL_WRITES)
_ABSENT = {
    "array": _OUTSIDE,
    "vector": (
        *(Event.STEPS, Event.WINDOW_WORDS, Event.WEIGHT_READS, Event.WEIGHT_WRITES),
        *(Event.REGISTER_WORDS, Event.LOST_UPDATES, Event.ZERO_PRODUCTS, *_OUTSIDE),
    ),
    "dma": (
        *(Event.STEPS, Event.WINDOW_WORDS, Event.REGISTER_WORDS),
        *(Event.ROUNDED_WORDS, Event.SATURATIONS, Event.LOST_UPDATES, Event.ZERO_PRODUCTS),
    ),
}
"""Events that an engine does not have."""


@dataclass(frozen=True)
class Bits:
    """Signals whose name matches, in modules whose name does, move in the lowest `bits` bits alone."""

    module: str
    name: str
    bits: int
    reason: str

    def matches(self, module: str, name: str) -> bool:
        """Whether it is about a signal."""
        return bool(re.search(self.module, module) and re.search(self.name, name))

    def leaves_out(self, bit: int) -> bool:
        """Whether a bit of such a signal is beyond."""
        return bit >= self.bits


@dataclass(frozen=True)
class OneBit(Bits):
    """As `Bits`, but that one bit alone does not move."""

    def leaves_out(self, bit: int) -> bool:
        return bit == self.bits


def exclusions(chip: Chip, points: Collection[CodePoint], verilog: str) -> Callable[[CodePoint], str | None]:
    """For a point of the chip's coverage, why it is not asked for; None if it is. `verilog` is the chip's text."""
    wholes = _wholes(points)
    rules = _rules(chip)
    lines = verilog.splitlines()

    @lru_cache(None)
    def about(module: str, name: str) -> list[Bits]:
        return [rule for rule in rules if rule.matches(module, name)]

    def reason(point: CodePoint) -> str | None:
        if point.kind != "toggle":
            return _line_reason(chip, point, lines)
        name, bit = point.name, point.bit
        if point.module == "tinycl" and not re.match(r"bus__|trace__|interrupt|clk|rst", name):
            return "a wire of the top module joins its parts' ports and is counted as theirs"
        if (point.instance, name) in wholes:
            return "a record's or array's bits are counted under the names of its parts"
        return next((rule.reason for rule in about(point.module, name) if rule.leaves_out(bit)), None)

    return reason


def _line_reason(chip: Chip, point: CodePoint, lines: Sequence[str]) -> str | None:
    """Why a line is not asked for; a branch's point is at its condition, right before what it does."""
    if "if (1'h1)" in lines[point.line - 1] and point.what == "else":
        return "the condition is constant"
    here = " ".join(lines[point.line - 1 : point.line + 1])
    if chip.external_memory is None and re.search(_MEMORIES, point.module) and re.search(r"\bdma_", here):
        return _IDLE
    return None


def _wholes(points: Collection[CodePoint]) -> set[tuple[str, str]]:
    names = {(point.instance, point.name) for point in points if point.kind == "toggle"}
    return {(instance, part[: match.start()]) for instance, part in names for match in re.finditer(r"[.\[]", part)}


def _rules(chip: Chip) -> list[Bits]:
    return [*_reserved(), *_fields(chip), *_addresses(chip), *_walks(chip), *_counters(chip), *_host(chip)]


def _reserved() -> list[Bits]:
    names = {field.name for opcode in EXECUTED for field in fields.layout(KINDS[opcode]) if field.reserved}
    pattern = rf"\.({'|'.join(sorted(names))})$"
    return [Bits("", pattern, 0, "the field is reserved: arch.legal refuses all but 0")]


def _fields(chip: Chip) -> list[Bits]:
    words = max(chip.feature_words, chip.gradient_words)
    limits = {
        r"\.(height|width|source_height|source_width)": min(words, 1023),
        r"\.(pad_top|pad_left)": chip.kernel - 1,
        r"\.(shift|base_shift)": chip.accumulator_bits - 2,
        r"(compute.*\.iterations|loss.*\.count)": chip.multipliers,
        r"load.*\.count": max(chip.taps, chip.kernel_registers),
        r"\.row": chip.weight_rows - 1,
    }
    reason = "arch.legal refuses fields beyond this chip's memories, lanes, registers and accumulators"
    rules = [Bits("", rf"{name}$", limit.bit_length(), reason) for name, limit in limits.items()]
    others = "tokens pass between the three engines of this version, and none to the sender"
    rules.append(Bits("", r"(\.wait|\.signal|^signal|^sent|^lacking)$", len(ENGINES), others))
    for engine in ENGINES:
        own = rf"{engine.name.lower()}($|\.)"
        rules.append(OneBit(own, r"(\.wait|\.signal|^signal|^sent|^lacking)$", int(engine), others))
    return rules


def _addresses(chip: Chip) -> list[Bits]:
    maps = max(chip.bank_depth(chip.feature_memory), chip.bank_depth(chip.gradient_memory))
    reason = "a place is below the memory's depth, a bank below its number of banks"
    row = (chip.bank_depth(chip.weight_memory) - 1).bit_length()
    banks = (chip.weight_memory.banks - 1).bit_length()
    return [
        Bits("", r"\.bank$", (chip.kernel - 1).bit_length(), reason),
        Bits("", r"(weight__place|row_place)(\$\d+)?$", row, reason),
        Bits(r"array$|rows$|weight", r"(^place|^first|__place)(\$\d+)?$", row, reason),
        Bits("", r"weight__bank|^host__bank", banks, reason),
        Bits("", r"(\.place|__place|__places.*)$", (maps - 1).bit_length(), reason),
    ]


def _walks(chip: Chip) -> list[Bits]:
    words = max(chip.feature_words, chip.gradient_words)
    reason = "a walk stays within its memory, an iteration below the mode's most"
    return [
        Bits("array", r"^(row|column|height|width|across_limit)(\$\d+)?$", words.bit_length(), reason),
        Bits("nest", r"^(position|remaining)(\$\d+)?$", _NEST_BITS, "no nest of the campaign takes 2^11 cycles"),
        Bits("array", r"^extra(\$\d+)?\[0\]$", 0, "the first word of an access lies at its beginning"),
        Bits("array", r"^iteration$", (chip.multipliers - 1).bit_length(), reason),
        Bits("vector", r"(^|\.)index(\$\d+)?$", chip.taps.bit_length(), "a LOSS has at most a word for every tap"),
        Bits("array", r"^(index|requested)(\$\d+)?$", max(chip.taps, chip.kernel_registers).bit_length(), reason),
        Bits("writeback", r"^(dither|common|half)", chip.accumulator_bits - 2, "shifts end 2 below the accumulator"),
    ]


def _counters(chip: Chip) -> list[Bits]:
    reason = f"no program of the campaign takes 2^{COUNTED_BITS} cycles"
    rules = [Bits("", r"^(counts|counts_\w+|trace__\w+__counts|cycles?|trace__cycle)(\[\d+\])?$", COUNTED_BITS, reason)]
    absent = "the engine does not have the event"
    room = chip.program_memory.instructions
    rules.append(Bits("", r"counts(_\w+)?\[0\]$", room.bit_length(), "a run makes every instruction once at most"))
    loss = room * max(4 * chip.taps + 40, chip.multipliers)  # a LOSS's cycles, or its values
    rules.append(Bits("", r"(^|_)vector(__|\$)?counts\[\d+\]$|^counts_vector", loss.bit_length(), "a LOSS is short"))
    rules.append(Bits("counters_vector", r"^counts\[\d+\]$", loss.bit_length(), "a LOSS is short"))
    missing = dict(_ABSENT)
    if chip.external_memory is None:
        rules.append(Bits(_MEMORIES, r"^dma_", 0, _IDLE))
        missing["dma"] = tuple(event for event in Event if event != Event.INSTRUCTIONS)
    for name, event in ((name, event) for name, events in missing.items() for event in events):
        rules.append(Bits(f"counters_{name}", rf"^counts\[{event.value}\]$", 0, absent))
        rules.append(Bits("", rf"(counts_{name}|trace__{name}__counts)\[{event.value}\]$", 0, absent))
        rules.append(Bits(name, rf"^amounts(\$\d+)?\.{event.name}$", 0, absent))
    ones = "INSTRUCTIONS|BUSY|STEPS|FEATURE_WRITES|GRADIENT_WRITES"
    at_most = {ones: 1, "FEATURE_READS|GRADIENT_READS|WINDOW_WORDS": chip.kernel}
    at_most["REGISTER_WORDS|ROUNDED_WORDS"] = chip.taps
    at_most["WEIGHT_READS|WEIGHT_WRITES"] = chip.weight_memory.banks
    several = "the event does not happen so often in a cycle"
    rules += [Bits("", rf"^amounts(\$\d+)?\.({names})$", most.bit_length(), several) for names, most in at_most.items()]
    rules.append(Bits("vector", r"^amounts(\$\d+)?\.\w+$", chip.lanes.bit_length(), several))
    return rules


def _host(chip: Chip) -> list[Bits]:
    index = (chip.program_memory.instructions - 1).bit_length()
    return [
        Bits("", r"bus__adr(\$\d+)?$", 25, "no region of the address map lies there"),
        Bits("sequencer|host|tinycl$", r"(first|index)", max(index, 1), "the program memory ends below"),
        *(
            OneBit("host", r"^fault$", bit, "FAULT has bit 31, the engine in bits 16 and 17, the instruction below")
            for bit in (*range(index, 16), *range(18, 31))
        ),
    ]
