"""The memories while a schedule is made: what stands where, what has a valid copy outside, and the steps so far."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from arch.chip import Chip
from arch.isa import Storage, Transfer
from arch.layout import LARGEST, Store
from compiler.graph import Operation
from compiler.plan import Move, Run
from compiler.room import Room
from compiler.transfers import Lines, line_transfers, page_size, transfers

_SOON, _JUST = 8, 2
"""Weights of the distances, in operations, to the next and from the last use of what is given up."""


class Unfit(Exception):
    """No room for `name` in `store`, by at least `missing` words or rows."""

    def __init__(self, name: str, store: Store, missing: int):
        super().__init__(name)
        self.name, self.store, self.missing = name, store, missing


def least(failures: Sequence[Unfit], chip: Chip) -> Unfit:
    """The failure that lacks the fewest bytes."""
    return min(failures, key=lambda unfit: unfit.missing * (chip.taps if unfit.store == Store.WEIGHT else 1))


@dataclass
class Outside:
    """Places in the external memory, given once and for good; `first` is the next free word.

    `packed` are tensors of bytes: their words are half as large, and their places are counted in these.
    """

    chip: Chip
    packed: frozenset[str] = frozenset()
    bases: dict[str, int] = field(default_factory=dict)
    first: int = 0

    def base(self, name: str, words: int, align: int = 1) -> int:
        """The place of a tensor, a multiple of `align` from now on. Raises `Unfit` if the memory is full."""
        if name not in self.bases:
            base = -(-self.first // align) * align
            most = min(self.chip.external_words, LARGEST)
            stop = base + -(-words // self.in_word(name))
            if stop > most:
                raise Unfit(name, Store.EXTERNAL, stop - most)
            self.bases[name], self.first = base * self.in_word(name), stop
        return self.bases[name]

    def in_word(self, name: str) -> int:
        """Words of a tensor in a word of 16-bit elements."""
        return 2 if name in self.packed else 1

    def storage(self, name: str) -> Storage:
        """How a tensor's elements lie outside."""
        return Storage.BYTE if name in self.packed else Storage.WORD


