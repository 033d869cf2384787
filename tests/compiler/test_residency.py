"""Every part of an operation finds on the chip what it reads, whatever has been moved, banded and written over."""

from __future__ import annotations

import random
from itertools import pairwise, product

import pytest

from arch.chip import Chip
from arch.isa import Engine, Space, Transfer
from arch.layout import Store
from arch.ordering import stream_problems
from arch.transfer import line_words
from compiler.differentiation import differentiate
from compiler.emission import emit, engine_of
from compiler.emitter import Emitter, Numbers
from compiler.graph import ROWS, Graph, Operator, Optimiser
from compiler.kernels import Kernels, rows_name
from compiler.lowering import lower
from compiler.maps import layouts
from compiler.needs import SUMS, can_band, cut_map, source_side
from compiler.network import Network
from compiler.nodes import NetworkError
from compiler.places import apart
from compiler.plan import Move, Run
from compiler.queueing import scheduled
from compiler.residency import reside
from compiler.rows import overwritten
from compiler.views import MapView, RowView
from tests.compiler.small_chips import TINY, deep, expanded, matrix, plain, pooled, residual, separable, sized, wide
from tests.compiler.test_hazards import interleavings
from tests.compiler.test_hazards import run as run_words

OPTIMISERS = (Optimiser(), Optimiser(momentum=0.5, weight_decay=0.125), Optimiser(micro_batch=4))
STORES = {Space.FEATURE: Store.FEATURE, Space.GRADIENT: Store.GRADIENT}


def graph_of(net: Network, optimiser: Optimiser | None = None) -> Graph:
    train = optimiser is not None
    graph = lower(net, net.initial(1), train=train)
    return differentiate(graph, optimiser) if optimiser else graph


