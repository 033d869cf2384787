"""Eight int64 at a time in compiled code, with the operators of integers.

The functions of `arch.numerics` are said on integers and take these vectors as they are: what a rounding means stands
there alone, and a loop keeps the states of eight rounders in a register.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import models, overload, register_model

from sim.fast_vectors import WIDTH, primitive, spread

_VECTOR = ir.VectorType(ir.IntType(64), WIDTH)


class _Integers(types.Type):
    """The numba type of a vector."""

    def __init__(self):
        super().__init__(name=f"Integers({WIDTH})")


_integers = _Integers()


@register_model(_Integers)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _vector(context, builder, value, kind):
    """`value` as a vector, an integer in all places."""
    if kind == _integers:
        return value
    return spread(builder, context.cast(builder, value, kind, types.int64), _VECTOR)


def _define(function: Callable, emit: Callable) -> None:
    """Let compiled code apply `function` to two vectors, or a vector and an integer; `emit` builds it."""

    @primitive
    def compute(typing, a, b):
        def code(context, builder, signature, arguments):
            values = zip(arguments, signature.args, strict=True)
            return emit(builder, *(_vector(context, builder, value, kind) for value, kind in values))

        return _integers(a, b), code

    @overload(function)
    def choose(a, b):
        if _integers in (a, b) and all(kind == _integers or isinstance(kind, types.Integer) for kind in (a, b)):
            return lambda a, b: compute(a, b)
        return None


def _least(builder, a, b):
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _largest(builder, a, b):
    return builder.select(builder.icmp_signed(">", a, b), a, b)


_define(operator.add, lambda builder, a, b: builder.add(a, b))
_define(operator.sub, lambda builder, a, b: builder.sub(a, b))
_define(operator.mul, lambda builder, a, b: builder.mul(a, b))
_define(operator.and_, lambda builder, a, b: builder.and_(a, b))
_define(operator.or_, lambda builder, a, b: builder.or_(a, b))
_define(operator.xor, lambda builder, a, b: builder.xor(a, b))
_define(operator.ixor, lambda builder, a, b: builder.xor(a, b))
_define(operator.lshift, lambda builder, a, b: builder.shl(a, b))
_define(operator.rshift, lambda builder, a, b: builder.ashr(a, b))
_define(min, _least)
_define(max, _largest)


def differing(a, b):
    """1 where two integers differ, 0 elsewhere; of vectors, a vector."""
    raise NotImplementedError("for compiled code alone")


def kept(value, mask):
    """`value` where `mask` is above 0, 0 elsewhere; of integers or vectors."""
    raise NotImplementedError("for compiled code alone")


@primitive
def _differing(typing, a, b):
    def code(context, builder, signature, arguments):
        return builder.zext(builder.icmp_signed("!=", *arguments), _VECTOR)

    return _integers(_integers, _integers), code


@primitive
def _kept(typing, value, mask):
    def code(context, builder, signature, arguments):
        nothing = ir.Constant(_VECTOR, [0] * WIDTH)
        return builder.select(builder.icmp_signed(">", arguments[1], nothing), arguments[0], nothing)

    return _integers(_integers, _integers), code


@overload(differing)
def _choose_differing(a, b):
    if a == _integers:
        return lambda a, b: _differing(a, b)
    return lambda a, b: 1 if a != b else 0


@overload(kept)
def _choose_kept(value, mask):
    if value == _integers:
        return lambda value, mask: _kept(value, mask)
    return lambda value, mask: value if mask > 0 else 0


@primitive
def zero_integers(typing):
    """A vector of zeros."""

    def code(context, builder, signature, arguments):
        return ir.Constant(_VECTOR, [0] * WIDTH)

    return _integers(), code


@primitive
def load_integers(typing, array, index):
    """The vector of array[index ... index + WIDTH - 1]: integers of any kind, or float64 that hold integers."""

    def code(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, value=arguments[0]).data
        kind = ir.VectorType(context.get_data_type(array.dtype), WIDTH)
        vector = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer()))
        vector.align = array.dtype.bitwidth // 8
        if isinstance(array.dtype, types.Float):
            return builder.fptosi(vector, _VECTOR)
        if array.dtype.bitwidth == 64:
            return vector
        return (builder.sext if array.dtype.signed else builder.zext)(vector, _VECTOR)

    return _integers(array, types.intp), code


@primitive
def store_integers(typing, array, index, vector):
    """Write the vector to array[index ... index + WIDTH - 1] of narrower integers that hold its values."""

    def code(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, value=arguments[0]).data
        kind = ir.VectorType(context.get_data_type(array.dtype), WIDTH)
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), kind.as_pointer())
        written = builder.store(builder.trunc(arguments[2], kind), pointer)
        written.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, _integers), code


@primitive
def total_integers(typing, vector):
    """The sum of a vector's values."""

    def code(context, builder, signature, arguments):
        values = [builder.extract_element(arguments[0], ir.Constant(ir.IntType(32), i)) for i in range(WIDTH)]
        while len(values) > 1:
            values = [builder.add(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    return types.int64(_integers), code
