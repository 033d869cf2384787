"""Which instructions exist on a chip: every rule that the encoder's fields do not say by themselves.

`problems` names what is wrong with one instruction, `check` raises on it. What passes, in streams that `arch.ordering`
passes, runs on every execution with the same result.
"""

from __future__ import annotations

from collections.abc import Iterator

from arch import fields
from arch.chip import Chip
from arch.errors import InputError
from arch.isa import (
    ENGINES,
    EXECUTED,
    Compute,
    Destination,
    Instruction,
    Load,
    Loss,
    Rounding,
    Space,
    Transfer,
)
from arch.limits import row_problems, span_problems
from arch.nest_rules import nest_problems
from arch.recall import by_body
from arch.transfer import transfer_problems


class IllegalInstruction(InputError):
    """An instruction that does not exist on this chip."""


def check(instruction: Instruction, chip: Chip) -> None:
    """Raise `IllegalInstruction` naming everything that is wrong with the instruction."""
    found = list(problems(instruction, chip))
    if found:
        raise IllegalInstruction(f"{type(instruction).__name__.upper()}: " + "; ".join(found))


def problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    """Everything that keeps the instruction from being executed on `chip`, a phrase each."""
    if (instruction.wait | instruction.signal) not in range(1 << len(ENGINES)):
        yield "wait and signal must name engines of this version: array (1), vector (2), dma (4)"
    if not _fits(instruction, chip):
        yield from _body_problems(instruction, chip)


@by_body
def _fits(instruction: Instruction, chip: Chip) -> bool:
    """Whether nothing but the tokens can be wrong."""
    return next(_body_problems(instruction, chip), None) is None


def _body_problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    """What is wrong whatever the tokens are."""
    if instruction.opcode not in EXECUTED:
        yield "not executed by this version"
        return
    unfit = list(_field_problems(instruction, chip))
    yield from unfit
    if not unfit:
        yield from _rule_problems(instruction, chip)


def _rule_problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    if isinstance(instruction, Load):
        yield from _load_problems(instruction, chip)
    elif isinstance(instruction, Compute):
        yield from nest_problems(instruction, chip)
    elif isinstance(instruction, Loss):
        yield from _loss_problems(instruction, chip)
    elif isinstance(instruction, Transfer):
        yield from transfer_problems(instruction, chip)


def _field_problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    """Of all fields but the tokens."""
    addresses, named = chip.kernel << fields.ROW_BITS, vars(instruction)
    for field in fields.layout(type(instruction)):
        value = named[field.name]
        limit = addresses if field.kind == "address" else field.limit
        if not 0 <= value < limit and field.name not in ("wait", "signal"):
            yield f"{field.name} must be 0 to {limit - 1}, not {int(value)}"
        elif field.reserved and value:
            yield f"{field.name} must be 0 in this version, not {int(value)}"


def _load_problems(load: Load, chip: Chip) -> Iterator[str]:
    if load.destination == Destination.VECTOR:
        if not 1 <= load.count <= chip.taps:
            yield f"count must be 1 to {chip.taps} words, not {load.count}"
        yield from span_problems("source", load.space, [range(load.source, load.source + load.count)], chip)
    limit = {Destination.KERNEL: chip.kernel_registers, Destination.BIAS: 1, Destination.VECTOR: load.count}
    most = limit[load.destination]
    if load.destination == Destination.KERNEL and load.transpose:
        most = min(most, chip.lanes)
    if not 1 <= load.count <= most:
        yield f"count must be 1 to {most}, not {load.count}"
    if load.destination != Destination.KERNEL and (load.rotate or load.transpose):
        yield "rotate and transpose must be 0 unless a kernel is loaded"
    if load.destination != Destination.VECTOR:
        yield from row_problems("row", [range(load.row, load.row + load.count)], chip)


def _loss_problems(loss: Loss, chip: Chip) -> Iterator[str]:
    if not 1 <= loss.count <= chip.multipliers:
        yield f"count must be 1 to {chip.multipliers}, not {loss.count}"
    words = chip.words(loss.count)
    yield from span_problems("source", loss.space, [range(loss.source, loss.source + words)], chip)
    yield from span_problems("label", loss.space, [range(loss.label, loss.label + 1)], chip)
    yield from span_problems("target", Space(1 - loss.space), [range(loss.target, loss.target + words)], chip)


def rounds_randomly(instruction: Instruction) -> bool:
    """Whether the instruction advances the rounders' random state."""
    return isinstance(instruction, Compute) and instruction.rounding == Rounding.STOCHASTIC
