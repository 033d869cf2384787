"""Tokens: each engine's stream from one order of all instructions, waiting where pages are shared.

Tokens of a pair of engines are taken in the order in which they are sent, one at most an instruction. What an
instruction waits for already through others gets no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arch.isa import ENGINES, TOKEN_LIMIT, Engine, Halt, Instruction
from compiler.hazards import page_bits

Pair = tuple[Engine, Engine]
"""Sender and taker."""


@dataclass(frozen=True)
class Streams:
    """Each engine's instructions, HALT last, and the place of each but the HALT in the list that they are made of."""

    instructions: dict[Engine, list[Instruction]]
    origins: dict[Engine, list[int]]


def streams(issued: Sequence[tuple[Engine, Instruction]], pages: Sequence[int], order: Sequence[int]) -> Streams:
    """The streams of `issued`, an engine's instructions in the order that `order` has them.

    `pages[i]` is a mask of the pages that instruction i uses; instructions of different engines that share one run in
    the order of `order`, which is thus an execution and no deadlock can be.
    """
    origins: dict[Engine, list[int]] = {engine: [] for engine in ENGINES}
    for index in order:
        origins[issued[index][0]].append(index)
    pairs = _limited(_Order([issued[index][0] for index in order], [pages[index] for index in order]))
    instructions: dict[Engine, list[Instruction]] = {
        engine: [issued[index][1] for index in own] for engine, own in origins.items()
    }
    for engine, stream in instructions.items():
        _give_tokens(stream, engine, pairs)
        stream.append(Halt())
    return Streams(instructions, origins)


def _give_tokens(stream: list[Instruction], engine: Engine, pairs: dict[Pair, list[tuple[int, int]]]) -> None:
    waits, signals = [0] * len(stream), [0] * len(stream)
    for (sender, taker), tokens in pairs.items():
        if sender == engine:
            for sent, _ in tokens:
                signals[sent] |= 1 << taker
        elif taker == engine:
            for _, taken in tokens:
                waits[taken] |= 1 << sender
    for number, (wait, signal) in enumerate(zip(waits, signals, strict=True)):
        if wait or signal:
            stream[number] = stream[number].with_tokens(wait, signal)


class _Order:
    """One order of all instructions: `engines` and `pages` of each; `places[engine][k]`, where its k-th stands."""

    def __init__(self, engines: list[Engine], pages: list[int]):
        self.engines = engines
        self.pages = pages
        self.places: dict[Engine, list[int]] = {engine: [] for engine in ENGINES}
        for place, engine in enumerate(engines):
            self.places[engine].append(place)


_Needs = dict[tuple[Engine, int], dict[Engine, int]]
"""For an instruction (engine, number in its stream): of other engines, one that it must follow besides."""


def _limited(order: _Order) -> dict[Pair, list[tuple[int, int]]]:
    """Tokens (sender's, taker's instruction) of which never more than TOKEN_LIMIT wait."""
    needs: _Needs = {}
    while True:
        pairs = _pairs(order, needs)
        if not _relieve(order, pairs, needs):
            return pairs


def _pairs(order: _Order, needs: _Needs) -> dict[Pair, list[tuple[int, int]]]:
    """The tokens that shared pages and `needs` ask for, as few as that takes."""
    pairs: dict[Pair, list[tuple[int, int]]] = {(a, b): [] for a in ENGINES for b in ENGINES if a != b}
    history: dict[Engine, list[list[int]]] = {engine: [] for engine in ENGINES}
    """For each instruction: of every engine, the last one that it surely follows."""
    users: dict[Engine, list[int]] = {engine: [-1] * max(order.pages, default=0).bit_length() for engine in ENGINES}
    for engine, mask in zip(order.engines, order.pages, strict=True):
        own = history[engine]
        number, used = len(own), page_bits(mask)
        mine = list(own[-1]) if own else [-1] * len(ENGINES)
        mine[engine] = number - 1
        wanted = needs.get((engine, number), {}).copy()
        for other in ENGINES:
            if other != engine and history[other]:
                wanted[other] = max([wanted.get(other, -1), *[users[other][page] for page in used]])
        late = [other for other, last in wanted.items() if last > mine[other]]
        # the latest first: what it waited for is known with it
        for other in sorted(late, key=lambda item: -order.places[item][wanted[item]]):
            last = wanted[other]
            if last > mine[other]:
                pairs[other, engine].append((last, number))
                mine = [max(known) for known in zip(mine, history[other][last], strict=True)]
                mine[other] = last
        own.append(mine)
        for page in used:
            users[engine][page] = number
    return pairs


def _relieve(order: _Order, pairs: dict[Pair, list[tuple[int, int]]], needs: _Needs) -> bool:
    """Add needs where more than TOKEN_LIMIT tokens could wait; False if there was nothing to add.

    Token n may be sent once token n - TOKEN_LIMIT has surely been taken: either its taker comes before in the order,
    and the sender then waits for it, or it is sent later, with token n.
    """
    added = False
    for (sender, taker), tokens in pairs.items():
        for (old_sent, old_taken), (sent, _) in zip(tokens, tokens[TOKEN_LIMIT:], strict=False):
            if order.places[taker][old_taken] < order.places[sender][sent]:
                added |= _need(needs, (sender, sent), taker, old_taken)
            elif old_sent < sent:
                added |= _need(needs, (taker, old_taken), sender, sent)
    return added


def _need(needs: _Needs, who: tuple[Engine, int], other: Engine, number: int) -> bool:
    wanted = needs.setdefault(who, {})
    if wanted.get(other, -1) >= number:
        return False
    wanted[other] = number
    return True
