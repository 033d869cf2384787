"""Seventh pass: each operation as instructions of the array and the vector engine, given where its tensors stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from arch.isa import Engine, Instruction
from compiler import emission_backward as backward
from compiler import emission_conv as forward
from compiler import emission_dense as dense
from compiler import emission_maps as maps
from compiler import emission_pools as pools
from compiler import emission_products as products
from compiler import emission_weights as weights
from compiler.emitter import Emitter
from compiler.graph import Operation, Operator
from compiler.nodes import NetworkError


def emit(operation: Operation, on: Emitter) -> list[Instruction]:
    """The instructions that make the views' part of an operation's output, in order, without tokens.

    Raises `NetworkError` naming the layer if it needs more than instructions can say.
    """
    try:
        return list(_EMIT[operation.operator](operation, on))
    except NetworkError as error:
        named = str(error).startswith(f"{operation.layer}:")
        raise error if named else NetworkError(f"{operation.layer}: {error}") from None


def engine_of(operation: Operation) -> Engine:
    """Who runs an operation."""
    return Engine.VECTOR if operation.operator == Operator.LOSS_GRADIENT else Engine.ARRAY


_EMIT: dict[Operator, Callable[[Operation, Emitter], Iterator[Instruction]]] = {
    Operator.CONV: forward.conv,
    Operator.CONV_INPUT_GRADIENT: backward.conv_input_gradient,
    Operator.CONV_WEIGHT_GRADIENT: weights.conv_weight_gradient,
    Operator.CONV_BIAS_GRADIENT: weights.conv_bias_gradient,
    Operator.GEMM: dense.gemm,
    Operator.GEMM_INPUT_GRADIENT: dense.gemm_input_gradient,
    Operator.GEMM_WEIGHT_GRADIENT: dense.gemm_weight_gradient,
    Operator.GEMM_BIAS_GRADIENT: dense.gemm_bias_gradient,
    Operator.COMBINE: maps.combine,
    Operator.CHANNEL_MAP: maps.channel_map,
    Operator.GLOBAL_AVERAGE_POOL: pools.global_average_pool,
    Operator.AVERAGE_POOL: pools.average_pool,
    Operator.AVERAGE_SHARES: pools.average_shares,
    Operator.BROADCAST: maps.broadcast,
    Operator.NEIGHBOUR_SUM: products.neighbour_sum,
    Operator.PRODUCT: products.product,
    Operator.MAX_POOL: pools.max_pool,
    Operator.MAX_POOL_INDEX: pools.max_pool,
    Operator.MAX_POOL_GRADIENT: pools.max_pool_gradient,
    Operator.LOSS_GRADIENT: dense.loss_gradient,
    Operator.UPDATE: dense.update,
}
