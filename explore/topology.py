"""Networks as SCALE-Sim lists them: a table of layers, each on its own, without padding."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from arch.chip import Chip
from arch.errors import InputError
from arch.files import read_text
from compiler.network import Network
from compiler.pipeline import Options
from explore.timing import Timing, time_network

LARGEST = 1 << 20
"""Bytes of a topology file."""
_COLUMNS = 8


@dataclass(frozen=True)
class Layer:
    """A convolution of an input (height, width, channels) that is padded already.

    >>> Layer(8, 8, 3, 3, 4, 16, 1).macs
    20736
    """

    height: int
    width: int
    kernel_height: int
    kernel_width: int
    channels: int
    filters: int
    stride: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        rows = (self.height - self.kernel_height) // self.stride + 1
        columns = (self.width - self.kernel_width) // self.stride + 1
        return rows * columns * self.kernel_height * self.kernel_width * self.channels * self.filters


def read_topology(path: str | Path) -> dict[str, Layer]:
    """The layers of a SCALE-Sim topology file of convolutions, by name.

    Columns: name, input height and width, filter height and width, channels, filters, stride; more are left alone.
    Raises `InputError` naming the line that is none.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("Layer,H,W,R,S,C,M,Strides,\\nConv1,8,8,3,3,4,16,1,\\n")
    ...     file.flush()
    ...     read_topology(file.name)["Conv1"].macs
    20736
    """
    rows = list(csv.reader(read_text(Path(path), LARGEST).splitlines()))
    layers = {}
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        try:
            name, *numbers = cells[:_COLUMNS]
            layer = Layer(*(int(item) for item in numbers))
        except (ValueError, TypeError):
            raise InputError(f"{path}: line {number} must be a name and seven whole numbers") from None
        if name in layers:
            raise InputError(f"{path}: line {number}: {name} is there already")
        if min(numbers_of(layer)) < 1 or layer.kernel_height > layer.height or layer.kernel_width > layer.width:
            raise InputError(f"{path}: line {number}: {name} must have positive numbers, and a filter within its input")
        layers[name] = layer
    return layers


def numbers_of(layer: Layer) -> tuple[int, ...]:
    """The layer's numbers in the file's order.

    >>> numbers_of(Layer(8, 8, 3, 3, 4, 16, 1))
    (8, 8, 3, 3, 4, 16, 1)
    """
    return (
        layer.height,
        layer.width,
        layer.kernel_height,
        layer.kernel_width,
        layer.channels,
        layer.filters,
        layer.stride,
    )


@lru_cache(maxsize=4096)
def time_layer(layer: Layer, chip: Chip) -> Timing:
    """The layer alone on a chip, inference; equal layers are timed once. Raises what `time_network` raises.

    >>> timing = time_layer(Layer(8, 8, 3, 3, 4, 16, 1), Chip.load("paper"))
    >>> sum(row.macs for row in timing.workload.rows)
    20736
    """
    network = Network("layer", (layer.channels, layer.height, layer.width))
    network.conv(layer.filters, (layer.kernel_height, layer.kernel_width), stride=layer.stride, padding=0)
    return time_network(network, chip, Options(train=False))


def systolic_cycles(layer: Layer, rows: int, columns: int) -> int:
    """Cycles of the layer on a weight-stationary systolic array, as SCALE-Sim 3.0.0 counts them without memory.

    ceil(K/R) ceil(N/C) (P + 2R + C - 2) - 1, of P outputs a filter, N filters and K products an output; found to
    agree with that version on every layer that was tried. It counts a window that begins within the stride's last
    step as whole, so P may exceed the outputs that there are.

    >>> systolic_cycles(Layer(1, 1, 1, 1, 512, 1000, 1), 32, 32)
    48639
    """
    reduction = layer.kernel_height * layer.kernel_width * layer.channels
    down = -(-(layer.height - layer.kernel_height + layer.stride) // layer.stride)
    across = -(-(layer.width - layer.kernel_width + layer.stride) // layer.stride)
    outputs = down * across
    folds = -(-reduction // rows) * -(-layer.filters // columns)
    return folds * (outputs + 2 * rows + columns - 2) - 1
