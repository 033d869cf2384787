"""What the bench is asked to run, what came of it, and the folders in which both cross to the simulator's process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from arch.image import Image
from arch.isa import Engine
from arch.program import Program
from arch.retirement import MEMORIES, Retirement
from testbenches.comparison import Difference

PROGRESS = "progress"
"""A file in the folder of all jobs, a byte longer after each step."""


@dataclass
class Job:
    """Runs of one program's entry, one after another, with what should come of them.

    `inputs` has a dict for each step: integers by the names of the program's input regions. `expected` are each step's
    retirements and `image` the memories at the end; None compares nothing. `reference(step, cycle)`, if given, is asked
    for the memories expected after that cycle of the step, to name the element where a digest differs.
    """

    program: Program
    entry: str
    inputs: list[dict[str, np.ndarray]]
    expected: list[list[Retirement]] | None = None
    image: Image | None = None
    reference: Callable[[int, int], Image] | None = None

    def save(self, folder: Path) -> None:
        """Write all but `reference` to a new folder."""
        folder.mkdir(parents=True)
        self.program.save(folder / "program")
        content = {"entry": self.entry, "steps": len(self.inputs), "expected": self.expected}
        (folder / "job.json").write_text(json.dumps(content, default=astuple))
        arrays = {
            f"{step} {name}": values for step, inputs in enumerate(self.inputs) for name, values in inputs.items()
        }
        np.savez(folder / "inputs.npz", allow_pickle=False, **arrays)
        if self.image is not None:
            save_image(self.image, folder / "expected.npz")

    @classmethod
    def load(cls, folder: Path) -> Job:
        """The job that was saved."""
        content = json.loads((folder / "job.json").read_text())
        inputs: list[dict[str, np.ndarray]] = [{} for _ in range(content["steps"])]
        with np.load(folder / "inputs.npz") as arrays:
            for key in arrays.files:
                step, _, name = key.partition(" ")
                inputs[int(step)][name] = arrays[key]
        expected = content["expected"]
        image = folder / "expected.npz"
        return cls(
            Program.load(folder / "program"),
            content["entry"],
            inputs,
            None if expected is None else [[_retirement(item) for item in step] for step in expected],
            load_image(image) if image.exists() else None,
        )


@dataclass
class Outcome:
    """What the RTL did: a job's steps in order, and the memories as the host reads them back at the end.

    `counters` are int64[engines, events], as the registers on the bus say. `suspect` are the memories right after the
    first retirement that differed.
    """

    image: Image
    cycles: list[int] = field(default_factory=list)
    counters: list[np.ndarray] = field(default_factory=list)
    retirements: list[list[Retirement]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    suspect: Image | None = None

    @property
    def steps(self) -> int:
        """Steps that ended."""
        return len(self.cycles)

    def save(self, folder: Path) -> None:
        """Add it to the job's folder."""
        save_image(self.image, folder / "image.npz")
        if self.suspect is not None:
            save_image(self.suspect, folder / "suspect.npz")
        content = {
            "cycles": self.cycles,
            "counters": [item.tolist() for item in self.counters],
            "retirements": self.retirements,
            "differences": self.differences,
        }
        (folder / "outcome.json").write_text(json.dumps(content, default=astuple))

    @classmethod
    def load(cls, folder: Path) -> Outcome:
        """The outcome that was saved."""
        content = json.loads((folder / "outcome.json").read_text())
        suspect = folder / "suspect.npz"
        return cls(
            load_image(folder / "image.npz"),
            content["cycles"],
            [np.array(item, np.int64) for item in content["counters"]],
            [[_retirement(item) for item in step] for step in content["retirements"]],
            [Difference(*item) for item in content["differences"]],
            load_image(suspect) if suspect.exists() else None,
        )


def save_image(image: Image, path: Path) -> None:
    """Write an image as an archive of arrays."""
    np.savez(path, allow_pickle=False, **{name: getattr(image, name) for name in MEMORIES})


def load_image(path: Path) -> Image:
    """The image in an archive."""
    with np.load(path) as arrays:
        return Image(*(arrays[name] for name in MEMORIES))


def _retirement(fields: list) -> Retirement:
    engine, index, cycle, counters, digests = fields
    return Retirement(Engine(engine), index, cycle, tuple(counters), tuple(digests))
