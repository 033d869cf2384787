"""`--check`: every tensor that the simulated chip makes beside the float twin's.

A step of the plan is an entry of its own, so that between two steps the result of the first can be read where it lies,
before another takes its place. Steps between which sums stay in the accumulators are one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from arch.chip import largest_of
from arch.errors import InputError
from arch.image import Image, quantised
from arch.isa import ENGINES, Compute, Engine, Halt, Instruction, Space
from arch.layout import Region
from arch.program import Entry, Program, Step
from compiler.calibration import Calibration
from compiler.deviations import Deviation, deviations
from compiler.float_twin import one_thread
from compiler.graph import ACCUMULATE_FIRST, INFER, TRAIN, Graph, Role, sample_name
from compiler.hazards import Issue
from compiler.nodes import INPUT, LABEL
from compiler.octets import bits_of
from compiler.pipeline import Build, issues
from compiler.plan import Move, Run
from compiler.queueing import scheduled
from compiler.report_tensors import Check
from compiler.views import MapView
from sim.fast import FastMachine

MOST_INSTRUCTIONS = 16384
"""Of all steps together, the most that a program memory may have."""
_COMPARED = (Role.ACTIVATION, Role.GRADIENT)
_KEPT = (Role.WEIGHT, Role.BIAS)


def check(build: Build, samples: int, watch: Callable[[], None] = lambda: None) -> None:
    """Run `samples` of calibration's samples, by training steps if the program trains, and compare.

    Fills `check` in the tensors of the build's reports; `watch` is called before each sample, or micro-batch if a step
    takes one. Raises `InputError` if the program has more than one training entry, or too many instructions.
    """
    assert build.graph and build.reports
    if ACCUMULATE_FIRST in build.graph.entries:
        raise InputError("--check must have --micro-batch 1: a step's updates are compared with the float twin's")
    trains = TRAIN in build.graph.entries
    probe = Probe(build, TRAIN if trains else INFER)
    twin = build.twin()
    sums: dict[str, _Sum] = {}
    given = build.calibration
    for number in range(samples):
        watch()
        taken = (number * build.graph.samples + np.arange(build.graph.samples)) % len(given.samples)
        index = taken if len(taken) > 1 else taken[0]
        with one_thread():
            if trains:
                twin.step(given.samples[index], given.labels[index])
            else:
                twin.infer(given.samples[index])
        words = {name: value for name, value in probe.run(given, taken).items() if twin.knows(name)}
        assert build.fractions
        octets, chip = build.graph.octets, build.chip
        ends = {name: largest_of(bits_of(name, octets, chip)) for name in words}
        for name, found in deviations(twin, words, build.fractions, ends).items():
            sums.setdefault(name, _Sum()).add(found)
    checks = {name: total.check() for name, total in sums.items()}
    for entry, report in build.reports.items():
        rows = [row.model_copy(update={"check": checks.get(row.name)}) for row in report.tensors]
        build.reports[entry] = report.model_copy(update={"tensors": rows})


@dataclass
class _Sum:
    """Deviations of a tensor over samples."""

    found: list[Deviation] = field(default_factory=list)

    def add(self, deviation: Deviation) -> None:
        self.found.append(deviation)

    def check(self) -> Check:
        count = len(self.found)
        return Check(
            samples=count,
            rms_error=sqrt(sum(item.error**2 for item in self.found) / count),
            largest_error=max(item.largest_error for item in self.found),
            rms_value=sqrt(sum(item.signal**2 for item in self.found) / count),
            saturated=sum(item.saturated for item in self.found),
            elements=sum(item.elements for item in self.found),
        )


class Probe:
    """The program of an entry, a part of the plan at a time."""

    def __init__(self, build: Build, entry: str):
        assert build.graph and build.plan and build.program
        self.graph: Graph = build.graph
        self.chip = build.chip
        self.homes = build.plan.homes
        self.parts = list(_parts(build, entry))
        self.machine = FastMachine(_in_parts(build, self.parts))

    def run(self, given: Calibration, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The words of every compared tensor, of the graph's shapes, after a run with one sample, or a micro-batch."""
        for number, index in enumerate(indices):
            several = len(indices) > 1
            self._stage(sample_name(INPUT, number) if several else INPUT, given.samples[index])
            if self.graph.optimiser:
                target = np.asarray(given.labels[index], np.float64)
                self._stage(sample_name(LABEL, number) if several else LABEL, target)
        words: dict[str, np.ndarray] = {}
        for number, part in enumerate(self.parts):
            self.machine.run(str(number))
            for step in part.steps:
                if isinstance(step, Run):
                    self._note(step, words)
        for name, tensor in self.graph.tensors.items():
            if tensor.role in _KEPT and name in self.homes:
                words[name] = self.machine.image.read(self.homes[name], self.chip).reshape(tensor.shape)
        return words

    def _stage(self, name: str, values: np.ndarray) -> None:
        region = self.homes.get(name)
        if region is not None:
            moved = np.moveaxis(values, 0, -1) if values.ndim == 3 else values
            integers = quantised(moved, region.fraction, region.largest(self.chip), name)
            self.machine.image.write(region, integers.reshape(region.shape), self.chip)

    def _note(self, step: Run, words: dict[str, np.ndarray]) -> None:
        """Copy the piece of its result that a step made."""
        name = step.operation.output
        tensor, view = self.graph.tensors[name], step.views[name]
        if tensor.role not in _COMPARED:
            return
        assert isinstance(view, MapView)
        shape = tensor.shape if len(tensor.shape) == 3 else (tensor.shape[0], 1, 1)
        whole = words.setdefault(name, np.zeros(tensor.shape, np.int16)).reshape(shape)
        rows = slice(view.first, view.first + view.height)
        columns = slice(view.first_column, view.first_column + view.width)
        for channel, piece in _pieces(view, self.machine.image, self.chip.lanes):
            part = whole[channel : channel + len(piece), rows, columns]
            part[:] = piece[: len(part)]


