"""How parameters and constants lie in rows of the weight memory: layouts and sizes.

Names of row tensors are those of the graph's WEIGHT, BIAS, PARAMETER_GRADIENT and STATE tensors, and `rows_name` of
an operation whose constants the compiler lays out itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from arch.chip import Chip
from arch.layout import KernelRows, Kind, rows_of
from compiler.graph import AVERAGES, PARAMETER_GRADIENTS, Graph, Operation, Operator, Tensor
from compiler.grouping import merged_groups
from compiler.mapping import FREE, Mapping
from compiler.nodes import NetworkError
from compiler.routed_blocks import routed_blocks
from compiler.scattering import Scattering
from compiler.walks import WIDEST

_CONVOLUTIONS = (Operator.CONV, Operator.CONV_INPUT_GRADIENT, Operator.CONV_WEIGHT_GRADIENT)
_OWN = (
    Operator.COMBINE,
    Operator.CHANNEL_MAP,
    Operator.GLOBAL_AVERAGE_POOL,
    Operator.AVERAGE_POOL,
    Operator.AVERAGE_SHARES,
    Operator.BROADCAST,
    Operator.NEIGHBOUR_SUM,
    Operator.MAX_POOL,
    Operator.MAX_POOL_INDEX,
    Operator.UPDATE,
)
"""Operators whose constants are rows of their own."""


@dataclass(frozen=True)
class Rows:
    """A tensor's layout in `count` rows; `outer` parts of `each` rows (the last may have fewer) can come and go."""

    kind: Kind
    shape: tuple[int, ...]
    cut: KernelRows
    count: int
    outer: int
    each: int

    @property
    def inputs(self) -> int:
        """Input channels of a group, as executed, of a convolution."""
        return self.shape[1] * self.cut.merged

    def start(self, outer: int) -> int:
        """The first row of part `outer`, counted from the tensor's first; of part number `self.outer`, the end."""
        return min(outer * self.each, self.count)


def rows_name(operation: Operation) -> str:
    """Name of the rows of constants that an operation has of its own; several updates may have one output."""
    if operation.operator == Operator.UPDATE:
        return f"{operation.factors[0]}.rows"
    return f"{operation.output}.{operation.phase}.rows"


