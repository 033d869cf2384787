"""The pictures' page with one of each, and the list of notebooks, made when the site is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

import tinycl
from arch.chip import Chip
from explore import pictures as draw
from tinycl.compiled import Compiled


@cache
def _digits() -> Compiled:
    return tinycl.compile("digits", train=True)


@cache
def _resnet8() -> Compiled:
    return tinycl.compile("resnet8", train=True)


def _sample() -> dict[str, np.ndarray]:
    """The first handwritten digit as the digits network's inputs."""
    from tinycl.data import digits
    from tinycl.training import chip_inputs

    data = digits()
    inputs = chip_inputs(_digits().program, data.samples[:1], data.labels[:1])
    return {name: values[0] for name, values in inputs.items()}


_SHOWN: dict[str, tuple[str, Callable[[], draw.Picture | draw.Animated]]] = {
    "cycles_by_limit": (
        "What limits each layer of ResNet-8's training step",
        lambda: draw.cycles_by_limit(_resnet8().report),
    ),
    "cycles_by_phase": ("The same cycles by phase", lambda: draw.cycles_by_phase(_resnet8().report)),
    "timeline": ("When each engine works in that step", lambda: draw.timeline(_resnet8().program, "train")),
    "memory_occupancy": (
        "How full the memories are meanwhile",
        lambda: draw.memory_occupancy(_resnet8().program, "train"),
    ),
    "roofline": (
        "The digits network's training step under the weight memory's roof",
        lambda: draw.roofline(_digits().report, Chip.load("paper")),
    ),
    "array_lit": (
        "Which multipliers work, before any training, on one handwritten digit",
        lambda: draw.array_lit(_digits().program, "train", _sample()),
    ),
    "window_paths": ("Three ways for a window to walk over a map", lambda: draw.window_paths(8, 10)),
    "window_animation": ("The same in motion", draw.window_animation),
}


def page() -> str:
    """A heading, a sentence and the picture for each function."""
    parts = [
        "# Pictures",
        "Drawn by the functions of `explore.pictures` when this site was built ([reference](reference/pictures.md))."
        " Colours are Okabe and Ito's, which colour-blind readers tell apart.",
    ]
    for name, (caption, _) in _SHOWN.items():
        parts.append(f"## {caption}\n\n`{name}`\n\n![{caption}]({_file(name)})")
    return "\n\n".join(parts) + "\n"


def pictures() -> dict[str, bytes]:
    """The pictures' files by path in the site."""
    made = {name: function() for name, (_, function) in _SHOWN.items()}
    return {_file(name): item.gif() if isinstance(item, draw.Animated) else item.png() for name, item in made.items()}


def _file(name: str) -> str:
    return f"images/{name}.{'gif' if name.endswith('animation') else 'png'}"


def notebooks_page(folder: Path) -> str:
    """The notebooks' titles and first sentences."""
    parts = [
        "# Notebooks",
        "In `notebooks/`, without outputs; the tests execute them all. `make notebook` opens them.",
        "| notebook | |",
    ]
    rows = ["|---|---|"]
    for path in sorted(folder.glob("*.ipynb")):
        text = "".join(json.loads(path.read_text())["cells"][0]["source"])
        title, _, rest = text.partition("\n")
        first = " ".join(rest.split("\n\n")[1].split()) if "\n\n" in rest else " ".join(rest.split())
        rows.append(f"| `{path.name}` **{title.lstrip('# ')}** | {first} |")
    return "\n\n".join(parts) + "\n" + "\n".join(rows) + "\n"
