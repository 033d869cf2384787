"""Eight float64 at a time in compiled code: what the compiler's own vectoriser does not find in nests of short loops.

A sum of products of words stays below 2**47 (`arch.legal`), so float64 holds it exactly, in any order and with or
without fused multiplication. The code is plain vector IR: LLVM fits it to whatever registers the machine has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model

OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}
"""How all parts are compiled. Nothing in them allocates, so arrays are not reference-counted: that would cost more than
the arithmetic of a short row."""
compiled = njit(**OPTIONS)
"""Compiles a part."""
inlined = njit(**OPTIONS, forceinline=True)
"""Compiles a part into each of its callers."""
primitive: Any = intrinsic
"""Defines an operation by its IR; compiled code leaves out the first parameter, which numba gives."""
WIDTH = 8
"""Values in a vector."""
_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_INT32 = ir.IntType(32)


class _Reals(types.Type):
    """The numba type of a vector."""

    def __init__(self):
        super().__init__(name=f"Reals({WIDTH})")


_reals = _Reals()


@register_model(_Reals)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


def _pointer(context, builder, kind, array, index):
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(data, [index])


def spread(builder, value, kind):
    """The IR of a vector of type `kind` with `value` in all places."""
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT32, WIDTH), [0] * WIDTH))


def _product_added(builder, total, first, second):
    product = builder.fmul(first, second, flags=("contract",))
    return builder.fadd(total, product, flags=("contract",))


@primitive
def zeros(typing):
    """A vector of zeros."""

    def code(context, builder, signature, arguments):
        return ir.Constant(_VECTOR, [0.0] * WIDTH)

    return _reals(), code


@primitive
def load(typing, array, index):
    """The vector of array[index ... index + WIDTH - 1]; the array holds float64 or integers, as float64 then."""

    def code(context, builder, signature, arguments):
        element = context.get_data_type(array.dtype)
        pointer = _pointer(context, builder, array, arguments[0], arguments[1])
        vector = builder.load(builder.bitcast(pointer, ir.VectorType(element, WIDTH).as_pointer()))
        vector.align = array.dtype.bitwidth // 8
        if isinstance(array.dtype, types.Integer):
            vector = builder.sitofp(vector, _VECTOR)
        return vector

    return _reals(array, types.intp), code


@primitive
def store(typing, array, index, vector):
    """Write the vector to array[index ... index + WIDTH - 1] of float64."""

    def code(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, arguments[0], arguments[1])
        written = builder.store(arguments[2], builder.bitcast(pointer, _VECTOR.as_pointer()))
        written.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, _reals), code


@primitive
def multiply_add(typing, total, first, second):
    """total + first * second, all vectors."""

    def code(context, builder, signature, arguments):
        return _product_added(builder, *arguments)

    return _reals(_reals, _reals, _reals), code


@primitive
def scale_add(typing, total, array, index, vector):
    """total + array[index] * vector; the array holds float64."""

    def code(context, builder, signature, arguments):
        total, values, place, factor = arguments
        value = builder.load(_pointer(context, builder, array, values, place))
        return _product_added(builder, total, spread(builder, value, _VECTOR), factor)

    return _reals(_reals, array, types.intp, _reals), code


@primitive
def total(typing, vector):
    """The sum of a vector's values, exact where they are integers below 2**53 in every partial sum."""

    def code(context, builder, signature, arguments):
        values = [builder.extract_element(arguments[0], ir.Constant(_INT32, i)) for i in range(WIDTH)]
        while len(values) > 1:
            values = [builder.fadd(a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    return types.float64(_reals), code


@primitive
def word_at(typing, address, index):
    """The int16 at `index` behind a memory address, for arrays whose number is not known when this is compiled."""

    def code(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(16).as_pointer())
        return builder.load(builder.gep(pointer, [arguments[1]]))

    return types.int16(types.int64, types.int64), code
