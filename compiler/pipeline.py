"""The passes in order. Each takes what the ones before made; `compile_network` can stop after any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from arch.chip import Chip
from arch.image import Image, quantised
from arch.isa import Engine, Rounding
from arch.layout import Region
from arch.program import Entry, Program
from compiler.allocation import allocate
from compiler.calibration import Calibration, observe
from compiler.differentiation import differentiate
from compiler.emission import Numbers, Streams, emit
from compiler.formats import Headroom, fractions, rate_exponent
from compiler.forward import forward
from compiler.graph import Graph, Role
from compiler.network import Network, NetworkError
from compiler.placement import Placement, place
from compiler.report import Report, report

INFER = "infer"
TRAIN = "train"


@dataclass(frozen=True)
class Options:
    """How to compile. `learning_rate` must be a power of two in (0, 1].

    `rounding` is that of maps, `update_rounding` that of parameters (stochastic by default: with nearest rounding an
    update below half a step is lost for ever; Gupta et al., 2015). `seed` starts the chip's random bits.
    """

    train: bool = True
    learning_rate: float = 2.0**-6
    rounding: Rounding = Rounding.RND
    update_rounding: Rounding = Rounding.STOCHASTIC
    seed: int = 1
    headroom: Headroom = field(default_factory=Headroom)


@dataclass
class Build:
    """What the passes have made so far; a pass fills the field of its name."""

    network: Network
    chip: Chip
    parameters: dict[str, np.ndarray]
    calibration: Calibration
    options: Options
    graph: Graph | None = None
    largest: dict[str, float] | None = None
    fractions: dict[str, int] | None = None
    placements: dict[str, Placement] | None = None
    regions: dict[str, Region] | None = None
    program: Program | None = None
    reports: dict[str, Report] | None = None


def _forward(build: Build) -> None:
    build.graph = forward(build.network)


def _differentiation(build: Build) -> None:
    if build.options.train:
        assert build.graph
        build.graph = differentiate(build.graph)


def _placement(build: Build) -> None:
    assert build.graph
    build.placements = place(build.graph, build.chip)


def _calibration(build: Build) -> None:
    assert build.graph
    rate = build.options.learning_rate if build.options.train else 0.0
    build.largest = observe(build.graph, build.parameters, build.calibration, rate)


def _formats(build: Build) -> None:
    assert build.graph and build.largest
    build.fractions = fractions(build.graph, build.largest, build.chip, _rate(build), build.options.headroom)


def _allocation(build: Build) -> None:
    assert build.graph and build.placements and build.fractions
    build.regions = allocate(build.graph, build.placements, build.fractions, build.chip)


def _emission(build: Build) -> None:
    assert build.graph and build.regions
    numbers = Numbers(_rate(build), build.options.rounding, build.options.update_rounding)
    graph, regions, chip = build.graph, build.regions, build.chip
    parts = {INFER: emit(graph.operations[: graph.forward], graph, regions, chip, numbers)}
    if build.options.train:
        parts[TRAIN] = emit(graph.operations, graph, regions, chip, numbers)
    build.program = _assemble(build, parts)
    build.program.check()


def _reports(build: Build) -> None:
    assert build.program
    build.reports = {entry: report(build.program, entry, build.network.name) for entry in build.program.entries}


PASSES: dict[str, Callable[[Build], None]] = {
    "forward": _forward,
    "differentiation": _differentiation,
    "placement": _placement,
    "calibration": _calibration,
    "formats": _formats,
    "allocation": _allocation,
    "emission": _emission,
    "report": _reports,
}


def compile_network(
    network: Network,
    chip: Chip,
    parameters: dict[str, np.ndarray],
    calibration: Calibration,
    options: Options | None = None,
    stop_after: str = "report",
) -> Build:
    """Compile a network for a chip; the program is in `.program`, its cost in `.reports`.

    `parameters` are float arrays as `Network.shapes` names them. `stop_after` is a name in `PASSES`. Raises
    `NetworkError` naming the node and the way out before anything is built.
    """
    if stop_after not in PASSES:
        raise NetworkError(f"stop_after must be one of {', '.join(PASSES)}, not {stop_after}")
    build = Build(network, chip, network.checked(parameters), calibration, options or Options())
    if build.options.train:
        rate_exponent(build.options.learning_rate)
    for name, run in PASSES.items():
        run(build)
        if name == stop_after:
            break
    return build


def _rate(build: Build) -> int:
    return rate_exponent(build.options.learning_rate) if build.options.train else 0


def _assemble(build: Build, parts: dict[str, Streams]) -> Program:
    """One program of all entries, their streams one after the other."""
    assert build.graph and build.regions
    all_streams = Streams.empty()
    entries = {}
    for name, part in parts.items():
        start = {engine.name.lower(): len(stream) for engine, stream in all_streams.instructions.items()}
        entries[name] = Entry(start=start)
        for engine in Engine:
            if engine in part.instructions:
                all_streams.instructions[engine] += part.instructions[engine]
                all_streams.steps[engine] += part.steps[engine]
    graph, regions = build.graph, build.regions

    def of(*roles: Role) -> dict[str, Region]:
        return {name: regions[name] for name, tensor in graph.tensors.items() if tensor.role in roles}

    return Program(
        chip=build.chip,
        streams=all_streams.instructions,
        steps=all_streams.steps,
        entries=entries,
        image=_image(build, of(Role.WEIGHT, Role.BIAS)),
        inputs=of(Role.INPUT, Role.LABEL),
        outputs={"logits": regions[graph.logits]},
        parameters=of(Role.WEIGHT, Role.BIAS),
        tensors=of(Role.ACTIVATION, Role.GRADIENT),
    )


def _image(build: Build, regions: dict[str, Region]) -> Image:
    image = Image.blank(build.chip, build.options.seed)
    for name, region in regions.items():
        integers = quantised(build.parameters[name], region.fraction, build.chip, name)
        image.write(region, integers.reshape(region.shape), build.chip)
    return image
