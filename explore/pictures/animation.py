"""The window on its way: snake, raster and line buffer side by side, with the words that they read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from arch.files import write_whole
from explore.pictures.style import Picture
from explore.pictures.windows import COLOURS, WALKS, Walk, check_sizes, draw_map, walk

_MILLISECONDS = 180
"""Of a frame."""


class Animated:
    """An animation that a notebook plays when it is a cell's last value, and that is written as a GIF.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.gif")
    ...     window_animation(3, 3).write(path)
    ...     path.read_bytes()[:3]
    b'GIF'
    """

    def __init__(self, animation: FuncAnimation):
        self._animation = animation

    def gif(self) -> bytes:
        """The animation as a GIF."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "animation.gif")
            self._animation.save(path, writer=PillowWriter(fps=1000 // _MILLISECONDS), dpi=80)
            return path.read_bytes()

    def write(self, path: Path) -> None:
        """Write a GIF file, whole or not at all. Raises `InputError` where it cannot be written."""
        write_whole(Path(path), self.gif())

    def _repr_html_(self) -> str:
        return self._animation.to_jshtml(default_mode="loop")


def window_animation(height: int = 5, width: int = 6, kernel: int = 3) -> Animated:
    """The window's path over a map of `height` x `width` words in the three ways, a frame a position.

    Shown are the words that the move brings (full colour), those that are kept (pale) and how many have been read so
    far, padding not counted. `kernel` is the window's side. Raises `InputError` for maps of more than 32 rows or
    columns.

    >>> window_animation(3, 3).gif()[:3]
    b'GIF'
    """
    check_sizes(height, width, kernel)
    picture = Picture(figsize=(10.5, 3.4), layout=None)  # laid out once, not for each frame
    picture.subplots_adjust(left=0.02, right=0.98, bottom=0.03, top=0.84)
    scenes = [
        _Scene(axes, walk(name, height, width, kernel), height, width, kernel)
        for axes, name in zip(picture.subplots(1, 3), WALKS, strict=True)
    ]

    def show(frame: int) -> list:
        for scene in scenes:
            scene.show(frame)
        return []

    return Animated(FuncAnimation(picture, show, frames=height * width, interval=_MILLISECONDS, cache_frame_data=False))


class _Scene:
    """One way to walk: the map, the window, the words brought now, the path so far."""

    def __init__(self, axes: Axes, item: Walk, height: int, width: int, kernel: int):
        self.axes, self.walk, self.kernel = axes, item, kernel
        colour = COLOURS[item.name]
        self.cells = np.zeros((height, width, 4))
        self.cells[:, :, :3] = to_rgb(colour)
        self.image = axes.imshow(self.cells, zorder=1)
        draw_map(axes, height, width, (kernel - 1) // 2)
        self.line = axes.plot([], [], color="black", linewidth=1.2, zorder=3)[0]
        self.window = Rectangle((0, 0), kernel, kernel, fill=False, edgecolor=colour, linewidth=2.5)
        axes.add_patch(self.window)

    def show(self, frame: int) -> None:
        """The scene at a position."""
        item, pad = self.walk, (self.kernel - 1) // 2
        row, column = int(item.rows[frame]), int(item.columns[frame])
        self.window.set_xy((column - pad - 0.5, row - pad - 0.5))
        self.line.set_data(item.columns[: frame + 1], item.rows[: frame + 1])
        self.cells[:, :, 3] = 0
        for words, strength in ((item.held[frame], 0.3), (item.new[frame], 0.9)):
            for y, x in words:
                self.cells[y, x, 3] = strength
        self.image.set_data(self.cells)
        count = f"{item.read[frame]:,} words read at {frame + 1:,} of {len(item.rows):,} positions"
        self.axes.set_title(f"{item.name}\n{count}", fontsize=10)
