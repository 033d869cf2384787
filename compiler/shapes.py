"""Shape arithmetic of windows: what a kernel, its strides, pads and dilations make of a map's extents."""

from __future__ import annotations

from math import prod

from compiler.nodes import NetworkError

LARGEST_CHANNELS = 65_535
"""The most channels of a map, filters, and outputs of a Gemm."""
LARGEST_EXTENT = 1023
"""The largest height, width, kernel, stride, pad or dilation."""
LARGEST_TENSOR = 1 << 28
"""Elements beyond which a value or parameter is refused before anything is allocated."""


def whole(value: object, largest: int, smallest: int = 1) -> bool:
    """Whether `value` is an integer from `smallest` to `largest`; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and smallest <= value <= largest


def pair(value: int | tuple[int, int], name: str, what: str) -> tuple[int, int]:
    """One extent for both dimensions, or two. Raises `NetworkError` on others than 1 to 1023."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or not all(whole(extent, LARGEST_EXTENT) for extent in both):
        raise NetworkError(f"{name}: {what} must be one or two integers from 1 to {LARGEST_EXTENT}, not {value}")
    return both[0], both[1]


def four_pads(value: int | tuple[int, int, int, int], name: str) -> tuple[int, int, int, int]:
    """One padding for all sides, or (top, left, bottom, right). Raises `NetworkError` on others than 0 to 1023."""
    pads = (value,) * 4 if isinstance(value, int) else tuple(value)
    if len(pads) != 4 or not all(whole(pad, LARGEST_EXTENT, 0) for pad in pads):
        raise NetworkError(
            f"{name}: padding must be one integer or (top, left, bottom, right) from 0 to {LARGEST_EXTENT}, not {value}"
        )
    return pads[0], pads[1], pads[2], pads[3]


def same_pads(kernel: tuple[int, int], dilations: tuple[int, int]) -> tuple[int, int, int, int]:
    """Pads that keep the extents at stride 1; an odd zero goes to the bottom or right."""
    across = [dilation * (extent - 1) for extent, dilation in zip(kernel, dilations, strict=True)]
    return across[0] // 2, across[1] // 2, across[0] - across[0] // 2, across[1] - across[1] // 2


def windowed(
    name: str,
    extents: tuple[int, ...],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Height and width of a window operator's result, rounded down. Raises `NetworkError` if no window fits."""
    padded = (extents[0] + pads[0] + pads[2], extents[1] + pads[1] + pads[3])
    spans = [dilation * (taps - 1) + 1 for taps, dilation in zip(kernel, dilations, strict=True)]
    if any(span > extent for span, extent in zip(spans, padded, strict=True)):
        raise NetworkError(
            f"{name}: kernel {kernel[0]} x {kernel[1]} must fit the {extents[0]} x {extents[1]} map with padding {pads}"
        )
    height, width = ((extent - span) // stride + 1 for extent, span, stride in zip(padded, spans, strides, strict=True))
    return height, width


def check_value(name: str, shape: tuple[int, ...]) -> None:
    """Raises `NetworkError` unless the shape is (C, H, W) or (N,) within the limits."""
    if len(shape) not in (1, 3) or not all(whole(extent, LARGEST_TENSOR) for extent in shape):
        raise NetworkError(f"{name}: shape must be (C, H, W) or (N,) of positive integers, not {shape}")
    if len(shape) == 3 and (shape[0] > LARGEST_CHANNELS or max(shape[1:]) > LARGEST_EXTENT):
        raise NetworkError(
            f"{name}: a map must have at most {LARGEST_CHANNELS} channels and extents of {LARGEST_EXTENT}, not {shape}"
        )
    check_elements(name, shape)


def check_elements(name: str, shape: tuple[int, ...]) -> None:
    """Raises `NetworkError` if the tensor has more elements than any may have."""
    if prod(shape) > LARGEST_TENSOR:
        raise NetworkError(f"{name}: {list(shape)} must have at most {LARGEST_TENSOR} elements")