def _pieces(view: MapView, image: Image, lanes: int) -> Iterator[tuple[int, np.ndarray]]:
    """Of each plane of a view, its first channel and its words [lanes, height, width]."""
    memory = image.feature if view.space == Space.FEATURE else image.gradient
    rows = np.arange(view.height)[:, None] * view.pitch + np.arange(view.width)
    for plane in range(-(-view.channels // lanes)):
        yield (view.first_plane + plane) * lanes, memory[view.base + plane * view.plane + rows].transpose(2, 0, 1)


@dataclass
class _Part:
    """Steps of the plan that only run together, and their instructions."""

    steps: list[Run | Move] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def _parts(build: Build, entry: str) -> Iterator[_Part]:
    """The plan's steps, those between which sums stay in the accumulators as one part."""
    assert build.plan
    part = _Part()
    for step in build.plan.steps[entry]:
        part.steps.append(step)
        part.issues += issues(build, step)
        computes = [item for _, item in part.issues if isinstance(item, Compute)]
        if not (computes and computes[-1].hold):
            yield part
            part = _Part()


def _in_parts(build: Build, parts: Sequence[_Part]) -> Program:
    """A program with an entry for each part of the plan; entries are named by number."""
    assert build.plan and build.program
    streams: dict[Engine, list[Instruction]] = {engine: [] for engine in ENGINES}
    entries = {}
    for number, part in enumerate(parts):
        entries[str(number)] = Entry(start={engine.name.lower(): len(streams[engine]) for engine in ENGINES})
        made = scheduled(part.issues, build.chip).instructions
        for engine in ENGINES:
            streams[engine] += made.get(engine) or [Halt()]
    most = max(map(len, streams.values()))
    if most > MOST_INSTRUCTIONS:
        raise InputError(f"--check takes programs of at most {MOST_INSTRUCTIONS} instructions in steps, not {most}")
    chip = build.chip.replace(program_memory={"instructions": max(most, 4)})
    steps = {engine: [Step(layer="check", phase="step") for _ in stream] for engine, stream in streams.items()}
    whole = build.program
    homes: dict[str, Region] = build.plan.homes
    return Program(
        chip=chip,
        streams=streams,
        steps=steps,
        entries=entries,
        image=whole.image.copy(),
        inputs={},
        outputs={name: homes[name] for name in (build.graph.logits,) if name in homes} if build.graph else {},
        parameters=whole.parameters,
        tensors={},
    )
