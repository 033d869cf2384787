"""How every picture looks: colours that colour-blind readers tell apart, sizes, and a figure that shows itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from arch.files import write_whole

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE, GREY = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#999999",
)
"""The palette of Okabe and Ito (2008), and a grey."""
PHASES = {
    "forward": BLUE,
    "loss": SKY,
    "input_gradient": ORANGE,
    "gradient_sum": YELLOW,
    "weight_gradient": GREEN,
    "bias_gradient": PURPLE,
    "recompute": BLACK,
    "update": RED,
    "halt": GREY,
}
"""A colour for each phase of a report's rows."""
LIMITS = {
    "multipliers": BLUE,
    "taps": SKY,
    "lanes": ORANGE,
    "weight port": GREEN,
    "map port": YELLOW,
    "DMA": RED,
    "fill": PURPLE,
    "overhead": GREY,
}
"""A colour for each value of `limited_by` of a report's rows."""
STORES = {"feature": BLUE, "gradient": ORANGE, "weight": GREEN}
"""A colour for each memory on the chip."""
LONGEST = 18
"""Characters of a name that a picture shows."""
_DPI = 110


class Picture(Figure):
    """A matplotlib figure that a notebook shows when it is a cell's last value, and that saves whole or not at all.

    >>> picture = Picture(figsize=(4, 3))
    >>> _ = picture.subplots().plot([1, 2, 3])
    >>> picture.png()[:4]
    b'\\x89PNG'
    """

    def __init__(self, **options: Any):
        super().__init__(**{"layout": "constrained", **options})
        FigureCanvasAgg(self)

    def png(self, dpi: int = _DPI) -> bytes:
        """The picture as PNG at `dpi` dots an inch."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi)
        return buffer.getvalue()

    def write(self, path: Path, dpi: int = _DPI) -> None:
        """Write a PNG file, whole or not at all. Raises `InputError` where it cannot be written.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Picture(figsize=(4, 3)).write(Path(folder, "a.png"))
        ...     [path.name for path in Path(folder).iterdir()]
        ['a.png']
        """
        write_whole(Path(path), self.png(dpi))

    def _repr_png_(self) -> bytes:
        return self.png()


def plain(axes: Axes, *, grid: Literal["x", "y", "both"] | None = None) -> Axes:
    """Take the frame's upper and right lines away; `grid` says along which axes lines are drawn, None for none."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, alpha=0.3)
    return axes


def thousands(axis) -> None:
    """Numbers along an axis with commas."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def shortened(name: str) -> str:
    """A name of at most `LONGEST` characters: of a longer one the end, which tells names apart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def words(phase: str) -> str:
    """A phase's name in words."""
    return phase.replace("_", " ")