class Words:
    """What stands in every word: of which tensor, which row and place of it, of which version."""

    def __init__(self, graph: Graph, kernels: Kernels, chip: Chip, homes):
        self.graph, self.kernels, self.chip = graph, kernels, chip
        names = [tensor.name for tensor in graph.tensors.values() if tensor.role not in ROWS]
        self.layouts = layouts(graph, names, dict.fromkeys(graph.tensors, 8), chip)
        self.words: dict = {}
        self.version = dict.fromkeys([*kernels.names, *graph.tensors], 0)
        for name, home in homes.items():
            if name in self.layouts:
                self._write_map(self.layouts[name].view(Space.FEATURE, home.base), name, home.store)
            else:
                self._write_rows(name, home.store, home.base, 0, kernels.layout(name).count)

    def move(self, transfer: Transfer) -> None:
        weight = transfer.memory == 2
        first, scale = (transfer.row, self.chip.taps) if weight else (transfer.word, 1)
        store = (Store.FEATURE, Store.GRADIENT, Store.WEIGHT)[transfer.memory]
        pitch = transfer.count * scale if weight else transfer.pitch
        for line, k in product(range(transfer.lines), range(line_words(transfer, self.chip))):
            inside = store, first * scale + line * pitch + k
            outside = Store.EXTERNAL, transfer.external + line * transfer.external_pitch + k
            source, target = (inside, outside) if transfer.outward else (outside, inside)
            self.words[target] = self.words.get(source)

    def run(self, step: Run) -> None:
        operation = step.operation
        for name, view in step.views.items():
            if isinstance(view, RowView):
                if not overwritten(operation, name):
                    self._check_rows(name, view, step)
            elif name in operation.reads:
                self._check_map(name, view, step)
        for a, b in apart(operation):
            assert step.views[a].space != step.views[b].space
        view = step.views[operation.output]
        if isinstance(view, RowView):
            rows = self._rows_in(operation.output, view, step)
            self.version[operation.output] += rows[0] == 0
            self._write_rows(operation.output, Store.WEIGHT, view.row, rows[0], rows[-1] + 1)
        else:
            if view.first == view.first_column == 0:
                self.version[operation.output] += 1
            self._write_map(view, operation.output, STORES[view.space])

    def _map_words(self, view: MapView):
        for row in range(view.height):
            for plane in range(self.layouts_planes(view)):
                for column in range(view.width):
                    yield row, plane, column, view.base + row * view.pitch + plane * view.plane + column

    def layouts_planes(self, view: MapView) -> int:
        return self.chip.words(view.channels)

    def _write_map(self, view: MapView, name: str, store: Store) -> None:
        for row, plane, column, word in self._map_words(view):
            place = view.first + row, plane, view.first_column + column
            self.words[store, word] = (name, *place, self.version[name])

    def _check_map(self, name: str, view: MapView, step: Run) -> None:
        for row, plane, column, word in self._map_words(view):
            tag = (name, view.first + row, plane, view.first_column + column, self.version[name])
            assert self.words.get((STORES[view.space], word)) == tag, step.operation
        if name in step.operation.inputs and name != cut_map(step.operation):
            for axis in (0, 1):
                first, count = self._needed(name, step, axis)
                start, extent = _side(view, axis)
                assert start <= first and first + count <= start + extent

    def _needed(self, name: str, step: Run, axis: int) -> tuple[int, int]:
        if can_band(step.operation) or step.operation.operator in SUMS:
            cut = step.views[cut_map(step.operation)]
            assert isinstance(cut, MapView)
            return source_side(step.operation, self.graph, axis, *_side(cut, axis))
        return 0, (self.layouts[name].height, self.layouts[name].width)[axis]

    def _write_rows(self, name: str, store: Store, row: int, first: int, stop: int) -> None:
        for k in range((stop - first) * self.chip.taps):
            self.words[store, row * self.chip.taps + k] = (name, first * self.chip.taps + k, self.version[name])

    def _rows_in(self, name: str, view: RowView, step: Run) -> list[int]:
        """The tensor's rows that lie one after another where the view is."""
        layout, operation, most = self.kernels.layout(name), step.operation, self.chip.multipliers
        first, stop = layout.start(view.first), layout.start(view.first + view.groups)
        if step.part and operation.operator == Operator.UPDATE and name != rows_name(operation):
            return list(range(*step.part))
        if step.part and name in (
            operation.weight,
            operation.output,
        ):  # of a matrix: blocks of rows, one for each output
            size = min(layout.shape[0] - view.first * most, most)
            return list(range(first + step.part[0] * size, first + step.part[1] * size))
        if view.inner:
            each = layout.each // (self.chip.words(layout.inputs) // layout.cut.depth)
            within = range(view.inner.start * each, view.inner.stop * each)
            return [outer * layout.each + row for outer in range(layout.outer) for row in within]
        return list(range(first, stop))

    def _check_rows(self, name: str, view: RowView, step: Run) -> None:
        rows, taps = self._rows_in(name, view, step), self.chip.taps
        version = self.version[name] - (name == step.operation.output and rows[0] > 0)
        for row, tap in product(range(len(rows)), range(taps)):
            found = self.words.get((Store.WEIGHT, (view.row + row) * taps + tap))
            assert found == (name, rows[row] * taps + tap, version), name

    def check_homes(self, homes) -> None:
        for name, home in homes.items():
            if name in self.layouts:
                words = [
                    (*tag, home.base + word)
                    for *tag, word in self._map_words(self.layouts[name].view(Space.FEATURE, 0))
                ]
                for row, plane, column, word in words:
                    assert self.words[home.store, word] == (name, row, plane, column, self.version[name])
            else:
                for k in range(self.kernels.layout(name).count * self.chip.taps):
                    assert self.words[home.store, home.base * self.chip.taps + k] == (name, k, self.version[name]), name


def _side(view: MapView, axis: int) -> tuple[int, int]:
    return (view.first_column, view.width) if axis else (view.first, view.height)


def check(graph: Graph, chip: Chip):
    kernels = Kernels(graph, chip)
    schedule = reside(graph, kernels, chip, dict.fromkeys(graph.tensors, 8))
    for steps in schedule.steps.values():
        words = Words(graph, kernels, chip, schedule.homes)
        for step in steps:
            if isinstance(step, Move):
                assert step.transfer.external + line_words(step.transfer, chip) <= schedule.external_words
                words.move(step.transfer)
            else:
                words.run(step)
        words.check_homes(schedule.homes)
    return schedule


def moves(schedule, entry: str = "infer") -> list[Transfer]:
    return [step.transfer for step in schedule.steps[entry] if isinstance(step, Move)]


def test_what_fits_never_moves():
    for net in (plain(), residual(), pooled()):
        schedule = check(graph_of(net), sized(1 << 14))
        assert not moves(schedule)
        assert schedule.external_words == 0


