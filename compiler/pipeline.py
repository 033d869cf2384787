"""The passes in order. Each takes what the ones before made; `compile_network` can stop after any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES, Compute, Engine, Instruction, Rounding
from arch.layout import Region
from arch.program import Entry, Program, Step
from compiler.batch_twin import BatchTwin
from compiler.batching import Spreads, batched, spreads
from compiler.calibration import Calibration, observe
from compiler.capping import capped, has_clips
from compiler.constant_rows import constant_rows
from compiler.density import densities
from compiler.differentiation import differentiate
from compiler.emission import emit, engine_of
from compiler.emitter import Emitter, Numbers
from compiler.float_twin import FloatTwin
from compiler.formats import Headroom, described, fractions
from compiler.graph import INFER, TRAIN, Graph, Operation, Operator, Optimiser, Role
from compiler.grouping import separated
from compiler.hazards import Issue
from compiler.kernels import Kernels, rows_name
from compiler.lowering import lower
from compiler.mapping import FREE, Mapping
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.normalisation import accuracies, normalised
from compiler.octets import Bits, octets
from compiler.patches import laid_patches, patched
from compiler.plan import Move, Plan, Run
from compiler.queueing import scheduled
from compiler.recomputation import recomputed
from compiler.report import Report, report
from compiler.report_tensors import tensor_rows
from compiler.residency import reside
from compiler.splitting import split_averages, split_maxima
from compiler.tokens import Streams
from compiler.updates import rate_exponent

__all__ = ["INFER", "TRAIN", "Build", "Options", "compile_network"]


@dataclass(frozen=True)
class Options:
    """How to compile. `learning_rate` must be a power of two in (0, 1].

    `momentum`, `weight_decay` and `micro_batch` are those of PyTorch's SGD. `batch_norm` is "folded", "frozen", "batch"
    (statistics of the micro-batch, in training) or "", the usual one (folded for inference, frozen for training).
    `rounding` is that of maps, `update_rounding` that of
    parameters (stochastic by default: with nearest rounding an update below half a step is lost for ever; Gupta et
    al., 2015). `seed` starts the chip's random bits. `trainable` names the parameters to train, all by default.
    `skip` leaves out what costs no cycle where values are zero, by the density that calibration's samples show; cycles
    then depend on values. `mapping` forces choices on layers. `bits` are those of elements by their tensors' roles.

    >>> Options(learning_rate=2**-7, momentum=0.5).optimiser.momentum
    0.5
    """

    train: bool = True
    learning_rate: float = 2.0**-6
    momentum: float = 0.0
    weight_decay: float = 0.0
    micro_batch: int = 1
    batch_norm: str = ""
    rounding: Rounding = Rounding.RND
    update_rounding: Rounding = Rounding.STOCHASTIC
    seed: int = 1
    headroom: Headroom = field(default_factory=Headroom)
    trainable: tuple[str, ...] | None = None
    skip: bool = False
    mapping: Mapping = FREE
    bits: Bits = Bits()

    @property
    def optimiser(self) -> Optimiser:
        """What the options say of updates."""
        return Optimiser(self.learning_rate, self.momentum, self.weight_decay, self.micro_batch)


@dataclass
class Build:
    """What the passes have made so far; a pass fills the field of its name.

    `whole` is the graph before batching, in which a normalisation by a micro-batch is one operation.
    """

    network: Network
    chip: Chip
    parameters: dict[str, np.ndarray]
    calibration: Calibration
    options: Options
    graph: Graph | None = None
    whole: Graph | None = None
    largest: dict[str, float] | None = None
    fractions: dict[str, int] | None = None
    kernels: Kernels | None = None
    plan: Plan | None = None
    program: Program | None = None
    reports: dict[str, Report] | None = None

    def twin(self) -> FloatTwin:
        """What the chip approximates, in float64, with its parameters as they were compiled."""
        assert self.graph
        return BatchTwin(self.whole) if self.whole else FloatTwin(self.graph)


def _lowering(build: Build) -> None:
    options = build.options
    build.graph = lower(build.network, build.parameters, train=options.train, batch_norm=options.batch_norm)
    options.mapping.check_bits(build.graph)


def _capping(build: Build) -> None:
    assert build.graph
    if not build.options.train and has_clips(build.graph, build.chip):
        room = build.options.headroom.activation
        largest = observe(build.graph, build.calibration)
        cap(build, {name: room * value for name, value in largest.items()})


def cap(build: Build, largest: dict[str, float]) -> None:
    """Let the ends of formats be clips where they can; `largest` as `capped` takes it."""
    assert build.graph
    some = octets(build.graph, build.options.bits, build.options.mapping)
    build.graph = capped(build.graph, build.chip, largest, some)


def _patches(build: Build) -> None:
    assert build.graph
    options = build.options
    first = next(iter(build.graph.operations), None)
    apart = any(operation.operator == Operator.NORMALISE for operation in build.graph.operations)
    if first and not options.skip and options.mapping.of(first.layer).free and not apart:  # its samples lie apart
        narrow = octets(build.graph, options.bits, options.mapping)
        build.graph = laid_patches(build.graph, build.chip, options.train, narrow)
    build.graph = split_averages(build.graph, build.chip)
    build.graph = split_maxima(build.graph, build.chip) if options.train else build.graph


def _normalisation(build: Build) -> None:
    assert build.graph
    if not build.options.train:
        build.graph = normalised(build.graph, build.calibration, build.chip, build.options.headroom)


def _differentiation(build: Build) -> None:
    if build.options.train:
        assert build.graph
        graph = differentiate(build.graph, build.options.optimiser, build.options.trainable)
        build.graph = separated(graph, build.chip)


def _batching(build: Build) -> None:
    assert build.graph
    if build.graph.samples > 1:
        batch(build, spreads(BatchTwin(build.graph), build.calibration, build.options.headroom))


def batch(build: Build, spread: Spreads) -> None:
    """Let a training pass take all samples of a micro-batch; `spread` as `batched` takes it."""
    assert build.graph
    build.whole = build.graph
    build.graph = batched(build.graph, build.chip, spread)


def _recomputation(build: Build) -> None:
    assert build.graph
    build.graph = recomputed(build.graph, build.options.mapping.recomputed, build.options.rounding)


def _octets(build: Build) -> None:
    assert build.graph
    build.graph.octets = octets(build.graph, build.options.bits, build.options.mapping)
    if build.graph.octets and build.chip.external_memory and not build.chip.stores_bytes:
        build.graph.notes.append(
            f"chip {build.chip.name} stores no bytes, and elements of 8 bits take 16 outside: bytes need 2, 4, 8 or 16 "
            "lanes and words of two beats or more"
        )


def _kernels(build: Build) -> None:
    assert build.graph
    lay_kernels(build, densities(build.graph, build.calibration) if build.options.skip else None)


def lay_kernels(build: Build, shares: dict[str, float] | None) -> None:
    """Choose how every layer's rows lie; `shares` as `Kernels` takes them."""
    assert build.graph
    build.options.mapping.check(build.graph)
    if shares is not None:
        shares |= {copy: shares[first] for copy, first in build.graph.copies.items() if first in shares}
    build.kernels = Kernels(build.graph, build.chip, shares, build.options.mapping)


