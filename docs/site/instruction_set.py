"""The instruction set reference, from `arch/`."""

from __future__ import annotations

from enum import IntEnum
from inspect import getdoc, getsource

from arch import isa, modes
from arch.bus import Register
from arch.events import DATA_DEPENDENT, Event
from arch.fields import BANK_BITS, ROW_BITS, Field, layout, width

_ENUMS = (
    isa.Engine,
    isa.Space,
    isa.OnChip,
    isa.Moving,
    isa.Stationary,
    isa.Route,
    isa.Reduction,
    isa.Emission,
    isa.Traversal,
    isa.Base,
    isa.Rounding,
    isa.Overflow,
    isa.Destination,
    isa.Storage,
    isa.Operation,
)


def page() -> str:
    """The whole page, as Markdown."""
    parts = [
        "# Instruction set",
        "Made from `arch/isa.py`, `arch/modes.py`, `arch/fields.py` and `arch/events.py` when this site was built. "
        "What instructions do in each cycle is said in [Cycle by cycle](machine.md), why they are as they are in "
        "[Architecture](architecture.md).",
        f"An instruction has {isa.INSTRUCTION_BITS} bits. An address field holds a word's number as bank "
        f"({BANK_BITS} bits, the lower ones) and place ({ROW_BITS} bits).",
        "## Instructions",
        *(_instruction(opcode, kind) for opcode, kind in isa.KINDS.items()),
        "## Modes of COMPUTE",
        "The combinations of sources, routes, reduction and emission that the array executes. *By lane*: a lane is a "
        "channel of both operands. *Skips*: field `skip` can leave out iterations on zeros.",
        _modes(),
        "## Values of fields",
        *(_enum(kind) for kind in _ENUMS),
        "## Counted events",
        _events(),
        "## Registers of the host's bus",
        _registers(),
    ]
    return "\n\n".join(parts) + "\n"


def _instruction(opcode: isa.Opcode, kind: type[isa.Instruction]) -> str:
    engines = ", ".join(engine.name for engine in isa.ENGINE_OF[opcode])
    state = "" if opcode in isa.EXECUTED else " Reserved: refused by this version."
    head = f"### {opcode.name}\n\nOpcode {opcode.value}, {width(kind)} bits, run by {engines}.{state}"
    rows = "\n".join(_field(field) for field in layout(kind))
    return f"{head}\n\n{getdoc(kind)}\n\n| field | bits | from bit | holds | |\n|---|---|---|---|---|\n{rows}"


def _field(field: Field) -> str:
    holds = f"[{field.enum.__name__}](#{field.enum.__name__.lower()})" if field.enum else field.kind
    if field.enum is isa.Opcode:
        holds = "opcode"
    doc = f"{field.doc}; reserved, 0" if field.reserved else field.doc
    return f"| `{field.name}` | {field.bits} | {field.offset} | {holds} | {_cell(doc)} |"


def _modes() -> str:
    notes = _mode_comments()
    rows = [
        f"| `{name}` | {_cell(notes.get(name, ''))} | {mode.moving.name}, {mode.moving_route.name} | "
        f"{mode.stationary.name}, {mode.stationary_route.name} | {mode.reduction.name} | {mode.emission.name} | "
        f"{'yes' if name in modes.BY_LANE else ''} | {'yes' if name in modes.SKIPPING else ''} |"
        for name, mode in modes.MODES.items()
    ]
    head = "| mode | | moving, route | stationary, route | reduction | emission | by lane | skips |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _mode_comments() -> dict[str, str]:
    """The comment above each mode; those that share one have it all."""
    found, note = {}, ""
    for line in getsource(isa).partition("MODES: dict")[2].partition("\n}")[0].splitlines():
        text = line.strip()
        note = text.lstrip("# ") if text.startswith("#") else note
        if text.startswith('"'):
            found[text.split('"')[1]] = note
    return found


def _enum(kind: type[IntEnum]) -> str:
    notes = _comments(kind)
    rows = [f"| {item.value} | `{item.name}` | {_cell(notes.get(item.name, ''))} |" for item in kind]
    return "\n".join([f"### {kind.__name__}\n\n{getdoc(kind)}\n", "| value | name | |", "|---|---|---|", *rows])


def _comments(kind: type[IntEnum]) -> dict[str, str]:
    """The comment beside each member."""
    lines = (line.partition("#") for line in getsource(kind).splitlines() if "=" in line and "#" in line)
    return {before.partition("=")[0].strip(): after.strip() for before, _, after in lines}


def _events() -> str:
    notes = _comments(Event)
    rows = [
        f"| {event.value} | `{event.name}` | {_cell(notes.get(event.name, ''))} | "
        f"{'yes' if event in DATA_DEPENDENT else ''} |"
        for event in Event
    ]
    return "\n".join(["| number | event | counts | depends on values |", "|---|---|---|---|", *rows])


def _registers() -> str:
    notes = _comments(Register)
    rows = [f"| {item.value} | `{item.name}` | {_cell(notes.get(item.name, ''))} |" for item in Register]
    return "\n".join(["| number | register | |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    """Text that does not end a table's cell, or begin a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
