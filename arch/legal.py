"""Which instructions exist on a chip: every rule that the encoder's fields do not say by themselves.

`problems` names what is wrong with one instruction, `check` raises on it, `stream_problems` looks at a whole program's
streams. What passes runs on every execution with the same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from arch import fields
from arch.chip import Chip
from arch.counts import map_words
from arch.errors import InputError
from arch.isa import (
    ENGINE_OF,
    ENGINES,
    EXECUTED,
    TOKEN_LIMIT,
    Base,
    Compute,
    Destination,
    Emission,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Moving,
    Reduction,
    Rounding,
    Route,
    Space,
    Stationary,
    Traversal,
    mode_of,
)
from arch.timing import uses_rows, writes_rows
from arch.traversal import blocks


class IllegalInstruction(InputError):
    """An instruction that does not exist on this chip."""


def check(instruction: Instruction, chip: Chip) -> None:
    """Raise `IllegalInstruction` naming everything that is wrong with the instruction."""
    found = list(problems(instruction, chip))
    if found:
        raise IllegalInstruction(f"{type(instruction).__name__.upper()}: " + "; ".join(found))


def problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    """Everything that keeps the instruction from being executed on `chip`, a phrase each."""
    if instruction.opcode not in EXECUTED:
        yield "not executed by this version"
        return
    unfit = list(_field_problems(instruction, chip))
    yield from unfit
    if unfit:
        return
    if isinstance(instruction, Load):
        yield from _load_problems(instruction, chip)
    elif isinstance(instruction, Compute):
        yield from _compute_problems(instruction, chip)
    elif isinstance(instruction, Loss):
        yield from _loss_problems(instruction, chip)


def _field_problems(instruction: Instruction, chip: Chip) -> Iterator[str]:
    for field in fields.layout(type(instruction)):
        value = int(getattr(instruction, field.name))
        limit = chip.kernel << fields.ROW_BITS if field.kind == "address" else field.limit
        if not 0 <= value < limit:
            yield f"{field.name} must be 0 to {limit - 1}, not {value}"
        elif field.reserved and value:
            yield f"{field.name} must be 0 in this version, not {value}"
    absent = instruction.wait | instruction.signal
    if absent >> len(ENGINES):
        yield "wait and signal must name engines of this version: array (1), vector (2)"


def memory_words(chip: Chip, space: Space) -> int:
    """Words of a memory."""
    return chip.feature_words if space == Space.FEATURE else chip.gradient_words


def _map_problems(name: str, space: Space, span: range, size: tuple[int, int, int], chip: Chip) -> Iterator[str]:
    height, width, pitch = size
    if height > 1 and pitch < width:
        yield f"the pitch of {name} must be at least its width {width}, not {pitch}"
        return
    yield from _span_problems(name, space, span, chip)


def _span_problems(name: str, space: Space, span: range, chip: Chip) -> Iterator[str]:
    if span.stop > memory_words(chip, space):
        yield (
            f"{name} must end within the {memory_words(chip, space)} words of the {space.name.lower()} memory, "
            f"not at {span.stop}"
        )


def _row_problems(row: int, count: int, chip: Chip) -> Iterator[str]:
    if row + count > chip.weight_rows:
        yield f"row must leave {count} rows below {chip.weight_rows}, not start at {row}"


def map_span(first: int, height: int, width: int, pitch: int) -> range:
    """The words from the first to the last of a map, gaps between its rows included."""
    return range(first, first + (height - 1) * pitch + width)


def _load_problems(load: Load, chip: Chip) -> Iterator[str]:
    if load.destination == Destination.VECTOR:
        if not 1 <= load.count <= chip.taps:
            yield f"count must be 1 to {chip.taps} words, not {load.count}"
        yield from _span_problems("source", load.space, range(load.source, load.source + load.count), chip)
    limit = {Destination.KERNEL: chip.kernel_registers, Destination.BIAS: 1, Destination.VECTOR: load.count}
    most = limit[load.destination]
    if load.destination == Destination.KERNEL and load.transpose:
        most = min(most, chip.lanes)
    if not 1 <= load.count <= most:
        yield f"count must be 1 to {most}, not {load.count}"
    if load.destination != Destination.KERNEL and (load.rotate or load.transpose):
        yield "rotate and transpose must be 0 unless a kernel is loaded"
    if load.destination != Destination.VECTOR:
        yield from _row_problems(load.row, load.count, chip)


def _loss_problems(loss: Loss, chip: Chip) -> Iterator[str]:
    if not 1 <= loss.count <= chip.multipliers:
        yield f"count must be 1 to {chip.multipliers}, not {loss.count}"
    words = chip.words(loss.count)
    yield from _span_problems("source", loss.space, range(loss.source, loss.source + words), chip)
    yield from _span_problems("label", loss.space, range(loss.label, loss.label + 1), chip)
    yield from _span_problems("target", Space(1 - loss.space), range(loss.target, loss.target + words), chip)


def most_iterations(compute: Compute, chip: Chip) -> int:
    """The largest number of iterations that the operands and accumulators of a mode allow."""
    limits = [chip.multipliers]
    if compute.stationary == Stationary.KERNEL:
        limits.append(chip.kernel_registers)
    if compute.moving_route == Route.TAP or compute.stationary == Stationary.PIXEL:
        limits.append(chip.lanes)
    if compute.emission == Emission.POSITION and compute.reduction == Reduction.BOTH:
        limits.append(chip.lanes)
    if compute.emission == Emission.END and compute.reduction == Reduction.NONE:
        limits.append(chip.accumulator_banks)
    if compute.moving in (Moving.ONE, Moving.UNIT):
        limits.append(1)
    return min(limits)


def _compute_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if mode_of(compute) is None:
        yield "no mode has these sources, routes, reduction and emission"
        return
    most = most_iterations(compute, chip)
    if not 1 <= compute.iterations <= most:
        yield f"iterations must be 1 to {most}, not {compute.iterations}"
    if compute.height < 1 or compute.width < 1:
        yield "height and width must be at least 1"
        return
    walks = compute.moving in (Moving.WINDOW, Moving.UNIT)
    if walks == (compute.traversal == Traversal.BLOCK):
        yield f"traversal must be {'SNAKE or RASTER' if walks else 'BLOCK'}"
        return
    yield from _operand_problems(compute, chip)
    yield from _emission_problems(compute, chip)
    yield from _number_problems(compute, chip)


def source_span(compute: Compute) -> range | None:
    """Words of the moving operand's map; None if it has none."""
    if compute.moving == Moving.WINDOW:
        return map_span(compute.source, compute.source_height, compute.source_width, compute.source_pitch)
    if compute.moving == Moving.BLOCK:
        return map_span(compute.source, compute.height, compute.width, compute.source_pitch)
    return None