@pytest.mark.parametrize("feature", [1500, 1200, 1000])
@pytest.mark.parametrize("net", [plain, residual, pooled])
def test_maps_are_moved_and_banded(net, feature):
    graph = graph_of(net())
    schedule = check(graph, sized(feature))
    assert moves(schedule)
    runs = [step for step in schedule.steps["infer"] if isinstance(step, Run)]
    assert len(runs) > len(graph.entries["infer"]) or feature > 1200
    assert sum(run.operation.macs for run in runs) == sum(item.macs for item in graph.entries["infer"])


@pytest.mark.parametrize("feature", [3400, 2800])
@pytest.mark.parametrize("net", [plain, residual])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_training(net, feature, optimiser):
    schedule = check(graph_of(net(), optimiser), sized(feature))
    assert any(moves(schedule, entry) for entry in schedule.steps)


@pytest.mark.parametrize("weight", [2100, 1900, 1700])
def test_weights_come_and_go(weight):
    graph = graph_of(plain(), Optimiser())
    schedule = check(graph, sized(1 << 14, weight))
    rows = [transfer for transfer in moves(schedule, "train") if transfer.memory == 2]
    assert {transfer.outward for transfer in rows} == {0, 1}
    assert schedule.homes["conv1.weight"].store == Store.EXTERNAL or schedule.homes["conv3.weight"].store == "weight"


def test_a_large_weight_comes_in_chunks():
    net = Network("wide", (12, 4, 4)).conv(40, 3).relu().global_average_pool().flatten().dense(3)
    chip = sized(1 << 14, 3000)
    schedule = check(graph_of(net), chip)
    runs = [step for step in schedule.steps["infer"] if isinstance(step, Run)]
    chunks = [step.views["conv1.weight"] for step in runs if "conv1.weight" in step.views]
    assert len(chunks) > 2
    assert all(a.first + a.groups == b.first for a, b in pairwise(chunks))


def test_a_large_weight_is_updated_in_chunks():
    net = Network("wide", (12, 4, 4)).conv(40, 3).relu().global_average_pool().flatten().dense(3)
    schedule = check(graph_of(net.softmax_cross_entropy(), Optimiser()), sized(1 << 14, 3000))
    runs = [step for step in schedule.steps["train"] if isinstance(step, Run)]
    assert len([step for step in runs if step.operation.operator == "ConvWeightGradient"]) > 2


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("net", [deep, separable, matrix])
def test_weights_beyond_the_weight_memory_are_trained(net, optimiser):
    graph = graph_of(net(), optimiser)
    schedule = check(graph, sized(1 << 14, 2000))
    steps = [step for steps in schedule.steps.values() for step in steps if isinstance(step, Run)]
    whole = sum(len(operations) for operations in graph.entries.values())
    assert len(steps) > whole
    updates = [step for step in steps if step.operation.operator == Operator.UPDATE]
    assert any(step.part for step in updates) == (not optimiser.plain)


def test_an_input_gradient_takes_some_inner_groups_of_every_outer_one():
    steps = check(graph_of(deep(), Optimiser()), sized(1 << 14, 2000)).steps["train"]
    gradients = [step for step in steps if isinstance(step, Run) and step.operation.operator == "ConvInputGradient"]
    views = [view for step in gradients for view in step.views.values() if isinstance(view, RowView)]
    assert any(view.inner and len(view.inner) < 10 for view in views)
    transfers = [step.transfer for step in steps if isinstance(step, Move)]
    assert any(transfer.lines > 1 and transfer.memory == 2 for transfer in transfers)


def test_bands_take_turns_in_their_buffers():
    steps = check(graph_of(plain()), sized(1500)).steps["infer"]
    views = [step.views["input"] for step in steps if isinstance(step, Run) and "input" in step.views]
    assert len(views) > 2
    assert all(a.base != b.base for a, b in pairwise(views))


def test_a_map_that_only_the_next_operation_reads_never_leaves():
    graph = graph_of(expanded())
    schedule = check(graph, sized(3000))
    steps = schedule.steps["infer"]
    assert "conv2" not in {step.tensor for step in steps if isinstance(step, Move)}
    turns = [step.operation.layer for step in steps if isinstance(step, Run)]
    first = turns.index("conv2")
    assert turns[first : first + 4] == ["conv2", "depthwise3"] * 2


