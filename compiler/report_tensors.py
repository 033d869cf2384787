"""The report's tensors: their formats, where they lie, and how far the chip's values are from the float twin's."""

from __future__ import annotations

from math import prod

from pydantic import BaseModel, ConfigDict

from arch.layout import Region
from compiler.formats import TensorFormat
from compiler.graph import Graph, Role

_UNSHOWN = (Role.CONSTANT, Role.LABEL, Role.INDEX)


class Check(BaseModel):
    """A tensor on the simulated chip beside the float twin's, over some samples; errors in steps of 2**-fraction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int
    rms_error: float
    largest_error: float
    rms_value: float
    saturated: int
    elements: int


class TensorRow(BaseModel):
    """A tensor's format, and where it lies if it has one place for good; `packed` if as bytes outside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    role: str
    shape: list[int]
    bytes: int
    store: str | None
    base: int | None
    packed: bool
    bits: int
    fraction_bits: int
    largest: float
    limit: float
    check: Check | None = None


def tensor_rows(graph: Graph, formats: dict[str, TensorFormat], homes: dict[str, Region]) -> list[TensorRow]:
    """Every tensor of real numbers that a program computes with, in the graph's order; constants are left out."""
    return [
        TensorRow(
            name=name,
            role=tensor.role.value,
            shape=list(tensor.shape),
            bytes=-(-prod(tensor.shape) * formats[name].bits // 8),
            store=homes[name].store.value if name in homes else None,
            base=homes[name].base if name in homes else None,
            packed=name in homes and homes[name].bytes_outside,
            bits=formats[name].bits,
            fraction_bits=formats[name].fraction,
            largest=formats[name].largest,
            limit=formats[name].limit,
        )
        for name, tensor in graph.tensors.items()
        if tensor.role not in _UNSHOWN
    ]
