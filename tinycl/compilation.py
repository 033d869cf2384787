"""`tinycl compile`: a model, samples and options, passed through the compiler with a progress bar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arch.chip import Chip
from compiler import Build, Options, compile_network
from compiler.mapping import load_mapping
from compiler.pipeline import PASSES
from tinycl.calibrating import samples_for
from tinycl.checking import check
from tinycl.late_progress import late_progress
from tinycl.models import add_loss, load_model


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    model: str
    chip: str
    options: Options
    loss: str | None = None
    parameters: Path | None = None
    calibration: Path | None = None
    mapping: Path | None = None
    check: int = 0


@dataclass(frozen=True)
class Compiled:
    """The build, and what a user should know about it, a line each."""

    build: Build
    notes: list[str]


def compile_model(request: Request) -> Compiled:
    """Load, calibrate, compile and, if asked for, check. Raises `InputError` in one line."""
    options = request.options
    chip = Chip.load(request.chip)
    if request.mapping:
        options = options.replace(mapping=load_mapping(request.mapping))
    with late_progress() as bar:
        task = bar.add_task("model", total=len(PASSES) + 1 + request.check)
        model = load_model(request.model, request.parameters, options.seed)
        if options.train:
            add_loss(model.network, request.loss)
        samples = samples_for(model.network, options.train, request.calibration, options.seed)

        def watch(name: str) -> None:
            bar.update(task, advance=1, description=name)

        build = compile_network(model.network, chip, model.parameters, samples.calibration, options, watch=watch)
        if request.check:
            check(build, request.check, lambda: watch("check"))
    assert build.graph
    return Compiled(build, [note for note in (*model.notes, samples.note, *build.graph.notes) if note])