def test_a_matrix_passes_by_in_pieces():
    schedule = check(graph_of(matrix()), sized(1 << 14, 2000))
    runs = [step for step in schedule.steps["infer"] if isinstance(step, Run) and step.operation.layer == "dense1"]
    parts = [(step.views["dense1.weight"].first, step.part or (0, 0)) for step in runs]
    assert {group for group, _ in parts} == {0, 1}
    for group in (0, 1):
        pieces = [part for first, part in parts if first == group]
        assert pieces[0][0] == 0 and pieces[-1][1] == 18
        assert all(a[1] == b[0] for a, b in pairwise(pieces))


def test_bands_of_maps_and_chunks_of_weights_at_once():
    net = Network("both", (9, 14, 14)).conv(24, 3).relu().conv(9, 3).relu().global_average_pool().flatten().dense(3)
    schedule = check(graph_of(net), sized(5000, 4400))
    runs = [step for step in schedule.steps["infer"] if isinstance(step, Run) and step.operation.layer == "conv2"]
    bands = {step.views["conv2"].first for step in runs}
    assert len(bands) > 1
    assert len(runs) > len(bands)


def test_bands_of_columns():
    graph = graph_of(wide())
    steps = check(graph, sized(1000)).steps["infer"]
    runs = [step for step in steps if isinstance(step, Run)]
    views = [step.views["input"] for step in runs if "input" in step.views]
    widths = [view.width for view in views if isinstance(view, MapView)]
    assert len(set(widths)) > 1 and max(widths) < 41
    assert sum(run.operation.macs for run in runs) == sum(item.macs for item in graph.entries["infer"])
    assert any(step.transfer.lines > 1 for step in steps if isinstance(step, Move))


def test_training_in_bands_of_columns():
    schedule = check(graph_of(wide(3, 2), Optimiser()), sized(1300))
    runs = [step for step in schedule.steps["train"] if isinstance(step, Run)]
    narrow = {run.operation.operator for run in runs for view in run.views.values() if _starts_inside(view)}
    assert {"Conv", "ConvInputGradient", "ConvWeightGradient", "Combine"} <= narrow


def _starts_inside(view: MapView | RowView) -> bool:
    return isinstance(view, MapView) and view.first_column > 0


def test_refusals_name_the_tensor_and_the_bytes():
    alone = TINY.replace(external_memory=None)
    with pytest.raises(NetworkError, match=r"\d+ bytes too few; enlarge (feature|gradient|weight)_memory.bytes or add"):
        check(graph_of(plain(32)), alone)
    with pytest.raises(NetworkError, match="bytes too few"):
        check(graph_of(plain(60), Optimiser()), sized(600))


def test_what_a_map_lacks_is_said_of_its_memory_and_is_enough():
    """An average without weights, which takes its map whole."""
    net = Network("averaged", (2, 40, 40)).conv(3, 3).relu().global_average_pool().flatten().dense(3)
    graph = graph_of(net.softmax_cross_entropy(), Optimiser())
    with pytest.raises(NetworkError, match="conv1 does not fit the feature memory") as refused:
        check(graph, sized(1000))
    missing = int(str(refused.value).split(" bytes too few")[0].split()[-1])
    pages = 4 * TINY.lanes * 2
    assert missing > 8000
    check(graph, sized(1000 + missing + pages))


def test_streams_of_a_schedule_do_what_it_says():
    chip = sized(3000)
    graph = graph_of(residual(), Optimiser())
    kernels, fractions = Kernels(graph, chip), dict.fromkeys(graph.tensors, 8)
    schedule = reside(graph, kernels, chip, fractions)
    for steps in schedule.steps.values():
        issued = []
        for step in steps:
            if isinstance(step, Move):
                issued.append((Engine.DMA, step.transfer))
                continue
            on = Emitter(graph, kernels, chip, Numbers(6), fractions, step.views)
            issued += [(engine_of(step.operation), item) for item in emit(step.operation, on)]
        made = scheduled(issued, chip)
        assert not list(stream_problems(made.instructions, chip))
        meant = run_words(issued, range(len(issued)), chip)
        for turn in range(3):
            order = interleavings(made, random.Random(turn))
            assert run_words(issued, order, chip) == meant
