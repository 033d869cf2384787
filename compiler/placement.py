"""Third pass: how each tensor lies in memory, and whether the array has a way for each operation; no addresses yet."""

from __future__ import annotations

from dataclasses import dataclass

from arch.chip import Chip
from arch.layout import Kind, Store, map_pitch, rows_of
from compiler.forward import LABEL
from compiler.graph import Graph, Operation, Operator, Role, Tensor
from compiler.network import NetworkError


@dataclass(frozen=True)
class Placement:
    """A tensor's memory, layout and size; `units` are words (feature, gradient) or rows (weight)."""

    name: str
    store: Store
    kind: Kind
    shape: tuple[int, ...]
    pitch: int
    units: int


def place(graph: Graph, chip: Chip) -> dict[str, Placement]:
    """A placement for each tensor. Raises `NetworkError` naming the node that the chip's array cannot serve."""
    placements = {}
    for tensor in graph.tensors.values():
        if tensor.role not in (Role.WEIGHT, Role.BIAS):
            placements[tensor.name] = _place_value(tensor, chip)
    for operation in graph.operations[: graph.forward]:
        weight = graph.tensors[operation.weight]
        source = graph.tensors[operation.inputs[0]]
        _check(operation, source, weight, chip, training=len(graph.operations) > graph.forward)
        placements[weight.name] = _place_weight(operation, source, weight, chip)
        if operation.bias:
            bias = graph.tensors[operation.bias]
            placements[bias.name] = Placement(bias.name, Store.WEIGHT, Kind.BIAS, bias.shape, 0, 1)
    if LABEL in graph.tensors and graph.tensors[graph.logits].shape[0] > chip.largest + 1:
        raise NetworkError(f"{graph.logits}: classes must be at most {chip.largest + 1}, what a label can name")
    return placements


def _place_value(tensor: Tensor, chip: Chip) -> Placement:
    store = Store.GRADIENT if tensor.role == Role.GRADIENT else Store.FEATURE
    if len(tensor.shape) == 1:
        words = chip.words(tensor.shape[0])
        return Placement(tensor.name, store, Kind.VECTOR, tensor.shape, 0, words)
    channels, height, width = tensor.shape
    pitch = map_pitch(width, chip)
    return Placement(tensor.name, store, Kind.MAP, (height, width, channels), pitch, (height - 1) * pitch + width)


def _place_weight(operation: Operation, source: Tensor, weight: Tensor, chip: Chip) -> Placement:
    shape = weight.shape
    if operation.operator == Operator.CONV:
        # an iteration is a filter or an input channel: whichever are fewer
        kind = Kind.CHANNELS if shape[1] < shape[0] else Kind.FILTERS
    elif len(source.shape) == 3:
        kind = Kind.DENSE_MAP
        shape = (shape[0], *source.shape)
    else:
        kind = Kind.DENSE_VECTOR
    return Placement(weight.name, Store.WEIGHT, kind, shape, 0, rows_of(kind, shape, chip))


def _check(operation: Operation, source: Tensor, weight: Tensor, chip: Chip, training: bool) -> None:
    def refuse(what: str) -> None:
        raise NetworkError(f"{operation.layer}: {what} on chip {chip.name}")

    channels = source.shape[0]
    outputs = weight.shape[0]
    if len(source.shape) == 3 and channels > chip.lanes:
        refuse(f"input channels must be at most {chip.lanes} (lanes), not {channels},")
    if operation.operator == Operator.CONV:
        if weight.shape[2] != chip.kernel:
            window, given = f"{chip.kernel} x {chip.kernel}", f"{weight.shape[2]} x {weight.shape[3]}"
            refuse(f"kernel must be {window}, the window, not {given},")
        if operation.padding >= chip.kernel:
            refuse(f"padding must be below {chip.kernel}, not {operation.padding},")
        if outputs > chip.lanes:
            refuse(f"filters must be at most {chip.lanes} (lanes), not {outputs},")
        fewer = min(channels, outputs)
        if fewer > chip.kernel_registers:
            refuse(f"channels or filters must be at most {chip.kernel_registers} (kernel_registers), not {fewer},")
        if training and fewer > chip.accumulator_banks:
            refuse(f"training needs {fewer} accumulator_banks, not {chip.accumulator_banks},")
    elif outputs > chip.multipliers:
        refuse(f"outputs must be at most {chip.multipliers} (taps x lanes), not {outputs},")
