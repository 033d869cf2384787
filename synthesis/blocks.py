"""The blocks that a chip is synthesised in: one for each RTL module that `estimate.structure` names, flat inside.

A block is RTLIL text of a module and its submodules; what belongs to other blocks, the memories and the array's
multipliers stand in it as black boxes. Equal blocks of different chips have equal text, so that they are mapped once.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from estimate.structure import MODULES, product_bits
from rtl.chip import TinyCL
from rtl.verilog import no_collection, run_yosys

TOP = "tinycl"
MULTIPLIER = "multiplier"
"""The block that every product of two elements is."""
_MODULE = re.compile(r"^module \\(\S+)\n(.*?)^end\n", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell \\(\S+) ", re.MULTILINE)
_PORT = re.compile(r"^  wire [^\n]*(?:input|output|inout) \d+[^\n]*\n", re.MULTILINE)
_TOP = "block"
_BOXED = re.compile(r"^  cell \$(mul|mem_v2) [^\n]*\n(?:    [^\n]*\n)*  end\n", re.MULTILINE)
_PARAMETER = re.compile(r"parameter \\(A_WIDTH|B_WIDTH|WIDTH|ABITS|RD_CLK_ENABLE) (\S+)\n")
_NUMBERED = re.compile(r"\$\d+")
_MEMORY = re.compile(r"\.page\d+$")


@dataclass(frozen=True)
class Block:
    """`text` is RTLIL with top module `top`; `count` times in `component` of the chip.

    `numbers` gives the numbers that names in the chip's RTL end in, by those that stand in the text instead.
    """

    name: str
    component: str
    top: str
    text: str
    count: int = 1
    numbers: Mapping[str, str] = field(default_factory=dict)

    def original(self, name: str) -> str:
        """A name of the text as it is in the chip's RTL."""
        return _NUMBERED.sub(lambda found: self.numbers.get(found[0], found[0]), name)


def blocks_of(chip: Chip) -> list[Block]:
    """All blocks of `chip`; the banks of a memory, which are equal, together."""
    modules = elaborated(chip)
    roots = _roots(modules)
    counts = Counter(_short(name) for name in roots)
    firsts = {_short(name): name for name in reversed(roots)}
    blocks = []
    for short, name in firsts.items():
        text, numbers = _canonical(name, _text(name, modules, set(roots), chip))
        blocks.append(Block(short, roots[name], _TOP, text, counts[short], numbers))
    return [*blocks, Block(MULTIPLIER, "multipliers", MULTIPLIER, multiplier(chip.word_bits), chip.multipliers)]


def elaborated(chip: Chip) -> dict[str, str]:
    """The RTLIL of every module of `chip`, its processes turned into registers and multiplexers, by full name."""
    with no_collection():
        text = rtlil.convert(TinyCL(chip), name=TOP, emit_src=False)
    return modules_of(processed(text, TOP))


def modules_of(text: str) -> dict[str, str]:
    """The modules in RTLIL text, by name."""
    return {match[1]: match[2] for match in _MODULE.finditer(text)}


@cache
def multiplier(word_bits: int) -> str:
    """RTLIL of a signed multiplier of two elements."""
    return processed(rtlil.convert(_Multiplier(word_bits), name=MULTIPLIER, emit_src=False), MULTIPLIER)


