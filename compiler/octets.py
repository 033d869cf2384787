"""Which tensors have elements of 8 bits: what a user asks of roles and layers, beside what the model itself says.

On a chip of wider words the write-back saturates them at 8 bits; where the chip can, they lie outside as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from arch.chip import Chip
from arch.isa import BYTE_BITS
from compiler.graph import Graph, Operation, Operator, Role
from compiler.mapping import Mapping
from compiler.nodes import NetworkError

_KEEPING = (Operator.MAX_POOL, Operator.CHANNEL_MAP)
"""Operators whose results may have to have the formats of what they read."""
_MADE = ("forward", "recompute")
"""Phases whose results are a layer's."""


@dataclass(frozen=True)
class Bits:
    """Bits of the elements of tensors by role, 8 or 16, of which a chip of narrower words has what it has.

    `activations` are the input and what layers make, but for the network's result; `gradients` those of activations,
    but for the loss's. A mapping says it of single layers.

    >>> Bits(weights=8).activations
    16
    """

    weights: int = 16
    activations: int = 16
    gradients: int = 16

    @classmethod
    def of(cls, settings: Sequence[str]) -> Bits:
        """What settings `ROLE=BITS` say. Raises `NetworkError` on any other text.

        >>> Bits.of(["weights=8", "gradients=8"])
        Bits(weights=8, activations=16, gradients=8)
        """
        roles = [field.name for field in fields(cls)]
        found: dict[str, int] = {}
        for setting in settings:
            role, _, width = setting.partition("=")
            if role not in roles or width not in ("8", "16"):
                raise NetworkError(
                    f"bits must be ROLE=8 or ROLE=16, ROLE one of {', '.join(roles)}, not {setting!r:.40}"
                )
            found[role] = int(width)
        return cls(**found)

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) not in (8, 16):
                raise NetworkError(f"bits of {field.name} must be 8 or 16, not {getattr(self, field.name)}")


def octets(graph: Graph, bits: Bits, mapping: Mapping) -> frozenset[str]:
    """The tensors of 8 bits, those of `graph.octets` among them; of others whose format is decided, or must be equal to
    one that is, none.

    Raises `NetworkError` where a mapping asks for other bits than are decided.
    """
    _check_decided(graph, mapping)
    found = {name for name, width in _asked(graph, bits, mapping) if width == BYTE_BITS}
    found = (found - _tied(graph)) | graph.octets
    copied = {copy for copy, first in graph.copies.items() if first in found}
    return frozenset((found - graph.copies.keys()) | copied)


def bits_of(name: str, octets: frozenset[str], chip: Chip) -> int:
    """Bits of a tensor's elements: 8 of `octets`, else those of the chip's words."""
    return min(chip.word_bits, BYTE_BITS) if name in octets else chip.word_bits


def _tied(graph: Graph) -> set[str]:
    """Tensors whose format is decided, and those that poolings or moves of channels tie to them."""
    found = set(graph.fractions)
    ties = [{*item.inputs, item.output} for item in graph.operations if item.operator in _KEEPING]
    before = -1
    while len(found) > before:
        before = len(found)
        found = found.union(*(tie for tie in ties if tie & found))
    return found


def _check_decided(graph: Graph, mapping: Mapping) -> None:
    for operation in graph.operations:
        asked, name = mapping.of(operation.layer).result_bits, operation.output
        if asked and operation.phase == "forward" and name in graph.fractions:
            has = BYTE_BITS if name in graph.octets else 16
            if asked != has:
                raise NetworkError(
                    f"mapping: the result of {operation.layer} has {has} bits by the model, or by the clip before it, "
                    f"not {asked}; leave result_bits out"
                )


def _asked(graph: Graph, bits: Bits, mapping: Mapping) -> Iterator[tuple[str, int]]:
    """Tensors and the bits asked for them."""
    inner = _inner(graph)
    for operation in graph.operations:
        role, choice = graph.tensors[operation.output].role, mapping.of(operation.layer)
        if operation.phase in _MADE:
            if operation.weight and graph.tensors[operation.weight].role == Role.WEIGHT:
                yield operation.weight, choice.weight_bits or bits.weights
            usual = 16 if operation.output == graph.logits else bits.activations
            if role == Role.ACTIVATION and operation.output not in inner:
                yield operation.output, choice.result_bits or usual
        elif role == Role.GRADIENT and operation.operator != Operator.LOSS_GRADIENT and operation.output not in inner:
            yield operation.output, bits.gradients
    for name, tensor in graph.tensors.items():
        if tensor.role == Role.INPUT:
            yield name, bits.activations


def _inner(graph: Graph) -> set[str]:
    """What a layer makes only to go on with it, in the same pass over it."""

    def of(operation: Operation) -> tuple[str, bool]:
        return operation.layer, operation.phase in _MADE

    makers = {operation.output: of(operation) for operation in graph.operations}
    return {name for item in graph.operations for name in item.inputs if makers.get(name) == of(item)}
