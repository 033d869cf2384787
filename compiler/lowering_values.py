"""What lowering knows while it goes through the nodes: which tensor holds each value, and who still reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from compiler.graph import INFER, Graph, Operation, Operator, Role, Tensor
from compiler.network import Network
from compiler.nodes import INPUT, NetworkError, Node

_SAME_TENSOR = frozenset({"Flatten", "Reshape", "Identity", "Dropout", "Softmax"})
"""Operators whose result is the tensor of their input."""
_ELEMENTWISE = frozenset({"Relu", "Clip", "LeakyRelu", "BatchNormalization", "Identity", "Dropout"})
_TAKES_VECTOR = frozenset({"Gemm", "Softmax", "SoftmaxCrossEntropyLoss", "MeanSquaredError"})

Terms = Sequence[tuple[str, float | np.ndarray]]


class Lowering:
    """The graph so far, and the tensor of each of the network's values.

    A flattened map is no new tensor: its value is the map itself, since a Gemm reads maps in row-major order.
    """

    def __init__(self, network: Network, parameters: dict[str, np.ndarray], train: bool):
        self.network = network
        self.parameters = parameters
        self.train = train
        self.graph = Graph(network.name)
        self.operations: list[Operation] = []
        self.graph.entries[INFER] = self.operations
        self._tensors = {INPUT: self.graph.add(INPUT, network.input_shape, Role.INPUT)}
        self._values = {INPUT: INPUT}
        self._users = network.users()

    def tensor(self, value: str) -> Tensor:
        """The tensor that holds a value of the network."""
        return self.graph.tensors[self._tensors[value]]

    def natural(self, node: Node, value: str) -> Tensor:
        """The tensor of a value. Raises `NetworkError` if it is a map that the node would need as a vector."""
        tensor = self.tensor(value)
        shape = self.network.values[value]
        if tensor.shape != shape and prod(tensor.shape) != tensor.shape[0]:
            raise NetworkError(
                f"{node.name}: reads {value}, the map {list(tensor.shape)} as {list(shape)}, which only a dense layer "
                "or an element's own function can; put it before the flattening"
            )
        return tensor

    def alias(self, node: Node, tensor: str) -> None:
        """Let an existing tensor be the node's result."""
        self._tensors[node.name] = tensor

    def unknown(self, node: Node) -> None:
        """Let a refused node's result stand for itself, so that the nodes after it are looked at too."""
        if node.name not in self.graph.tensors:
            self.graph.add(node.name, node.shape, Role.ACTIVATION)
        self.alias(node, node.name)

    def become(self, node: Node, tensor: str) -> None:
        """Let a tensor whose operation now does the node's work too be the node's result."""
        self._tensors[node.name] = tensor
        self._values[tensor] = node.name

    def emit(self, node: Node, operation: Operation, shape: tuple[int, ...]) -> None:
        """Append the operation that makes the node's result, a new tensor of `shape`."""
        self.become(node, self.append(operation, shape))

    def append(self, operation: Operation, shape: tuple[int, ...]) -> str:
        """Append an operation that makes a new tensor of `shape`; returns its name."""
        self.graph.add(operation.output, shape, Role.ACTIVATION)
        self.operations.append(operation)
        return operation.output

    def producer(self, tensor: str) -> Operation | None:
        """The operation that makes a tensor; none makes the input."""
        return next((operation for operation in reversed(self.operations) if operation.output == tensor), None)

    def private(self, node: Node, tensor: str) -> Operation | None:
        """The operation that makes a tensor if `node` alone reads it: then the two may become one."""
        value = self._values.get(tensor)
        if value is None or [reader.name for reader in self._readers(value)] != [node.name]:
            return None
        return self.producer(tensor)

    def absorbable(self, node: Node, tensor: str) -> Operation | None:
        """The same, if what it makes has no decided format, to which it would be rounded before the node."""
        held = (value for value, name in self._tensors.items() if name == tensor)
        return None if any(value in self.network.fractions for value in held) else self.private(node, tensor)

    def same_format(self, node: Node, tensor: str) -> bool:
        """Whether what a tensor holds and the node's result may be one tensor: not if both formats are decided, and
        differ."""
        network = self.network
        held = [value for value, name in self._tensors.items() if name == tensor]
        decided = [value for value in (*held, node.name) if value in network.fractions]
        return len({(network.fractions[value], value in network.octets) for value in decided}) < 2

    def replace(self, old: Operation, **changes: object) -> None:
        """Change an operation in its place."""
        self.operations[self.operations.index(old)] = replace(old, **changes)  # type: ignore[arg-type]

    def absorb(self, operation: Operation) -> None:
        """Take an operation, its constants and its result out: another does its work."""
        self.operations.remove(operation)
        del self.graph.tensors[operation.output]
        for name in (*operation.factors, operation.bias):
            self.graph.tensors.pop(name, None)
            self.graph.values.pop(name, None)

    def parameter(self, name: str) -> str:
        """Enter a parameter of the network as a tensor, once; returns its name."""
        if name not in self.graph.tensors:
            value = self.parameters[name]
            self.graph.add_row(name, value, Role.BIAS if value.ndim == 1 else Role.WEIGHT)
        return name

    def constant(self, name: str, value: float | np.ndarray) -> str:
        """Enter a constant, an array or one number of shape (1,); returns its name."""
        return self.graph.add_row(name, np.atleast_1d(np.asarray(value, dtype=np.float64)), Role.CONSTANT)

    def combine(self, layer: str, output: str, terms: Terms, shift: np.ndarray | None = None, **fields) -> Operation:
        """A Combine of (tensor, factor) terms, a factor being a number or an array [C], and of a `shift` [C]."""
        factors = tuple(self.constant(f"{output}.factor{i}", factor) for i, (_, factor) in enumerate(terms))
        inputs = tuple(name for name, _ in terms)
        bias = "" if shift is None else self.constant(f"{output}.shift", shift)
        return Operation(Operator.COMBINE, layer, "forward", inputs, output, bias=bias, factors=factors, **fields)

    def leads_to_vector(self, value: str) -> bool:
        """Whether a map of 1 x 1 is needed as a vector alone: by dense layers and losses, or flattened."""
        users = self._users[value]
        return bool(users) and all(self._wants_vector(user) for user in users)

    def _wants_vector(self, user: Node) -> bool:
        if user.operator in ("Flatten", "Reshape"):
            return len(user.shape) == 1
        if user.operator in _ELEMENTWISE:
            return self.leads_to_vector(user.name)
        return user.operator in _TAKES_VECTOR

    def _readers(self, value: str) -> list[Node]:
        """The nodes that read a value's tensor."""
        readers = []
        for user in self._users[value]:
            if user.operator in _SAME_TENSOR:
                readers += self._readers(user.name)
            else:
                readers.append(user)
        return readers
