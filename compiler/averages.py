"""Average pooling that does not count padding: where windows are cut short, and by what their sums are divided."""

from __future__ import annotations

from itertools import groupby, product
from typing import NamedTuple

import numpy as np

from compiler.graph import Operation
from compiler.walks import Tile


class Run(NamedTuple):
    """Outputs `first` ... `stop` - 1 along one side, whose windows have `inside` taps in the map."""

    first: int
    stop: int
    inside: int


def runs(extent: int, count: int, kernel: int, stride: int, pad: int) -> list[Run]:
    """Neighbouring outputs alike, of `count` outputs along a side of a map of `extent`."""
    starts = [i * stride - pad for i in range(count)]
    inside = [min(start + kernel, extent) - max(start, 0) for start in starts]
    found = []
    for taps, some in groupby(range(count), key=inside.__getitem__):
        alike = list(some)
        found.append(Run(alike[0], alike[-1] + 1, taps))
    return found


def parts(operation: Operation, target: tuple[int, ...]) -> list[tuple[Tile, int]]:
    """Rectangles of a pooling's output, of shape `target`, whose windows have the same number of taps in the map, and
    that number, in order."""
    sides = zip(operation.extents, target[1:], operation.kernel, operation.stride, operation.pads, strict=True)
    down, across = (runs(*side) for side in sides)
    return [
        (Tile(a.first, b.first, a.stop - a.first, b.stop - b.first), a.inside * b.inside)
        for a, b in product(down, across)
    ]


def spread(operation: Operation, target: tuple[int, ...], factors: np.ndarray) -> np.ndarray:
    """The factor of each output position, float64[height, width], from those of the parts."""
    result = np.zeros(target[1:])
    for (tile, _), factor in zip(parts(operation, target), factors, strict=True):
        result[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = factor
    return result