class _Multiplier(wiring.Component):
    def __init__(self, word_bits: int):
        shape = signed(word_bits)
        super().__init__({"a": In(shape), "b": In(shape), "product": Out(signed(2 * word_bits))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.product.eq(self.a * self.b)
        m.d.sync += Signal().eq(0)
        return m


def processed(text: str, top: str) -> str:
    """RTLIL as Amaranth writes it, its processes turned into registers and multiplexers, its memories put together."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.il"), Path(folder, "out.il")
        source.write_text(text)
        run_yosys(
            f"read_rtlil {source}",
            f"hierarchy -top {top}",
            "proc -norom",
            "opt_clean",
            "memory_collect",
            "setattr -unset init w:*",  # no register of a library has a first value: a reset gives it
            f"write_rtlil {target}",
        )
        return target.read_text()


def _roots(modules: dict[str, str]) -> dict[str, str]:
    """The modules that are blocks, and their components: those that are named, and every bank of a memory."""
    owners = {f"{TOP}.{path}".rstrip("."): component for component, paths in MODULES.items() for path in paths}
    found = {}
    for name in modules:
        plain = _NUMBERED.sub("", name)
        bank = plain.rpartition(".")[0]
        if plain in owners:
            found[name] = owners[plain]
        elif re.search(r"\.bank\d+$", plain) and bank in owners:
            found[name] = owners[bank]
    return found


def _text(root: str, modules: dict[str, str], roots: set[str], chip: Chip) -> str:
    """The block of module `root`."""
    body, boxes = _boxed(modules[root], chip)
    parts, seen = [_module(root, body), *boxes], set()
    waiting = list(_children(modules[root], modules))
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in roots or _MEMORY.search(name):
            parts.append(_box(name, "".join(_PORT.findall(modules[name]))))
        else:
            parts.append(_module(name, modules[name]))
            waiting.extend(_children(modules[name], modules))
    return "".join(parts)


def _boxed(body: str, chip: Chip) -> tuple[str, list[str]]:
    """Products of two elements and memories that are read by clock as black boxes, and those boxes."""
    boxes: dict[str, str] = {}

    def box(cell: re.Match) -> str:
        kind, text = cell[1], cell[0]
        sizes = {name: int(value.rpartition("'")[2]) for name, value in _PARAMETER.findall(text)}
        if kind == "mul":
            if (sizes["A_WIDTH"], sizes["B_WIDTH"]) != (chip.word_bits, chip.word_bits):
                return text
            ports = {"A": chip.word_bits, "B": chip.word_bits, "Y": product_bits(chip)}
        elif sizes["RD_CLK_ENABLE"] == 1:
            bits, address = sizes["WIDTH"], sizes["ABITS"]
            ports = {"RD_CLK": 1, "RD_EN": 1, "RD_ARST": 1, "RD_SRST": 1, "RD_ADDR": address}
            ports |= {"WR_CLK": 1, "WR_EN": bits, "WR_ADDR": address, "WR_DATA": bits, "RD_DATA": bits}
        else:
            return text
        name = MULTIPLIER if kind == "mul" else "memory"
        boxes[name] = _box(name, _ports(ports))
        return re.sub(r"    parameter [^\n]*\n", "", text).replace(f"cell ${kind}", f"cell \\{name}", 1)

    return _BOXED.sub(box, body), list(boxes.values())


def _ports(widths: dict[str, int]) -> str:
    """Wires of a module's ports, of which the last is its output."""
    ways = ["input"] * (len(widths) - 1) + ["output"]
    return "".join(
        f"  wire width {width} {way} {number} \\{name}\n"
        for number, ((name, width), way) in enumerate(zip(widths.items(), ways, strict=True), 1)
    )


def _children(body: str, modules: dict[str, str]) -> Iterator[str]:
    return (name for name in _CELL.findall(body) if name in modules)


def _module(name: str, body: str) -> str:
    return f"module \\{name}\n{body}end\n"


def _box(name: str, ports: str) -> str:
    return f"attribute \\blackbox 1\nmodule \\{name}\n{ports}end\n"


def _canonical(root: str, text: str) -> tuple[str, dict[str, str]]:
    """The text, whatever the module is called and however Amaranth and Yosys number things; and those numbers."""
    numbers: dict[str, str] = {}
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("attribute \\src")) + "\n"
    text = text.replace(f"\\{root}\n", f"\\{_TOP}\n", 1).replace(f"\\{root}.", f"\\{_TOP}.")
    text = _NUMBERED.sub(lambda found: numbers.setdefault(found[0], f"${len(numbers)}"), text)
    return text, {new: old for old, new in numbers.items()}


def _short(name: str) -> str:
    return re.sub(r"\.bank\d+$", ".bank", _NUMBERED.sub("", name)).removeprefix(TOP).removeprefix(".") or TOP