def _calibration(build: Build) -> None:
    assert build.graph
    build.largest = observe(build.graph, build.calibration)


def _formats(build: Build) -> None:
    assert build.graph and build.largest
    build.fractions = fractions(build.graph, build.largest, build.chip, build.options.headroom)
    build.graph.notes += accuracies(build.graph, build.fractions, build.largest)


def _residency(build: Build) -> None:
    assert build.graph and build.kernels and build.fractions
    plan = reside(build.graph, build.kernels, build.chip, build.fractions)
    build.plan = replace(plan, homes=patched(plan.homes, build.graph))


def _emission(build: Build) -> None:
    program = emitted(build, _image(build))
    labelled = zip(program.streams[Engine.ARRAY], program.steps[Engine.ARRAY], strict=True)
    build.options.mapping.check_skips(
        {step.layer for item, step in labelled if isinstance(item, Compute) and item.skip}
    )
    program.check()
    build.program = program


def _reports(build: Build) -> None:
    assert build.program
    assert build.graph and build.fractions and build.largest and build.plan
    formats = described(build.graph, build.fractions, build.largest, build.chip)
    tensors = tensor_rows(build.graph, formats, build.plan.homes)
    build.reports = {
        entry: report(build.program, entry, build.network.name, tensors) for entry in build.program.entries
    }


PASSES: dict[str, Callable[[Build], None]] = {
    "lowering": _lowering,
    "capping": _capping,
    "patches": _patches,
    "normalisation": _normalisation,
    "differentiation": _differentiation,
    "batching": _batching,
    "recomputation": _recomputation,
    "octets": _octets,
    "kernels": _kernels,
    "calibration": _calibration,
    "formats": _formats,
    "residency": _residency,
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
    watch: Callable[[str], None] = lambda _: None,
) -> Build:
    """Compile a network for a chip; the program is in `.program`, its cost in `.reports`.

    `network` ends with a loss if `options` (by default `Options()`) train; `parameters` are float arrays as
    `Network.shapes` names them; `calibration` holds samples that number formats are fitted to. `stop_after` is a name
    in `PASSES`; `watch` is called with each pass's name before it begins. Raises `NetworkError` naming the node and the
    way out.

    >>> network = Network("small", (1, 6, 6)).conv(4).relu().dense(3).softmax_cross_entropy()
    >>> samples = Calibration(np.ones((2, 1, 6, 6)), np.array([0, 2]), steps=2)
    >>> build = compile_network(network, Chip.load("paper"), network.initial(seed=0), samples)
    >>> list(build.reports)
    ['infer', 'train']
    """
    if stop_after not in PASSES:
        raise NetworkError(f"stop_after must be one of {', '.join(PASSES)}, not {stop_after}")
    build = Build(network, chip, network.checked(parameters), calibration, options or Options())
    for name, run in PASSES.items():
        watch(name)
        run(build)
        if name == stop_after:
            break
    return build


