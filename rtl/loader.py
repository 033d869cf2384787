"""The loader: brings each position's words to a shadow of the window, and swaps them in when the last position is done.

It is always one access ahead: its registers describe the next access to request. The first access of a position may be
requested in the cycle in which the position before it is swapped in.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.isa import Compute, Moving, Stationary, Traversal
from arch.traversal import Move
from rtl.address import PAIR, chosen, decremented, incremented, pair, plus, window_anchor
from rtl.instruction import instruction_layout
from rtl.walker import EXTENT_BITS, MOVE_BITS, Cursor, Walker
from rtl.words import row_of, word_of, words_of


class Loader(wiring.Component):
    """Accesses of a moving WINDOW or BLOCK and of a stationary PIXEL.

    `start` with `enable` begins with `compute`, which stays. `blocked`: the source memory is being written. `done`: the
    last step of the position in the window. `held`: `window` (T words, those that a block lacks are 0) and `pixel` are
    a position's. `access` is an access of a window, `read` (a bit a bank) and `places` are the words requested;
    `pixel_read` goes to the pixels' memory.
    """

    def __init__(self, chip: Chip):
        self._chip = chip
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "compute": In(instruction_layout(Compute)),
                "blocked": In(1),
                "done": In(1),
                "access": Out(1),
                "read": Out(chip.kernel),
                "places": Out(data.ArrayLayout(ROW_BITS, chip.kernel)),
                "data": In(words_of(chip, chip.kernel)),
                "pixel_read": Out(1),
                "pixel_address": Out(PAIR),
                "pixel_data": In(word_of(chip)),
                "held": Out(1),
                "window": Out(row_of(chip)),
                "pixel": Out(word_of(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        compute = self.compute
        self._windows = Signal()
        self._blocks = Signal()
        self._request = Signal()
        self._first_access = Signal()
        self._last_access = Signal()
        self._move = Signal(MOVE_BITS)
        self._slot = Signal(range(self._chip.taps))
        self._base = Signal(PAIR)
        m.submodules.walker = self._walker = Walker()
        m.d.comb += [
            self._windows.eq(compute.moving == Moving.WINDOW),
            self._blocks.eq(compute.moving == Moving.BLOCK),
        ]
        swap = self._control(m)
        self._walk(m)
        self._ask(m)
        self._shift(m, swap)
        return m

    def _control(self, m: Module) -> Signal:
        """Requests, arrivals and the swap."""
        opened, over, arrives, arrives_last, full = Signal(), Signal(), Signal(), Signal(), Signal()
        complete, swap = Signal(), Signal()
        m.d.comb += [
            complete.eq(full | (arrives & arrives_last)),
            swap.eq(complete & (~self.held | self.done)),
            self._request.eq((opened | swap) & ~over & ~self.blocked),
            self.access.eq(self._request & self._windows),
            self.pixel_read.eq(self._request & self._first_access & (self.compute.stationary == Stationary.PIXEL)),
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
                m.d.sync += [arrives_last.eq(self._last_access), opened.eq(~self._last_access)]
                m.d.sync += over.eq(self._walker.last & self._last_access)
            with m.Elif(swap):
                m.d.sync += opened.eq(1)
        self._arrives = arrives
        return swap

    def _walk(self, m: Module) -> None:
        """Where the next access is: position, move, slot of the access, and the address it starts at."""
        compute, walker, side = self.compute, self._walker, self._chip.kernel
        pitch, start_pitch = Signal(PAIR), compute.source_pitch
        m.d.comb += [
            pitch.place.eq(start_pitch.place),
            # A map of one row may have any pitch, but a window's rows lie in successive banks.
            pitch.bank.eq(Mux(self._windows, 1, start_pitch.bank)),
            walker.start.eq(self.start),
            walker.snake.eq(compute.traversal == Traversal.SNAKE),
            walker.height.eq(compute.height),
            walker.width.eq(compute.width),
        ]
        last_slot = Signal()
        m.d.comb += [
            self._first_access.eq(self._slot == 0),
            last_slot.eq(self._slot == Mux(self._blocks, self._chip.taps - 1, side - 1)),
            self._last_access.eq(
                Mux(
                    self._windows,
                    (self._move != Move.START) | last_slot,
                    ~self._blocks | last_slot | walker.last,
                )
            ),
            walker.advance.eq(self._request & (self._last_access | self._blocks)),
        ]
        anchor, row_start, below, next_anchor = Signal(PAIR), Signal(PAIR), Signal(PAIR), Signal(PAIR)
        first = Signal(PAIR)
        m.d.comb += [
            below.eq(plus(row_start, pitch, side)),
            first.eq(
                chosen(
                    self._windows,
                    window_anchor(compute.source, start_pitch.place, compute.pad_top, compute.pad_left, side),
                    compute.source,
                )
            ),
        ]
        next_base = Signal(PAIR)
        m.d.comb += next_base.eq(next_anchor)
        with m.Switch(walker.move):
            with m.Case(Move.RIGHT):
                m.d.comb += next_anchor.eq(incremented(anchor, side))
                with m.If(self._windows):  # K words on: the same bank, the next place
                    m.d.comb += next_base.eq(pair(anchor.bank, anchor.place + 1))
            with m.Case(Move.LEFT):
                m.d.comb += next_anchor.eq(decremented(anchor, side))
            with m.Case(Move.DOWN):  # K rows on: the same bank, since the pitch's bank is 1
                m.d.comb += next_anchor.eq(plus(anchor, pitch, side))
                m.d.comb += next_base.eq(pair(anchor.bank, anchor.place + pitch.place * side + 1))
            with m.Default():
                m.d.comb += next_anchor.eq(below)
        with m.If(self.start):
            m.d.sync += [
                self._move.eq(Move.START),
                self._slot.eq(0),
                self._base.eq(first),
                anchor.eq(first),
                row_start.eq(first),
            ]
        with m.Elif(self._request):
            m.d.sync += self._slot.eq(Mux(self._last_access, 0, self._slot + 1))
            with m.If(walker.advance):
                m.d.sync += [
                    self._move.eq(Mux(self._blocks, Move.START, walker.move)),
                    self._base.eq(next_base),
                    anchor.eq(next_anchor),
                ]
                with m.If(walker.move == Move.START):
                    m.d.sync += row_start.eq(below)
            with m.Else():
                m.d.sync += self._base.eq(incremented(self._base, side))
        m.submodules.pixel = cursor = Cursor(self._chip)
        m.d.comb += [
            cursor.start.eq(self.start),
            cursor.advance.eq(walker.advance),
            cursor.move.eq(walker.move),
            cursor.first.eq(compute.pixel),
            cursor.pitch.eq(compute.pixel_pitch),
            self.pixel_address.eq(cursor.address),
        ]

    def _ask(self, m: Module) -> None:
        """The banks' places, and which of the K words lie inside the map."""
        side = self._chip.kernel
        inside = Signal(side)
        m.d.comb += inside.eq(self._inside(m))
        offsets = [
            Mux(self._move == Move.DOWN, 0, (self.compute.source_pitch.place * i)[:ROW_BITS]) for i in range(side)
        ]
        reads = self._request & (self._windows | self._blocks)
        with m.Switch(self._base.bank):
            for first in range(side):
                with m.Case(first):
                    for bank in range(side):
                        i = (bank - first) % side
                        m.d.comb += [
                            self.places[bank].eq(self._base.place + offsets[i] + int(bank < first)),
                            self.read[bank].eq(reads & inside[i]),
                        ]
        self._arriving_bank = Signal.like(self._base.bank)
        self._arriving_inside = Signal.like(inside)
        self._arriving_slot = Signal.like(self._slot)
        self._arriving_move = Signal.like(self._move)
        with m.If(self._request):
            m.d.sync += [
                self._arriving_bank.eq(self._base.bank),
                self._arriving_inside.eq(inside),
                self._arriving_slot.eq(self._slot),
                self._arriving_move.eq(self._move),
            ]

    def _inside(self, m: Module) -> Value:
        """A bit for each of an access's K words (of a block only the first): it is in the map, not padding."""
        compute, side = self.compute, self._chip.kernel
        down = self._move == Move.DOWN
        coordinate = signed(EXTENT_BITS + 2)
        top, left, along, across = (Signal(coordinate, name=name) for name in ("top", "left", "along", "across"))
        along_limit, across_limit = Signal(EXTENT_BITS), Signal(EXTENT_BITS)
        new_column = Mux(self._move == Move.START, self._slot, Mux(self._move == Move.RIGHT, side - 1, 0))
        m.d.comb += [
            top.eq(self._walker.row - compute.pad_top),
            left.eq(self._walker.column - compute.pad_left),
            along.eq(Mux(down, left, top)),
            along_limit.eq(Mux(down, compute.source_width, compute.source_height)),
            across.eq(Mux(down, top + (side - 1), left + new_column)),
            across_limit.eq(Mux(down, compute.source_height, compute.source_width)),
        ]
        mask = Signal(side)
        with m.If(self._blocks):
            m.d.comb += mask.eq(1)
        with m.Elif((across >= 0) & (across < across_limit)):
            for i in range(side):
                m.d.comb += mask[i].eq((along + i >= 0) & (along + i < along_limit))
        return mask

    def _shift(self, m: Module, swap: Signal) -> None:
        """Arriving words to their slots of the shadow; at the swap, the window shifted and its new words filled in."""
        side, taps = self._chip.kernel, self._chip.taps
        lines = self._lines(m)
        shadow, incoming = Signal(row_of(self._chip), reset_less=True), Signal(row_of(self._chip))
        window = Signal(row_of(self._chip), reset_less=True)
        m.d.comb += self.window.eq(window)
        m.d.comb += incoming.eq(shadow)
        with m.If(self._arrives):
            with m.If(self._arriving_slot == 0):  # words that a last block lacks are 0
                m.d.comb += incoming.eq(0)
            with m.If(self._blocks):
                with m.Switch(self._arriving_slot):
                    for tap in range(taps):
                        with m.Case(tap):
                            m.d.comb += incoming[tap].eq(lines[0])
            with m.Elif(self._arriving_move == Move.DOWN):
                m.d.comb += [incoming[(side - 1) * side + i].eq(lines[i]) for i in range(side)]
            with m.Else():
                column = Signal(range(side))
                m.d.comb += column.eq(Mux(self._arriving_move == Move.RIGHT, side - 1, self._arriving_slot))
                with m.Switch(column):
                    for c in range(side):
                        with m.Case(c):
                            m.d.comb += [incoming[r * side + c].eq(lines[r]) for r in range(side)]
            m.d.sync += shadow.eq(incoming)
        with m.If(swap):
            sources = {Move.RIGHT: 1, Move.LEFT: -1, Move.DOWN: side}
            with m.Switch(self._arriving_move):
                for move, distance in sources.items():
                    with m.Case(move):
                        for tap in range(taps):
                            kept = self._kept(tap, move)
                            m.d.sync += window[tap].eq(window[tap + distance] if kept else incoming[tap])
                with m.Default():
                    m.d.sync += window.eq(incoming)
        self._hold_pixel(m, swap)

    def _kept(self, tap: int, move: Move) -> bool:
        side = self._chip.kernel
        row, column = divmod(tap, side)
        return {Move.RIGHT: column < side - 1, Move.LEFT: column > 0, Move.DOWN: row < side - 1}[move]

    def _lines(self, m: Module):
        """The K arriving words, first to last, padding as 0."""
        side = self._chip.kernel
        lines = Signal(words_of(self._chip, side))
        with m.Switch(self._arriving_bank):
            for first in range(side):
                with m.Case(first):
                    for i in range(side):
                        with m.If(self._arriving_inside[i]):
                            m.d.comb += lines[i].eq(self.data[(first + i) % side])
        return lines

    def _hold_pixel(self, m: Module, swap: Signal) -> None:
        arrives = Signal()
        shadow, incoming = Signal(word_of(self._chip)), Signal(word_of(self._chip))
        m.d.sync += arrives.eq(self.pixel_read)
        m.d.comb += incoming.eq(Mux(arrives, self.pixel_data.as_value(), shadow.as_value()))
        with m.If(arrives):
            m.d.sync += shadow.eq(incoming)
        with m.If(swap):
            m.d.sync += self.pixel.eq(incoming)
