"""Functional coverage of COMPUTE: which crosses of coverpoints are asked for, and which of their points cannot be."""

from __future__ import annotations

from collections.abc import Callable

from arch.isa import Base, Compute, Emission, Moving, Reduction, Stationary, Traversal
from arch.modes import BY_LANE, MODES, SKIPPING
from arch.nest_rules import walks
from arch.spans import pixel_spans
from arch.timing import writes_rows
from testbenches import coverpoints as at
from testbenches import loop_coverpoints as loop
from testbenches import nest_coverpoints as nest
from testbenches.crosses import Group, Point, Rule
from testbenches.nests import takes_bias

_NESTS = {
    name: Compute(**mode._asdict(), base=Base.ROW if mode.emission == Emission.STEP else Base.NONE)
    for name, mode in MODES.items()
}


def _modes(holds: Callable[[Compute], bool]) -> tuple[str, ...]:
    return tuple(name for name, item in _NESTS.items() if holds(item))


_WINDOWS = _modes(lambda n: n.moving == Moving.WINDOW)
_WALKS = _modes(lambda n: Traversal.SNAKE in walks(n))
_SCATTERS = _modes(lambda n: n.moving == Moving.KERNEL)
_PIXELS = _modes(lambda n: walks(n) == (Traversal.PIXELS,))
_BLOCKS = _modes(lambda n: walks(n) == (Traversal.BLOCK,))
_GATHERS = _modes(lambda n: n.moving == Moving.BLOCK and walks(n) == (Traversal.PIXELS,))
_SOURCES = _modes(lambda n: n.moving in (Moving.WINDOW, Moving.BLOCK))
_WITH_PIXELS = _modes(lambda n: n.stationary in (Stationary.PIXEL, Stationary.MATCH))
_KERNELS = _modes(lambda n: n.stationary == Stationary.KERNEL or n.moving == Moving.KERNEL)
_UNITS = _modes(lambda n: n.moving == Moving.UNIT)
_ROWS = _modes(writes_rows)
_WORD_ENDS = _modes(lambda n: not writes_rows(n) and n.emission == Emission.END)
_POSITIONS = _modes(lambda n: n.emission == Emission.POSITION)
_MAXIMA = _modes(lambda n: n.reduction in (Reduction.MAXIMUM, Reduction.INDEX))
_BIASED = _modes(takes_bias)
_ONCE = (*BY_LANE, *_modes(lambda n: n.moving in (Moving.ONE, Moving.UNIT)))
_BESIDE = _modes(lambda n: n.moving == Moving.BLOCK and n.emission == Emission.POSITION and bool(pixel_spans(n)))
"""Modes that read two maps and write a third: of two memories, pixels have one for themselves."""
_MASKED = tuple(name for name in _POSITIONS if name not in _BESIDE)
_GROUPED = tuple(name for name in (*_WALKS, *_SCATTERS, *_PIXELS) if name not in ("convolution_bias", "pixelwise_bias"))
_SUMMED = tuple(name for name in _GROUPED if name not in (*BY_LANE, *_SCATTERS))
_KEEPING = tuple(
    name
    for name, item in _NESTS.items()
    if name not in (*_SCATTERS, *_MAXIMA) and item.emission not in (Emission.STEP, Emission.ROW)
)
_DRAINING = tuple(name for name in _POSITIONS if name in (*_PIXELS, *_BLOCKS))


def _not(modes: tuple[str, ...]) -> Callable[[Point], bool]:
    return lambda point: point["mode"] not in modes


def _traversal(point: Point) -> bool:
    return point["traversal"] not in [item.name for item in walks(_NESTS[point["mode"]])]


WALK_RULES = (
    Rule("windows walk SNAKE or RASTER, scatters RASTER, all others in blocks of their kind", _traversal),
    Rule(
        "shapes of walks and of blocks are classed differently",
        lambda p: (p["shape"] in nest.BLOCKS) != (p["traversal"] in ("BLOCK", "PIXELS")),
    ),
    Rule(
        "a scatter is at least K columns wide",
        lambda p: p["mode"] in _SCATTERS and p["shape"] in ("1x1", "one column"),
    ),
)
EVENT_RULES = (
    Rule(
        "an update is lost only where a weight row is updated",
        lambda p: p["mode"] not in _ROWS and p["event"] in ("lost update", "both"),
    ),
    Rule(
        "an index fits every word",
        lambda p: p["mode"] == "maximum_index" and p["event"] == "saturation",
    ),
)
FLAG_RULES = (
    Rule("a step's row is updated: base ROW", lambda p: _emission(p) == Emission.STEP and p["base"] != "ROW"),
    Rule("rows are written with NONE or ROW", lambda p: p["mode"] in _ROWS and p["base"] == "BIAS"),
    Rule("words are emitted with NONE or BIAS", lambda p: p["mode"] not in _ROWS and p["base"] == "ROW"),
    Rule("a maximum or a whole map's sum takes no bias", lambda p: p["mode"] not in _BIASED and p["base"] == "BIAS"),
    Rule("no mask or ReLU on weight rows", lambda p: p["mode"] in _ROWS and "1" in (p["mask"], p["relu"])),
    Rule("no mask where words are emitted at the end", lambda p: p["mode"] in _WORD_ENDS and p["mask"] == "1"),
    Rule("no memory is left for a mask beside pixels", lambda p: p["mode"] in _BESIDE and p["mask"] == "1"),
)


