"""Second pass: the host lays an input of few channels as the patches that its convolution reads.

A window of a map of one channel brings one lane of each word to the array, which then waits for its loader. As patches,
a map of C * Kh * Kw channels at the output's extents, the convolution is 1 x 1 and fills the lanes. That costs words:
an input element lies in as many places as there are windows over it.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from arch.chip import Chip
from arch.isa import BYTE_BITS, Space
from arch.layout import Kind, Patches, Region
from arch.timing import FETCH_CYCLES, duration
from compiler.emission import emit
from compiler.emitter import Emitter, Numbers, View
from compiler.graph import INFER, Graph, Operation, Operator, Role, Tensor
from compiler.kernels import Kernels
from compiler.maps import layouts
from compiler.nodes import INPUT, NetworkError
from compiler.octets import bits_of
from compiler.views import RowView

_STAYS = 16
"""An input of this part of the feature memory stays there; a larger one comes from outside each time."""
_MOST = 4
"""Without an external memory, patches take at most this part of the feature memory."""


def laid_patches(graph: Graph, chip: Chip, train: bool, octets: frozenset[str] = frozenset()) -> Graph:
    """The graph, with its input as patches and a 1 x 1 convolution on them if that saves cycles.

    Only an input that one convolution alone reads, of fewer channels than the chip's windows have columns. `octets` are
    the tensors of 8 bits.
    """
    operation = _only_reader(graph)
    shape = graph.tensors[INPUT].shape
    if operation is None or len(shape) != 3 or shape[0] >= chip.kernel or operation.kernel == (1, 1):
        return graph
    extents = graph.tensors[operation.output].shape[1:]
    patches = Patches(
        kernel=operation.kernel,
        stride=operation.stride,
        pads=operation.pads,
        dilation=operation.dilation,
        extents=(extents[0], extents[1]),
    )
    if not patches.covers((shape[1], shape[2], shape[0])):
        return graph
    changed = _changed(graph, operation, patches)
    beats = chip.word_beats(chip.stores_bytes and bits_of(INPUT, octets, chip) == BYTE_BITS)
    ways = (graph, operation), (changed, changed.operations[0])
    before, after = (_cost(way, first, chip, train, beats) for way, first in ways)
    return changed if after < before else graph


def patched(homes: dict[str, Region], graph: Graph) -> dict[str, Region]:
    """The regions, that of the input as users give it if it lies as patches."""
    if graph.patches is None:
        return homes
    channels, height, width = graph.given_shape(INPUT)
    changes = {"kind": Kind.PATCHES, "shape": (height, width, channels), "patches": graph.patches}
    return {**homes, INPUT: homes[INPUT].model_copy(update=changes)}


def _only_reader(graph: Graph) -> Operation | None:
    """The convolution that alone reads the input, and alone has its weight."""
    readers = [operation for operation in graph.operations if INPUT in operation.reads]
    if len(readers) != 1 or readers[0].operator != Operator.CONV or readers[0].groups != 1:
        return None
    sharing = [operation for operation in graph.operations if readers[0].weight in operation.reads]
    first = graph.operations[0] is readers[0] and graph.logits != INPUT
    return readers[0] if first and len(sharing) == 1 and min(readers[0].pads) >= 0 else None


def _changed(graph: Graph, operation: Operation, patches: Patches) -> Graph:
    weight, shape = graph.tensors[operation.weight], graph.tensors[INPUT].shape
    channels = patches.channels(shape[0])
    flat = (weight.shape[0], channels, 1, 1)
    pointwise = replace(operation, kernel=(1, 1), stride=(1, 1), pads=(0, 0), dilation=(1, 1))
    note = f"{operation.layer}: reads patches of the input, {channels} channels of {list(patches.extents)}"
    return replace(
        graph,
        tensors={
            **graph.tensors,
            INPUT: Tensor(INPUT, (channels, *patches.extents), Role.INPUT),
            weight.name: replace(weight, shape=flat),
        },
        values={**graph.values, weight.name: graph.values[weight.name].reshape(flat)},
        entries={INFER: [pointwise if item is operation else item for item in graph.entries[INFER]]},
        notes=[*graph.notes, note],
        given={**graph.given, INPUT: shape, weight.name: weight.shape},
        patches=patches,
    )


def _cost(graph: Graph, operation: Operation, chip: Chip, train: bool, beats: int) -> float:
    """Cycles of the convolution, to `train` also of its weight gradient, and of bringing its input, whose words take so
    many beats; inf if refused."""
    small = Graph("patches")
    used = (INPUT, operation.weight, operation.output)
    small.tensors = {name: graph.tensors[name] for name in used}
    forward = replace(operation, bias="", relu=False, mask="")
    backward = replace(
        forward,
        operator=Operator.CONV_WEIGHT_GRADIENT,
        inputs=(INPUT, operation.output),
        output=operation.weight,
        weight=operation.weight,
        update=True,
    )
    small.entries[INFER] = [forward, backward] if train else [forward]
    fractions = dict.fromkeys(used, 0)
    try:
        kernels = Kernels(small, chip)
        maps = layouts(small, [INPUT, operation.output], fractions, chip)
        views: dict[str, View] = {
            INPUT: maps[INPUT].view(Space.FEATURE, 0),
            operation.output: maps[operation.output].view(Space.GRADIENT, 0),
            operation.weight: RowView(0, 0, kernels.layout(operation.weight).outer, 0),
        }
        on = Emitter(small, kernels, chip, Numbers(0), fractions, views)
        instructions = [item for one in small.operations for item in emit(one, on)]
    except NetworkError:
        return inf
    words = maps[INPUT].words
    if chip.external_memory is None and words * _MOST > chip.feature_words:
        return inf
    brought = words * beats if words * _STAYS > chip.feature_words else 0
    return brought + sum(duration(item, chip) + FETCH_CYCLES for item in instructions)
