"""Which maps of an operation must lie in different memories: each memory has one port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from arch.isa import Space
from compiler.graph import Operation, Operator

_MATRICES = (Operator.GEMM, Operator.GEMM_INPUT_GRADIENT, Operator.GEMM_WEIGHT_GRADIENT)


def apart(operation: Operation) -> list[tuple[str, str]]:
    """Pairs of maps that must lie in different memories."""
    inputs, output, mask = operation.inputs, operation.output, operation.mask
    pairs = []
    if mask:
        pairs.append((mask, output))
        if operation.operator not in _MATRICES:
            pairs += [(mask, name) for name in inputs]
    if operation.operator == Operator.CONV_WEIGHT_GRADIENT:
        pairs.append((inputs[0], inputs[1]))
    if operation.operator == Operator.MAX_POOL_GRADIENT:
        pairs += [(inputs[0], inputs[1]), (inputs[1], output)]
    if operation.operator == Operator.LOSS_GRADIENT:
        pairs += [(name, output) for name in inputs]
    return pairs


def assignments(operations: Sequence[Operation], maps: list[str]) -> Iterator[dict[str, Space]]:
    """Every way to lay the operations' maps into the two memories."""
    pairs = [pair for operation in operations for pair in apart(operation)]
    for spaces in product(Space, repeat=len(maps)):
        chosen = dict(zip(maps, spaces, strict=True))
        if all(chosen[a] != chosen[b] for a, b in pairs):
            yield chosen
