"""The array engine: LOAD and COMPUTE, from the loader and the row fetcher through the multipliers to write-back."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from arch.chip import Chip
from arch.events import Event
from arch.isa import (
    INSTRUCTION_BITS,
    Base,
    Compute,
    Destination,
    Instruction,
    Load,
    Moving,
    Opcode,
    Space,
    Stationary,
)
from rtl.accumulators import Accumulators
from rtl.counters import amounts_layout
from rtl.fill import Fill
from rtl.instruction import instruction_layout, loads, moves_map, streams_rows, uses_rows
from rtl.kernels import KernelFile
from rtl.loader import Loader
from rtl.memory import ask_word, count_ones, map_port, row_port
from rtl.multipliers import Multipliers
from rtl.nest import Nest
from rtl.rows import RowFetcher, RowWalk
from rtl.step import step_layout
from rtl.words import row_of
from rtl.writeback import WriteBack, random_port


class ArrayEngine(wiring.Component):
    """Executes `instruction`, which stays from `start`, the cycle before the first, to `done`, the last.

    From the cycle after `abort` on nothing is under way; registers that instructions leave behind keep their contents.
    `feature`, `gradient` and `weight` are its ports of the memories, `amounts` what it counts in this cycle.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "abort": In(1),
                "instruction": In(INSTRUCTION_BITS),
                "done": Out(1),
                "feature": Out(map_port(chip)),
                "gradient": Out(map_port(chip)),
                "weight": Out(row_port(chip)),
                "random": In(random_port(chip)),
                "amounts": Out(amounts_layout(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self._chip
        self._header = instruction_layout(Instruction)(self.instruction)
        self._compute = instruction_layout(Compute)(self.instruction)
        self._load = instruction_layout(Load)(self.instruction)
        empty = ResetInserter(self.abort)
        self._loader, self._rows, self._nest, self._fill = Loader(chip), RowFetcher(chip), Nest(chip), Fill(chip)
        m.submodules.loader = empty(self._loader)
        m.submodules.rows = empty(self._rows)
        m.submodules.row_walk = self._row_walk = RowWalk()
        m.submodules.kernels = self._kernels = KernelFile(chip)
        m.submodules.nest = empty(self._nest)
        m.submodules.fill = empty(self._fill)
        m.submodules.multipliers = self._multipliers = Multipliers(chip)
        m.submodules.accumulators = self._accumulators = Accumulators(chip)
        m.submodules.writeback = self._writeback = WriteBack(chip)
        self._begin(m)
        self._supply(m)
        self._work(m)
        self._use_map_memories(m)
        self._use_weight_memory(m)
        self._count(m)
        return m

    def _begin(self, m: Module) -> None:
        computes = self._header.opcode == Opcode.COMPUTE
        self._computing = Signal()
        with m.If(self.start):
            m.d.sync += self._computing.eq(computes)
        row_load = self._load.destination != Destination.VECTOR
        parts = (self._loader, self._nest, self._multipliers, self._accumulators, self._writeback, self._row_walk)
        for part in parts:
            m.d.comb += part.compute.eq(self._compute)
        m.d.comb += [
            self._fill.load.eq(self._load),
            self._kernels.load.eq(self._load),
            self._nest.begin.eq(self.start & computes),
            self._fill.begin.eq(self.start & ~computes),
            self._loader.start.eq(self.start),
            self._loader.enable.eq(computes & loads(self._compute)),
            self._rows.start.eq(self.start),
            self._rows.enable.eq(Mux(computes, uses_rows(self._compute), row_load)),
            self._row_walk.start.eq(self.start),
            self._writeback.start.eq(self.start | self.abort),
        ]
        first = Signal.like(self._rows.first)
        m.d.comb += [first.eq(self._load.row), self._rows.first.eq(first)]
        with m.If(computes):
            m.d.comb += first.eq(self._compute.row + Mux(streams_rows(self._compute), self._nest.first_iteration, 0))

    def _supply(self, m: Module) -> None:
        """Units and rows to the nest and to LOAD; both to the kernel file."""
        nest, fill, rows, loader, kernels = self._nest, self._fill, self._rows, self._loader, self._kernels
        walk, compute = self._row_walk, self._compute
        uses_kernels = (compute.stationary == Stationary.KERNEL) | (compute.moving == Moving.KERNEL)
        m.d.comb += [
            nest.unit_ready.eq(loader.held),
            nest.pixel.eq(loader.pixels[0]),
            nest.vector.eq(kernels.vector),
            nest.row_ready.eq(rows.ready),
            nest.row.eq(rows.number),
            fill.row_ready.eq(rows.ready),
            loader.done.eq(nest.unit_done),
            walk.consume.eq(nest.uses_row),
            walk.number.eq(rows.number),
            walk.ahead.eq(nest.rows_on),
            walk.last_iteration.eq(nest.last_iteration),
            walk.final.eq(nest.info.final),
            rows.consume.eq(Mux(self._computing, nest.uses_row, fill.write_row)),
            rows.more.eq(Mux(self._computing, walk.more, fill.more)),
            rows.next.eq(Mux(self._computing, walk.next, rows.number + 1)),
            kernels.write_row.eq(fill.write_row),
            kernels.row.eq(rows.row),
            kernels.reload.eq(nest.fill | (nest.step & nest.reloads)),
            kernels.reload_rotate.eq(compute.rotate),
            kernels.write_word.eq(fill.write_word),
            kernels.index.eq(fill.index),
            kernels.select.eq(Mux(uses_kernels, nest.iteration, 0)),
        ]

    def _work(self, m: Module) -> None:
        """The pipeline: X, P, A, then write-back, with what travels beside the operands."""
        chip = self._chip
        nest, multipliers, accumulators, writeback = self._nest, self._multipliers, self._accumulators, self._writeback
        p_info, a_info = Signal(step_layout(chip)), Signal(step_layout(chip))
        p_valid, a_valid = Signal(), Signal()
        issued = nest.step | nest.drain
        m.d.sync += [p_valid.eq(issued & ~self.abort), a_valid.eq(p_valid & ~self.abort)]
        with m.If(issued):
            m.d.sync += p_info.eq(nest.info)
        with m.If(p_valid):
            m.d.sync += a_info.eq(p_info)
        m.d.comb += [
            multipliers.enable.eq(nest.step),
            multipliers.reduce.eq(p_valid & p_info.add),
            multipliers.tap.eq(nest.tap_of_iteration),
            multipliers.lane.eq(nest.lane),
            multipliers.kernel_tap.eq(nest.tap),
            multipliers.scatter.eq(nest.info.scatter),
            multipliers.window.eq(self._loader.window),
            multipliers.kernel.eq(self._kernels.kernel),
            multipliers.row.eq(self._rows.row),
            multipliers.pixels.eq(self._loader.pixels),
            accumulators.add.eq(a_valid & a_info.add),
            accumulators.step.eq(a_info),
            writeback.emit.eq(a_valid & a_info.emit),
            writeback.step.eq(a_info),
            self.done.eq(self._fill.done | writeback.done | (a_valid & a_info.final & self._compute.hold)),
            self._kernels.bias_tap.eq(writeback.bias_tap),
            writeback.bias.eq(self._kernels.bias),
        ]
        for there, here in ((accumulators.reduced, multipliers.reduced), (writeback.cells, accumulators.cells)):
            for taken, given in zip(there, here, strict=True):
                m.d.comb += [value.eq(source) for value, source in zip(taken, given, strict=True)]
        with m.If(writeback.emit):
            m.d.sync += accumulators.emitted_bank.eq(a_info.bank)
        stepped = accumulators.add & ~a_info.clear  # a drain step that clears has no products
        m.d.comb += self.amounts[Event.ZERO_PRODUCTS.name].eq(Mux(stepped, multipliers.zeros, 0))
        self._carry_row(m, issued, p_valid, a_valid)
        connect(m, wiring.flipped(self.random), writeback.random)

    def _carry_row(self, m: Module, issued, p_valid, a_valid) -> None:
        """The row that a step took, on its way to B."""
        carries = self._compute.base == Base.ROW
        p_row, a_row, b_row = (Signal(row_of(self._chip), name=f"{stage}_row", reset_less=True) for stage in "pab")
        with m.If(issued & carries):
            m.d.sync += p_row.eq(self._rows.row)
        with m.If(p_valid & carries):
            m.d.sync += a_row.eq(p_row)
        with m.If(a_valid & carries):
            m.d.sync += b_row.eq(a_row)
        m.d.comb += self._writeback.row.eq(b_row)

    def _use_map_memories(self, m: Module) -> None:
        """Requests to the feature and gradient memories, of which each has at most one a cycle; their data."""
        compute, loader, writeback, fill = self._compute, self._loader, self._writeback, self._fill
        mask_bank = Signal(range(self._chip.kernel))
        with m.If(writeback.mask_read):
            m.d.sync += mask_bank.eq(writeback.mask_address.bank)
        for space, port in ((Space.FEATURE, self.feature), (Space.GRADIENT, self.gradient)):
            with m.If(loader.read.any() & (compute.source_space == space)):
                m.d.comb += [port.read.eq(loader.read), port.places.eq(loader.places)]
            with m.Elif(loader.pixel_read.any() & (compute.pixel_space == space)):
                m.d.comb += [port.read.eq(loader.pixel_read), port.places.eq(loader.pixel_places)]
            with m.Elif(writeback.mask_read & (compute.mask_space == space)):
                m.d.comb += ask_word(port, writeback.mask_address)
            with m.Elif(fill.read & (self._load.space == space)):
                m.d.comb += ask_word(port, fill.address)
            m.d.comb += [
                port.write.eq(writeback.write & (compute.target_space == space)),
                port.address.eq(writeback.address),
                port.value.eq(writeback.value),
            ]
        m.d.comb += [
            loader.blocked.eq(
                writeback.write
                & Mux(
                    compute.moving == Moving.KERNEL,  # a scatter
                    compute.target_space == compute.pixel_space,
                    moves_map(compute) & (compute.target_space == compute.source_space),
                )
            ),
            loader.data.eq(self._data(compute.source_space)),
            loader.pixel_data.eq(self._data(compute.pixel_space)),
            writeback.mask.eq(self._word(m, compute.mask_space, mask_bank)),
            self._kernels.word.eq(self._word(m, self._load.space, fill.arriving_bank)),
        ]

    def _data(self, space):
        return Mux(space == Space.FEATURE, self.feature.data.as_value(), self.gradient.data.as_value())

    def _word(self, m: Module, space, bank):
        """Bank `bank`'s data of memory `space`."""
        word = Signal.like(self.feature.value)
        with m.Switch(Cat(space, bank)):
            for k in range(self._chip.kernel):
                with m.Case(k << 1 | Space.FEATURE):
                    m.d.comb += word.eq(self.feature.data[k])
                with m.Case(k << 1 | Space.GRADIENT):
                    m.d.comb += word.eq(self.gradient.data[k])
        return word

    def _use_weight_memory(self, m: Module) -> None:
        rows, writeback, weight = self._rows, self._writeback, self.weight
        writes = writeback.row_write.any()
        m.d.comb += [
            rows.blocked.eq(writes),
            rows.data.eq(weight.data),
            weight.read.eq(rows.read),
            weight.write.eq(writeback.row_write),
            weight.place.eq(Mux(writes, writeback.row_place, rows.place)),
            weight.value.eq(writeback.row_value),
        ]

    def _count(self, m: Module) -> None:
        chip, amounts = self._chip, self.amounts
        beats, banks = chip.row_beats, chip.weight_memory.banks
        last_words = chip.taps - (beats - 1) * banks
        fill, writeback = self._fill, self._writeback
        m.d.comb += [
            amounts[Event.STEPS.name].eq(self._nest.step),
            amounts[Event.WINDOW_WORDS.name].eq(Mux(self._loader.access, chip.kernel, 0)),
            amounts[Event.FEATURE_READS.name].eq(count_ones(self.feature.read)),
            amounts[Event.FEATURE_WRITES.name].eq(self.feature.write),
            amounts[Event.GRADIENT_READS.name].eq(count_ones(self.gradient.read)),
            amounts[Event.GRADIENT_WRITES.name].eq(self.gradient.write),
            amounts[Event.WEIGHT_READS.name].eq(
                Mux(self.weight.read, Mux(self._rows.beat == beats - 1, last_words, banks), 0)
            ),
            amounts[Event.WEIGHT_WRITES.name].eq(count_ones(self.weight.write)),
            amounts[Event.REGISTER_WORDS.name].eq(
                Mux(self._kernels.reload | fill.write_row, chip.taps, fill.write_word)
            ),
            amounts[Event.ROUNDED_WORDS.name].eq(Mux(writeback.rounded_row, chip.taps, writeback.rounded_word)),
            amounts[Event.SATURATIONS.name].eq(writeback.saturations),
            amounts[Event.LOST_UPDATES.name].eq(writeback.lost_updates),
        ]
