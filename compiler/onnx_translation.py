"""What translating ONNX nodes one by one keeps: the network so far, constants, and which value is which."""

from __future__ import annotations

from math import prod

import numpy as np

from compiler.network import Network
from compiler.nodes import INPUT, LABEL, NetworkError
from compiler.onnx_constants import Constants
from compiler.onnx_file import check_finite
from compiler.onnx_nodes import OnnxNode


class Translation:
    """A network that grows by one ONNX node after another.

    `values` maps the name of each ONNX value that has been translated to the network's; `parameters` holds the
    network's parameters; `quantised` are values that ONNX has as integers; `fused` are nodes, by identity, that an
    earlier one has taken in; `sequences` holds for each sequence the node that cuts it and the bounds of each part;
    `orders` says of a vector that the network has in another order where in that one each of ONNX's elements is.
    """

    def __init__(self, network: Network, constants: Constants, nodes: list[OnnxNode], given: str, output: str):
        self.network = network
        self.constants = constants
        self.parameters: dict[str, np.ndarray] = {}
        self.values = {given: INPUT}
        self.quantised: set[str] = set()
        self.fused: set[int] = set()
        self.sequences: dict[str, tuple[OnnxNode, list[list[tuple[int, int]]]]] = {}
        self.orders: dict[str, np.ndarray] = {}
        self._output = output
        self._users: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for value in dict.fromkeys(node.inputs):
                self._users.setdefault(value, []).append(node)

    def source(self, node: OnnxNode, position: int = 0) -> str:
        """The network's value that is the node's input. Raises `NetworkError` on a constant or an integer."""
        value = node.inputs[position] if position < len(node.inputs) else ""
        if value in self.quantised and node.operator != "DequantizeLinear":
            raise NetworkError(f"{node.name}: reads the integers of {value}; put DequantizeLinear between them")
        if value not in self.values:
            raise NetworkError(f"{node.name}: input {position} must not be the constant {value!r}")
        return self.values[value]

    def shape(self, node: OnnxNode, position: int = 0) -> tuple[int, ...]:
        """Shape of that input as ONNX has it, with the batch of one."""
        return 1, *self.network.values[self.source(node, position)]

    def spatial(self, node: OnnxNode) -> tuple[int, int, int]:
        """(C, H, W) of the node's first input. Raises `NetworkError` if it is no map."""
        shape = self.shape(node)
        if len(shape) != 4:
            raise NetworkError(f"{node.name}: its input must be a map (1, C, H, W), not {shape}")
        return shape[1], shape[2], shape[3]

    def axis(self, node: OnnxNode, axis: int, position: int = 0) -> int:
        """An axis counted from the front, the batch being 0. Raises `NetworkError` if there is none such."""
        rank = len(self.shape(node, position))
        if not -rank <= axis < rank:
            raise NetworkError(f"{node.name}: axis {axis} must be one of {rank} dimensions")
        return axis % rank

    def only_user(self, value: str, operator: str) -> OnnxNode | None:
        """The one node that reads the value, if it is of that operator and nothing else needs the value."""
        users = self._users.get(value, [])
        if len(users) == 1 and users[0].operator == operator and value != self._output:
            return users[0]
        return None

    def read_by(self, value: str, operator: str) -> bool:
        """Whether only nodes of that operator read the value, and nothing else needs it."""
        return value != self._output and all(user.operator == operator for user in self._users.get(value, []))

    def needed(self, value: str) -> bool:
        """Whether a node or the network's result needs the value."""
        return value in self._users or value == self._output

    def name(self, node: OnnxNode, suffix: str = "") -> str:
        """A name for the network's node: the ONNX node's and `suffix`, numbered if that is taken."""
        name, number = node.name + suffix, 0
        while name in self.network.values or name in self.network.shapes or name == LABEL:
            number += 1
            name = f"{node.name}{suffix}_{number}"
        return name

    def done(self, node: OnnxNode, **parameters: np.ndarray) -> None:
        """Record that the network's last node is `node`, with its parameters by role.

        Raises `NetworkError` if a parameter is misshapen or not finite.
        """
        made = self.network.nodes[-1]
        for role, name in made.parameters.items():
            values = parameters[role]
            if values.shape != self.network.shapes[name]:
                wanted = list(self.network.shapes[name])
                raise NetworkError(f"{node.name}: its {role} must have shape {wanted}, not {list(values.shape)}")
            if values.dtype.kind != "f":
                raise NetworkError(f"{node.name}: its {role} must be of floating-point numbers, not {values.dtype}")
            check_finite(values, name)
            self.parameters[name] = values
        self.alias(node, made.name)

    def alias(self, node: OnnxNode, value: str) -> None:
        """Record that the node's first result is a value that the network has already."""
        self.values[node.outputs[0]] = value

    def alias_fused(self, node: OnnxNode) -> None:
        """Take in `node`: its result is the last node's."""
        self.fused.add(id(node))
        self.alias(node, self.network.last)

    def scalar(self, node: OnnxNode, position: int, default: float) -> float:
        """A constant input that is one number; `default` if it is not given. Raises `NetworkError`."""
        values = self.constants.values(node, position)
        if values is None:
            return default
        if values.size != 1:
            raise NetworkError(f"{node.name}: input {position} must be one number")
        return float(values.reshape(-1)[0])

    def by_channel(self, node: OnnxNode, position: int, shape: tuple[int, ...]) -> np.ndarray:
        """A constant input as float64 [C] that broadcasts over values of `shape` (1, C, …). Raises `NetworkError`."""
        constant = self.constants.required(node, position)
        extents = [*(1,) * (len(shape) - constant.ndim), *constant.shape]
        if len(extents) != len(shape) or prod(extents) != extents[1] or extents[1] not in (1, shape[1]):
            raise NetworkError(f"{node.name}: its constant must be one number or one a channel, of {shape[1]}")
        return np.broadcast_to(constant.reshape(-1).astype(np.float64), (shape[1],))
