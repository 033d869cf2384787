"""One ONNX node with its attributes read by type, and the graph's nodes in an order that can be followed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx

from compiler.nodes import NetworkError

MOST_NODES = 1 << 16
"""Nodes of an ONNX graph, constants among them."""

_TYPES = onnx.AttributeProto
_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class OnnxNode:
    """A node: `name` is its own or its first result's; the rest as in ONNX, inputs without trailing empty ones."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, onnx.AttributeProto] = field(repr=False, compare=False)
    proto: onnx.NodeProto = field(repr=False, compare=False)

    def integers(self, name: str, default: Iterable[int]) -> tuple[int, ...]:
        """A list of integers. Raises `NetworkError` if the attribute is none."""
        attribute = self._typed(name, _TYPES.INTS)
        return tuple(default) if attribute is None else tuple(attribute.ints)

    def integer(self, name: str, default: int) -> int:
        """An integer. Raises `NetworkError` if the attribute is none."""
        attribute = self._typed(name, _TYPES.INT)
        return default if attribute is None else attribute.i

    def number(self, name: str, default: float) -> float:
        """A real number. Raises `NetworkError` if the attribute is none."""
        attribute = self._typed(name, _TYPES.FLOAT)
        return default if attribute is None else attribute.f

    def text(self, name: str, default: str) -> str:
        """A string. Raises `NetworkError` if the attribute is none."""
        attribute = self._typed(name, _TYPES.STRING)
        return default if attribute is None else attribute.s.decode(errors="replace")

    def tensor(self, name: str) -> onnx.TensorProto | None:
        """A tensor, if there is one. Raises `NetworkError` if the attribute is none."""
        attribute = self._typed(name, _TYPES.TENSOR)
        return None if attribute is None else attribute.t

    def _typed(self, name: str, kind: int) -> onnx.AttributeProto | None:
        attribute = self.attributes.get(name)
        if attribute is not None and attribute.type != kind:
            raise NetworkError(f"{self.name}: attribute {name} must be of type {_TYPES.AttributeType.Name(kind)}")
        return attribute


def ordered(graph: onnx.GraphProto, given: set[str], where: str) -> tuple[list[OnnxNode], str]:
    """The nodes that the first output needs, each after those whose results it reads, and that output's name.

    In the file's order if that is one such. `given` are values that no node makes. Identities are left out, their
    readers reading what they read. Raises `NetworkError` on a cycle, on a value made twice or by nothing.
    """
    if len(graph.node) > MOST_NODES:
        raise NetworkError(f"{where}: must have at most {MOST_NODES} nodes, not {len(graph.node)}")
    same = _identities(graph.node)
    nodes = [_node(proto, same) for proto in graph.node]
    makers: dict[str, OnnxNode] = {}
    for node in nodes:
        for value in filter(None, node.outputs):
            if value in makers or value in given:
                raise NetworkError(f"{node.name}: its result {value} is already made by another; names must differ")
            makers[value] = node
    output = _behind(graph.output[0].name, same)
    needed = _followed(output, makers, given, where)
    reachable = {id(node) for node in needed}
    in_file = [node for node in nodes if id(node) in reachable]
    return (in_file if _in_order(in_file, given) else needed), output


def _identities(protos: Iterable[onnx.NodeProto]) -> dict[str, str]:
    """For each identity's result, the value that it reads."""
    return {
        proto.output[0]: proto.input[0]
        for proto in protos
        if proto.op_type == "Identity"
        and proto.domain in ("", "ai.onnx")
        and len(proto.input) == len(proto.output) == 1
    }


def _behind(value: str, same: dict[str, str]) -> str:
    seen = {value}
    while value in same:
        value = same[value]
        if value in seen:
            raise NetworkError(f"{value}: depends on its own result; a network must have no cycle")
        seen.add(value)
    return value


def _in_order(nodes: list[OnnxNode], given: set[str]) -> bool:
    known = set(given)
    for node in nodes:
        if not known.issuperset(filter(None, node.inputs)):
            return False
        known.update(node.outputs)
    return True


def _node(proto: onnx.NodeProto, same: dict[str, str]) -> OnnxNode:
    operator = proto.op_type if proto.domain in _DOMAINS else f"{proto.domain}.{proto.op_type}"
    outputs = tuple(proto.output)
    inputs = [_behind(value, same) for value in proto.input]
    while inputs and not inputs[-1]:
        inputs.pop()
    name = proto.name or next(filter(None, outputs), proto.op_type)
    return OnnxNode(name, operator, tuple(inputs), outputs, {a.name: a for a in proto.attribute}, proto)


def _followed(output: str, makers: dict[str, OnnxNode], given: set[str], where: str) -> list[OnnxNode]:
    """Depth first from the output, without recursion: a graph may be deeper than Python's stack."""
    order: list[OnnxNode] = []
    done: set[int] = set()
    open_: set[int] = set()
    stack: list[tuple[str, str, bool]] = [(output, where, False)]
    while stack:
        value, reader, finished = stack.pop()
        if value in given:
            continue
        node = makers.get(value)
        if node is None:
            raise NetworkError(f"{reader}: reads {value}, which is made by no node and given as no input")
        if finished:
            open_.discard(id(node))
            if id(node) not in done:
                done.add(id(node))
                order.append(node)
        elif id(node) in open_:
            raise NetworkError(f"{node.name}: depends on its own result; a network must have no cycle")
        elif id(node) not in done:
            open_.add(id(node))
            stack.append((value, reader, True))
            stack.extend((name, node.name, False) for name in reversed(node.inputs) if name)
    return order
