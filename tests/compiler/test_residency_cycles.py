"""How well transfers hide behind the array's work on the paper's chip, for networks that do not fit it."""

from __future__ import annotations

from arch.chip import Chip
from arch.isa import Engine
from arch.ordering import stream_problems
from arch.timing import duration, schedule
from compiler.differentiation import differentiate
from compiler.emission import emit, engine_of
from compiler.emitter import Emitter, Numbers
from compiler.graph import Graph, Optimiser
from compiler.kernels import Kernels
from compiler.lowering import lower
from compiler.network import Network
from compiler.plan import Move
from compiler.queueing import scheduled
from compiler.residency import reside

PAPER = Chip.load("paper")


def resnet8() -> Network:
    net = Network("resnet8", (3, 32, 32)).conv(16, 3, name="first").relu(name="r")
    source = "r"
    for tag, filters, stride in (("a", 16, 1), ("b", 32, 2), ("c", 64, 2)):
        net.conv(filters, 3, stride=stride, padding=1, name=f"{tag}1", after=source).relu().conv(
            filters, 3, name=f"{tag}2"
        )
        if stride > 1:
            net.conv(filters, 1, stride=stride, name=f"{tag}s", after=source)
            source = f"{tag}s"
        net.add(f"{tag}2", source, name=f"{tag}+").relu(name=f"{tag}r")
        source = f"{tag}r"
    return net.global_average_pool().flatten().dense(10, bias=True).softmax_cross_entropy()


def mobilenet() -> Network:
    net = Network("mobilenet", (3, 96, 96)).conv(8, 3, stride=2, padding=1, bias=True).relu()
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for filters, stride in blocks:
        net.depthwise(3, stride=stride, padding=1, bias=True).relu().conv(filters, 1, bias=True).relu()
    return net.global_average_pool().flatten().dense(2, bias=True)


def utilisation(graph: Graph, entry: str) -> float:
    """Multiply-accumulates of the definition for each that the array could make in the cycles that the entry takes."""
    kernels, fractions = Kernels(graph, PAPER), dict.fromkeys(graph.tensors, 8)
    issued = []
    for step in reside(graph, kernels, PAPER, fractions).steps[entry]:
        if isinstance(step, Move):
            issued.append((Engine.DMA, step.transfer))
            continue
        on = Emitter(graph, kernels, PAPER, Numbers(6), fractions, step.views, step.part)
        issued += [(engine_of(step.operation), item) for item in emit(step.operation, on)]
    made = scheduled(issued, PAPER).instructions
    assert not list(stream_problems(made, PAPER))
    durations = {engine: [duration(item, PAPER) for item in stream] for engine, stream in made.items()}
    cycles = schedule(made, durations)[-1].last
    return sum(operation.macs for operation in graph.entries[entry]) / PAPER.multipliers / cycles


def test_resnet8_trains_with_spills():
    net = resnet8()
    graph = differentiate(lower(net, net.initial(1), train=True), Optimiser())
    assert utilisation(graph, "train") > 0.85
    assert utilisation(graph, "infer") > 0.9


def test_mobilenet_infers_with_weights_from_outside():
    net = mobilenet()
    assert utilisation(lower(net, net.initial(1)), "infer") > 0.75
