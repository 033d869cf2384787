"""The modes of COMPUTE: the combinations of sources, routes, reduction and emission that the array executes."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from arch.isa import Compute, Emission, Moving, Reduction, Route, Stationary


class Mode(NamedTuple):
    """A combination of sources, routes, reduction and emission that the array executes."""

    moving: Moving
    moving_route: Route
    stationary: Stationary
    stationary_route: Route
    reduction: Reduction
    emission: Emission


_M, _S, _R, _D, _E = Moving, Stationary, Route, Reduction, Emission
MODES: dict[str, Mode] = {
    # window x kernel, summed over both: a filter an iteration; convolution forward and, rotated, its input gradient
    "convolution": Mode(_M.WINDOW, _R.FULL, _S.KERNEL, _R.FULL, _D.BOTH, _E.POSITION),
    # one channel of the window x kernel, summed over taps: an input channel an iteration, a lane is a filter
    "convolution_by_channel": Mode(_M.WINDOW, _R.TAP, _S.KERNEL, _R.FULL, _D.TAPS, _E.POSITION),
    # window x one gradient value: a filter an iteration and an accumulator bank
    "convolution_weights": Mode(_M.WINDOW, _R.FULL, _S.PIXEL, _R.SCALAR, _D.NONE, _E.END),
    # one channel of the window x gradient word: an input channel an iteration and an accumulator bank
    "convolution_weights_by_channel": Mode(_M.WINDOW, _R.TAP, _S.PIXEL, _R.LANE, _D.NONE, _E.END),
    # 1 x gradient word, in tap 0
    "convolution_bias": Mode(_M.UNIT, _R.FULL, _S.PIXEL, _R.LANE, _D.NONE, _E.END),
    # T words of input x weight row, summed over both: an output an iteration
    "dense": Mode(_M.BLOCK, _R.FULL, _S.STREAM, _R.FULL, _D.BOTH, _E.END),
    # one gradient value x weight row: an output an iteration, T words of input gradient a position
    "dense_input": Mode(_M.VECTOR, _R.SCALAR, _S.STREAM, _R.FULL, _D.NONE, _E.POSITION),
    # T words of input x one gradient value: an output an iteration, a weight row updated a step
    "dense_weights": Mode(_M.BLOCK, _R.FULL, _S.VECTOR, _R.SCALAR, _D.NONE, _E.STEP),
    # 1 x the gradient vector: a row of biases updated
    "dense_bias": Mode(_M.ONE, _R.FULL, _S.VECTOR, _R.FULL, _D.NONE, _E.STEP),
    # window x kernel, a lane is a channel; an outer group is a plane
    "depthwise": Mode(_M.WINDOW, _R.FULL, _S.KERNEL, _R.FULL, _D.TAPS, _E.POSITION),
    # window x gradient word, a lane is a channel
    "depthwise_weights": Mode(_M.WINDOW, _R.FULL, _S.PIXEL, _R.LANE, _D.NONE, _E.END),
    # T pixels at kernel tap u x that tap's word of a kernel, summed over lanes: a filter an iteration
    "pixelwise": Mode(_M.BLOCK, _R.FULL, _S.KERNEL, _R.LANE, _D.LANES, _E.POSITION),
    # one channel of T pixels x the tap's word: an input channel an iteration, a lane is a filter
    "pixelwise_by_channel": Mode(_M.BLOCK, _R.TAP, _S.KERNEL, _R.LANE, _D.NONE, _E.POSITION),
    # T pixels x the tap's word, lane by lane: depthwise, sums of maps, affine maps
    "pixelwise_by_lane": Mode(_M.BLOCK, _R.FULL, _S.KERNEL, _R.LANE, _D.NONE, _E.POSITION),
    # T pixels x T words of a second map, lane by lane: products of maps
    "pixelwise_product": Mode(_M.BLOCK, _R.FULL, _S.PIXEL, _R.FULL, _D.NONE, _E.POSITION),
    # T pixels x one gradient channel of T positions, summed over both: a filter an iteration and an accumulator bank
    "pixelwise_weights": Mode(_M.BLOCK, _R.FULL, _S.PIXEL, _R.TAP, _D.TAPS, _E.END),
    # one channel of T pixels x T gradient words: an input channel an iteration and an accumulator bank
    "pixelwise_weights_by_channel": Mode(_M.BLOCK, _R.TAP, _S.PIXEL, _R.FULL, _D.TAPS, _E.END),
    # T pixels x T gradient words, lane by lane
    "pixelwise_weights_by_lane": Mode(_M.BLOCK, _R.FULL, _S.PIXEL, _R.FULL, _D.TAPS, _E.END),
    # 1 x T gradient words: biases, a plane an inner step
    "pixelwise_bias": Mode(_M.ONE, _R.FULL, _S.PIXEL, _R.FULL, _D.TAPS, _E.END),
    # T pixels x the tap's word, summed over all positions: global average pooling
    "pixelwise_sum": Mode(_M.BLOCK, _R.FULL, _S.KERNEL, _R.LANE, _D.TAPS, _E.END),
    # the largest of the taps' pixels, or which tap's it is
    "maximum": Mode(_M.BLOCK, _R.FULL, _S.KERNEL, _R.LANE, _D.MAXIMUM, _E.POSITION),
    "maximum_index": Mode(_M.BLOCK, _R.FULL, _S.KERNEL, _R.LANE, _D.INDEX, _E.POSITION),
    # gradients of the pixels whose index is the tap: input gradient of max pooling
    "match": Mode(_M.BLOCK, _R.FULL, _S.MATCH, _R.FULL, _D.NONE, _E.POSITION),
    # constants x weight rows: a weighted sum of rows
    "rows": Mode(_M.VECTOR, _R.SCALAR, _S.STREAM, _R.FULL, _D.NONE, _E.ROW),
    # kernel x one value of a pixel, into a moving window of accumulators
    "scatter": Mode(_M.KERNEL, _R.FULL, _S.PIXEL, _R.SCALAR, _D.NONE, _E.POSITION),
}
BY_LANE = (
    "depthwise",
    "depthwise_weights",
    "pixelwise_by_lane",
    "pixelwise_product",
    "pixelwise_weights_by_lane",
    "pixelwise_sum",
    "maximum",
    "maximum_index",
    "match",
)
"""Modes in which a lane is a channel of both operands: one iteration, and outer groups move the source."""
SKIPPING = ("convolution", "convolution_weights", "dense_input", "dense_weights", "scatter")
"""Modes that can leave out iterations (field `skip`)."""
CELL_INDEX_BITS = 6
"""Bits of the inner step's number beside a value in an accumulator that keeps a maximum."""


_FIELDS = {name: mode._asdict() for name, mode in MODES.items()}
_NAMES: dict[tuple, str] = {}
_MODE = attrgetter(*Mode._fields)


def index_modes() -> None:
    """Look at `MODES` anew, after a change of it."""
    _NAMES.clear()
    _NAMES.update({tuple(mode): name for name, mode in MODES.items()})


index_modes()


def mode_of(compute: Compute) -> str | None:
    """The name in `MODES` of what a COMPUTE asks for; None if no such mode exists."""
    return _NAMES.get(_MODE(compute))


def mode_fields(name: str) -> dict[str, Any]:
    """The fields of COMPUTE that select mode `name`."""
    return dict(_FIELDS[name])
