"""The passes without values: cycles and events need no weights, no formats and no memory contents."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip
from arch.image import Image, check_external
from compiler.batching import ones_spread
from compiler.calibration import Calibration
from compiler.graph import Graph, Operator, Role
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.pipeline import PASSES, Build, Options, batch, cap, emitted, lay_kernels

_FRACTION = 8
"""Fraction bits of every tensor: shifts and regions hold them, and no cycle depends on them."""
_WEIGHT = np.float64(0.5)


def cost_network(network: Network, chip: Chip, options: Options, density: float | None = None) -> Build:
    """Compile without values: `program` is to be counted, not run, for its memories are empty.

    Its instructions are those that `compile_network` makes, but for shifts. With `options.skip`, `density` is the
    share, 0 to 1, of values that are not zero in every map, by which the compiler chooses what to skip. Raises
    `NetworkError` and `ProgramError` where `compile_network` does, but for what only values show.
    """
    if options.skip and density is None:
        raise NetworkError("skip must come with a density of values that are not zero")
    parameters = {name: np.broadcast_to(_WEIGHT, shape) for name, shape in network.shapes.items()}
    build = Build(network, chip, parameters, Calibration(np.empty(0), np.empty(0), 0), options)
    PASSES["lowering"](build)
    assert build.graph
    if not options.train:
        cap(build, {})
    for name in ("patches", "differentiation"):
        PASSES[name](build)
    if build.graph.samples > 1:
        batch(build, ones_spread(build.graph))
    for name in ("recomputation", "octets"):
        PASSES[name](build)
    assert build.graph
    _refuse_ranges(build.graph)
    maps = [tensor.name for tensor in build.graph.tensors.values() if tensor.role in (Role.INPUT, Role.ACTIVATION)]
    lay_kernels(build, dict.fromkeys(maps, density or 0.0) if options.skip else None)
    build.fractions = dict.fromkeys(build.graph.tensors, _FRACTION)
    PASSES["residency"](build)
    assert build.plan
    build.program = emitted(build, _empty(chip, build.plan.external_words))
    build.program.check_streams()
    return build


def _refuse_ranges(graph: Graph) -> None:
    """Raise on what has as many steps as the range of its values asks for."""
    layers = [operation.layer for operation in graph.operations if operation.operator == Operator.LRN]
    if layers:
        raise NetworkError(
            f"{', '.join(layers)}: the steps of LRN follow from the range of samples; compile the network instead"
        )


def _empty(chip: Chip, external_words: int) -> Image:
    """Memories of no words, since none is read."""
    check_external(external_words, chip)
    words, rows = np.empty((0, chip.lanes), np.int16), np.empty((0, chip.taps, chip.lanes), np.int16)
    return Image(words, words, rows, np.ones((chip.taps, chip.lanes), np.uint32), words)