def _emission(point: Point) -> Emission:
    return MODES[point["mode"]].emission


MEMORY_RULES = (
    Rule(
        "modes without a window or block have no source map, others have",
        lambda p: (p["mode"] in _SOURCES) != (p["source memory"] != "none"),
    ),
    Rule(
        "modes that write rows write weights, others a map",
        lambda p: (p["mode"] in _ROWS) != (p["target memory"] == "weights"),
    ),
)
BESIDE_RULE = Rule(
    "beside pixels a source and a target of positions share a memory",
    lambda p: p["mode"] in _BESIDE and p["source memory"] != p["target memory"],
)
PIXEL_RULES = (
    Rule("the mode has no pixel, nor a mask for one", _not((*_WITH_PIXELS, "convolution"))),
    MEMORY_RULES[0],
    Rule("pixels lie beside the source: one port each", lambda p: p["pixel_space"] == p["source memory"]),
)
MASK_RULES = (
    Rule("the mode takes no mask", _not(_MASKED)),
    *MEMORY_RULES,
    Rule("the mask lies beside the target: one port each", lambda p: p["mask_space"] == p["target memory"]),
    Rule("the mask lies beside the source: one port each", lambda p: p["mask_space"] == p["source memory"]),
)
_LOADER_WAITS = (*(name for name in _SOURCES if name in (*_POSITIONS, "pixelwise_sum")), *_SCATTERS)
_ROW_WAITS = tuple(name for name in _ROWS if name not in ("convolution_bias", "pixelwise_bias"))
STALL_RULES = (
    Rule(
        "the loader waits only where words are written while more of a source is read",
        lambda p: "loader" in p["stall"] and p["mode"] not in _LOADER_WAITS,
    ),
    Rule("rows wait only where several are written", lambda p: p["stall"] == "row" and p["mode"] not in _ROW_WAITS),
    Rule("only blocks of words drain", lambda p: "drain" in p["stall"] and p["mode"] not in _DRAINING),
)
PARTIAL_RULES = (
    Rule("the mode holds no position's sum for long", _not(tuple(n for n in _POSITIONS if n not in _SCATTERS))),
    Rule(
        "sums that are kept have cells of their own",
        lambda p: p["what is summed"] == "partial sums" and p["accumulators used"] == "again",
    ),
    Rule("a maximum is never kept", lambda p: p["mode"] in _MAXIMA and p["what is summed"] == "partial sums"),
)
SKIP_RULES = (Rule("the mode skips nothing", lambda p: p["mode"] not in SKIPPING and p["skipped"] != "off"),)
TAP_RULES = (Rule("only a walk over pixels has inner steps", _not(_PIXELS)),)
KERNEL_STEP_RULES = (
    *TAP_RULES,
    Rule(
        "where nothing moves, inner steps go over planes",
        lambda p: p["mode"] == "pixelwise_bias" and p["inner steps"] in ("row", "column", "rectangle"),
    ),
)

