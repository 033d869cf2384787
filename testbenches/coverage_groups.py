"""Functional coverage: which crosses of coverpoints are asked for, and which of their points cannot be, with reasons.

A rule's reason is a rule of `arch.legal`, of `arch.timing` or of arithmetic. `testbenches.coverage` refuses a sample
that hits an excluded point, so a rule that excludes too much is found; one that excludes too little leaves a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from arch.isa import MODES, Compute, Emission, Halt, Instruction, Load, Loss, Moving, Reduction, Stationary
from testbenches import coverpoints as at
from testbenches import load_coverpoints as load
from testbenches import loss_coverpoints as loss
from testbenches import nest_coverpoints as nest
from testbenches.coverpoints import Coverpoint, Sample

Point = Mapping[str, str]
"""A bin for each coverpoint of a group, by the coverpoint's name."""


@dataclass(frozen=True)
class Rule:
    """Points that cannot be reached: where `when` holds, because of `reason`."""

    reason: str
    when: Callable[[Point], bool]


@dataclass(frozen=True)
class Group:
    """A cross of coverpoints, asked of every instruction of the classes `kinds`."""

    name: str
    kinds: tuple[type[Instruction], ...]
    axes: tuple[Coverpoint, ...]
    rules: tuple[Rule, ...] = ()

    def bins(self, sample: Sample) -> tuple[str, ...] | None:
        """The point that a sample hits; None if the group does not ask about it."""
        if not isinstance(sample.instruction, self.kinds):
            return None
        found: list[str] = []
        for axis in self.axes:
            answer = axis.of(sample)
            if answer is None:
                return None
            found.append(answer)
        return tuple(found)

    @cached_property
    def excluded(self) -> dict[tuple[str, ...], str]:
        """Points that cannot be reached, each with its reason."""
        names = [axis.name for axis in self.axes]
        found: dict[tuple[str, ...], str] = {}
        for point in product(*(axis.bins for axis in self.axes)):
            named = dict(zip(names, point, strict=True))
            reason = next((rule.reason for rule in self.rules if rule.when(named)), None)
            if reason is not None:
                found[point] = reason
        return found

    @cached_property
    def reachable(self) -> frozenset[tuple[str, ...]]:
        """Points that must be hit."""
        return frozenset(product(*(axis.bins for axis in self.axes))) - self.excluded.keys()


def _in(*modes: str) -> Callable[[Point], bool]:
    return lambda point: point["mode"] in modes


_MAPS = ("source", "pixel", "target", "mask")
_WALKS = tuple(name for name, mode in MODES.items() if mode.moving in (Moving.WINDOW, Moving.UNIT))
_WINDOWS = tuple(name for name, mode in MODES.items() if mode.moving == Moving.WINDOW)
_PIXELS = tuple(name for name, mode in MODES.items() if mode.stationary == Stationary.PIXEL)
_SOURCES = tuple(name for name, mode in MODES.items() if mode.moving in (Moving.WINDOW, Moving.BLOCK))
_ONCE = tuple(name for name, mode in MODES.items() if mode.moving in (Moving.ONE, Moving.UNIT))
_STREAMS = tuple(name for name, mode in MODES.items() if mode.stationary == Stationary.STREAM)
_ROWS = tuple(
    name for name, mode in MODES.items() if mode.reduction == Reduction.NONE and mode.emission != Emission.POSITION
)
_BLOCKS_OUT = tuple(
    name for name, mode in MODES.items() if mode.reduction == Reduction.NONE and mode.emission == Emission.POSITION
)
_MASKED = tuple(name for name, mode in MODES.items() if name not in _ROWS and mode.emission == Emission.POSITION)


def _not(modes: tuple[str, ...]) -> Callable[[Point], bool]:
    return lambda point: point["mode"] not in modes


WALK_RULES = (
    Rule("windows and single pixels walk SNAKE or RASTER", lambda p: p["mode"] in _WALKS and p["traversal"] == "BLOCK"),
    Rule("block modes walk BLOCK", lambda p: p["mode"] not in _WALKS and p["traversal"] != "BLOCK"),
    Rule(
        "shapes of walks and of blocks are classed differently",
        lambda p: (p["shape"] in nest.BLOCKS) != (p["traversal"] == "BLOCK"),
    ),
)
EVENT_RULES = (
    Rule(
        "an update is lost only where a weight row is updated",
        lambda p: p["mode"] not in _ROWS and p["event"] in ("lost update", "both"),
    ),
)
FLAG_RULES = (
    Rule(
        "rows are updated with base ROW, words emitted with NONE or BIAS",
        lambda p: (p["mode"] in _ROWS) != (p["base"] == "ROW"),
    ),
    Rule("no mask or ReLU on weight rows", lambda p: p["mode"] in _ROWS and "1" in (p["mask"], p["relu"])),
    Rule("blocks of words take no bias", lambda p: p["mode"] in _BLOCKS_OUT and p["base"] == "BIAS"),
    Rule("no mask where words are emitted at the end", lambda p: p["mode"] not in _MASKED and p["mask"] == "1"),
)
MEMORY_RULES = (
    Rule(
        "modes without a window or block have no source map, others have",
        lambda p: (p["mode"] in _SOURCES) != (p["source memory"] != "none"),
    ),
    Rule(
        "modes that update rows write weights, others a map",
        lambda p: (p["mode"] in _ROWS) != (p["target memory"] == "weights"),
    ),
)
PIXEL_RULES = (
    Rule("the mode has no pixel", _not(_PIXELS)),
    MEMORY_RULES[0],
    Rule("pixels lie beside the source: one port each", lambda p: p["pixel_space"] == p["source memory"]),
)
MASK_RULES = (
    Rule("the mode takes no mask", _not(_MASKED)),
    *MEMORY_RULES,
    Rule("the mask lies beside the target: one port each", lambda p: p["mask_space"] == p["target memory"]),
    Rule("the mask lies beside the source: one port each", lambda p: p["mask_space"] == p["source memory"]),
)
STALL_RULES = (
    Rule(
        "the loader waits only where words are written while windows or blocks are read",
        lambda p: "loader" in p["stall"] and not (p["mode"] in _SOURCES and p["mode"] in _MASKED),
    ),
    Rule(
        "rows wait only where several rows are updated",
        lambda p: "row" in p["stall"] and (p["mode"] not in _ROWS or p["mode"] == "convolution_bias"),
    ),
    Rule("only blocks of words drain", lambda p: "drain" in p["stall"] and p["mode"] not in _BLOCKS_OUT),
)
LOSS_RULES = (
    Rule(
        "the softmax of one logit is 1, and less 1 for its label it is 0",
        lambda p: p["count"] == "one" and p["event"] == "saturation" and p["label's value"] == "in range",
    ),
)
LOAD_RULES = (Rule("a bias is one row", lambda p: p["operation"] == "bias" and p["count"] != "one"),)