class Kernels:
    """The row tensors of a graph on a chip. Raises `NetworkError` naming a node whose kernels the chip cannot hold."""

    def __init__(self, graph: Graph, chip: Chip, densities: dict[str, float] | None = None, mapping: Mapping = FREE):
        """With `densities`, the share of values of a map that are not zero, what costs no cycle when it is zero is

        left out (`skips`), and layers whose weights are in `scattering` are laid out for it, unless `mapping` says
        otherwise.
        """
        self.graph = graph
        self.chip = chip
        self.mapping = mapping
        self._skips = densities is not None
        self.densities = densities or {}
        self.scattering = Scattering(graph, chip, self.densities, mapping, self.skips).weights()
        self.shorter_windows: dict[tuple, bool] = {}
        """What emission remembers of convolutions and how they lie: whether windows take no more cycles than pixels."""
        self._layouts: dict[str, Rows] = {}
        problems: dict[str, None] = {}
        for operation in graph.operations:
            try:
                self._enter(operation)
            except NetworkError as error:
                problems[str(error)] = None
        if problems:
            raise NetworkError("; ".join(problems))
        for tensor in graph.tensors.values():
            if tensor.parameter and tensor.parameter in self._layouts:
                self._layouts[tensor.name] = self._layouts[tensor.parameter]

    @property
    def names(self) -> list[str]:
        """Every row tensor."""
        return list(self._layouts)

    def skips(self, layer: str) -> bool:
        """Whether a layer leaves out what costs no cycle where a value is zero."""
        chosen = self.mapping.of(layer).skip
        return self._skips if chosen is None else chosen

    def layout(self, name: str) -> Rows:
        """How a row tensor lies."""
        return self._layouts[name]

    def used(self, operation: Operation) -> tuple[str, ...]:
        """Row tensors that an operation reads or writes."""
        names = [operation.weight, operation.bias, operation.output, *operation.inputs, rows_name(operation)]
        if operation.operator in PARAMETER_GRADIENTS and not operation.update:
            names = [operation.output]
        return tuple(dict.fromkeys(name for name in names if name in self._layouts))

    def _enter(self, operation: Operation) -> None:
        graph = self.graph
        if operation.operator in _CONVOLUTIONS:
            self._layouts[operation.weight] = self._convolution(operation, graph.tensors[operation.weight])
        elif operation.weight and operation.weight not in self._layouts:
            self._layouts[operation.weight] = self._dense(operation, graph.tensors[operation.weight])
        if operation.operator == Operator.CONV_BIAS_GRADIENT:
            self._check_bias(operation)
        if operation.bias and operation.bias not in self._layouts:
            shape = graph.tensors[operation.bias].shape
            count = rows_of(Kind.BIAS, shape, self.chip)
            self._layouts[operation.bias] = Rows(Kind.BIAS, shape, KernelRows(), count, count, 1)
        if operation.operator in _OWN:
            self._layouts[rows_name(operation)] = self._own(operation)

    def _check_bias(self, operation: Operation) -> None:
        """A bias's gradient makes a row of a plane each tap in one instruction."""
        (filters,), chip = self.graph.tensors[operation.bias].shape, self.chip
        if min(chip.words(filters), chip.taps) > WIDEST:
            raise NetworkError(
                f"{operation.layer}: training needs a bias of at most {WIDEST * chip.lanes} filters, {WIDEST} words of "
                f"the lanes of chip {chip.name}, not {filters}; leave the bias out"
            )

    def _convolution(self, operation: Operation, weight: Tensor) -> Rows:
        chip, shape = self.chip, weight.shape
        outputs, inputs, height, width = shape
        columns = -(-width // -(-width // min(chip.taps, WIDEST)))
        chunk = max(1, min(height, chip.taps // width))
        cut = KernelRows(chunk=chunk) if columns == width else KernelRows(chunk=1, columns=columns)
        if inputs == 1 and operation.groups == outputs:
            count = rows_of(Kind.LANES, shape, chip, cut)
            outer = chip.words(outputs)
            return Rows(Kind.LANES, shape, cut, count, outer, count // outer)
        merged = merged_groups(operation.groups, inputs, outputs // operation.groups, chip.lanes)
        groups, inputs = operation.groups // merged, inputs * merged
        per_group = outputs // groups
        if operation.weight in self.scattering:
            kind, more = Kind.CHANNELS, {"rotated": True}
        elif self._by_channel(operation, inputs, per_group):
            kind, more = Kind.CHANNELS, {"groups": groups, "merged": merged}
        else:
            depth = _depth(chip.words(inputs), chip.taps) if height == width == 1 else 1
            kind, more = Kind.FILTERS, {"depth": depth, "groups": groups, "merged": merged}
        cut = cut.model_copy(update=more)
        self._check_held(operation, min(chip.lanes, per_group if kind == Kind.FILTERS else inputs))
        outer = groups * chip.words(per_group)
        count = rows_of(kind, shape, chip, cut)
        return Rows(kind, shape, cut, count, outer, count // outer)

    def _by_channel(self, operation: Operation, inputs: int, outputs: int) -> bool:
        """Whether a row is a channel's kernels instead of a filter's: if it is told to, or makes fewer iterations."""
        choice = self.mapping.of(operation.layer).layout
        most = min(self.chip.lanes, self.chip.kernel_registers)
        if choice == "channels" and inputs > most:
            raise NetworkError(
                f"mapping: {operation.layer} has {inputs} channels a group; rows by channel hold at most {most} on "
                f"chip {self.chip.name}; choose filters"
            )
        return choice == "channels" if choice else inputs < min(self.chip.lanes, outputs)

    def _check_held(self, operation: Operation, held: int) -> None:
        """Registers hold a group's kernels, banks its gradients."""
        needs = {"kernel_registers": self.chip.kernel_registers}
        if operation.operator == Operator.CONV_WEIGHT_GRADIENT:
            needs = {"accumulator_banks": self.chip.accumulator_banks}
        for name, there in needs.items():
            if held > there:
                what = "training needs" if name == "accumulator_banks" else "needs"
                raise NetworkError(f"{operation.layer}: {what} {held} {name} on chip {self.chip.name}, not {there}")

    def _check_reach(self, operation: Operation) -> None:
        """A word of every plane that a sum over channels can need has a tap."""
        assert operation.normalisation
        lanes, norm = self.chip.lanes, operation.normalisation
        planes = -(-norm.before // lanes) + -(-(norm.size - 1 - norm.before) // lanes) + 1
        if planes > self.chip.taps:
            most = (self.chip.taps - 1) // 2 * 2 * lanes + 1
            raise NetworkError(
                f"{operation.layer}: its size must be at most {most} channels on chip {self.chip.name}, not {norm.size}"
            )

    def _dense(self, operation: Operation, weight: Tensor) -> Rows:
        shape, kind = weight.shape, Kind.DENSE_VECTOR
        source = self.graph.tensors[operation.inputs[0]].shape
        if operation.operator == Operator.GEMM_INPUT_GRADIENT:
            source = self.graph.tensors[operation.output].shape
        if len(source) == 3:
            kind, shape = Kind.DENSE_MAP, (shape[0], *source)
        count = rows_of(kind, shape, self.chip)
        each = count // shape[0] * self.chip.multipliers
        return Rows(kind, shape, KernelRows(), count, -(-shape[0] // self.chip.multipliers), each)

    def _own(self, operation: Operation) -> Rows:
        chip, count = self.chip, 1
        if operation.operator == Operator.COMBINE:
            shapes = [self.graph.tensors[name].shape for name in operation.factors]
            count = chip.words(max(shape[0] for shape in shapes))
        elif operation.operator in AVERAGES:
            count = len(self.graph.values[operation.factors[0]])
        elif operation.operator == Operator.CHANNEL_MAP:
            blocks = [block for blocks in routed_blocks(operation, self.graph, chip) for block in blocks]
            count = max((block.row + (1 if block.straight else chip.lanes) for block in blocks), default=1)
        elif operation.operator == Operator.NEIGHBOUR_SUM:
            self._check_held(operation, chip.lanes)
            self._check_reach(operation)
            count = chip.lanes * (1 + (self.graph.tensors[operation.output].shape[0] % chip.lanes > 0))
        return Rows(Kind.ROWS, (count, chip.taps, chip.lanes), KernelRows(), count, 1, count)


def _depth(groups: int, taps: int) -> int:
    """The most groups of lanes that rows can hold side by side, that a walk can take, and that divide `groups`."""
    return max(d for d in range(1, min(taps, WIDEST) + 1) if groups % d == 0)