_C = (Compute,)
NEST_GROUPS = (
    Group("mode, traversal, shape", _C, (nest.MODE, nest.TRAVERSAL, nest.SHAPE), WALK_RULES),
    Group(
        "mode, iterations, weight beats",
        _C,
        (nest.MODE, nest.ITERATIONS, at.BEATS),
        (Rule("one iteration is all", lambda p: p["mode"] in _ONCE and p["iterations"] != "one"),),
    ),
    Group("mode, rounding, overflow, event", _C, (nest.MODE, nest.ROUNDING, nest.OVERFLOW, nest.EVENT), EVENT_RULES),
    Group("mode, overflow, bits of a result", _C, (nest.MODE, nest.OVERFLOW, nest.STORAGE)),
    Group(
        "base, event, bits of a result",
        _C,
        (nest.BASE, nest.EVENT, nest.STORAGE),
        (
            Rule(
                "an update is lost only where a weight row is updated",
                lambda p: p["base"] != "ROW" and p["event"] in ("lost update", "both"),
            ),
        ),
    ),
    Group(
        "mode, products with a zero",
        _C,
        (nest.MODE, nest.ZEROS),
        (
            Rule(
                "a unit stands in tap 0 alone",
                lambda p: p["mode"] in _UNITS and p["products with a zero"] == "none",
            ),
        ),
    ),
    Group("mode, mask, ReLU, base, sign", _C, (nest.MODE, nest.MASK, nest.RELU, nest.BASE, nest.NEGATE), FLAG_RULES),
    Group("mode, shift, rounding", _C, (nest.MODE, nest.SHIFT, nest.ROUNDING)),
    Group(
        "base, shifts",
        _C,
        (nest.BASE, nest.BASE_SHIFT, nest.SHIFT),
        (Rule("there is no base to shift", lambda p: p["base"] == "NONE"),),
    ),
    Group(
        "mode, word of the bias register",
        _C,
        (nest.MODE, nest.BIAS_WORD),
        (Rule("no word is chosen", _not(tuple(name for name in _BIASED if name in _POSITIONS))),),
    ),
    Group(
        "mode, source and target memory",
        _C,
        (nest.MODE, nest.SOURCE_SPACE, nest.TARGET_SPACE),
        (*MEMORY_RULES, BESIDE_RULE),
    ),
    Group("mode, pixel's memory", _C, (nest.MODE, nest.SOURCE_SPACE, nest.space("pixel")), PIXEL_RULES),
    Group("mode, mask's memory", _C, (nest.MODE, nest.SOURCE_SPACE, nest.TARGET_SPACE, nest.space("mask")), MASK_RULES),
    Group(
        "mode, weight beats, accumulator banks",
        _C,
        (nest.MODE, at.BEATS, at.BANKS),
        (
            Rule(
                "a scatter needs two accumulator banks",
                lambda p: p["mode"] in _SCATTERS and p["accumulator banks"] == "1",
            ),
        ),
    ),
    Group("mode, stall, weight beats", _C, (nest.MODE, nest.STALL, at.BEATS), STALL_RULES),
    Group(
        "mode, traversal, padding",
        _C,
        (nest.MODE, nest.TRAVERSAL, nest.PADDING),
        (Rule("the mode reads no map by coordinates", _not((*_WINDOWS, *_GATHERS))), WALK_RULES[0]),
    ),
    Group("mode, line buffer", _C, (nest.MODE, nest.LINE), (Rule("no window moves", _not(_WINDOWS)),)),
    Group("padding above and left", _C, (nest.PAD_TOP, nest.PAD_LEFT)),
    Group("windowed map", _C, (nest.SOURCE_HEIGHT, nest.SOURCE_WIDTH)),
    *(
        Group(f"{name}'s place", _C, (nest.space(name), nest.place(name)))
        for name in ("source", "pixel", "target", "mask")
    ),
    *(Group(f"{name}'s pitch", _C, (nest.pitch(name),)) for name in ("source", "pixel", "target", "mask")),
    Group(
        "weight row's place",
        _C,
        (nest.MODE, nest.ROW),
        (Rule("the mode uses no rows", _not((*_ROWS, *_KERNELS, "dense", "dense_input"))),),
    ),
    Group("summed row's place", _C, (nest.TARGET_ROW,)),
    Group(
        "mode, groups",
        _C,
        (nest.MODE, loop.OUTER, loop.INNER),
        (
            Rule("the mode has one group", lambda p: p["mode"] not in _GROUPED and "more" in (p["outer"], p["inner"])),
            Rule("nothing is summed over groups", lambda p: p["mode"] not in _SUMMED and p["inner"] == "more"),
        ),
    ),
    Group(
        "mode, sums kept",
        _C,
        (nest.MODE, loop.CHAIN),
        (Rule("the mode's sums end with it", lambda p: p["mode"] not in _KEEPING and p["sums"] != "alone"),),
    ),
    Group("mode, accumulators", _C, (nest.MODE, loop.PARTIAL, loop.CELLS), PARTIAL_RULES),
    Group(
        "mode, kernels, groups",
        _C,
        (nest.MODE, loop.RELOAD, loop.OUTER),
        (Rule("the mode has no kernels", _not(_KERNELS)),),
    ),
    Group("mode, skip", _C, (nest.MODE, loop.SKIP), SKIP_RULES),
    Group("mode, inner steps", _C, (nest.MODE, loop.INNER_STEPS), KERNEL_STEP_RULES),
    Group(
        "mode, step",
        _C,
        (nest.MODE, loop.STEP, loop.REACH),
        (
            Rule("the mode gathers nothing", _not(_GATHERS)),
            Rule("a step of 0 stays in a bank", lambda p: p["step"] == "zero" and p["positions an access"] != "one"),
            Rule("a step of 1 meets every bank", lambda p: p["step"] == "one" and p["positions an access"] != "K"),
        ),
    ),
    Group("mode, dilation", _C, (nest.MODE, loop.DILATION), (Rule("the mode gathers nothing", _not(_GATHERS)),)),
    Group("mode, blocks over rows", _C, (nest.MODE, loop.CUT), TAP_RULES),
    Group("mode, kernel taps", _C, (nest.MODE, loop.TAPS), TAP_RULES),
    Group(
        "mode, kernel taps of groups",
        _C,
        (nest.MODE, loop.TAP_OUTER),
        (Rule("the mode has no taps, or one group", _not(tuple(name for name in _PIXELS if name in _GROUPED))),),
    ),
    *(Group(point.name, _C, (point,)) for point in loop.DISTANCES),
    Group(
        "mode, target_step",
        _C,
        (nest.MODE, loop.TARGET_STEP),
        (Rule("the mode emits no words of positions", _not(_POSITIONS)),),
    ),
    Group("scatter", _C, (loop.SCATTERED, loop.DROPPED_ROWS, loop.DROPPED_COLUMNS)),
)
"""Every cross of a COMPUTE that is asked for."""
