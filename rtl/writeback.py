"""Write-back: emission and rounding (B), ReLU, mask and narrowing (S), writing (W)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import Base, Compute, Emission, Overflow, Reduction, Storage
from arch.modes import CELL_INDEX_BITS
from arch.numerics import RANDOM_BITS, seeded
from rtl.address import PAIR
from rtl.instruction import instruction_layout, skips_masked, writes_rows
from rtl.memory import count_ones
from rtl.rounder import Addend, advanced, narrowed, rounded
from rtl.step import step_layout
from rtl.targets import Targets
from rtl.words import row_of, word_of, words_of


def random_port(chip: Chip) -> wiring.Signature:
    """The host's access to the state of rounder (`tap`, `lane`), read in the same cycle."""
    return wiring.Signature(
        {
            "tap": Out(range(chip.taps)),
            "lane": Out(range(max(2, chip.lanes))),
            "write": Out(1),
            "value": Out(RANDOM_BITS),
            "state": In(RANDOM_BITS),
        }
    )


class WriteBack(wiring.Component):
    """Turns accumulators into words of a map or a weight row.

    `start` empties it. `emit`, in the cycle before B, announces `step`: its words or row, the instruction's last ones
    if it is `final`. In B: `cells` are the bank's accumulators, `bias` the bias register's word `bias_tap`, `row` the
    row that is replaced. `row_write` has a bit a bank. `done` is the instruction's last write.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "compute": In(instruction_layout(Compute)),
                "emit": In(1),
                "step": In(step_layout(chip)),
                "bias_tap": Out(range(chip.taps)),
                "cells": In(signed(chip.accumulator_bits)).array(chip.taps, chip.lanes),
                "bias": In(word_of(chip)),
                "row": In(row_of(chip)),
                "mask_read": Out(1),
                "mask_address": Out(PAIR),
                "mask": In(word_of(chip)),
                "write": Out(1),
                "address": Out(PAIR),
                "value": Out(word_of(chip)),
                "row_write": Out(chip.weight_memory.banks),
                "row_place": Out(ROW_BITS),
                "row_value": Out(words_of(chip, chip.weight_memory.banks)),
                "done": Out(1),
                "rounded_word": Out(1),
                "rounded_row": Out(1),
                "saturations": Out(range(chip.multipliers + 1)),
                "lost_updates": Out(range(chip.multipliers + 1)),
                "random": In(random_port(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._rows = Signal()
        m.d.comb += self._rows.eq(writes_rows(self.compute))
        active, last = self._emission(m)
        results, cells = self._round(m, active)
        self._narrow(m, active, last, results, cells)
        return m

    def _emission(self, m: Module) -> tuple[Signal, Value]:
        """B's state: whether a word or row is emitted in this cycle, and whether it is the instruction's last."""
        step, compute = self.step, self.compute
        active, final, last_word = Signal(), Signal(), Signal()
        left, group = Signal.like(step.words), Signal.like(step.group)
        self._tap, self._number = Signal.like(step.from_tap), Signal.like(step.row)
        self._kept = Signal.like(step.kept)
        m.d.comb += [
            last_word.eq(left == 1),
            self.bias_tap.eq(Mux(compute.emission == Emission.END, self._tap, compute.bias_word + group)),
        ]
        with m.If(self.start):
            m.d.sync += active.eq(0)
        with m.Elif(self.emit):
            m.d.sync += [
                active.eq(1),
                self._tap.eq(step.from_tap),
                left.eq(step.words),
                group.eq(step.group),
                self._number.eq(step.row),
                self._kept.eq(step.kept),
                final.eq(step.final),
            ]
        with m.Elif(active):
            m.d.sync += [active.eq(~last_word), left.eq(left - 1), self._tap.eq(self._tap + 1)]
        self._last_word = last_word
        return active, active & last_word & final

    def _round(self, m: Module, active: Signal):
        """The rounders and their random states; the T x L registered results, and the cells that they are made of."""
        chip, compute = self._chip, self.compute
        m.submodules.addend = addend = Addend(chip)
        m.d.comb += [addend.shift.eq(compute.shift), addend.rounding.eq(compute.rounding)]
        row_active = Signal()  # the rounders of a row, those of tap 0 apart
        m.d.comb += row_active.eq(active & self._rows)
        states = self._states(m, active, row_active, addend.random)
        shape = signed(chip.accumulator_bits)
        results = [
            [Signal(shape, name=f"result{t}_{lane}", reset_less=True) for lane in range(chip.lanes)]
            for t in range(chip.taps)
        ]
        cells = [[self._cell(m, t, lane) for lane in range(chip.lanes)] for t in range(chip.taps)]
        for t in range(chip.taps):
            with m.If(row_active if t else active):
                for lane in range(chip.lanes):
                    base = self._base(t, lane)
                    value = rounded(m, chip, cells[t][lane], base, states[t][lane], addend, compute.base_shift)
                    m.d.sync += results[t][lane].eq(value)
        return results, cells

    def _cell(self, m: Module, t: int, lane: int):
        """What rounder (t, lane) takes: of tap 0 the cells of the word, where those beyond the iterations are 0."""
        if t:
            return self.cells[t][lane]
        compute, taps = self.compute, self._chip.taps
        cell, word = (Signal(signed(self._chip.accumulator_bits), name=f"{name}0_{lane}") for name in ("cell", "word"))
        first = Mux(compute.emission == Emission.END, self._tap * self._chip.lanes, 0)
        limited = (compute.reduction == Reduction.BOTH) | (compute.reduction == Reduction.LANES)
        with m.Switch(self._tap):
            for tap in range(taps):
                with m.Case(tap):
                    m.d.comb += word.eq(self.cells[tap][lane])
        with m.If(limited & (first + lane >= compute.iterations)):
            m.d.comb += cell.eq(0)
        with m.Elif(compute.reduction == Reduction.MAXIMUM):
            m.d.comb += cell.eq(word >> CELL_INDEX_BITS)
        with m.Elif(compute.reduction == Reduction.INDEX):
            m.d.comb += cell.eq(~word[:CELL_INDEX_BITS])
        with m.Else():
            m.d.comb += cell.eq(word)
        return cell

    def _base(self, t: int, lane: int) -> Value:
        """What is added to cell (t, lane); a bias only to words, whose cells go through tap 0."""
        base = Mux(self.compute.base == Base.ROW, self.row[t][lane], 0)
        return base if t else Mux(self.compute.base == Base.BIAS, self.bias[lane], base)

    def _states(self, m: Module, active, row_active, random) -> list[list[Signal]]:
        """The generators: a rounder's advances when it rounds; the host reads and writes them one by one."""
        chip, port = self._chip, self.random
        seeds = seeded(1, chip.taps, chip.lanes)
        states = [
            [Signal(RANDOM_BITS, init=int(seeds[t, lane]), name=f"state{t}_{lane}") for lane in range(chip.lanes)]
            for t in range(chip.taps)
        ]
        for t in range(chip.taps):
            for lane in range(chip.lanes):
                state = states[t][lane]
                with m.If(port.write):
                    with m.If((port.tap == t) & (port.lane == lane)):
                        m.d.sync += state.eq(port.value)
                with m.Elif((row_active if t else active) & random):
                    m.d.sync += state.eq(advanced(m, state))
        with m.Switch(Cat(port.lane, port.tap)):
            for t in range(chip.taps):
                for lane in range(chip.lanes):
                    with m.Case(t << len(port.lane) | lane):
                        m.d.comb += port.state.eq(states[t][lane])
        return states

    def _narrow(self, m: Module, active, last, results, cells) -> None:
        """S: ReLU, mask, saturation or wrapping; W: a word, or a row's beats."""
        chip, compute = self._chip, self.compute
        word_active, row_active, s_last = Signal(), Signal(), Signal()
        m.d.sync += [
            word_active.eq(active & ~self._rows & ~self.start),
            row_active.eq(active & self._rows & ~self.start),
            s_last.eq(last),
        ]
        m.d.comb += [self.rounded_word.eq(word_active), self.rounded_row.eq(row_active)]
        wraps = compute.overflow == Overflow.WRAP
        form = wraps, compute.target_storage == Storage.BYTE
        unfit_words, words = self._words(m, active, results, form)
        unfit_row, lost, row = self._row(m, active, row_active, results, cells, form)
        with m.If(row_active):
            m.d.comb += [self.saturations.eq(unfit_row), self.lost_updates.eq(lost)]
        with m.Elif(word_active):
            m.d.comb += self.saturations.eq(unfit_words)
        write_last = Signal()
        m.d.sync += [self.write.eq(word_active & ~self.start), write_last.eq(s_last)]
        with m.If(word_active):
            m.d.sync += [self.value[lane].eq(words[lane]) for lane in range(chip.lanes)]
        self._addresses(m, active, word_active)
        row_done = self._write_row(m, active, row_active, row, write_last)
        m.d.comb += self.done.eq((self.write & write_last) | row_done)

    def _words(self, m: Module, active, results, form):
        """The word in S, and how many of its lanes did not fit; `form` is what `narrowed` takes."""
        words, unfits = [], []
        kept_lanes = Signal(self._chip.lanes)
        with m.If(active):
            m.d.sync += kept_lanes.eq(self._kept)
        carried = skips_masked(self.compute)
        for lane in range(self._chip.lanes):
            value = Signal(signed(self._chip.accumulator_bits), name=f"value{lane}")
            masked = self.compute.mask & Mux(carried, ~kept_lanes[lane], self.mask[lane] <= 0)
            kept = ~(self.compute.relu & (results[0][lane] < 0)) & ~masked
            m.d.comb += value.eq(Mux(kept, results[0][lane], 0))
            word, unfit = narrowed(value, self._chip.word_bits, *form)
            words.append(word)
            unfits.append(unfit)
        return count_ones(Cat(*unfits)), words

    def _row(self, m: Module, active, row_active, results, cells, form):
        """The row in S; how many of its values did not fit, and how many updates were lost."""
        chip = self._chip
        old = Signal(row_of(chip), reset_less=True)
        row, unfits, losses = [], [], []
        replaces = self.compute.base == Base.ROW
        with m.If(active & self._rows):
            m.d.sync += old.eq(self.row)
        for t in range(chip.taps):
            for lane in range(chip.lanes):
                value = Signal(signed(chip.word_bits), name=f"row{t}_{lane}")
                moved = Signal(name=f"moved{t}_{lane}", reset_less=True)
                unfit, lost = Signal(name=f"unfit{t}_{lane}"), Signal(name=f"lost{t}_{lane}")
                with m.If(active & self._rows):
                    m.d.sync += moved.eq(cells[t][lane] != 0)
                # Where no row is, nothing toggles.
                with m.If(row_active):
                    word, wide = narrowed(results[t][lane], chip.word_bits, *form)
                    m.d.comb += [
                        value.eq(word),
                        unfit.eq(wide),
                        lost.eq(replaces & moved & ~unfit & (value == old[t][lane])),
                    ]
                row.append(value)
                unfits.append(unfit)
                losses.append(lost)
        return count_ones(Cat(unfits)), count_ones(Cat(losses)), row

    def _addresses(self, m: Module, active, word_active) -> None:
        """Addresses of emitted words and their masks, from B to W."""
        m.submodules.targets = targets = Targets(self._chip)
        advance = active & ~self._rows
        m.d.comb += [
            targets.compute.eq(self.compute),
            targets.start.eq(self.start),
            targets.advance.eq(advance),
            targets.last_word.eq(self._last_word),
            self.mask_read.eq(advance & self.compute.mask & ~skips_masked(self.compute)),
            self.mask_address.eq(targets.mask),
        ]
        address = Signal(PAIR)
        with m.If(advance):
            m.d.sync += address.eq(targets.target)
        with m.If(word_active):
            m.d.sync += self.address.eq(address)

    def _write_row(self, m: Module, active, row_active, row, write_last):
        """W of a row: its beats on successive cycles; whether this is the instruction's last one."""
        chip = self._chip
        beats, banks = chip.row_beats, chip.weight_memory.banks
        beat, busy = Signal(range(max(2, beats))), Signal()
        number, place = Signal(ROW_BITS), Signal(ROW_BITS)  # the row's number, in S and in W
        store = [Signal.like(value, name=f"store{i}", reset_less=True) for i, value in enumerate(row)]
        last_beat = beat == beats - 1
        row_last = Signal()
        with m.If(active):
            m.d.sync += number.eq(self._number)
        with m.If(row_active):
            m.d.sync += [register.eq(value) for register, value in zip(store, row, strict=True)]
            m.d.sync += place.eq(number * beats)
        m.d.comb += self.row_place.eq(place + beat)
        with m.If(self.start):
            m.d.sync += [busy.eq(0), beat.eq(0)]
        with m.Else():
            m.d.sync += busy.eq(row_active | (busy & ~last_beat))
            with m.If(busy):
                m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
        with m.If(busy):
            with m.Switch(beat):
                for i in range(beats):
                    with m.Case(i):
                        words = min(banks, chip.taps - i * banks)
                        m.d.comb += self.row_write.eq((1 << words) - 1)
                        for b in range(words):
                            first = (i * banks + b) * chip.lanes
                            m.d.comb += self.row_value[b].eq(Cat(store[first : first + chip.lanes]))
        # `write_last` passes W's first beat; it stays for the others.
        with m.If(busy):
            m.d.sync += row_last.eq((write_last | row_last) & ~last_beat & ~self.start)
        return busy & last_beat & (write_last | row_last)
