"""The scheduler: for every entry, what lies where and when, and the transfers in between.

Everything stays on the chip if it fits. Otherwise inputs come from outside and maps that do not fit are written out and
brought again, the ones first that are needed last (Belady, 1966), or pass by in bands; and if the rows of all
parameters do not fit, they are at home outside, but for the smallest, and come when they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any

from arch.chip import Chip
from arch.isa import BYTE_BITS
from arch.layout import Region, Store
from compiler.bands import LONGEST, Bands
from compiler.chunks import Chunks
from compiler.column_bands import ColumnBands
from compiler.graph import ROWS, Graph, Operation, Role
from compiler.kernels import Kernels
from compiler.maps import layouts
from compiler.memory import Memory, Outside, Unfit, least
from compiler.nodes import NetworkError
from compiler.octets import bits_of
from compiler.plan import Move, Plan, Run
from compiler.rows import Unit, units
from compiler.working_sets import Tensors, WorkingSet

_GIVEN = (Role.INPUT, Role.LABEL, Role.TARGET)
_PART = 16
"""A sixteenth of the weight memory is for the smallest row tensors if not all fit; as many rows make a tensor large."""


def reside(graph: Graph, kernels: Kernels, chip: Chip, fractions: dict[str, int]) -> Plan:
    """The steps of every entry of a graph.

    `fractions` has every tensor's fraction bits. Raises `NetworkError` naming a tensor that does not fit, and by how
    many bytes.
    """
    maps = [tensor.name for tensor in graph.tensors.values() if tensor.role not in ROWS]
    tensors = Tensors(graph, kernels, layouts(graph, maps, fractions, chip), units(kernels), fractions)
    tensors = replace(tensors, packed=_packed(tensors, chip))
    failure: Unfit | None = None
    usual = replace(tensors, conventional=True)
    for planner in (_Planner(tensors, chip, True), _Planner(usual, chip, True), _Planner(tensors, chip, False)):
        try:
            return planner.plan()
        except Unfit as unfit:
            failure = unfit
        if chip.external_memory is None and planner.tensors.conventional:
            break
    assert failure is not None
    raise NetworkError(_refusal(failure, chip))


class _Planner:
    """Homes, the same for all entries; `still`: everything is at home on the chip and nothing moves."""

    def __init__(self, tensors: Tensors, chip: Chip, still: bool):
        self.tensors = tensors
        self.chip = chip
        self.still = still
        self.graph = tensors.graph
        self.outside = Outside(chip, tensors.packed)
        self.units = {unit.name: unit for unit in tensors.units.values()}
        self.sizes = {name: unit.count for name, unit in self.units.items()}
        self.sizes |= {name: layout.words for name, layout in tensors.layouts.items()}
        self.fixed: dict[str, tuple[Store, range]] = {}

    def plan(self) -> Plan:
        """Steps and homes. Raises `Unfit`."""
        self._fix()
        for name in (*self.units, *self._given, self.graph.logits):
            if name not in self.fixed:
                scale = self.chip.taps if name in self.units else 1
                self.outside.base(name, self.sizes[name] * scale, scale)
        steps = {name: self._entry(operations) for name, operations in self.graph.entries.items()}
        return Plan(steps, self._homes(), self.outside.first)

    @property
    def _given(self) -> list[str]:
        used = {name for operation in self.graph.operations for name in operation.inputs}
        return [name for name in self.tensors.layouts if self.graph.tensors[name].role in _GIVEN and name in used]

    def _fix(self) -> None:
        """Places for good on the chip, from the ends of the memories on: given maps, the result, and row tensors."""
        memory = Memory.empty(self.chip, self.outside, self.sizes, {})
        small = self.chip.feature_words // 16
        for name in (*self._given, self.graph.logits):
            if self.still or self.sizes[name] <= small:
                self._pin(memory, name, Store.FEATURE)
        order = sorted(self.units.values(), key=lambda unit: (unit.count, unit.name))
        room = self.chip.weight_rows
        if not self.still and sum(unit.count for unit in order) > room:
            room //= _PART
        for unit in order:
            room -= unit.count
            if self.still or room >= 0:
                self._pin(memory, unit.name, Store.WEIGHT)

    def _pin(self, memory: Memory, name: str, store: Store) -> None:
        room, size = memory.rooms[store], self.sizes[name]
        stop = min((words.start for words in room.taken.values()), default=room.size)
        if size > stop:
            raise Unfit(name, store, size - stop)
        memory.rooms[store] = room.take(name, range(stop - size, stop))
        self.fixed[name] = store, range(stop - size, stop)

    def _entry(self, operations: Sequence[Operation]) -> list[Run | Move]:
        memory = self._start(operations)
        steps: list[Run | Move] = []
        while memory.now + 1 < len(operations):
            memory = self._next(memory, operations)
            steps += chain.from_iterable(memory.steps)
            memory.steps = []
        for name in list(memory.at):
            if name not in memory.fixed and memory.next_use(name) is not None:
                memory.write(name)
        return [*steps, *chain.from_iterable(memory.steps)]

    def _next(self, memory: Memory, operations: Sequence[Operation]) -> Memory:
        """The memory after the next operation, or after several that run in turn. Raises `Unfit`."""
        first = memory.now + 1
        count = self._parts(operations, first)
        if count > LONGEST and memory.moves:  # maps that many parts of a layer read had better never leave the chip
            parts = Bands(self.tensors, operations, first, count)
            room = self.chip.feature_words + self.chip.gradient_words
            if sum(self.sizes[name] for name in parts.maps) > room and parts.possible(memory):
                with suppress(Unfit):
                    return parts.best(memory)
        chunks = Chunks(self.tensors, operations, first)
        if self._streams(memory, operations[first], first):
            with suppress(Unfit):
                return chunks.best(memory)
        try:
            return WorkingSet(self.tensors, operations, first).best(memory)
        except Unfit as unfit:
            failures = [unfit]
        pieces: list[WorkingSet] = [chunks] if memory.moves and chunks.possible(memory) else []
        for kind in (Bands, ColumnBands):
            done: list[Memory] = []
            for work in [*pieces, *self._bands(kind, memory, operations)]:
                try:
                    done.append(work.best(memory))
                except Unfit as unfit:
                    failures.append(unfit)
                else:
                    if work is chunks and work.sums:  # bands would round a gradient more than once
                        return done[0]
            if done:
                return min(done, key=lambda trial: trial.cost)
            pieces = []
        raise least(failures, self.chip)

    def _bands(self, kind: type[Bands], memory: Memory, operations: Sequence[Operation]) -> Iterator[Bands]:
        """The next operation in bands, alone and with those after it that can run in turn with it."""
        first = memory.now + 1
        for count in range(1, min(LONGEST, len(operations) - first) + 1) if memory.moves else ():
            bands = kind(self.tensors, operations, first, count)
            if not bands.possible(memory):
                break
            yield bands

    @staticmethod
    def _parts(operations: Sequence[Operation], first: int) -> int:
        """Operations from `first` on that are parts of one layer's forward pass."""
        layer = operations[first].layer, operations[first].phase
        same = (k for k in range(first, len(operations)) if (operations[k].layer, operations[k].phase) != layer)
        return next(same, len(operations)) - first

    def _streams(self, memory: Memory, operation: Operation, now: int) -> bool:
        """Whether an operation's weight had better come in chunks: a large one that nothing else needs."""
        unit = self.tensors.units.get(operation.weight)
        if not memory.moves or unit is None or unit.name in memory.at or operation.weight not in operation.reads:
            return False
        return unit.count * _PART >= self.chip.weight_rows and memory.uses[unit.name] == [now]

    def _start(self, operations: Sequence[Operation]) -> Memory:
        memory = Memory.empty(self.chip, self.outside, self.sizes, self._uses(operations))
        memory.moves = memory.moves and not self.still
        for name, (store, words) in self.fixed.items():
            memory.rooms[store] = memory.rooms[store].take(name, words)
            memory.at[name] = store
        memory.fixed = set(self.fixed)
        memory.valid = {name for name in (*self.units, *self._given) if name not in self.fixed}
        return memory

    def _uses(self, operations: Sequence[Operation]) -> dict[str, list[int]]:
        """The operations that use each map and unit; beyond the last one, what is changed and has its home outside."""
        uses: dict[str, list[int]] = {}
        changed = {self.graph.logits}
        for now, operation in enumerate(operations):
            for name in (*self.tensors.maps(operation), *self.tensors.units_of(operation)):
                uses.setdefault(name, []).append(now)
            if operation.output in self.tensors.units:
                changed.add(self.tensors.units[operation.output].name)
        for name in changed & uses.keys() - self.fixed.keys():
            uses[name].append(len(operations))
        return uses

    def _homes(self) -> dict[str, Region]:
        homes = {}
        for name in (*self._given, self.graph.logits):
            store, base = self._home(name, 1)
            region = self.tensors.layouts[name].region(store, base, self.graph.tensors[name].shape)
            homes[name] = region.model_copy(update=self._width(name, name))
        for unit in self.units.values():
            store, base = self._home(unit.name, self.chip.taps)
            homes |= {name: self._rows(name, unit, store, base) for name in unit.offsets}
        return homes

    def _home(self, name: str, scale: int) -> tuple[Store, int]:
        if name in self.fixed:
            store, words = self.fixed[name]
            return store, words.start
        return Store.EXTERNAL, self.outside.bases[name] // scale

    def _width(self, name: str, unit: str) -> dict[str, Any]:
        """A region's `bits` and `packed`, of a tensor in a unit or by itself."""
        narrow = bits_of(name, self.graph.octets, self.chip) == BYTE_BITS
        return {"bits": BYTE_BITS if narrow else 16, "packed": unit in self.tensors.packed}

    def _rows(self, name: str, unit: Unit, store: Store, base: int) -> Region:
        layout = self.tensors.kernels.layout(name)
        return Region(
            name=name,
            store=store,
            kind=layout.kind,
            base=base + unit.offsets[name],
            shape=layout.shape,
            kernels=layout.cut,
            fraction=self.tensors.fractions.get(name, 0),
            **self._width(name, unit.name),
        )


def _packed(tensors: Tensors, chip: Chip) -> frozenset[str]:
    """The maps and units that lie as bytes outside: all of whose elements have 8 bits, where the chip can."""
    if not chip.stores_bytes:
        return frozenset()
    together = {unit.name: unit.offsets.keys() for unit in tensors.units.values()}
    together |= {name: {name} for name in tensors.layouts}
    octets = tensors.graph.octets
    return frozenset(
        unit for unit, names in together.items() if all(bits_of(name, octets, chip) == BYTE_BITS for name in names)
    )


def _refusal(unfit: Unfit, chip: Chip) -> str:
    bits = chip.lanes * chip.word_bits * (chip.taps if unfit.store == Store.WEIGHT else 1)
    bits = 8 * chip.external_word_bytes if unfit.store == Store.EXTERNAL else bits
    missing = -(-unfit.missing * bits // 8)
    name = unfit.name.split("\0")[0]
    way = f"enlarge {unfit.store.value}_memory.bytes"
    if chip.external_memory is None:
        way += " or add an external_memory"
    return (
        f"{name} does not fit the {unfit.store.value} memory of chip {chip.name} beside what is needed with it: "
        f"{missing} bytes too few; {way}"
    )
