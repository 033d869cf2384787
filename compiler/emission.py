"""Seventh pass: each operation as the array's and the vector engine's instructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from arch.chip import Chip
from arch.isa import (
    Base,
    Compute,
    Destination,
    Engine,
    Halt,
    Instruction,
    Load,
    Loss,
    Overflow,
    Rounding,
    Space,
    Traversal,
    mode_fields,
)
from arch.layout import Kind, Region, Store, rows_of
from arch.program import Step
from compiler.formats import update_fraction
from compiler.graph import Graph, Operation, Operator

_SPACE = {Store.FEATURE: Space.FEATURE, Store.GRADIENT: Space.GRADIENT}
_WALK = {"snake": Traversal.SNAKE, "raster": Traversal.RASTER}


@dataclass(frozen=True)
class Numbers:
    """How results are rounded: maps by `rounding`, updated parameters by `update_rounding`; `rate` is k of 2**-k."""

    rate: int
    rounding: Rounding = Rounding.RND
    update_rounding: Rounding = Rounding.STOCHASTIC


@dataclass
class Streams:
    """Instructions and their labels, for each engine."""

    instructions: dict[Engine, list[Instruction]]
    steps: dict[Engine, list[Step]]

    @classmethod
    def empty(cls) -> Streams:
        """No instruction for any engine."""
        return cls({Engine.ARRAY: [], Engine.VECTOR: []}, {Engine.ARRAY: [], Engine.VECTOR: []})

    def add(self, engine: Engine, instruction: Instruction, step: Step) -> None:
        """Append an instruction to an engine's stream."""
        self.instructions[engine].append(instruction)
        self.steps[engine].append(step)

    def halt(self) -> None:
        """End both streams."""
        for engine in self.instructions:
            self.add(engine, Halt(), Step(layer="end", phase="halt"))


def emit(
    operations: list[Operation], graph: Graph, regions: dict[str, Region], chip: Chip, numbers: Numbers
) -> Streams:
    """The streams that run `operations` in order, HALTs included, tokens between the engines set."""
    emitter = _Emitter(graph, regions, chip, numbers)
    streams = Streams.empty()
    last: Engine | None = None
    for operation in operations:
        instructions = list(_EMIT[operation.operator](emitter, operation))
        engine = Engine.VECTOR if operation.operator == Operator.LOSS_GRADIENT else Engine.ARRAY
        if last is not None and engine != last:
            # one token hands the memories over
            before = streams.instructions[last]
            before[-1] = replace(before[-1], signal=1 << engine)
            instructions[0] = replace(instructions[0], wait=1 << last)
        last = engine
        for index, instruction in enumerate(instructions):
            macs = operation.macs if index == len(instructions) - 1 else 0
            streams.add(engine, instruction, Step(layer=operation.layer, phase=operation.phase, macs=macs))
    streams.halt()
    return streams


