"""The directed acyclic graph of a network: nodes in order, the shapes of values and parameters, and their checks."""

from __future__ import annotations

from math import prod
from typing import Self

import numpy as np

from arch.image import real_numbers
from compiler.nodes import INPUT, LABEL, LOSSES, Attributes, NetworkError, Node
from compiler.nodes import PLAIN as NO_ATTRIBUTES
from compiler.shapes import check_elements, check_value

LONGEST_NAME = 255
"""Characters of a node's name."""
MOST_NODES = 4096
"""Nodes of a network."""


class Dag:
    """Nodes in an order in which each reads only what stands before it.

    `nodes` are in that order; `shapes` holds the shape of each parameter: `<node>.weight` (O, I / groups, Kh, Kw) or
    (O, I), `<node>.bias` (O,), of a batch normalisation `.weight .bias .running_mean .running_var` (C,); `values`
    the shape of each value, "input" first; `fractions` the fraction bits of values whose format is already decided,
    `octets` those among them that have 8 bits in all.
    """

    def __init__(self, name: str, input_shape: tuple[int, ...]):
        """`input_shape` is (C, H, W) or (N,). Raises `NetworkError` on extents beyond the limits."""
        self.name = name
        self.input_shape = tuple(input_shape)
        check_value(f"input of {name}", self.input_shape)
        self.nodes: list[Node] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.values: dict[str, tuple[int, ...]] = {INPUT: self.input_shape}
        self.fractions: dict[str, int] = {}
        self.octets: list[str] = []

    @property
    def last(self) -> str:
        """Name of the value that the next node reads unless told otherwise: the last node's result, or "input".

        >>> from compiler import Network
        >>> Network("net", (1, 8, 8)).last, Network("net", (1, 8, 8)).conv(4).last
        ('input', 'conv1')
        """
        return self.nodes[-1].name if self.nodes else INPUT

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the last node's result.

        >>> from compiler import Network
        >>> Network("net", (1, 8, 8)).conv(4).shape
        (4, 8, 8)
        """
        return self.values[self.last]

    def node(self, name: str) -> Node:
        """The node of that name. Raises `NetworkError` if there is none.

        >>> from compiler import Network
        >>> Network("net", (1, 8, 8)).conv(4).node("conv1").shape
        (4, 8, 8)
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise NetworkError(f"{name}: no such node in {self.name}")

    def users(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each value, in order.

        >>> from compiler import Network
        >>> [node.name for node in Network("net", (1, 8, 8)).conv(4).relu().users()["conv1"]]
        ['relu1']
        """
        users: dict[str, list[Node]] = {value: [] for value in self.values}
        for node in self.nodes:
            for value in dict.fromkeys(node.inputs):
                users[value].append(node)
        return {value: tuple(nodes) for value, nodes in users.items()}

    def validate(self) -> None:
        """Raises `NetworkError` unless there are nodes and every value but the last is read by one.

        >>> from compiler import Network
        >>> Network("net", (1, 8, 8)).conv(4).conv(4, after="input").validate()
        Traceback (most recent call last):
        compiler.nodes.NetworkError: conv1: read by no node, and ...
        """
        if not self.nodes:
            raise NetworkError(f"{self.name}: must have at least one layer")
        unread = [value for value, nodes in self.users().items() if not nodes and value != self.last]
        if unread:
            raise NetworkError(
                f"{', '.join(unread)}: read by no node, and only the last node's result is the network's; "
                "remove it or use it"
            )

    def initial(self, seed: int) -> dict[str, np.ndarray]:
        """Random float64 parameters: weights normal with variance 2 / fan-in (He et al., 2015), biases zero.

        A batch normalisation begins as the identity but for its epsilon.

        >>> from compiler import Network
        >>> Network("net", (1, 8, 8)).conv(4).initial(seed=0)["conv1.weight"].shape
        (4, 1, 3, 3)
        """
        rng = np.random.default_rng(seed)
        ones = {
            name
            for node in self.nodes
            if node.operator == "BatchNormalization"
            for role, name in node.parameters.items()
            if role in ("weight", "running_var")
        }
        return {
            name: np.full(shape, float(name in ones))
            if len(shape) == 1
            else rng.normal(0.0, np.sqrt(2 / prod(shape[1:])), shape)
            for name, shape in self.shapes.items()
        }

    def checked(self, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The parameters as float64. Raises `InputError` on a missing, misshapen or not finite one.

        >>> from compiler import Network
        >>> net = Network("net", (1, 8, 8)).conv(4)
        >>> net.checked({"conv1.weight": np.ones((4, 1, 3, 3), np.float32)})["conv1.weight"].dtype
        dtype('float64')
        """
        for name in parameters:
            if name not in self.shapes:
                raise NetworkError(f"{name}: no such parameter; the network has {', '.join(self.shapes)}")
        result = {}
        for name, shape in self.shapes.items():
            if name not in parameters:
                raise NetworkError(f"{name}: parameter missing")
            values = np.asarray(parameters[name])
            if values.shape != shape:
                raise NetworkError(f"{name}: must have shape {list(shape)}, not {list(values.shape)}")
            result[name] = _real(values, name)
            if name.endswith(".running_var") and result[name].min() < 0:
                raise NetworkError(f"{name}: a variance must not be negative")
        return result

    def _append(
        self,
        operator: str,
        name: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        attributes: Attributes = NO_ATTRIBUTES,
        parameters: dict[str, tuple[int, ...]] | None = None,
    ) -> Self:
        """Append a node; `parameters` are the shapes of its parameters by role."""
        shapes = {f"{name}.{role}": extents for role, extents in (parameters or {}).items()}
        self._check_name(name, shapes)
        if len(self.nodes) >= MOST_NODES:
            raise NetworkError(f"{name}: a network must have at most {MOST_NODES} nodes")
        if operator not in LOSSES:
            check_value(name, shape)
        for parameter, extents in shapes.items():
            check_elements(parameter, extents)
        roles = {role: f"{name}.{role}" for role in parameters or {}}
        self.nodes.append(Node(operator, name, inputs, shape, attributes, roles))
        self.values[name] = shape
        self.shapes.update(shapes)
        return self

    def _check_name(self, name: str, parameters: dict[str, tuple[int, ...]]) -> None:
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise NetworkError(f"{name!r:.80}: a name must have 1 to {LONGEST_NAME} printable characters")
        if name in (INPUT, LABEL):
            raise NetworkError(f"{name}: a node's name must not be {INPUT} or {LABEL}")
        if self.nodes and self.nodes[-1].operator in (*LOSSES, "Softmax"):
            raise NetworkError(f"{name}: must come before {self.nodes[-1].name}, which ends the network")
        for taken in (name, *parameters):
            if taken in self.values or taken in self.shapes:
                raise NetworkError(f"{taken}: the name is taken; names of nodes and parameters must differ")


def _real(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as float64, finite; a broadcast scalar stays one."""
    if values.size and not any(values.strides):
        one = real_numbers(values.reshape(-1)[:1], name)
        return np.broadcast_to(one[0], values.shape)
    return real_numbers(values, name)