def target_span(compute: Compute, chip: Chip) -> range | None:
    """Words of the map that is emitted; None if weight rows are updated."""
    if writes_rows(compute):
        return None
    if compute.emission == Emission.END:
        return range(compute.target, compute.target + map_words(compute, chip))
    return map_span(compute.target, compute.height, compute.width, compute.target_pitch)


def _operand_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    source = source_span(compute)
    height, width = compute.height, compute.width
    if source is not None:
        window = compute.moving == Moving.WINDOW
        extents = (compute.source_height, compute.source_width) if window else (height, width)
        size = (*extents, compute.source_pitch)
        yield from _map_problems("source", compute.source_space, source, size, chip)
    if compute.moving == Moving.WINDOW:
        yield from _window_problems(compute, chip)
    if compute.stationary == Stationary.PIXEL:
        span = map_span(compute.pixel, height, width, compute.pixel_pitch)
        yield from _map_problems("pixel", compute.pixel_space, span, (height, width, compute.pixel_pitch), chip)
        if source is not None and compute.pixel_space == compute.source_space:
            yield "pixel_space must differ from source_space: each has one port"
    if uses_rows(compute) or writes_rows(compute):
        yield from _row_problems(compute.row, weight_rows_used(compute, chip), chip)


def weight_rows_used(compute: Compute, chip: Chip) -> int:
    """Rows of the weight memory that a nest streams or updates, from `row` on."""
    if compute.emission == Emission.END and compute.reduction == Reduction.NONE:
        return compute.iterations
    if uses_rows(compute) or writes_rows(compute):
        return compute.iterations * len(blocks(compute, chip))
    return 0