class _Emitter:
    def __init__(self, graph: Graph, regions: dict[str, Region], chip: Chip, numbers: Numbers):
        self.graph = graph
        self.regions = regions
        self.fractions = {name: region.fraction for name, region in regions.items()}
        self.chip = chip
        self.numbers = numbers

    def conv(self, operation: Operation) -> Iterator[Instruction]:
        weight = self.regions[operation.weight]
        yield from self._load_bias(operation)
        yield self._load_kernel(weight, rotate=False)
        mode = "convolution" if weight.kind == Kind.FILTERS else "convolution_by_channel"
        yield self._window(operation, mode, operation.padding, **self._map_numbers(operation))

    def conv_input_gradient(self, operation: Operation) -> Iterator[Instruction]:
        weight = self.regions[operation.weight]
        yield self._load_kernel(weight, rotate=True)
        # the kernels as stored: lanes are the gradient's inputs for FILTERS, its outputs for CHANNELS
        mode = "convolution_by_channel" if weight.kind == Kind.FILTERS else "convolution"
        yield self._window(operation, mode, self.chip.kernel - 1 - operation.padding, **self._map_numbers(operation))

    def conv_weight_update(self, operation: Operation) -> Iterator[Instruction]:
        weight = self.regions[operation.weight]
        source, gradient = (self.regions[name] for name in operation.inputs)
        mode = "convolution_weights" if weight.kind == Kind.FILTERS else "convolution_weights_by_channel"
        yield Compute(
            **mode_fields(mode),
            **self._walk(source, gradient, operation.padding),
            **self._pixel(gradient),
            iterations=rows_of(weight.kind, weight.shape, self.chip),
            **self._update(operation),
        )

    def conv_bias_update(self, operation: Operation) -> Iterator[Instruction]:
        gradient = self.regions[operation.inputs[0]]
        yield Compute(
            **mode_fields("convolution_bias"),
            traversal=_WALK[self.chip.traversal],
            height=gradient.shape[0],
            width=gradient.shape[1],
            **self._pixel(gradient),
            **self._update(operation),
        )

    def gemm(self, operation: Operation) -> Iterator[Instruction]:
        yield from self._load_bias(operation)
        source, target = self.regions[operation.inputs[0]], self.regions[operation.output]
        yield Compute(
            **mode_fields("dense"),
            **self._blocks(source),
            **self._source(source),
            iterations=target.shape[0],
            row=self.regions[operation.weight].base,
            target_space=_SPACE[target.store],
            target=target.base,
            **self._map_numbers(operation),
        )

    def gemm_input_gradient(self, operation: Operation) -> Iterator[Instruction]:
        gradient, target = self.regions[operation.inputs[0]], self.regions[operation.output]
        yield self._load_vector(gradient)
        yield Compute(
            **mode_fields("dense_input"),
            **self._blocks(target),
            iterations=gradient.shape[0],
            row=self.regions[operation.weight].base,
            **self._target(target),
            **self._mask(operation),
            **self._map_numbers(operation),
        )

    def gemm_weight_update(self, operation: Operation) -> Iterator[Instruction]:
        source, gradient = (self.regions[name] for name in operation.inputs)
        yield self._load_vector(gradient)
        yield Compute(
            **mode_fields("dense_weights"),
            **self._blocks(source),
            **self._source(source),
            iterations=gradient.shape[0],
            **self._update(operation),
        )

    def gemm_bias_update(self, operation: Operation) -> Iterator[Instruction]:
        yield self._load_vector(self.regions[operation.inputs[0]])
        yield Compute(**mode_fields("dense_bias"), traversal=Traversal.BLOCK, **self._update(operation))

    def loss_gradient(self, operation: Operation) -> Iterator[Instruction]:
        logits, label = (self.regions[name] for name in operation.inputs)
        gradient = self.regions[operation.output]
        yield Loss(
            space=_SPACE[logits.store],
            source=logits.base,
            label=label.base,
            target=gradient.base,
            count=logits.shape[0],
            source_fraction=logits.fraction,
            target_fraction=gradient.fraction,
        )

    def _load_kernel(self, weight: Region, rotate: bool) -> Instruction:
        rows = rows_of(weight.kind, weight.shape, self.chip)
        return Load(destination=Destination.KERNEL, row=weight.base, count=rows, rotate=int(rotate))

    def _load_bias(self, operation: Operation) -> Iterator[Instruction]:
        if operation.bias:
            yield Load(destination=Destination.BIAS, row=self.regions[operation.bias].base)

    def _load_vector(self, vector: Region) -> Instruction:
        words = self.chip.words(vector.shape[0])
        return Load(destination=Destination.VECTOR, count=words, space=_SPACE[vector.store], source=vector.base)

    def _window(self, operation: Operation, mode: str, padding: int, **numbers: Any) -> Instruction:
        source, target = self.regions[operation.inputs[0]], self.regions[operation.output]
        weight = self.regions[operation.weight]
        return Compute(
            **mode_fields(mode),
            **self._walk(source, target, padding),
            iterations=rows_of(weight.kind, weight.shape, self.chip),
            **self._target(target),
            **self._mask(operation),
            **numbers,
        )

    def _walk(self, source: Region, positions: Region, padding: int) -> dict[str, Any]:
        return {
            "traversal": _WALK[self.chip.traversal],
            "height": positions.shape[0],
            "width": positions.shape[1],
            "source_height": source.shape[0],
            "source_width": source.shape[1],
            "pad_top": padding,
            "pad_left": padding,
            **self._source(source),
        }

    def _blocks(self, region: Region) -> dict[str, Any]:
        height, width = _word_extents(region, self.chip)
        return {"traversal": Traversal.BLOCK, "height": height, "width": width}

    def _source(self, region: Region) -> dict[str, Any]:
        return {"source_space": _SPACE[region.store], "source": region.base, "source_pitch": region.pitch}

    def _pixel(self, region: Region) -> dict[str, Any]:
        return {"pixel_space": _SPACE[region.store], "pixel": region.base, "pixel_pitch": region.pitch}

    def _target(self, region: Region) -> dict[str, Any]:
        return {"target_space": _SPACE[region.store], "target": region.base, "target_pitch": region.pitch}

    def _mask(self, operation: Operation) -> dict[str, Any]:
        if not operation.mask:
            return {}
        region = self.regions[operation.mask]
        space = _SPACE[region.store]
        return {"mask": 1, "mask_space": space, "mask_source": region.base, "mask_pitch": region.pitch}

    def _map_numbers(self, operation: Operation) -> dict[str, Any]:
        total = self.fractions[operation.inputs[0]] + self.fractions[operation.weight]
        numbers: dict[str, Any] = {
            "shift": total - self.fractions[operation.output],
            "rounding": self.numbers.rounding,
            "overflow": Overflow.SAT,
            "relu": int(operation.relu),
        }
        if operation.bias:
            numbers |= {"base": Base.BIAS, "base_shift": total - self.fractions[operation.bias]}
        return numbers

    def _update(self, operation: Operation) -> dict[str, Any]:
        shift = update_fraction(operation, self.fractions) + self.numbers.rate - self.fractions[operation.output]
        return {
            "row": self.regions[operation.output].base,
            "negate": 1,
            "base": Base.ROW,
            "base_shift": shift,
            "shift": shift,
            "rounding": self.numbers.update_rounding,
            "overflow": Overflow.SAT,
        }


def _word_extents(region: Region, chip: Chip) -> tuple[int, int]:
    """Rows and columns of a region's words."""
    if region.kind == Kind.MAP:
        return region.shape[0], region.shape[1]
    return 1, chip.words(region.shape[0])


_EMIT: dict[Operator, Callable[[_Emitter, Operation], Iterator[Instruction]]] = {
    Operator.CONV: _Emitter.conv,
    Operator.CONV_INPUT_GRADIENT: _Emitter.conv_input_gradient,
    Operator.CONV_WEIGHT_UPDATE: _Emitter.conv_weight_update,
    Operator.CONV_BIAS_UPDATE: _Emitter.conv_bias_update,
    Operator.GEMM: _Emitter.gemm,
    Operator.GEMM_INPUT_GRADIENT: _Emitter.gemm_input_gradient,
    Operator.GEMM_WEIGHT_UPDATE: _Emitter.gemm_weight_update,
    Operator.GEMM_BIAS_UPDATE: _Emitter.gemm_bias_update,
    Operator.LOSS_GRADIENT: _Emitter.loss_gradient,
}
