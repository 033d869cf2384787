"""Sixth pass: a place for every tensor, words shared by those that are not alive at the same time."""

from __future__ import annotations

from dataclasses import dataclass

from arch.chip import Chip
from arch.layout import Region, Store
from compiler.graph import Graph, Role
from compiler.network import NetworkError
from compiler.placement import Placement

_LIMIT = {Store.FEATURE: "feature_words", Store.GRADIENT: "gradient_words", Store.WEIGHT: "weight_rows"}


@dataclass(frozen=True)
class Lifetime:
    """A tensor is written by operation `first` and last used by operation `last` (-1: before all, len: after all)."""

    first: int
    last: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are needed at once. What an operation reads and what it writes are."""
        return self.first <= other.last and other.first <= self.last


def lifetimes(graph: Graph) -> dict[str, Lifetime]:
    """When each tensor is alive. Inputs keep their words for good, since only some of their lanes are ever written."""
    end = len(graph.operations)
    result = {}
    for name, tensor in graph.tensors.items():
        if tensor.role in (Role.INPUT, Role.LABEL, Role.WEIGHT, Role.BIAS):
            result[name] = Lifetime(-1, end)
            continue
        first = next(i for i, item in enumerate(graph.operations) if item.output == name)
        reads = [i for i, item in enumerate(graph.operations) if name in item.reads]
        result[name] = Lifetime(first, end if name == graph.logits else max(reads, default=first))
    return result


def allocate(
    graph: Graph, placements: dict[str, Placement], fractions: dict[str, int], chip: Chip
) -> dict[str, Region]:
    """A region for each tensor: first fit, largest first. Raises `NetworkError` saying by how many bytes it fails."""
    alive = lifetimes(graph)
    bases: dict[str, int] = {}
    for store in Store:
        items = [item for item in placements.values() if item.store == store]
        items.sort(key=lambda item: (alive[item.name].first >= 0, -item.units, item.name))
        for item in items:
            bases[item.name] = _first_fit(item, bases, placements, alive)
        _check_fit(store, items, bases, chip)
    return {
        name: Region(
            name=name,
            store=item.store,
            kind=item.kind,
            base=bases[name],
            shape=item.shape,
            pitch=item.pitch,
            fraction=fractions[name],
        )
        for name, item in placements.items()
    }


def _first_fit(
    item: Placement, bases: dict[str, int], placements: dict[str, Placement], alive: dict[str, Lifetime]
) -> int:
    taken = sorted(
        (bases[name], bases[name] + other.units)
        for name, other in placements.items()
        if name in bases and other.store == item.store and alive[name].overlaps(alive[item.name])
    )
    base = 0
    for first, stop in taken:
        if base + item.units <= first:
            break
        base = max(base, stop)
    return base


def _check_fit(store: Store, items: list[Placement], bases: dict[str, int], chip: Chip) -> None:
    if not items:
        return
    units = getattr(chip, _LIMIT[store])
    beyond = max(bases[item.name] + item.units for item in items) - units
    if beyond > 0:
        largest = max(items, key=lambda item: item.units)
        unit_bits = chip.lanes * chip.word_bits * (chip.taps if store == Store.WEIGHT else 1)
        missing = -(-beyond * unit_bits // 8)
        raise NetworkError(
            f"{largest.name}, the largest of what is needed at once, does not fit the {store.value} memory of chip "
            f"{chip.name} beside the rest: {missing} bytes too few; enlarge {store.value}_memory.bytes"
        )
