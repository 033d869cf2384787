"""Where a tensor's elements lie: named regions of the memories, and the way between integers and words.

The feature and gradient memories are arrays [words, lanes], the weight memory is [rows, taps, lanes]; all hold int16.
"""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from arch.chip import Chip


class Store(StrEnum):
    """A memory that holds regions."""

    FEATURE = "feature"
    GRADIENT = "gradient"
    WEIGHT = "weight"


class Kind(StrEnum):
    """How a tensor lies in its region; shapes are named as in ONNX (O outputs, I inputs, H, W, C channels)."""

    MAP = "map"  # [H, W, C], C <= lanes: element (h, w, c) = word base + h * pitch + w, lane c
    VECTOR = "vector"  # [N]: element i = word base + i div lanes, lane i mod lanes
    FILTERS = "filters"  # [O, I, K, K]: element (o, i, y, x) = row base + o, tap y * K + x, lane i
    CHANNELS = "channels"  # [O, I, K, K]: element (o, i, y, x) = row base + i, tap y * K + x, lane o
    DENSE_MAP = "dense_map"  # [O, I, H, W]: input word k = h * W + w; row base + k div T * O + o, tap k mod T, lane i
    DENSE_VECTOR = "dense_vector"  # [O, I]: input word k = i div lanes, lane i mod lanes; rows and taps as DENSE_MAP
    BIAS = "bias"  # [N]: element i = row base, tap i div lanes, lane i mod lanes


LARGEST = 1 << 24
"""What no base, pitch or extent exceeds."""
_RANKS = {
    Kind.MAP: 3,
    Kind.VECTOR: 1,
    Kind.FILTERS: 4,
    Kind.CHANNELS: 4,
    Kind.DENSE_MAP: 4,
    Kind.DENSE_VECTOR: 2,
    Kind.BIAS: 1,
}


class Region(BaseModel):
    """A named tensor in a memory: real value = integer / 2**fraction.

    `base` is a word (feature, gradient) or a row (weight); `pitch` is the words from a map's row to its next.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    store: Store
    kind: Kind
    base: int = Field(ge=0, le=LARGEST)
    shape: tuple[Annotated[int, Field(ge=1, le=LARGEST)], ...]
    pitch: int = Field(default=0, ge=0, le=LARGEST)
    fraction: int = Field(ge=-32, le=48)

    def indices(self, chip: Chip) -> np.ndarray:
        """For each element of the tensor (int64, `shape`), its place in the flattened memory array.

        Raises `ValueError` if the region's shape does not fit its kind, the chip's lanes or the memory.
        """
        if len(self.shape) != _RANKS[self.kind]:
            raise ValueError(f"region {self.name}: a {self.kind.value} cannot have shape {list(self.shape)}")
        limit = {
            Store.FEATURE: chip.feature_words * chip.lanes,
            Store.GRADIENT: chip.gradient_words * chip.lanes,
            Store.WEIGHT: chip.weight_rows * chip.multipliers,
        }[self.store]
        places = self._places(chip) if prod(self.shape) <= limit else np.array([limit])
        if int(places.max()) >= limit:
            raise ValueError(f"region {self.name} lies beyond the end of the {self.store.value} memory")
        return places

    def _places(self, chip: Chip) -> np.ndarray:
        taps, lanes = chip.taps, chip.lanes
        grid = np.ogrid[tuple(slice(extent) for extent in self.shape)]
        if self.kind == Kind.MAP:
            h, w, c = grid
            self._fit_lanes(self.shape[2], lanes)
            return (self.base + h * self.pitch + w) * lanes + c
        if self.kind in (Kind.VECTOR, Kind.BIAS):
            scale = lanes if self.kind == Kind.VECTOR else taps * lanes
            return self.base * scale + np.arange(self.shape[0])
        if self.kind == Kind.DENSE_VECTOR:
            o, i = grid
            return self._dense(o, i // lanes, i % lanes, chip)
        o, i, y, x = grid
        if self.kind == Kind.DENSE_MAP:
            self._fit_lanes(self.shape[1], lanes)
            return self._dense(o, y * self.shape[3] + x, i, chip)
        row, lane = (o, i) if self.kind == Kind.FILTERS else (i, o)
        self._fit_lanes(self.shape[1 if self.kind == Kind.FILTERS else 0], lanes)
        return ((self.base + row) * taps + y * chip.kernel + x) * lanes + lane

    def _dense(self, output, word, lane, chip: Chip) -> np.ndarray:
        row = self.base + word // chip.taps * self.shape[0] + output
        return (row * chip.taps + word % chip.taps) * chip.lanes + lane

    def _fit_lanes(self, count: int, lanes: int) -> None:
        if count > lanes:
            raise ValueError(f"region {self.name}: {count} channels must lie in {lanes} lanes")


def rows_of(kind: Kind, shape: tuple[int, ...], chip: Chip) -> int:
    """Rows that a tensor takes in the weight memory."""
    if kind == Kind.FILTERS:
        return shape[0]
    if kind == Kind.CHANNELS:
        return shape[1]
    if kind == Kind.DENSE_MAP:
        return -(-shape[2] * shape[3] // chip.taps) * shape[0]
    if kind == Kind.DENSE_VECTOR:
        return -(-shape[1] // chip.multipliers) * shape[0]
    if kind == Kind.BIAS:
        return 1
    raise ValueError(f"a {kind.value} does not lie in the weight memory")


def map_pitch(width: int, chip: Chip) -> int:
    """The smallest pitch >= `width` that windows can read: 1 more than a multiple of K."""
    return width + (1 - width) % chip.kernel