_C, _L, _S = (Compute,), (Load,), (Loss,)
GROUPS = (
    Group("instruction, tokens", (Halt, Load, Compute, Loss), (at.KIND, at.WAIT, at.SIGNAL)),
    Group("mode, traversal, shape", _C, (nest.MODE, nest.TRAVERSAL, nest.SHAPE), WALK_RULES),
    Group(
        "mode, iterations, weight beats",
        _C,
        (nest.MODE, nest.ITERATIONS, at.BEATS),
        (Rule("a constant operand is used once", lambda p: p["mode"] in _ONCE and p["iterations"] != "one"),),
    ),
    Group("mode, rounding, overflow, event", _C, (nest.MODE, nest.ROUNDING, nest.OVERFLOW, nest.EVENT), EVENT_RULES),
    Group("mode, mask, ReLU, base, sign", _C, (nest.MODE, nest.MASK, nest.RELU, nest.BASE, nest.NEGATE), FLAG_RULES),
    Group("mode, shift, rounding", _C, (nest.MODE, nest.SHIFT, nest.ROUNDING)),
    Group(
        "base, shifts",
        _C,
        (nest.BASE, nest.BASE_SHIFT, nest.SHIFT),
        (Rule("there is no base to shift", lambda p: p["base"] == "NONE"),),
    ),
    Group("mode, source and target memory", _C, (nest.MODE, nest.SOURCE_SPACE, nest.TARGET_SPACE), MEMORY_RULES),
    Group("mode, pixel's memory", _C, (nest.MODE, nest.SOURCE_SPACE, nest.space("pixel")), PIXEL_RULES),
    Group("mode, mask's memory", _C, (nest.MODE, nest.SOURCE_SPACE, nest.TARGET_SPACE, nest.space("mask")), MASK_RULES),
    Group("mode, weight beats, accumulator banks", _C, (nest.MODE, at.BEATS, at.BANKS)),
    Group("mode, stall, weight beats", _C, (nest.MODE, nest.STALL, at.BEATS), STALL_RULES),
    Group(
        "window, traversal, padding",
        _C,
        (nest.MODE, nest.TRAVERSAL, nest.PADDING),
        (
            Rule("the mode has no window", _not(_WINDOWS)),
            Rule("windows walk SNAKE or RASTER", lambda p: p["traversal"] == "BLOCK"),
        ),
    ),
    Group("padding above and left", _C, (nest.PAD_TOP, nest.PAD_LEFT)),
    Group("windowed map", _C, (nest.SOURCE_HEIGHT, nest.SOURCE_WIDTH)),
    *(
        Group(f"{name}'s place", _C, (nest.space(name), nest.place(name)))
        for name in ("source", "pixel", "target", "mask")
    ),
    *(Group(f"{name}'s pitch", _C, (nest.pitch(name),)) for name in _MAPS),
    Group(
        "weight row's place",
        _C,
        (nest.MODE, nest.ROW),
        (Rule("the mode uses no rows", lambda p: p["mode"] not in _ROWS and p["mode"] not in _STREAMS),),
    ),
    Group("LOAD, count, weight beats", _L, (load.LOAD, load.LOAD_COUNT, at.BEATS), LOAD_RULES),
    Group(
        "LOAD's row",
        _L,
        (load.LOAD, load.LOAD_ROW),
        (Rule("a vector is no row", lambda p: p["operation"] == "vector"),),
    ),
    Group("LOAD's source", _L, (load.LOAD_SPACE, load.LOAD_SOURCE)),
    Group("LOSS, count, label, event", _S, (loss.LOSS_COUNT, loss.LABEL, loss.LOSS_EVENT), LOSS_RULES),
    Group("LOSS, fractions", _S, (loss.SOURCE_FRACTION, loss.TARGET_FRACTION)),
    *(
        Group(f"LOSS, {point.name}'s place", _S, (loss.LOSS_SPACE, point))
        for point in (loss.LOSS_SOURCE, loss.LOSS_LABEL, loss.LOSS_TARGET)
    ),
)
"""Every cross that is asked for."""
