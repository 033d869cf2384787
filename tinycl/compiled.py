"""What a compiled network is in a notebook: its program, and tables of what it costs."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arch.chip import Chip
from arch.errors import InputError
from arch.program import Program
from compiler import Bits, Build, Calibration, Options
from compiler.network import Network
from compiler.report import Report
from explore.frames import report_frame, tensor_frame, traffic_frame
from tinycl.models import Model, add_loss, load_model

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Compiled:
    """A network compiled for a chip; `notes` say what a user should know about it, a line each.

    `.build` is all that the compiler's passes made.

    >>> import tinycl
    >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
    >>> compiled = tinycl.compile(small, train=True)
    >>> compiled.entry, compiled.report is compiled.reports["train"]
    ('train', True)
    >>> compiled.program.chip is compiled.chip
    True
    """

    build: Build
    notes: list[str]

    @property
    def program(self) -> Program:
        """Instructions and memory image, which simulators and RTL run."""
        assert self.build.program
        return self.build.program

    @property
    def chip(self) -> Chip:
        """The chip it was compiled for."""
        return self.build.chip

    @property
    def reports(self) -> dict[str, Report]:
        """By entry (`infer`; with training `train` too) what one pass costs; docs/report.md gives each field."""
        assert self.build.reports
        return self.build.reports

    @property
    def entry(self) -> str:
        """The entry that is meant where none is named: a training step if there is one, else inference."""
        return list(self.reports)[-1]

    @property
    def report(self) -> Report:
        """The report of `entry`."""
        return self.reports[self.entry]

    def table(self, entry: str = "") -> DataFrame:
        """A row for each layer and phase of one pass: cycles, what limits them, multiply-accumulates, words moved.

        >>> import tinycl
        >>> compiled = tinycl.compile("digits")
        >>> int(compiled.table()["cycles"].sum()) == compiled.report.cycles
        True
        """
        return report_frame(self._report(entry))

    def traffic(self, entry: str = "") -> DataFrame:
        """Words read and written by layer and phase, a column for each memory and direction.

        >>> import tinycl
        >>> compiled = tinycl.compile("digits")
        >>> int(compiled.traffic()["weight_read_words"].sum()) == compiled.report.traffic["weight"].reads
        True
        """
        return traffic_frame(self._report(entry))

    def tensors(self) -> DataFrame:
        """A row for each tensor: shape, bytes, where it lies, and its number format.

        >>> import tinycl
        >>> tinycl.compile("digits").tensors()[["name", "shape"]].values.tolist()[0]
        ['input', [1, 8, 8]]
        """
        return tensor_frame(self.report)

    def _report(self, entry: str) -> Report:
        return chosen(self.reports, entry or self.entry, "entry")

    def _repr_html_(self) -> str:
        report = self.report
        about = "at most " if report.estimated else ""
        title = f"{report.network} on chip {report.chip}: one {report.entry} pass, {about}{report.cycles:,} cycles"
        return f"<p><b>{title}</b></p>{self.table().to_html(index=False)}"


def chosen(items: dict[str, Any], name: str, what: str) -> Any:
    """The item of that name. Raises `InputError` saying what there is."""
    if name not in items:
        raise InputError(f"{what} must be one of {', '.join(items) or '(none)'}, not {name}")
    return items[name]


def compile(
    network: Network | Model | str | PathLike[str],
    chip: Chip | str | PathLike[str] = "paper",
    train: bool = False,
    *,
    loss: str = "",
    calibration: Calibration | tuple[np.ndarray, np.ndarray] | None = None,
    parameters: dict[str, np.ndarray] | None = None,
    check: int = 0,
    **options: Any,
) -> Compiled:
    """Compile a network for a chip.

    `network` is one built with `Network`, a `Model` (as `load_onnx` gives), a file (.onnx, .yaml) or the name of a
    shipped network; `chip` a `Chip`, a shipped chip's name or a YAML file. With `train` a training step is compiled
    too, and the loss that the network lacks is added: `loss` is "cross-entropy" (the usual one) or "mse".
    `calibration` gives what number formats are fitted to: a `Calibration`, or samples (float [n, *input shape]) and
    labels (int [n]); without it they are made, and a note says so. `parameters` are float arrays as `Network.shapes`
    names them, in place of the network's own or of random ones. `check` samples are run and compared with float64.
    Formats leave room for values to grow (`headroom`) twice, in training eight times unless calibration has 256 steps.
    Other keywords are those of `compiler.Options`, such as `learning_rate`, `momentum`, `skip` and `seed`.

    Raises `InputError` in one line: naming a node that is not supported, or what does not fit the chip.

    >>> import tinycl
    >>> small = tinycl.Network("small", (1, 6, 6)).conv(4).relu().dense(3)
    >>> compiled = tinycl.compile(small, "paper", train=True)
    >>> list(compiled.reports)
    ['infer', 'train']
    """
    from tinycl.compilation import build_model

    settings = options_of(train, options)
    model = as_model(network, settings.seed)
    if parameters is not None:
        model = Model(model.network, parameters)
    if settings.train:
        model = Model(deepcopy(model.network), model.parameters, model.notes)
        add_loss(model.network, loss or None)
    elif loss:
        raise InputError("loss must come with train=True")
    return build_model(model, as_chip(chip), settings, calibration, check, "headroom" in options)


def as_model(network: Network | Model | str | PathLike[str], seed: int = 1) -> Model:
    """The network and its parameters, random ones from `seed` if it has none; a file or a shipped name is read."""
    if isinstance(network, Model):
        return network
    if isinstance(network, Network):
        return Model(network, network.initial(seed))
    return load_model(str(network), seed=seed)


def as_chip(chip: Chip | str | PathLike[str]) -> Chip:
    """The chip itself, the shipped one of that name, or the one of a YAML file."""
    return chip if isinstance(chip, Chip) else Chip.load(Path(chip) if isinstance(chip, PathLike) else chip)


def options_of(train: bool, given: dict[str, Any]) -> Options:
    """The compiler's options. Raises `InputError` on a keyword that is none."""
    if isinstance(given.get("bits"), dict):
        given = given | {"bits": Bits.of([f"{role}={bits}" for role, bits in given["bits"].items()])}
    try:
        return Options(train=train, **given)
    except TypeError:
        unknown = [name for name in given if name not in Options.__dataclass_fields__]
        known = [name for name in Options.__dataclass_fields__ if name != "train"]
        raise InputError(f"options must be some of {', '.join(known)}, not {', '.join(unknown)}") from None
