"""Choices that a user forces on the compiler, layer by layer, from a YAML file:

    conv1: {walk: pixels, tile: [6, 12]}
    conv2: {walk: window, layout: filters}
    conv3: {walk: scatter}
    dense1: {skip: true}
    bn3: {recompute: true}
    conv4: {weight_bits: 8, result_bits: 8}

`walk` is how a convolution goes over its map, in all of its passes that can: `window` holds a window of the chip's
side, `pixels` gathers T pixels for each kernel tap, `scatter` adds kernels around each value that is not zero. `tile`
is the most rows and columns of outputs that one instruction of the forward pass makes. `skip` says whether what costs
no cycle where a value is zero is left out. `layout` is what a row of kernels belongs to: a filter, or an input channel.
`weight_bits` and `result_bits`, 8 or 16, are those of the elements of a layer's weights and of its result.
`recompute`, of any layer whose result the backward pass reads, makes that result again there instead of keeping it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from compiler.graph import Graph, Operator
from compiler.nodes import NetworkError

_Extent = Annotated[int, Field(ge=1, le=1023)]
_NAMED = 12
"""Layers that an error names."""


class Choice(BaseModel):
    """What is forced on one layer; None leaves it to the compiler."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    walk: Literal["window", "pixels", "scatter"] | None = None
    layout: Literal["filters", "channels"] | None = None
    skip: bool | None = None
    tile: tuple[_Extent, _Extent] | None = None
    recompute: bool = False
    weight_bits: Literal[8, 16] | None = None
    result_bits: Literal[8, 16] | None = None

    @property
    def free(self) -> bool:
        """Whether the compiler may walk as it likes."""
        return (self.walk, self.layout, self.skip, self.tile) == (None, None, None, None)


@dataclass(frozen=True)
class Mapping:
    """Choices by layer."""

    layers: dict[str, Choice] = field(default_factory=dict)

    def of(self, layer: str) -> Choice:
        """What is forced on a layer."""
        return self.layers.get(layer, _FREE)

    def check(self, graph: Graph) -> None:
        """Raises `NetworkError` naming a layer that is not there, or that has no such choice."""
        convolutions = [operation.layer for operation in graph.operations if operation.operator == Operator.CONV]
        matrices = [operation.layer for operation in graph.operations if operation.operator == Operator.GEMM]
        for layer, choice in self.layers.items():
            if choice.free and (choice.recompute or choice.weight_bits or choice.result_bits):
                continue
            _check_named(layer, [*convolutions, *matrices], "layer of the network that can be mapped")
            if layer not in convolutions and (choice.walk or choice.tile or choice.layout):
                raise NetworkError(f"mapping: {layer} is a matrix product and has the choice of skip alone")
            if choice.walk == "scatter" and (choice.tile or choice.layout or choice.skip is False):
                raise NetworkError(
                    f"mapping: {layer} scatters: by channel, without tiles, skipping zeros; say walk alone"
                )

    def check_bits(self, graph: Graph) -> None:
        """Raises `NetworkError` naming a layer that has no result, or no weights, whose bits are said."""
        forward = [operation for operation in graph.operations if operation.phase == "forward"]
        weighted = [operation.layer for operation in forward if operation.weight]
        for layer, choice in self.layers.items():
            if choice.result_bits:
                _check_named(layer, [operation.layer for operation in forward], "layer of the network that makes a map")
            if choice.weight_bits:
                _check_named(layer, weighted, "layer of the network that has weights")

    @property
    def recomputed(self) -> list[str]:
        """The layers whose results are to be made again."""
        return [layer for layer, choice in self.layers.items() if choice.recompute]

    def check_skips(self, skipping: set[str]) -> None:
        """Raises `NetworkError` naming a layer that was to skip zeros and is not among those that do."""
        for layer, choice in self.layers.items():
            if choice.skip and layer not in skipping:
                raise NetworkError(
                    f"mapping: {layer} has nothing to skip: gradients of matrix products and of convolutions of one "
                    "group of filters can, forward passes if they scatter; leave skip out"
                )


def _check_named(layer: str, there: list[str], what: str) -> None:
    some = list(dict.fromkeys(there))
    if layer not in some:
        more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
        raise NetworkError(f"mapping: {layer} must be a {what}: {', '.join(some[:_NAMED]) or 'none'}{more}")


_FREE = Choice()
FREE = Mapping()
"""Everything is left to the compiler."""


def load_mapping(path: str | Path) -> Mapping:
    """The mapping in a YAML file. Raises `NetworkError` naming every wrong field."""
    try:
        data = parse_yaml(read_text(Path(path), LARGEST_YAML), str(path))
        return Mapping(TypeAdapter(dict[str, Choice]).validate_python(data))
    except ValidationError as error:
        raise NetworkError(f"mapping {path}: {described(error)}") from None
    except InputError as error:
        raise NetworkError(f"mapping {error}") from None
