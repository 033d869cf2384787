"""One operation on the chip: tensors placed by hand, instructions emitted, checked, and run on two machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import numpy as np

from arch.chip import Chip
from arch.image import Image
from arch.isa import ENGINES, Engine, Halt, Instruction, Rounding, Space
from arch.layout import Kind, Region, Store, map_pitch
from arch.legal import check
from arch.nest_rules import chain_problems
from arch.program import Entry, Program, Step
from compiler.constant_rows import constant_rows
from compiler.emission import emit
from compiler.emitter import Emitter, Numbers, View
from compiler.graph import Graph, Operation, Role, Tensor
from compiler.kernels import Kernels, rows_name
from compiler.needs import SUMS, cut_map, source_side
from compiler.views import MapView, RowView
from sim.fast import FastMachine
from tests.sim.reference import Reference

SPACES = {Space.FEATURE: Store.FEATURE, Space.GRADIENT: Store.GRADIENT}


class Bench:
    """Runs `operation` of `tensors` (name: shape, role) on integers; `spaces` says where maps lie.

    With a `grid`, in bands of so many rows and columns, each by itself. The output has `bits` bits, 8 or 16.
    """

    def __init__(
        self,
        chip: Chip,
        operation: Operation,
        tensors: Mapping[str, tuple[tuple[int, ...], Role]],
        rate: int = 0,
        rounding: Rounding = Rounding.RND,
        grid: tuple[int, int] | None = None,
        bits: int = 16,
    ):
        self.chip, self.operation, self.grid = chip, operation, grid
        graph = Graph("bench")
        for name, (shape, role) in tensors.items():
            graph.tensors[name] = Tensor(name, shape, role)
        graph.entries["infer"] = [operation]
        graph.octets = frozenset([operation.output] if bits == 8 else [])
        self.graph, self.rate, self.rounding = graph, rate, rounding

    def run(
        self,
        values: dict[str, np.ndarray],
        fractions: dict[str, int],
        spaces: dict[str, Space],
        factors=None,
        densities=None,
    ) -> tuple[np.ndarray, list[Instruction]]:
        """The output's integers (of the graph's shape) and what was executed."""
        chip, operation, graph = self.chip, self.operation, self.graph
        graph.values |= factors or {}
        kernels = Kernels(graph, chip, densities)
        image = Image.blank(chip)
        image.feature[:], image.gradient[:] = 77, -77
        views: dict[str, View] = {}
        regions: dict[str, Region] = {}
        free = {Space.FEATURE: 3, Space.GRADIENT: 5}
        row = 2
        for name, tensor in graph.tensors.items():
            if tensor.role == Role.CONSTANT and name in operation.factors:
                continue
            if name in kernels.names:
                layout = kernels.layout(name)
                regions[name] = Region(
                    name=name,
                    store=Store.WEIGHT,
                    kind=layout.kind,
                    base=row,
                    shape=layout.shape,
                    kernels=layout.cut,
                    fraction=fractions[name],
                )
                views[name] = RowView(row, 0, layout.outer, fractions[name])
                row += layout.count
                continue
            space = spaces[name]
            view = _view(tensor.shape, space, free[space], fractions[name], chip)
            planes = chip.words(view.channels)
            free[space] += view.plane * planes + 2
            views[name] = view
            regions[name] = _region(name, tensor.shape, view)
            _clear(image, view, planes)
        own = rows_name(operation)
        if own in kernels.names:
            views[own] = RowView(row, 0, 1, 0)
            image.weight[row : row + kernels.layout(own).count] = constant_rows(operation, kernels, fractions)
        for name, array in values.items():
            region = regions[name]
            stored = array if len(array.shape) != 3 else array.transpose(1, 2, 0)
            image.write(region, stored.reshape(region.shape).astype(np.int16), chip)
        numbers = Numbers(self.rate, self.rounding, self.rounding)
        surroundings = graph, kernels, chip, numbers, fractions
        instructions = [item for part, some in self._bands(views) for item in emit(part, Emitter(*surroundings, some))]
        machine = Reference(chip, image)
        assert list(chain_problems(instructions, chip)) == []
        for instruction in instructions:
            check(instruction, chip)
            machine.execute(instruction)
        fast = FastMachine(_program(instructions, chip, image))
        fast.run("main")
        assert fast.image.differences(machine.image) == 0
        region = regions[operation.output]
        found = machine.image.read(region, chip)
        shape = graph.tensors[operation.output].shape
        return (found.transpose(2, 0, 1) if len(shape) == 3 else found.reshape(shape)), instructions

    def _bands(self, views: dict[str, View]) -> Iterator[tuple[Operation, dict[str, View]]]:
        """The operation and the views of each band."""
        cut = cut_map(self.operation)
        whole = views[cut]
        if self.grid is None or not isinstance(whole, MapView):
            yield self.operation, views
            return
        starts = product(range(0, whole.height, self.grid[0]), range(0, whole.width, self.grid[1]))
        for number, (top, left) in enumerate(starts):
            band = (top, min(self.grid[0], whole.height - top)), (left, min(self.grid[1], whole.width - left))
            some = dict(views)
            for name, view in views.items():
                sides = band
                if name in self.operation.inputs and name != cut:
                    sides = [source_side(self.operation, self.graph, axis, *band[axis]) for axis in (0, 1)]
                if isinstance(view, MapView):
                    some[name] = _cut(view, *sides[0], *sides[1])
            adds = self.operation.operator in SUMS and number > 0 and not self.operation.update
            yield replace(self.operation, accumulate=adds), some


def _cut(view: MapView, top: int, rows: int, left: int, columns: int) -> MapView:
    first = view.base + top * view.pitch + left
    return replace(view, base=first, first=top, height=rows, first_column=left, width=columns)


def _program(instructions: list[Instruction], chip: Chip, image: Image) -> Program:
    """The instructions as a program of one entry, `main`."""
    streams: dict[Engine, list[Instruction]] = {engine: [Halt()] for engine in ENGINES}
    streams[Engine.ARRAY] = [*instructions, Halt()]
    label = Step(layer="bench", phase="bench")
    labels = {engine: [label] * len(stream) for engine, stream in streams.items()}
    start = {engine.name.lower(): 0 for engine in ENGINES}
    return Program(chip, streams, labels, {"main": Entry(start=start)}, image)


def _view(shape: tuple[int, ...], space: Space, base: int, fraction: int, chip: Chip) -> MapView:
    if len(shape) == 1:
        return MapView(space, base, 1, 1, shape[0], 0, 1, 1, 1, fraction)
    channels, height, width = shape
    pitch = map_pitch(width, chip)
    return MapView(space, base, pitch, height * pitch, channels, 0, height, width, height, fraction)


def _region(name: str, shape: tuple[int, ...], view: MapView) -> Region:
    store = SPACES[view.space]
    if len(shape) == 1:
        return Region(name=name, store=store, kind=Kind.VECTOR, base=view.base, shape=shape, fraction=view.fraction)
    channels, height, width = shape
    return Region(
        name=name,
        store=store,
        kind=Kind.MAP,
        base=view.base,
        shape=(height, width, channels),
        pitch=view.pitch,
        plane=view.plane,
        fraction=view.fraction,
    )


def _clear(image: Image, view: MapView, planes: int) -> None:
    """The lanes that a tensor lacks are zero, as whoever writes it leaves them."""
    memory = image.feature if view.space == Space.FEATURE else image.gradient
    memory[view.base : view.base + view.plane * planes] = 0