def emitted(build: Build, image: Image) -> Program:
    """The program of a build's plan, its memories as `image` has them."""
    assert build.plan
    return _assemble(build, {entry: _streams(build, steps) for entry, steps in build.plan.steps.items()}, image)


@dataclass(frozen=True)
class _Part:
    """An entry's streams, and a label for every instruction but the HALTs."""

    streams: Streams
    labels: list[Step]


def _streams(build: Build, steps: list[Run | Move]) -> _Part:
    issued: list[Issue] = []
    labels: list[Step] = []
    for step in steps:
        instructions = issues(build, step)
        issued += instructions
        if isinstance(step, Move):
            labels.append(_label(step.layer, step.phase, 0))
            continue
        operation = step.operation
        labels += [_label(operation.layer, operation.phase, 0)] * (len(instructions) - 1)
        labels += [_label(operation.layer, operation.phase, operation.macs)] * bool(instructions)
    return _Part(scheduled(issued, build.chip), labels)


@lru_cache
def _label(layer: str, phase: str, macs: int) -> Step:
    return Step(layer=layer, phase=phase, macs=macs)


def issues(build: Build, step: Run | Move) -> list[Issue]:
    """A step's instructions and who runs them, in order, without tokens."""
    if isinstance(step, Move):
        return [(Engine.DMA, step.transfer)]
    return [(engine_of(step.operation), instruction) for instruction in _emitted(build, step)]


def _emitted(build: Build, run: Run) -> list[Instruction]:
    assert build.graph and build.kernels and build.fractions
    options = build.options
    rate = rate_exponent(options.learning_rate) if options.train else 0
    numbers = Numbers(rate, options.rounding, options.update_rounding)
    surroundings = build.graph, build.kernels, build.chip, numbers, build.fractions
    on = Emitter(*surroundings, run.views, run.part, options.mapping)
    return emit(run.operation, on)


def _assemble(build: Build, parts: dict[str, _Part], image: Image) -> Program:
    """One program of all entries, their streams one after the other."""
    assert build.graph and build.plan
    streams: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    labels: dict[Engine, list[Step]] = {engine: [] for engine in ENGINES}
    entries = {}
    for name, part in parts.items():
        entries[name] = Entry(start={engine.name.lower(): len(streams[engine]) for engine in ENGINES})
        for engine in ENGINES:
            streams[engine] += part.streams.instructions[engine]
            origins = part.streams.origins[engine]
            labels[engine] += [part.labels[origin] for origin in origins] + [Step(layer="end", phase="halt")]
    homes, graph = build.plan.homes, build.graph

    def of(*roles: Role) -> dict[str, Region]:
        return {name: homes[name] for name, tensor in graph.tensors.items() if tensor.role in roles and name in homes}

    return Program(
        chip=build.chip,
        streams=streams,
        steps=labels,
        entries=entries,
        image=image,
        inputs=of(Role.INPUT, Role.LABEL, Role.TARGET),
        outputs={"logits": homes[graph.logits]},
        parameters=of(Role.WEIGHT, Role.BIAS),
        tensors=of(Role.ACTIVATION, Role.GRADIENT, Role.INDEX, Role.PARAMETER_GRADIENT, Role.STATE, Role.STATISTIC),
    )


def _image(build: Build) -> Image:
    """First contents: parameters, states, and rows of constants."""
    assert build.graph and build.plan and build.kernels and build.fractions
    chip, graph = build.chip, build.graph
    image = Image.blank(chip, build.options.seed, build.plan.external_words)
    for name in build.kernels.names:
        region = build.plan.homes[name]
        if name in graph.tensors:
            image.write_real(region, graph.values[name].reshape(region.shape), chip)
    for operation in _with_rows(graph):
        region = build.plan.homes[rows_name(operation)]
        image.write(region, constant_rows(operation, build.kernels, build.fractions).astype(np.int16), chip)
    return image


def _with_rows(graph: Graph) -> list[Operation]:
    kernels_own = [operation for operation in graph.operations if operation.factors or "MaxPool" in operation.operator]
    return [operation for operation in kernels_own if not operation.operator.endswith("Gradient")]