def _window_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    side = chip.kernel
    if compute.source_height < 1 or compute.source_width < 1:
        yield "source_height and source_width must be at least 1"
    if compute.pad_top >= side or compute.pad_left >= side:
        yield f"pad_top and pad_left must be below {side}"
    if compute.source_height > 1 and compute.source_pitch % side != 1:
        yield f"source_pitch must be 1 more than a multiple of {side}, so that a column's words lie in all banks"
    for name, extent, outer, pad in (
        ("height", compute.height, compute.source_height, compute.pad_top),
        ("width", compute.width, compute.source_width, compute.pad_left),
    ):
        if extent > outer + pad:
            yield f"{name} must be at most {outer + pad}: the last window must touch the map"


def _emission_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if writes_rows(compute):
        if compute.base != Base.ROW:
            yield "base must be ROW: the result replaces a weight row"
        if compute.mask or compute.relu:
            yield "mask and relu must be 0 where weight rows are updated"
        return
    if compute.base == Base.ROW:
        yield "base must be NONE or BIAS where words of a map are emitted"
    if compute.base == Base.BIAS and compute.reduction == Reduction.NONE:
        yield "base must be NONE for blocks of words"
    target = target_span(compute, chip)
    assert target is not None
    pitch = compute.target_pitch if compute.emission == Emission.POSITION else compute.width
    size = (compute.height, compute.width, pitch)
    yield from _map_problems("target", compute.target_space, target, size, chip)
    source = source_span(compute)
    if source is not None and compute.source_space == compute.target_space and _overlap(source, target):
        yield "target must not overlap the source: words would be read after they are replaced"
    if compute.mask:
        yield from _mask_problems(compute, chip)


def _mask_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if compute.emission == Emission.END:
        yield "mask must be 0 where words are emitted at the end"
        return
    span = map_span(compute.mask_source, compute.height, compute.width, compute.mask_pitch)
    size = (compute.height, compute.width, compute.mask_pitch)
    yield from _map_problems("mask_source", compute.mask_space, span, size, chip)
    if compute.mask_space == compute.target_space:
        yield "mask_space must differ from target_space: each has one port"
    if source_span(compute) is not None and compute.mask_space == compute.source_space:
        yield "mask_space must differ from source_space: each has one port"


def _overlap(a: range, b: range) -> bool:
    return a.start < b.stop and b.start < a.stop


def largest_sum(compute: Compute, chip: Chip) -> int:
    """The largest magnitude that an accumulator with its base and rounding term can reach, whatever the words."""
    terms = {Reduction.BOTH: chip.multipliers, Reduction.TAPS: chip.taps, Reduction.NONE: 1}[compute.reduction]
    summed = compute.emission == Emission.POSITION and compute.reduction == Reduction.NONE
    if summed or compute.reduction == Reduction.TAPS:
        terms *= compute.iterations
    if compute.emission == Emission.END:
        positions = compute.height * compute.width
        terms *= len(blocks(compute, chip)) if compute.traversal == Traversal.BLOCK else positions
    base = 0 if compute.base == Base.NONE else 1 << (chip.word_bits - 1 + compute.base_shift)
    return terms * (1 << (2 * chip.word_bits - 2)) + base + (1 << compute.shift)


def _number_problems(compute: Compute, chip: Chip) -> Iterator[str]:
    if compute.shift >= chip.accumulator_bits or compute.base_shift >= chip.accumulator_bits:
        yield f"shift and base_shift must be below {chip.accumulator_bits}, the accumulator's bits"
        return
    bits = largest_sum(compute, chip).bit_length() + 1
    if bits > chip.accumulator_bits:
        yield f"the accumulator could overflow: {bits} bits are needed, accumulator_bits is {chip.accumulator_bits}"


def spaces(instruction: Instruction) -> set[str]:
    """The memories whose ports an instruction uses: `feature`, `gradient`, `weight`."""
    used: set[str] = set()
    if isinstance(instruction, Load):
        vector = instruction.destination == Destination.VECTOR
        used.add(instruction.space.name.lower() if vector else "weight")
    elif isinstance(instruction, Loss):
        used |= {"feature", "gradient"}
    elif isinstance(instruction, Compute):
        if source_span(instruction) is not None:
            used.add(instruction.source_space.name.lower())
        if instruction.stationary == Stationary.PIXEL:
            used.add(instruction.pixel_space.name.lower())
        if instruction.mask:
            used.add(instruction.mask_space.name.lower())
        if uses_rows(instruction) or writes_rows(instruction):
            used.add("weight")
        if not writes_rows(instruction):
            used.add(instruction.target_space.name.lower())
    return used


