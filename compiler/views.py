"""Where a piece of a tensor stands on the chip while an operation works on it.

The scheduler hands views to the emission of an operation: a map's rows, a kernel's rows. A view of a whole tensor is a
view like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from arch.isa import Space


@dataclass(frozen=True)
class MapView:
    """A rectangle of a map, all planes: `height` rows from `first` of `full_height` on, `width` columns from
    `first_column` on; or a vector, whose height is 1.

    Row r of plane g begins at word base + g * plane + (r - first) * pitch. A vector of N elements is a map of N
    channels, 1 x 1, whose planes are neighbouring words.
    """

    space: Space
    base: int
    pitch: int
    plane: int
    channels: int
    first: int
    height: int
    width: int
    full_height: int
    fraction: int
    first_plane: int = 0
    """Plane 0 of the view is this plane of the tensor."""
    first_column: int = 0


@dataclass(frozen=True)
class RowView:
    """Weight rows of `groups` outer groups of a parameter-like tensor, from outer group `first`, at `row`.

    Which rows a tensor takes, and what an outer group of it is, is said by `compiler.kernels`. With `inner`, of every
    outer group only these of a convolution's inner groups are there.
    """

    row: int
    first: int
    groups: int
    fraction: int
    inner: range | None = None
