"""How maps lie in words, on the chip and outside alike: all planes of a row side by side, row after row.

So the rows of a band are neighbours: one line of one transfer, on as few pages as can be; of a band of some columns, a
row is a line for each plane. Matrix products walk over the
planes one after the other; the maps that they read or write lie that way, and come and go whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from arch.chip import Chip
from arch.isa import Space
from arch.layout import Kind, Region, Store, map_pitch
from compiler.graph import Graph, Operation, Operator, Tensor
from compiler.needs import extents
from compiler.views import MapView
from compiler.walks import Tile

MATRICES = (Operator.GEMM, Operator.GEMM_INPUT_GRADIENT, Operator.GEMM_WEIGHT_GRADIENT)
"""Operators that read or write a map as a vector."""


@dataclass(frozen=True)
class MapLayout:
    """A map's extents and the words from a row, and from a plane, to the next. `banded` says that all planes of a row
    are neighbours: that bands of rows and columns can come and go."""

    name: str
    channels: int
    planes: int
    height: int
    width: int
    pitch: int
    plane: int
    banded: bool
    fraction: int

    @property
    def words(self) -> int:
        """Words of the whole map."""
        return self.row_words(self.height)

    def row_words(self, rows: int) -> int:
        """Words of so many rows; of a map that is not `banded`, of all."""
        if self.banded:
            return (rows - 1) * self.pitch + self.planes * self.width
        return self.planes * self.plane

    def narrowed(self, width: int, chip: Chip) -> MapLayout:
        """The layout of so many of the map's columns alone; this one if they are all."""
        if width == self.width:
            return self
        return replace(self, width=width, pitch=map_pitch(self.planes * width, chip), plane=width)

    def line(self) -> MapLayout:
        """The layout without gaps between the rows, if it is not `banded`; no window reads such a map."""
        return self if self.banded else replace(self, pitch=self.width, plane=self.height * self.width)

    @property
    def is_line(self) -> bool:
        """Whether all words lie in one line."""
        return self.height == 1 or (not self.banded and self.pitch == self.width)

    def view(self, space: Space, base: int, part: Tile | None = None) -> MapView:
        """The map, or a part of it, whose first word is `base`."""
        part = part or Tile(0, 0, self.height, self.width)
        return MapView(
            space=space,
            base=base,
            pitch=self.pitch,
            plane=self.plane,
            channels=self.channels,
            first=part.top,
            height=part.height,
            width=part.width,
            full_height=self.height,
            fraction=self.fraction,
            first_column=part.left,
        )

    def region(self, store: Store, base: int, shape: tuple[int, ...]) -> Region:
        """The whole map, of a tensor of `shape`, as a region."""
        vector = len(shape) == 1
        return Region(
            name=self.name,
            store=store,
            kind=Kind.VECTOR if vector else Kind.MAP,
            base=base,
            shape=shape if vector else (self.height, self.width, self.channels),
            pitch=0 if vector else self.pitch,
            plane=0 if vector else self.plane,
            fraction=self.fraction,
        )


def layouts(graph: Graph, names: list[str], fractions: dict[str, int], chip: Chip) -> dict[str, MapLayout]:
    """The layouts of the maps (and vectors) `names`."""
    matrices = [operation for operation in graph.operations if operation.operator in MATRICES]
    flat = _alike(graph, {name for operation in matrices for name in _maps(operation)})
    lines = _alike(graph, {name for item in matrices if _large(item, graph, chip) for name in _maps(item)})
    made = {name: _layout(graph.tensors[name], name in flat, fractions[name], chip) for name in names}
    return {name: layout.line() if name in lines else layout for name, layout in made.items()}


def _maps(operation: Operation) -> tuple[str, ...]:
    return (*operation.inputs, operation.output, operation.mask)


def _alike(graph: Graph, names: set[str]) -> set[str]:
    """The names, and those of maps that must lie as they do: a pooling's gradient and its index."""
    for operation in graph.operations:
        if operation.operator == Operator.MAX_POOL_GRADIENT and names.intersection(operation.inputs):
            names = names.union(operation.inputs)
    return names


def long_map(operation: Operation) -> str:
    """The map, or vector, by whose words the rows of a matrix lie."""
    return operation.output if operation.operator == Operator.GEMM_INPUT_GRADIENT else operation.inputs[0]


def _large(operation: Operation, graph: Graph, chip: Chip) -> bool:
    """Whether a matrix passes by in pieces, or its input gradient is made in parts: both need a map in one line."""
    outputs = graph.tensors[operation.weight or operation.output].shape[0]
    channels, height, width = extents(graph.tensors[long_map(operation)].shape)
    blocks = -(-chip.words(channels) * height * width // chip.taps)
    parts = operation.operator == Operator.GEMM_INPUT_GRADIENT and outputs > chip.multipliers
    return parts or outputs * blocks > chip.weight_rows


def _layout(tensor: Tensor, flat: bool, fraction: int, chip: Chip) -> MapLayout:
    channels, height, width = extents(tensor.shape)
    planes = chip.words(channels)
    banded = not flat or height == 1
    pitch = width if height == 1 else map_pitch(planes * width if banded else width, chip)
    plane = width if banded else height * pitch
    return MapLayout(tensor.name, channels, planes, height, width, pitch, plane, banded, fraction)
