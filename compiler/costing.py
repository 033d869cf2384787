"""The passes without values: what a network costs. Cycles and events need no weights, formats or memory contents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import Compute, Engine
from arch.program import Program
from compiler.calibration import Calibration
from compiler.network import Network
from compiler.pipeline import PASSES, Build, Options, assemble, streams_of
from compiler.report import Report, report

_BEFORE_FORMATS = ("lowering", "patches", "differentiation", "kernels")
_FRACTION = 8
"""Fraction bits of every tensor: they are numbers in instructions that no cycle depends on."""
_DENSITY = 1.0


def cost_network(network: Network, chip: Chip, options: Options) -> Build:
    """Compile without values; `program` has an empty image and any formats: it is to be counted, not run.

    Its instructions, but for shifts, are those that `compile_network` makes, and so are its reports, which name no
    tensors. `options.skip` needs the density of values, and is refused. Raises `NetworkError` where `compile_network`
    does for the network's structure or the chip's size.
    """
    if options.skip:
        raise NetworkError("skip must be off without values: the density of zeros decides where it pays")
    parameters = {name: np.broadcast_to(np.float64(0.5), shape) for name, shape in network.shapes.items()}
    nothing = Calibration(np.empty(0), np.empty(0), 0)
    build = Build(network, chip, parameters, nothing, options)
    for name in _BEFORE_FORMATS:
        PASSES[name](build)
    assert build.graph
    build.fractions = dict.fromkeys(build.graph.tensors, _FRACTION)
    PASSES["residency"](build)
    return build
