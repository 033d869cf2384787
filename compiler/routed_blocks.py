"""Channels that go to other channels, as pairs of planes: what a ChannelMap's rows of constants connect."""

from __future__ import annotations

from dataclasses import dataclass

from arch.chip import Chip
from compiler.graph import Graph, Operation


@dataclass(frozen=True)
class RoutedBlock:
    """Channels of plane `source` that go to plane `target`; own rows from `row` on, one for each lane of the target or
    a single one if the block is `straight`, as all are that go to that plane: from lanes to the same lanes."""

    target: int
    source: int
    row: int
    straight: bool
    pattern: tuple[tuple[int, int], ...]
    """Pairs of a lane of the target and one of the source."""


def routed_blocks(operation: Operation, graph: Graph, chip: Chip) -> list[list[RoutedBlock]]:
    """For each input of a ChannelMap, the pairs of planes that it connects; those that connect alike share rows."""
    lanes, row = chip.lanes, 0
    crossed = {t // lanes for routes in operation.routes for t, s in routes if t % lanes != s % lanes}
    result = []
    for name, routes in zip(operation.inputs, operation.routes, strict=True):
        pairs: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for t, s in routes:
            pairs.setdefault((t // lanes, s // lanes), set()).add((t % lanes, s % lanes))
        blocks, places = [], {}
        for (target, source), pattern in sorted(pairs.items()):
            straight = target not in crossed
            if straight:  # lanes that the input lacks are zero
                beyond = range(max(graph.tensors[name].shape[0] - source * lanes, 0), lanes)
                pattern |= {(lane, lane) for lane in beyond}
            key = straight, tuple(sorted(pattern))
            if key not in places:
                places[key] = row
                row += 1 if straight else lanes
            blocks.append(RoutedBlock(target, source, places[key], straight, key[1]))
        result.append(blocks)
    return result
