"""Lowering of what moves channels: concatenation, slices and shuffles; and the crops that slices make."""

from __future__ import annotations

from compiler.graph import Operation, Operator
from compiler.lowering_values import Lowering
from compiler.nodes import ChannelShuffleAttributes, NetworkError, Node, SliceAttributes

Routes = tuple[tuple[tuple[int, int], ...], ...]


def concat(lowering: Lowering, node: Node) -> None:
    """Channels of several maps one after the other; flattened maps of one extent join like the maps."""
    sources = [lowering.tensor(value) for value in node.inputs]
    if len({source.shape[1:] for source in sources}) > 1:
        shapes = ", ".join(str(list(source.shape)) for source in sources)
        raise NetworkError(f"{node.name}: joins {shapes}; their height and width must be equal also before flattening")
    routes, first = [], 0
    for source in sources:
        routes.append(tuple((first + channel, channel) for channel in range(source.shape[0])))
        first += source.shape[0]
    _emit(lowering, node, tuple(source.name for source in sources), tuple(routes), (first, *sources[0].shape[1:]))


def channel_shuffle(lowering: Lowering, node: Node) -> None:
    """Channel g * n + i of `group` groups of n becomes channel i * group + g."""
    assert isinstance(node.attributes, ChannelShuffleAttributes)
    group = node.attributes.group
    source = lowering.natural(node, node.inputs[0])
    share = source.shape[0] // group
    routes = tuple((i * group + g, g * share + i) for g in range(group) for i in range(share))
    _emit(lowering, node, (source.name,), (routes,), source.shape)


def slice_(lowering: Lowering, node: Node) -> None:
    """A range of channels, then a crop of the map, each if it leaves something out."""
    assert isinstance(node.attributes, SliceAttributes)
    source = lowering.natural(node, node.inputs[0])
    starts, ends = node.attributes.starts, node.attributes.ends
    cut = (ends[0] - starts[0], *source.shape[1:])
    shape = (cut[0], *node.shape[1:]) if len(source.shape) == 3 and len(node.shape) == 3 else cut
    routes = tuple((channel - starts[0], channel) for channel in range(starts[0], ends[0]))
    if shape == source.shape:
        lowering.alias(node, source.name)
    elif shape == cut:
        _emit(lowering, node, (source.name,), (routes,), cut)
    else:
        name = source.name
        if cut != source.shape:
            name = lowering.append(_map(lowering, node, (name,), (routes,), f"{node.name}.channels"), cut)
        crop = (starts[1], starts[2])
        lowering.emit(node, lowering.combine(node.name, node.name, [(name, 1.0)], crop=crop), shape)


def _emit(lowering: Lowering, node: Node, inputs: tuple[str, ...], routes: Routes, shape: tuple[int, ...]) -> None:
    lowering.emit(node, _map(lowering, node, inputs, routes, node.name), shape)


def _map(lowering: Lowering, node: Node, inputs: tuple[str, ...], routes: Routes, output: str) -> Operation:
    factors = tuple(lowering.constant(f"{output}.factor{i}", 1.0) for i in range(len(inputs)))
    return Operation(Operator.CHANNEL_MAP, node.name, "forward", inputs, output, factors=factors, routes=routes)
