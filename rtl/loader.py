"""The loader: brings each unit's words to a shadow, and swaps them in when the last unit is done.

It is always one access ahead: its walks describe the next access to request. The first access of a unit may be
requested in the cycle in which the unit before it is swapped in.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import Compute, Moving, Stationary, Traversal
from arch.traversal import Move
from rtl.address import PAIR, chosen, constant
from rtl.banks import Banks
from rtl.block_walk import BlockWalk
from rtl.corners import corner_of, grid_of, group_corner
from rtl.gather import Gather, Padding, grid
from rtl.instruction import (
    by_lane,
    instruction_layout,
    keeps_largest,
    moves_map,
    scatters,
    skips_masked,
    takes_pixels,
    walks_blocks,
)
from rtl.line_buffer import LineBuffer
from rtl.shadow import Shadow, Window
from rtl.walker import Cursor, Groups
from rtl.window_walk import WindowWalk
from rtl.words import row_of, words_of


class Loader(wiring.Component):
    """Accesses of a moving WINDOW or BLOCK and of a stationary PIXEL or MATCH.

    `start` with `enable` begins with `compute`, which stays. `blocked`: the source memory is being written. `done`: the
    last step of the unit in the window. `held`: `window` (T words, those that a block lacks are 0) and `pixels` (T
    words, or one in tap 0) are a unit's. `access` is an access of a window; `read` (a bit a bank) and `places` are the
    words requested, `pixel_read` and `pixel_places` those of the pixels' memory.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        side = chip.kernel
        places = data.ArrayLayout(ROW_BITS, side)
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "compute": In(instruction_layout(Compute)),
                "blocked": In(1),
                "done": In(1),
                "access": Out(1),
                "read": Out(side),
                "places": Out(places),
                "data": In(words_of(chip, side)),
                "pixel_read": Out(side),
                "pixel_places": Out(places),
                "pixel_data": In(words_of(chip, side)),
                "held": Out(1),
                "window": Out(row_of(chip)),
                "pixels": Out(row_of(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        self._blocks, self._request, self._brings_pixels = Signal(), Signal(), Signal()
        m.d.comb += self._blocks.eq(walks_blocks(compute))
        m.submodules.groups = self._groups = Groups()
        m.submodules.window_walk = self._positions = WindowWalk(self._chip)
        m.submodules.block_walk = self._units = BlockWalk(self._chip)
        first, last, group_end = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(Mux(self._blocks, self._units.first, self._positions.first)),
            last.eq(Mux(self._blocks, self._units.move.unit_end, self._positions.last)),
            group_end.eq(
                Mux(
                    self._blocks,
                    self._units.move.walk_end,
                    self._positions.last & self._positions.last_position,
                )
            ),
            self._groups.start.eq(self.start),
            self._groups.advance.eq(self._request & group_end),
            self._groups.outer.eq(compute.outer),
            self._groups.inner.eq(compute.inner),
        ]
        for walk, walks in ((self._positions, ~self._blocks), (self._units, self._blocks)):
            m.d.comb += [walk.compute.eq(compute), walk.start.eq(self.start), walk.advance.eq(self._request & walks)]
        swap, arrives = self._control(m, last, group_end)
        source = self._source(m)
        pixels = self._pixels(m, first)
        self._fill(m, swap, arrives, first, source, pixels)
        return m

    def _control(self, m: Module, last: Signal, group_end: Signal) -> tuple[Signal, Signal]:
        """Requests, arrivals and the swap."""
        opened, over, arrives, arrives_last, full = Signal(), Signal(), Signal(), Signal(), Signal()
        complete, swap = Signal(), Signal()
        m.d.comb += [
            complete.eq(full | (arrives & arrives_last)),
            swap.eq(complete & (~self.held | self.done)),
            self._request.eq((opened | swap) & ~over & ~self.blocked),
            self.access.eq(self._request & (self.compute.moving == Moving.WINDOW)),
        ]
        with m.If(self.start):
            m.d.sync += [opened.eq(self.enable), over.eq(0), full.eq(0), self.held.eq(0), arrives.eq(0)]
        with m.Else():
            m.d.sync += [
                arrives.eq(self._request),
                full.eq(complete & ~swap),
                self.held.eq(swap | (self.held & ~self.done)),
            ]
            with m.If(self._request):
                m.d.sync += [arrives_last.eq(last), opened.eq(~last)]
                m.d.sync += over.eq(group_end & self._groups.last)
            with m.Elif(swap):
                m.d.sync += opened.eq(1)
        return swap, arrives

    def _source(self, m: Module) -> Banks:
        """The moving map: its words' addresses, and which of them are asked for."""
        compute, side, walk = self.compute, self._chip.kernel, self._positions
        windows = compute.moving == Moving.WINDOW
        pitch = Signal(PAIR)
        m.d.comb += [
            pitch.place.eq(compute.source_pitch.place),
            # A map of one row may have any pitch, but a window's rows lie in successive banks.
            pitch.bank.eq(Mux(windows, 1, compute.source_pitch.bank)),
        ]
        again = by_lane(compute) | ~self._groups.last_inner
        first = corner_of(m, self.start, compute, compute.source, pitch, side)
        corner = group_corner(m, self.start, self._groups.advance, first, compute.source_group, again, side)
        m.submodules.source_gather = gather = Gather(self._chip)
        self._follow(m, gather, corner, grid_of(m, self.start, compute, pitch, compute.source_plane, self._chip))
        m.submodules.padding = padding = Padding(self._chip)
        m.d.comb += [
            walk.corner.eq(corner),
            padding.start.eq(self.start),
            padding.advance.eq(self._request & (compute.traversal == Traversal.PIXELS)),
            padding.move.eq(self._units.move),
            padding.pad_top.eq(compute.pad_top),
            padding.pad_left.eq(compute.pad_left),
            padding.step.eq(compute.step),
            padding.dilation.eq(compute.dilation),
            padding.planes.eq(compute.planes),
            padding.height.eq(compute.source_height),
            padding.width.eq(compute.source_width),
        ]
        m.submodules.source = banks = Banks(self._chip)
        self._gathered = Signal(side)
        asked = Signal(side)
        with m.If(self._blocks):
            m.d.comb += asked.eq((1 << self._units.count) - 1)
            with m.If(compute.traversal == Traversal.PIXELS):
                m.d.comb += self._gathered.eq(asked & padding.inside)
            with m.Else():
                m.d.comb += self._gathered.eq(asked)
        smallest = 1 << (self._chip.word_bits - 1)
        m.d.comb += [
            banks.request.eq(self._request & moves_map(compute)),
            banks.first.eq(chosen(self._blocks, gather.address, walk.base)),
            banks.stride.eq(Mux(self._blocks, gather.stride, 1)),
            banks.extra.eq(Mux(self._blocks, gather.extra.as_value(), walk.extra.as_value())),
            banks.wanted.eq(Mux(self._blocks, self._gathered, self._unbuffered())),
            self.read.eq(banks.read),
            self.places.eq(banks.places),
            banks.data.eq(self.data),
        ]
        with m.If(keeps_largest(compute)):
            m.d.comb += [banks.fill[lane].eq(smallest) for lane in range(self._chip.lanes)]
        return banks

    def _unbuffered(self) -> Value:
        """Of a window's column, the words in the map that no line buffer holds."""
        walk, side = self._positions, self._chip.kernel
        if not self._chip.line_words:
            return walk.inside
        return walk.inside & Mux(walk.row == 0, (1 << side) - 1, 1 << (side - 1))

    def _lines(self, m: Module, source: Banks) -> Any:
        """The words that arrive, with those of the line buffer."""
        if not self._chip.line_words:
            return source.lines
        walk = self._positions
        m.submodules.line_buffer = buffer = LineBuffer(self._chip)
        m.d.comb += [
            buffer.request.eq(walk.met),
            buffer.first.eq(walk.row == 0),
            buffer.column.eq(walk.line),
            buffer.brought.eq(source.lines),
        ]
        return buffer.lines

    def _follow(self, m: Module, gather: Gather, corner, found) -> None:
        m.d.comb += [
            gather.start.eq(self.start),
            gather.advance.eq(self._request & self._blocks),
            gather.move.eq(self._units.move),
            gather.corner.eq(corner),
            gather.grid.eq(found),
        ]

    def _pixels(self, m: Module, first: Signal) -> Banks:
        """The pixel map: a word a position, the words of a block, or those where the moving words lie."""
        compute, chip, walk, side = self.compute, self._chip, self._positions, self._chip.kernel
        matches = compute.stationary == Stationary.MATCH
        alone = compute.moving == Moving.ONE
        one = constant(1, side)
        corner = Signal(PAIR)
        with m.If(matches):
            m.d.comb += corner.eq(corner_of(m, self.start, compute, compute.pixel, compute.pixel_pitch, side))
        with m.Else():
            m.d.comb += corner.eq(compute.pixel)
        ahead = chosen(self._groups.last_inner, compute.pixel_plane, constant(0, side))
        corner = group_corner(m, self.start, self._groups.advance, corner, ahead, True, side)
        matched = grid_of(m, self.start, compute, compute.pixel_pitch, constant(0, side), chip)
        plain = Signal(grid(chip))
        m.d.comb += [plain.step.eq(1), plain.row.eq(compute.pixel_pitch)]
        with m.If(alone):
            m.d.comb += plain.tap_column.eq(compute.pixel_plane)
        m.submodules.pixel_gather = gather = Gather(chip)
        self._follow(m, gather, corner, Mux(matches, matched.as_value(), plain.as_value()))
        m.submodules.pixel_cursor = cursor = Cursor(chip)
        m.d.comb += [
            cursor.start.eq(self.start | (self._groups.advance & ~self._blocks)),
            cursor.advance.eq(walk.advance & walk.last),
            cursor.move.eq(walk.next_move),
            cursor.first.eq(corner),
            cursor.pitch.eq(compute.pixel_pitch),
            cursor.step.eq(one),
        ]
        outside = scatters(compute) & ((walk.row >= compute.source_height) | (walk.column >= compute.source_width))
        asked = Signal(side)
        with m.If(~self._blocks):
            m.d.comb += asked.eq(~outside)
        with m.Elif(matches):
            m.d.comb += asked.eq(self._gathered)
        with m.Else():
            m.d.comb += asked.eq((1 << self._units.count) - 1)
        m.submodules.pixel = banks = Banks(chip)
        each_tap = matches | alone
        m.d.comb += [
            self._brings_pixels.eq(
                (takes_pixels(compute) & Mux(self._blocks, each_tap | self._units.first_tap, first))
                | (skips_masked(compute) & first)
            ),
            banks.request.eq(self._request & self._brings_pixels),
            banks.first.eq(chosen(self._blocks, gather.address, cursor.address)),
            banks.stride.eq(gather.stride),
            banks.extra.eq(gather.extra),
            banks.wanted.eq(asked),
            self.pixel_read.eq(banks.read),
            self.pixel_places.eq(banks.places),
            banks.data.eq(self.pixel_data),
        ]
        return banks

    def _fill(self, m: Module, swap: Signal, arrives: Signal, first: Signal, source: Banks, pixels: Banks) -> None:
        """Arriving words to the shadows; at the swap, to the window and the pixels."""
        chip, units, walk = self._chip, self._units, self._positions
        m.submodules.shadow, m.submodules.window = shadow, window = Shadow(chip), Window(chip)
        m.submodules.pixel_shadow = pixel_shadow = Shadow(chip)
        arriving = Signal(data.StructLayout({"first": 1, "pixels": 1}))
        for item in (shadow, pixel_shadow):
            m.d.comb += [item.first.eq(arriving.first), item.blocks.eq(self._blocks)]
        with m.If(self._request):
            m.d.sync += [arriving.first.eq(first), arriving.pixels.eq(self._brings_pixels)]
        tap, count, slot, move = (
            Signal.like(units.tap),
            Signal.like(units.count),
            Signal.like(walk.slot),
            Signal.like(walk.move),
        )
        with m.If(self._request):
            m.d.sync += [
                tap.eq(units.tap),
                count.eq(units.count),
                slot.eq(walk.slot),
                move.eq(Mux(self._blocks, Move.START, walk.move)),
            ]
        m.d.comb += [
            shadow.arrives.eq(arrives & moves_map(self.compute)),
            shadow.tap.eq(tap),
            shadow.count.eq(count),
            shadow.move.eq(move),
            shadow.slot.eq(slot),
            shadow.lines.eq(self._lines(m, source)),
            window.swap.eq(swap),
            window.move.eq(move),
            window.incoming.eq(shadow.incoming),
            self.window.eq(window.window),
        ]
        m.d.comb += [
            pixel_shadow.arrives.eq(arrives & arriving.pixels),
            pixel_shadow.blocks.eq(1),
            pixel_shadow.tap.eq(Mux(self._blocks, tap, 0)),
            pixel_shadow.count.eq(Mux(self._blocks, count, 1)),
            pixel_shadow.lines.eq(pixels.lines),
        ]
        # Inner steps that bring no pixels find those of their block in the shadow.
        with m.If(swap & (takes_pixels(self.compute) | skips_masked(self.compute))):
            m.d.sync += self.pixels.eq(pixel_shadow.incoming)
