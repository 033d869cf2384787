"""Where a tensor's elements lie: named regions of the memories, and the way between integers and words.

The feature and gradient memories are arrays [words, lanes], the weight memory is [rows, taps, lanes]; all hold int16,
and so does the external memory but for packed tensors, whose bytes lie two in an int16, the first one low.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from math import prod
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from arch.chip import Chip, largest_of


class Store(StrEnum):
    """A memory that holds regions."""

    FEATURE = "feature"
    GRADIENT = "gradient"
    WEIGHT = "weight"
    EXTERNAL = "external"  # words [words, lanes]; a weight row is T of them, tap 0 first, at row * T


class Kind(StrEnum):
    """How a tensor lies in its region; shapes are named as in ONNX (O outputs, I inputs, H, W, C channels).

    L lanes, T taps. Kernels lie in rows, J a group of outputs (FILTERS) or inputs (CHANNELS), where J is what a group
    holds, at most L; see `KernelRows`.
    """

    MAP = "map"  # [H, W, C]: element (h, w, c) = word base + c div L * plane + h * pitch + w, lane c mod L
    PATCHES = "patches"  # [H, W, C]: the windows of a convolution, channels of a MAP; see `Patches`
    VECTOR = "vector"  # [N]: element i = word base + i div L, lane i mod L
    FILTERS = "filters"  # [O, I, Kh, Kw]: a row an output, lanes are inputs
    CHANNELS = "channels"  # [O, I, Kh, Kw]: a row an input, lanes are outputs
    LANES = "lanes"  # [C, 1, Kh, Kw]: a row a plane, lane c mod L
    DENSE_MAP = "dense_map"  # [O, I, H, W]: input word k = (i div L * H + h) * W + w, lane i mod L; see `_dense`
    DENSE_VECTOR = "dense_vector"  # [O, I]: input word k = i div L, lane i mod L
    BIAS = "bias"  # [N]: element i = row base + i div (T * L), tap i div L mod T, lane i mod L
    ROWS = "rows"  # [R, T, L]: whole rows


LARGEST = 1 << 26
"""What no base, pitch or extent exceeds: words of 8 lanes in the largest external memory that an image holds."""
_Small = Annotated[int, Field(ge=1, le=1 << 10)]
_Pad = Annotated[int, Field(ge=0, le=1 << 10)]
_PART = 1 << 18
"""Elements of a part of a tensor, about."""
_RANKS = {
    Kind.MAP: 3,
    Kind.PATCHES: 3,
    Kind.VECTOR: 1,
    Kind.FILTERS: 4,
    Kind.CHANNELS: 4,
    Kind.LANES: 4,
    Kind.DENSE_MAP: 4,
    Kind.DENSE_VECTOR: 2,
    Kind.BIAS: 1,
    Kind.ROWS: 3,
}


class KernelRows(BaseModel):
    """How the kernels of a convolution are cut into rows.

    A row holds the taps of `chunk` kernel rows, tap (y mod chunk) * Kw + x, of one group of lanes; or, for 1 x 1
    kernels, those of `depth` neighbouring groups of lanes, tap = group mod depth. A kernel of more columns than
    `columns` has several rows for each kernel row (`chunk` is 1), tap x mod columns. `groups` is the convolution's.
    If `rotated`, tap t is where T - 1 - t would be. `merged` groups of the tensor, next to each other, lie as one of
    `groups` with zeros where they do not meet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(default=1, ge=1, le=49)
    chunk: int = Field(default=1 << 10, ge=1, le=1 << 10)
    columns: int = Field(default=1 << 10, ge=1, le=1 << 10)
    groups: int = Field(default=1, ge=1, le=1 << 16)
    rotated: bool = False
    merged: int = Field(default=1, ge=1, le=1 << 16)

    def across(self, width: int) -> int:
        """Parts of a kernel row of `width` columns."""
        return -(-width // self.columns)

    def parts(self, height: int, width: int) -> int:
        """Rows that a kernel of `height` x `width` takes for each group of lanes."""
        return -(-height // self.chunk) * self.across(width)


class Patches(BaseModel):
    """The windows of a convolution over a map, pairs being (rows, columns); `pads` are those above and left.

    Word position (y, x) of `extents` holds the window of that output: element (y * stride - pads + k * dilation) of
    channel c in channel c * Kh * Kw + ky * Kw + kx, and 0 for what is outside the map.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kernel: tuple[_Small, _Small]
    stride: tuple[_Small, _Small]
    pads: tuple[_Pad, _Pad]
    dilation: tuple[_Small, _Small]
    extents: tuple[_Small, _Small]

    def channels(self, inputs: int) -> int:
        """Channels of the windows over a map of `inputs` channels."""
        return inputs * self.kernel[0] * self.kernel[1]

    def elements(self, shape: tuple[int, ...]) -> np.ndarray:
        """For each word position and channel (int64, (*extents, channels)) the element of a [H, W, C] map; -1 for 0."""
        height, width, inputs = shape
        y, x, c, ky, kx = np.ogrid[tuple(slice(n) for n in (*self.extents, inputs, *self.kernel))]
        row = y * self.stride[0] - self.pads[0] + ky * self.dilation[0]
        column = x * self.stride[1] - self.pads[1] + kx * self.dilation[1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return np.where(inside, (row * width + column) * inputs + c, -1).reshape(*self.extents, -1)

    def covers(self, shape: tuple[int, ...]) -> bool:
        """Whether every element of a [H, W, C] map is in some window."""
        # a window is its rows times its columns, so that each side can be looked at alone
        return all(self._covers(side, shape[side]) for side in (0, 1))

    def _covers(self, side: int, extent: int) -> bool:
        """Whether every row (side 0) or column (side 1) of a map is in some window."""
        first = np.arange(self.extents[side])[:, None] * self.stride[side] - self.pads[side]
        places = first + np.arange(self.kernel[side]) * self.dilation[side]
        return np.unique(places[(places >= 0) & (places < extent)]).size == extent


class Region(BaseModel):
    """A named tensor in a memory: real value = integer / 2**fraction.

    `base` is a word (feature, gradient; of a map or vector also outside) or a row (weight kinds, there or outside);
    `pitch` is the words from a map's row to its next, `plane` from a group of L channels to the next. Elements have
    `bits` bits, or the chip's if these are fewer. Outside, those of a `packed` tensor lie as bytes, and `base`, `pitch`
    and `plane` count words of L bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    store: Store
    kind: Kind
    base: int = Field(ge=0, le=2 * LARGEST)
    shape: tuple[Annotated[int, Field(ge=1, le=LARGEST)], ...]
    pitch: int = Field(default=0, ge=0, le=LARGEST)
    plane: int = Field(default=0, ge=0, le=LARGEST)
    kernels: KernelRows = KernelRows()
    patches: Patches | None = None
    fraction: int = Field(ge=-32, le=48)
    bits: Literal[8, 16] = 16
    packed: bool = False

    @property
    def bytes_outside(self) -> bool:
        """Whether the elements are bytes of the external memory."""
        return self.packed and self.store == Store.EXTERNAL

    def largest(self, chip: Chip) -> int:
        """The largest integer that an element can be; the smallest is one less than its negative."""
        return largest_of(min(self.bits, chip.word_bits))

    def indices(self, chip: Chip) -> np.ndarray:
        """For each element of the tensor (int64, `shape`), its place, of several the first, in the flattened memory
        (`Image.cells`).

        Raises `ValueError` if the region's shape does not fit its kind, the chip's lanes or the memory.
        """
        places = self.targets(chip)
        if self.patches is None:
            return places.reshape(self.shape)
        first = np.full(prod(self.shape), -1)
        elements = self.patches.elements(self.shape).reshape(-1)
        first[elements[elements >= 0][::-1]] = places[elements >= 0][::-1]
        if first.min() < 0:
            raise ValueError(f"region {self.name} has elements in none of its patches")
        return first.reshape(self.shape)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """The numbers [..., n] that `targets` get for `values` [..., *shape]."""
        flat = values.reshape(*values.shape[: values.ndim - len(self.shape)], -1)
        if self.patches is None:
            return flat
        elements = self.patches.elements(self.shape).reshape(-1)
        return np.where(elements < 0, 0, flat[..., elements])

    def targets(self, chip: Chip) -> np.ndarray:
        """The places in the flattened memory array that writing the tensor sets, int64[n], n >= its elements.

        Raises what `indices` raises.
        """
        return np.concatenate([places for _, places in self.parts(chip)])

    def parts(self, chip: Chip) -> Iterator[tuple[slice, np.ndarray]]:
        """Parts of the tensor's first side, each with the places that it sets, so that large tensors need no more
        memory than they take. Raises what `indices` raises.
        """
        if len(self.shape) != _RANKS[self.kind] or (self.kind == Kind.PATCHES) != (self.patches is not None):
            raise ValueError(f"region {self.name}: a {self.kind.value} cannot have shape {list(self.shape)}")
        limit = {
            Store.FEATURE: chip.feature_words * chip.lanes,
            Store.GRADIENT: chip.gradient_words * chip.lanes,
            Store.WEIGHT: chip.weight_rows * chip.multipliers,
            Store.EXTERNAL: chip.external_words * chip.lanes * (2 if self.bytes_outside else 1),
        }[self.store]
        shape = self._stored
        size = shape[0] if self.patches else max(1, _PART // (prod(shape) // shape[0]))
        for first in range(0, shape[0], size):
            part = slice(first, min(first + size, shape[0]))
            places = self._places(part, shape, chip) if prod(shape) <= limit else np.array([limit])
            if int(places.max()) >= limit:
                raise ValueError(f"region {self.name} lies beyond the end of the {self.store.value} memory")
            yield part, places.reshape(-1)

    @property
    def _stored(self) -> tuple[int, ...]:
        """The extents of what lies in memory."""
        if self.patches is None:
            return self.shape
        return (*self.patches.extents, self.patches.channels(self.shape[2]))

    def _places(self, part: slice, shape: tuple[int, ...], chip: Chip) -> np.ndarray:
        taps, lanes = chip.taps, chip.lanes
        grid = np.ogrid[(part, *(slice(extent) for extent in shape[1:]))]
        if self.kind in (Kind.MAP, Kind.PATCHES):
            h, w, c = grid
            if shape[2] > lanes and not self.plane:
                raise ValueError(f"region {self.name}: more than {lanes} channels need a plane")
            return (self.base + c // lanes * self.plane + h * self.pitch + w) * lanes + c % lanes
        if self.kind in (Kind.VECTOR, Kind.BIAS):
            scale = lanes if self.kind == Kind.VECTOR else taps * lanes
            return self.base * scale + np.arange(part.start, part.stop)
        if self.kind == Kind.ROWS:
            r, t, lane = grid
            return ((self.base + r) * taps + t) * lanes + lane
        if self.kind == Kind.DENSE_VECTOR:
            o, i = grid
            return self._dense(o, i // lanes, i % lanes, chip.words(self.shape[1]), chip)
        o, i, y, x = grid
        if self.kind == Kind.DENSE_MAP:
            _, inputs, height, width = self.shape
            word = (i // lanes * height + y) * width + x
            return self._dense(o, word, i % lanes, chip.words(inputs) * height * width, chip)
        row, tap, lane = self._kernel(o, i, y, x, chip)
        tap = taps - 1 - tap if self.kernels.rotated else tap
        return ((self.base + row) * taps + tap) * lanes + lane

    def _dense(self, output, word, lane, words: int, chip: Chip) -> np.ndarray:
        """T x L outputs after one another, each as blocks of T input words, a row an output."""
        some = output // chip.multipliers
        here = np.minimum(self.shape[0] - some * chip.multipliers, chip.multipliers)
        blocks = -(-words // chip.taps)
        here = here[:1] if here[0] == here[-1] else here
        first = self.base + some * chip.multipliers * blocks + output % chip.multipliers
        within = word // chip.taps * here * chip.multipliers + word % chip.taps * chip.lanes + lane
        return first * chip.multipliers + within

    def _kernel(self, o, i, y, x, chip: Chip):
        """Row, tap and lane of a convolution's weights."""
        outputs, inputs, height, width = self.shape
        cut, lanes = self.kernels, chip.lanes
        chunks, place = cut.parts(height, width), y // cut.chunk * cut.across(width) + x // cut.columns
        tap = y % cut.chunk * width + x % cut.columns
        if self.kind == Kind.LANES:
            return o // lanes * chunks + place, tap, o % lanes
        per_group = outputs // cut.groups
        part, o = o // per_group, o % per_group
        i, inputs = o // (per_group // cut.merged) * inputs + i, inputs * cut.merged
        j, lane, count = (o, i, per_group) if self.kind == Kind.FILTERS else (i, o, inputs)
        held = min(lanes, count)
        inner = chip.words(inputs) // cut.depth
        tap = tap + i // lanes % cut.depth if self.kind == Kind.FILTERS else tap
        group = (part * chip.words(per_group) + o // lanes) * inner + i // lanes // cut.depth
        return (group * chunks + place) * held + j % lanes, tap, lane % lanes


def rows_of(kind: Kind, shape: tuple[int, ...], chip: Chip, cut: KernelRows | None = None) -> int:
    """Rows that a tensor takes in the weight memory."""
    if kind == Kind.BIAS:
        return -(-shape[0] // chip.multipliers)
    if kind == Kind.ROWS:
        return shape[0]
    if kind in (Kind.DENSE_MAP, Kind.DENSE_VECTOR):
        words = chip.words(shape[1]) * (prod(shape[2:]) if kind == Kind.DENSE_MAP else 1)
        return -(-words // chip.taps) * shape[0]
    if kind not in (Kind.FILTERS, Kind.CHANNELS, Kind.LANES):
        raise ValueError(f"a {kind.value} does not lie in the weight memory")
    cut = cut or KernelRows()
    chunks = cut.parts(shape[2], shape[3])
    if kind == Kind.LANES:
        return chip.words(shape[0]) * chunks
    per_group, inputs = shape[0] // cut.groups, shape[1] * cut.merged
    held = min(chip.lanes, per_group if kind == Kind.FILTERS else inputs)
    return cut.groups * chip.words(per_group) * (chip.words(inputs) // cut.depth) * chunks * held


def map_pitch(width: int, chip: Chip) -> int:
    """The smallest pitch >= `width` that windows can read: 1 more than a multiple of K."""
    return width + (1 - width) % chip.kernel
