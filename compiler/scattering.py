"""Which convolutions leave zeros of their input out by scattering: adding a kernel around each other value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arch.chip import Chip
from compiler.graph import Graph, Operation, Operator
from compiler.mapping import Mapping
from compiler.nodes import NetworkError

_MORE = 1.1
"""Steps of a scatter beside those of its input's pixels: rows and columns around, and between strips."""


@dataclass(frozen=True)
class Scattering:
    """The choice for a graph on a chip; `densities` are the shares of maps' values that are not zero, 1 where unknown;
    `skips` says of a layer whether zeros may be left out."""

    graph: Graph
    chip: Chip
    densities: dict[str, float]
    mapping: Mapping
    skips: Callable[[str], bool]

    def weights(self) -> set[str]:
        """Weights of the convolutions that scatter: those told to, and those for which it costs less.

        Raises `NetworkError` naming a layer that is told to and cannot.
        """
        convolutions = [operation for operation in self.graph.operations if operation.operator == Operator.CONV]
        return {operation.weight for operation in convolutions if self._chosen(operation)}

    def _chosen(self, operation: Operation) -> bool:
        choice, possible = self.mapping.of(operation.layer), self._possible(operation)
        if choice.walk == "scatter" and not possible:
            raise NetworkError(
                f"mapping: {operation.layer} cannot scatter on chip {self.chip.name}: its kernel must be "
                f"{self.chip.kernel} x {self.chip.kernel}, its stride, dilation and groups 1, its channels and filters "
                f"at most {self._most}, its result wider than the padding; choose window or pixels"
            )
        free = choice.walk is None and self.skips(operation.layer)
        return choice.walk == "scatter" or (possible and free and self._is_less(operation))

    @property
    def _most(self) -> int:
        return min(self.chip.lanes, self.chip.kernel_registers, self.chip.accumulator_banks)

    def _possible(self, operation: Operation) -> bool:
        side = self.chip.kernel
        outputs, inputs, *kernel = self.graph.tensors[operation.weight].shape
        plain = tuple(kernel) == (side, side) and operation.stride == (1, 1) and operation.dilation == (1, 1)
        if not plain or max(outputs, inputs) > self._most or operation.groups > 1 or operation.mask:
            return False
        roomy = self.chip.accumulator_banks * side >= 2 * side and max(operation.pads) < side
        return roomy and self.graph.tensors[operation.output].shape[-1] > operation.pads[1]

    def _is_less(self, operation: Operation) -> bool:
        """Whether leaving out zeros by scattering costs fewer cycles a pixel, over all passes, than windows would.

        Scattering takes an iteration for each value of the input that is not zero, forward and for the weights, and
        for the input's gradient one for each result that the mask keeps; windows leave out zeros of the output's
        gradient, which has those of the output's mask, in the weight gradient alone.
        """
        outputs, inputs, *_ = self.graph.tensors[operation.weight].shape
        kept = _iterations(inputs, self.densities.get(operation.inputs[0], 1.0))
        few = min(outputs, inputs)
        weights = inputs if inputs < outputs else _iterations(outputs, self.densities.get(operation.output, 1.0))
        passes = {item.phase for item in self.graph.operations if item.layer == operation.layer}
        scattered, windows = kept * _MORE, few
        if "weight_gradient" in passes:
            scattered, windows = scattered + kept, windows + weights
        if "input_gradient" in passes:
            scattered, windows = scattered + kept, windows + few
        return scattered < windows


def _iterations(count: int, density: float) -> float:
    """Those of a position, on average: at least one."""
    return count * density + (1 - density) ** count
