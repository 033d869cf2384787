"""Which streams exist: tokens that order what shares a page, and no deadlock.

Two instructions of different engines that tokens do not order must use different pages, and of array and vector engine
different memories: a page has one port, of which these two share the wires, and no arbiter whose outcome would depend
on more than the program.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, combinations
from operator import attrgetter

from arch.chip import Chip
from arch.isa import ENGINE_OF, TOKEN_LIMIT, Engine, Halt, Instruction, engines_in
from arch.legal import problems
from arch.nest_rules import chain_problems
from arch.pages import Page, spaces

Streams = Mapping[Engine, Sequence[Instruction]]
_Known = dict[Engine, list[list[int]]]
"""For each engine and instruction: of each engine, the last instruction that surely retired before it starts; or -1."""


def stream_problems(streams: Streams, chip: Chip) -> Iterator[str]:
    """Everything wrong with the streams of one entry: instructions, ends, tokens, and pages that two engines share."""
    unfit = False
    for problem in _instruction_problems(streams, chip):
        unfit = True
        yield problem
    if not unfit:
        yield from chain_problems(streams.get(Engine.ARRAY, ()), chip)
        yield from _order_problems(streams, chip)


def _instruction_problems(streams: Streams, chip: Chip) -> Iterator[str]:
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


def _order_problems(streams: Streams, chip: Chip) -> Iterator[str]:
    before = _predecessors(streams)
    if before is None:
        yield "deadlock: the engines wait for each other's tokens for ever"
        return
    used = {engine: [spaces(item, chip) for item in stream] for engine, stream in streams.items()}
    for a, b in combinations(streams, 2):
        pair = f"{a.name.lower()} and {b.name.lower()}"
        for sender, taker in ((a, b), (b, a)):
            sent = _counted(streams[sender], attrgetter("signal"), taker)
            taken = _counted(streams[taker], attrgetter("wait"), sender)
            if sent[-1] != taken[-1]:
                yield f"{pair}: every token sent must be waited for"
            elif _waiting(sent, taken, [known[taker] for known in before[sender]]) > TOKEN_LIMIT:
                yield f"{pair}: more than {TOKEN_LIMIT} tokens may wait"
        known_a = [known[a] for known in before[b]]
        known_b = [known[b] for known in before[a]]
        users_a, users_b = _users(used[a], a, b), _users(used[b], a, b)
        for memory, page in sorted(users_a.keys() & users_b.keys()):
            place = f"the {memory} memory" if page < 0 else f"page {page} of the {memory} memory"
            for i, k in _unordered(users_a[memory, page], users_b[memory, page], known_a, known_b):
                yield f"{a.name.lower()} {i} and {b.name.lower()} {k} share {place} and no token orders them"


def contested(pages: frozenset[Page], a: Engine, b: Engine) -> frozenset[Page]:
    """What an instruction of engine `a` or `b` that uses these pages keeps the other from: them, or (page -1) all."""
    return pages if Engine.DMA in (a, b) else frozenset((memory, -1) for memory, _ in pages)


def _users(used: Sequence[frozenset[Page]], a: Engine, b: Engine) -> dict[Page, list[int]]:
    """For each of `contested`, the instructions of one engine that use it, in order."""
    users: dict[Page, list[int]] = {}
    for index, pages in enumerate(used):
        for page in contested(pages, a, b):
            users.setdefault(page, []).append(index)
    return users


def _unordered(
    users_a: list[int], users_b: list[int], known_a: list[int], known_b: list[int]
) -> Iterator[tuple[int, int]]:
    """For each user of `b` that has any, its first user of `a` that neither precedes nor follows it.

    known_a[k]: the last instruction of a that precedes b's instruction k; it grows with k, as known_b does.
    """
    for k in users_b:
        first = bisect_right(users_a, known_a[k])  # the first that does not precede k
        if first < len(users_a) and users_a[first] < bisect_left(known_b, k):  # and it does not follow k
            yield users_a[first], k


def _predecessors(streams: Streams) -> _Known | None:
    """What surely retired before each instruction; None: deadlock."""
    before: _Known = {engine: [] for engine in streams}
    sent: dict[tuple[Engine, Engine], deque[int]] = {(a, b): deque() for a in Engine for b in Engine}
    progress = True
    while progress:
        progress = False
        for engine, stream in streams.items():
            own = before[engine]
            while (index := len(own)) < len(stream):
                sources = engines_in(stream[index].wait)
                if not all(sent[other, engine] for other in sources):
                    break
                known = list(own[-1]) if own else [-1] * len(Engine)
                known[engine] = index - 1
                for other in sources:
                    token = sent[other, engine].popleft()
                    known = [max(both) for both in zip(known, before[other][token], strict=True)]
                    known[other] = max(known[other], token)
                own.append(known)
                for other in engines_in(stream[index].signal):
                    sent[engine, other].append(index)
                progress = True
    return before if all(len(before[engine]) == len(stream) for engine, stream in streams.items()) else None


def _counted(stream: Sequence[Instruction], mask: Callable[[Instruction], int], other: Engine) -> list[int]:
    """How many instructions before each place of a stream, its end too, have `other` in a mask of theirs."""
    return list(accumulate([mask(item) >> other & 1 for item in stream], initial=0))


def _waiting(sent: list[int], taken: list[int], known: list[int]) -> int:
    """The most tokens that can wait: those sent with an instruction, less those surely taken before it started.

    `known`: for each instruction of the sender, the taker's last one that precedes it.
    """
    return max((sent[index + 1] - taken[last + 1] for index, last in enumerate(known)), default=0)