def stream_problems(streams: Mapping[Engine, Sequence[Instruction]], chip: Chip) -> Iterator[str]:
    """Everything wrong with the streams of one entry: instructions, ends, tokens, and ports that two engines share.

    Two instructions of different engines that tokens do not order must use different memories: a memory has one port,
    and no arbiter whose outcome would depend on more than the program.
    """
    for engine, stream in streams.items():
        for index, instruction in enumerate(stream):
            where = f"{engine.name.lower()} {index}"
            if engine not in ENGINE_OF[instruction.opcode]:
                yield f"{where}: {instruction.opcode.name} does not run on the {engine.name.lower()} engine"
            if isinstance(instruction, Halt) != (index == len(stream) - 1):
                yield f"{where}: HALT must be the last instruction and only that"
            if (instruction.wait | instruction.signal) >> engine & 1:
                yield f"{where}: an engine must not wait for or signal itself"
            for problem in problems(instruction, chip):
                yield f"{where}: {problem}"
    yield from _order_problems(streams)


def _order_problems(streams: Mapping[Engine, Sequence[Instruction]]) -> Iterator[str]:
    before = _predecessors(streams)
    if before is None:
        yield "deadlock: the engines wait for each other's tokens for ever"
        return
    ports = {(engine, i): spaces(item) for engine, stream in streams.items() for i, item in enumerate(stream)}
    for a, b in combinations(streams, 2):
        pending = sum(item.signal >> b & 1 for item in streams[a]), sum(item.signal >> a & 1 for item in streams[b])
        used = sum(item.wait >> a & 1 for item in streams[b]), sum(item.wait >> b & 1 for item in streams[a])
        if pending != used:
            yield f"{a.name.lower()} and {b.name.lower()}: every token sent must be waited for"
        if max(pending) > TOKEN_LIMIT and _waiting(streams, a, b, before) > TOKEN_LIMIT:
            yield f"{a.name.lower()} and {b.name.lower()}: more than {TOKEN_LIMIT} tokens may wait"
        for i in range(len(streams[a])):
            for k in range(len(streams[b])):
                shared = ports[a, i] & ports[b, k]
                if shared and before[b, k].get(a, -1) < i and before[a, i].get(b, -1) < k:
                    yield (
                        f"{a.name.lower()} {i} and {b.name.lower()} {k} share the {min(shared)} memory "
                        "and no token orders them"
                    )


def _predecessors(
    streams: Mapping[Engine, Sequence[Instruction]],
) -> dict[tuple[Engine, int], dict[Engine, int]] | None:
    """For each instruction, the last one of each engine that surely retired before it starts; None: deadlock."""
    before: dict[tuple[Engine, int], dict[Engine, int]] = {}
    sent: dict[tuple[Engine, Engine], list[int]] = {(a, b): [] for a in Engine for b in Engine}
    done = dict.fromkeys(streams, 0)
    progress = True
    while progress:
        progress = False
        for engine, stream in streams.items():
            while done[engine] < len(stream):
                index = done[engine]
                sources = [other for other in streams if stream[index].wait >> other & 1]
                if not all(sent[other, engine] for other in sources):
                    break
                known = dict(before.get((engine, index - 1), {}))
                known[engine] = index - 1
                for other in sources:
                    token = sent[other, engine].pop(0)
                    for third, last in {**before[other, token], other: token}.items():
                        known[third] = max(known.get(third, -1), last)
                before[engine, index] = known
                for other in streams:
                    if stream[index].signal >> other & 1:
                        sent[engine, other].append(index)
                done[engine] += 1
                progress = True
    return before if all(done[engine] == len(stream) for engine, stream in streams.items()) else None


def _waiting(streams, a: Engine, b: Engine, before) -> int:
    """The most tokens from `a` that can wait for `b`: sent by then, less those `b` surely took before."""
    most = 0
    for sender, taker in ((a, b), (b, a)):
        sent = 0
        for index, item in enumerate(streams[sender]):
            if item.signal >> taker & 1:
                sent += 1
                last = before[sender, index].get(taker, -1)
                taken = sum(other.wait >> sender & 1 for other in streams[taker][: last + 1])
                most = max(most, sent - taken)
    return most


def rounds_randomly(instruction: Instruction) -> bool:
    """Whether the instruction advances the rounders' random state."""
    return isinstance(instruction, Compute) and instruction.rounding == Rounding.STOCHASTIC