@dataclass
class Memory:
    """Rooms, and what is known of tensors.

    `at`: the room of what is on the chip; `valid`: what has the same value outside; `fixed`: what never leaves its
    words; `uses`: the operations that need each, in order. `cost` counts the words moved and those that will have to
    be. `steps` are made for `operation`, the one of number `now`, each part when it is asked for, once. Without `moves`
    nothing may be transferred.
    """

    chip: Chip
    outside: Outside
    rooms: dict[Store, Room]
    sizes: dict[str, int]
    uses: dict[str, list[int]]
    at: dict[str, Store] = field(default_factory=dict)
    valid: set[str] = field(default_factory=set)
    fixed: set[str] = field(default_factory=set)
    steps: list[Iterable[Run | Move]] = field(default_factory=list)
    cost: float = 0
    now: int = -1
    moves: bool = True
    operation: Operation | None = None

    @classmethod
    def empty(cls, chip: Chip, outside: Outside, sizes: dict[str, int], uses: dict[str, list[int]]) -> Memory:
        """Nothing anywhere."""
        words = {
            Store.FEATURE: chip.feature_words,
            Store.GRADIENT: chip.gradient_words,
            Store.WEIGHT: chip.weight_rows,
        }
        rooms = {store: Room(store, size, page_size(store, chip)) for store, size in words.items()}
        return cls(chip, outside, rooms, sizes, uses, moves=chip.external_memory is not None)

    def copy(self) -> Memory:
        """The same, to try something with; its steps begin anew."""
        return Memory(
            self.chip,
            self.outside,
            dict(self.rooms),
            self.sizes,
            self.uses,
            dict(self.at),
            set(self.valid),
            self.fixed,
            [],
            0,
            self.now,
            self.moves,
            self.operation,
        )

    def adopt(self, trial: Memory) -> None:
        """Let a copy, with its steps, be what has come of this memory."""
        self.rooms, self.at, self.valid = trial.rooms, trial.at, trial.valid
        self.steps += trial.steps
        self.cost += trial.cost

    def base(self, name: str) -> int:
        """The first word or row of what is on the chip."""
        return self.rooms[self.at[name]].taken[name].start

    def next_use(self, name: str) -> int | None:
        """The next operation after this one that needs a tensor; None if none does."""
        uses = self.uses.get(name, ())
        place = bisect_right(uses, self.now)
        return uses[place] if place < len(uses) else None

    def last_use(self, name: str) -> int:
        """The last operation up to this one that needed a tensor; -1 if none did."""
        uses = self.uses.get(name, ())
        place = bisect_right(uses, self.now)
        return uses[place - 1] if place else -1

    def scale(self, store: Store) -> int:
        """External words of a word or a row."""
        return self.chip.taps if store == Store.WEIGHT else 1

    def traffic(self, name: str, words: int) -> float:
        """What moving words of a tensor costs: as many words of 16-bit elements."""
        return words / self.outside.in_word(name)

    def place(self, name: str, store: Store, count: int, locked: Collection[str]) -> range:
        """Give `name` room, for which others go unless they are `locked`. Raises `Unfit`."""
        room = self.rooms[store]
        words = room.fit(count)
        if words is None:
            prices = {other: self._price(other, locked) for other in room.taken}
            kept = sum(len(room.taken[other]) for other, price in prices.items() if price is None)
            victims = room.clearing(count, prices) if kept + count <= room.size else None
            if victims is None:
                raise Unfit(name, store, max(1, kept + count - room.size))
            for victim in victims:
                self.evict(victim)
            words = self.rooms[store].fit(count)
            assert words is not None
        self.rooms[store] = self.rooms[store].take(name, words)
        self.at[name] = store
        return words

    def _price(self, name: str, locked: Collection[str]) -> float | None:
        """What giving up a tensor costs: more the more is moved for it, the sooner it is needed again, and the later it
        was used: what has long been unused can have been moved before the room is needed."""
        if name in locked or name in self.fixed:
            return None
        use = self.next_use(name)
        if use is None:
            return 0
        if not self.moves:
            return None
        words = self.traffic(name, self.sizes[name]) * (1 if name in self.valid else 2)
        return words * (1 + _SOON / (use - self.now)) * (1 + _JUST / (1 + self.now - self.last_use(name)))

    def evict(self, name: str) -> None:
        """Take a tensor from the chip; it is written out if it is needed again and was changed."""
        if self.next_use(name) is not None:
            self.write(name)
            self.cost += self.traffic(name, self.sizes[name] * self.scale(self.at[name]))
        self.drop(name)

    def drop(self, name: str) -> None:
        """Give up a tensor's room."""
        self._give(name, self.last_use(name))

    def give(self, buffer: str) -> None:
        """Give up a buffer of the operation that has just run."""
        self._give(buffer, self.now)

    def _give(self, name: str, last: int) -> None:
        store = self.at.pop(name)
        self.rooms[store] = self.rooms[store].give(name, last)

    def write(self, name: str) -> None:
        """See that the tensor on the chip has a valid copy outside."""
        if name not in self.valid:
            store = self.at[name]
            self.move(name, store, self.rooms[store].taken[name], 0, True)
            self.valid.add(name)

    def load(self, name: str, store: Store, locked: Collection[str]) -> None:
        """Bring a tensor that has a copy outside."""
        assert name in self.valid, name
        if not self.moves:
            raise Unfit(name, store, self.sizes[name])
        self.move(name, store, self.place(name, store, self.sizes[name], locked), 0, False)

    def home(self, name: str, store: Store) -> int:
        """The place outside of a tensor that may also stand in `store`. Raises `Unfit` if there is no more room."""
        scale = self.scale(store)
        return self.outside.base(name, self.sizes[name] * scale, scale)

    def move(self, name: str, store: Store, words: range, offset: int, outward: bool) -> None:
        """Transfers between words on the chip and those of the tensor's place outside from `offset` on."""
        external = self.home(name, store) + offset
        self._moves(name, transfers(store, words, external, outward, self.chip, self.outside.storage(name)))
        if store != Store.WEIGHT:  # these move whatever way is chosen
            self.cost += self.traffic(name, len(words))

    def move_lines(self, name: str, store: Store, first: int, some: Lines, offset: int, outward: bool) -> None:
        """Transfers between lines of a tensor from word or row `first` on and those of its place outside from word
        `offset` on."""
        external = self.home(name, store) + offset
        storage = self.outside.storage(name)
        self._moves(name, line_transfers(store, first, external, some, outward, self.chip, storage))
        if store != Store.WEIGHT:
            self.cost += self.traffic(name, some.lines * some.words)

    def _moves(self, name: str, made: Iterator[Transfer]) -> None:
        assert self.operation is not None
        layer, phase = self.operation.layer, self.operation.phase
        self.steps.append(Move(transfer, name, layer, phase) for transfer in made)


def buffer_name(name: str, number: int) -> str:
    """A name that no tensor has: tensors' names are printable."""
    return f"{name}\0{number}"
