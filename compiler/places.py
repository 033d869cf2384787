"""Which maps of an operation must lie in different memories: each memory has one port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    if operation.operator in (Operator.CONV_WEIGHT_GRADIENT, Operator.PRODUCT):
        pairs.append((inputs[0], inputs[1]))
    if operation.operator == Operator.MAX_POOL_GRADIENT:
        pairs += [(inputs[0], inputs[1]), (inputs[1], output)]
    if operation.operator == Operator.LOSS_GRADIENT:
        pairs += [(name, output) for name in inputs]
    return pairs


def assignments(operations: Sequence[Operation], maps: list[str]) -> Iterator[dict[str, Space]]:
    """Every way to lay the operations' maps into the two memories."""
    pairs = [pair for operation in operations for pair in apart(operation)]
    found: list[dict[str, Space]] = [{}]
    for name in maps:
        found = [some | {name: space} for some in found for space in Space]
        known = [pair for pair in pairs if name in pair and pair[0] in found[0] and pair[1] in found[0]]
        found = [some for some in found if all(some[a] != some[b] for a, b in known)]
        if not found:
            return
    yield from found
