"""First contents of the rows of constants that operations have of their own."""

from __future__ import annotations

import numpy as np

from compiler.graph import AVERAGES, Operation, Operator
from compiler.kernels import Kernels, rows_name
from compiler.nodes import NetworkError
from compiler.routed_blocks import routed_blocks


def constant_rows(operation: Operation, kernels: Kernels, fractions: dict[str, int]) -> np.ndarray:
    """The integers int64[rows, T, L] of an operation's own rows; factors with their tensors' fraction bits.

    Raises `NetworkError` naming a factor that does not fit the chip's words.
    """
    chip = kernels.chip
    rows = np.zeros((kernels.layout(rows_name(operation)).count, chip.taps, chip.lanes), np.int64)
    if operation.operator in (Operator.MAX_POOL, Operator.MAX_POOL_INDEX):
        rows[:, 0] = 1
        return rows
    factors = [_factor(factor, kernels, fractions) for factor in operation.factors]
    if operation.operator == Operator.CHANNEL_MAP:
        return _routed(operation, kernels, factors, rows)
    if operation.operator == Operator.NEIGHBOUR_SUM:
        return factors[0] * _neighbours(operation, kernels, len(rows))
    if operation.operator in AVERAGES:
        rows[:, 0] = factors[0][:, None]
        return rows
    if operation.operator == Operator.UPDATE:
        rows[0, 0, : len(factors)] = [int(factor[0]) for factor in factors]
        return rows
    for k, factor in enumerate([*factors, factors[0]][: chip.taps]):
        flat = np.zeros(len(rows) * chip.lanes, np.int64)
        flat[: len(factor) if len(factor) > 1 else len(flat)] = factor
        rows[:, k] = flat.reshape(len(rows), chip.lanes)
    return rows


def _factor(name: str, kernels: Kernels, fractions: dict[str, int]) -> np.ndarray:
    scaled = np.floor(np.ldexp(kernels.graph.values[name], fractions[name]) + 0.5).astype(np.int64)
    if np.abs(scaled).max() > kernels.chip.largest:
        raise NetworkError(f"{name}: a factor of {scaled.max()} steps does not fit {kernels.chip.word_bits} bits")
    return scaled


def _routed(operation: Operation, kernels: Kernels, factors: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    for blocks, factor in zip(routed_blocks(operation, kernels.graph, kernels.chip), factors, strict=True):
        for block in blocks:
            for target, source in block.pattern:
                rows[block.row if block.straight else block.row + target, 0, source] = factor[0]
    return rows


def _neighbours(operation: Operation, kernels: Kernels, count: int) -> np.ndarray:
    """Ones where lane l of the tap's plane is a neighbour of the row's channel: a row for each lane of a plane, the
    lowest plane that it can need in tap 0; and again for a last plane that has fewer channels."""
    assert operation.normalisation
    lanes, norm = kernels.chip.lanes, operation.normalisation
    source = np.arange(kernels.chip.multipliers).reshape(kernels.chip.taps, lanes) - -(-norm.before // lanes) * lanes
    apart = source - np.arange(lanes)[:, None, None]
    ones = ((apart >= -norm.before) & (apart < norm.size - norm.before)).astype(np.int64)
    last = ones.copy()
    last[kernels.graph.tensors[operation.output].shape[0] % lanes :] = 0
    return np.concatenate([ones, last])[:count]
