"""What runs when, and where tensors stand: the result of residency, one list of steps for each entry."""

from __future__ import annotations

from dataclasses import dataclass

from arch.isa import Transfer
from arch.layout import Region
from compiler.graph import Operation
from compiler.views import MapView, RowView


@dataclass(frozen=True)
class Run:
    """An operation on what its views show; `part`: see `compiler.emitter.Emitter`."""

    operation: Operation
    views: dict[str, MapView | RowView]
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Move:
    """A transfer of the DMA for the sake of `tensor`, in the row of the report that `layer` and `phase` name."""

    transfer: Transfer
    tensor: str
    layer: str
    phase: str


@dataclass(frozen=True)
class Plan:
    """Steps of each entry, in an order in which they are right one after the other; `homes` are the regions of tensors
    that keep their words (what is given, what is left, parameters and constants); `external_words` are used outside."""

    steps: dict[str, list[Run | Move]]
    homes: dict[str, Region]
    external_words: int
