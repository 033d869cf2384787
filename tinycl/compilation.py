"""`tinycl compile`: a model, samples and options, passed through the compiler with a progress bar."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from arch.chip import Chip
from compiler import Options, compile_network
from compiler.formats import Headroom
from compiler.mapping import load_mapping
from compiler.network import Network
from compiler.nodes import INPUT, NetworkError
from compiler.pipeline import PASSES
from tinycl.calibrating import Samplings, samples_for
from tinycl.checking import check
from tinycl.compiled import Compiled
from tinycl.late_progress import late_progress
from tinycl.models import Model, add_loss, load_model

FEW_STEPS, ROOM = 256, 8.0
"""Below so many steps of calibration in training nobody knows how far its tensors grow: formats get this headroom."""
MOST_NOTES = 3
"""Notes of what the compiler changed in a network that are shown."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `headroom` None is the usual one."""

    model: str
    chip: Chip
    options: Options
    loss: str | None = None
    parameters: Path | None = None
    calibration: Path | None = None
    mapping: Path | None = None
    check: int = 0
    headroom: float | None = None


def compile_model(request: Request) -> Compiled:
    """Load, calibrate, compile and, if asked for, check. Raises `InputError` in one line."""
    options = request.options
    if request.mapping:
        options = replace(options, mapping=load_mapping(request.mapping))
    model = load_model(request.model, request.parameters, options.seed)
    if options.train:
        add_loss(model.network, request.loss)
    room = request.headroom
    if room is not None:
        options = replace(options, headroom=Headroom(room, room, room))
    return build_model(model, request.chip, options, request.calibration, request.check, room is not None)


def build_model(
    model: Model, chip: Chip, options: Options, calibration: Samplings, checked: int = 0, fixed: bool = False
) -> Compiled:
    """Calibrate, compile and compare `checked` samples with float64, with a progress bar if that takes long.

    If the headroom is not `fixed`, training gets more of it where calibration is short.
    """
    with late_progress() as bar:
        task = bar.add_task("model", total=len(PASSES) + 1 + checked)
        _check_sizes(model.network, chip)
        samples = samples_for(model.network, options.train, calibration, options.seed)
        steps, room = samples.calibration.steps, ""
        if options.train and not fixed and steps < FEW_STEPS:
            options = replace(options, headroom=Headroom(ROOM, ROOM, ROOM))
            room = f"{steps} steps of calibration: values have room to grow {ROOM:g} times (2 from {FEW_STEPS} on)"

        def watch(name: str) -> None:
            bar.update(task, advance=1, description=name)

        build = compile_network(model.network, chip, model.parameters, samples.calibration, options, watch=watch)
        if checked:
            check(build, checked, lambda: watch("check"))
    assert build.graph
    notes = build.graph.notes
    shown = [*model.notes, samples.note, room, *notes[:MOST_NOTES]]
    if len(notes) > MOST_NOTES:
        shown.append(f"and {len(notes) - MOST_NOTES} more changes of this kind")
    return Compiled(build, [note for note in shown if note])


def _check_sizes(network: Network, chip: Chip) -> None:
    """Refuse a network with a value that no memory of the chip holds, before anything of its size is made."""
    outside = chip.external_words * (2 if chip.stores_bytes else 1)
    most = chip.lanes * max(chip.feature_words, chip.gradient_words, outside)
    for name, shape in network.values.items():
        if prod(shape) > most:
            where = f"input of {network.name}" if name == INPUT else name
            way = "enlarge its memories" if chip.external_memory else "give it an external_memory"
            short = -(-(prod(shape) - most) * chip.word_bits // 8)
            raise NetworkError(
                f"{where}: {list(shape)} does not fit any memory of chip {chip.name}: {short} bytes too few; {way}"
            )
