"""The loader: walks over the units ahead of the steps and fills a shadow of their operands, an access a cycle."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Moving, Stationary, Traversal
from arch.traversal import Move
from sim.stepping_cells import called, clocked, copy, fill
from sim.stepping_pieces import next_group, request_piece, swap_block
from sim.stepping_skip import masks_by_pixels
from sim.stepping_state import Plane


@called
def prepare_loader(s, i):
    """Stand before the first unit; `s` are the machine's registers, `i` the instruction."""
    loader = s.loader
    units = s.step.groups * s.step.positions * i.kernel_height * i.kernel_width
    loader.left = units if s.step.loads else 0
    loader.outer = 0
    loader.inner = 0
    loader.row = 0
    loader.column = 0
    loader.move = Move.START
    loader.words = i.height * i.width
    loader.block_row = 0
    loader.block_column = 0
    loader.kernel_row = 0
    loader.kernel_column = 0
    loader.reach = _reach(s, i)
    loader.access = 0
    loader.held = 0
    loader.accesses = _accesses(s, i)


@clocked
def clock_loader(s, i, memory):
    """Swap the shadow in when it is whole and the operands are free, then request an access."""
    loader = s.loader
    if loader.left == 0:
        return
    if loader.access == loader.accesses and not loader.held:
        _swap(s, i)
        if loader.left == 0:
            return
    if loader.access < loader.accesses and not _source_written(s, i):
        _request(s, i, memory)


@clocked
def _reach(s, i):
    """The positions after which words `step` apart come back to the first one's bank."""
    count = 1
    while count * i.step % s.chip.side:
        count += 1
    return count


@clocked
def _accesses(s, i):
    if i.moving == Moving.WINDOW:
        return s.chip.side if s.loader.move == Move.START else 1
    if i.traversal == Traversal.BLOCK or i.traversal == Traversal.PIXELS:
        return min(s.chip.taps, s.loader.words)
    return 1


@clocked
def _source_written(s, i):
    """Whether this cycle's write keeps the moving map, or a scatter's pixels, from being read."""
    word = s.ports.word[0]
    if word < 0:
        return False
    if i.moving == Moving.KERNEL:
        return (word >= s.chip.feature_words) == i.pixel_space
    moves = i.moving == Moving.WINDOW or i.moving == Moving.BLOCK
    return moves and (word >= s.chip.feature_words) == i.source_space


@clocked
def _request(s, i, memory):
    loader = s.loader
    if i.traversal == Traversal.PIXELS:
        request_piece(s, i, memory)
        return
    if loader.access == 0 and (i.stationary == Stationary.PIXEL or masks_by_pixels(i)):
        _read_pixel(s, i, memory)
    if i.moving == Moving.WINDOW:
        _request_line(s, i, memory)
    elif i.moving == Moving.BLOCK:
        _read_word(s, i, memory, loader.row, loader.column, loader.access)
        loader.column += 1
        if loader.column == i.width:
            loader.column = 0
            loader.row += 1
    loader.access += 1


@clocked
def _read_pixel(s, i, memory):
    """The position's pixel word; a scatter goes on beyond its map."""
    loader = s.loader
    lanes = s.chip.lanes
    if i.moving == Moving.KERNEL and (loader.row >= i.source_height or loader.column >= i.source_width):
        fill(loader.pixels, 0, lanes, 0)
        return
    place = i.pixel_space * s.chip.feature_words + i.pixel + loader.outer * i.pixel_plane
    place += loader.row * i.pixel_pitch + loader.column
    copy(memory.words, place * lanes, loader.pixels, 0, lanes)
    s.counters[0, Event.GRADIENT_READS if i.pixel_space else Event.FEATURE_READS] += 1


@clocked
def _request_line(s, i, memory):
    """A column of the window, or its lowest row, into the shadow's words from access * K on.

    With a line buffer it is always a column, whose upper words come from there in all rows but the first.
    """
    loader = s.loader
    side = s.chip.side
    lanes = s.chip.lanes
    top = loader.row - i.pad_top
    left = loader.column - i.pad_left
    down = loader.move == Move.DOWN
    if down:
        top += side - 1
    elif loader.move == Move.RIGHT:
        left += side - 1
    elif loader.move == Move.START:
        left += loader.access
    buffered = s.chip.line_words > 0 and 0 <= left < i.source_width
    for k in range(side):
        row = top if down else top + k
        column = left + k if down else left
        word = loader.access * side + k
        if buffered and loader.row > 0 and k < side - 1:
            copy(memory.lines, (k * s.chip.line_words + left) * lanes, loader.shadow, word * lanes, lanes)
        elif 0 <= row < i.source_height and 0 <= column < i.source_width:
            _read_word(s, i, memory, row, column, word)
        else:
            fill(loader.shadow, word * lanes, lanes, 0)
    if buffered:
        for k in range(1, side):  # a row higher, for the next row of positions
            line = (k - 1) * s.chip.line_words + left
            copy(loader.shadow, (loader.access * side + k) * lanes, memory.lines, line * lanes, lanes)
    s.counters[0, Event.WINDOW_WORDS] += side


@clocked
def _read_word(s, i, memory, row, column, word):
    lanes = s.chip.lanes
    group = s.loader.outer if i.by_lane else s.loader.inner
    place = i.source_space * s.chip.feature_words + i.source + group * i.source_group + row * i.source_pitch + column
    copy(memory.words, place * lanes, s.loader.shadow, word * lanes, lanes)
    s.counters[0, Event.GRADIENT_READS if i.source_space else Event.FEATURE_READS] += 1


@clocked
def _swap(s, i):
    loader = s.loader
    if i.traversal == Traversal.PIXELS:
        swap_block(s, i)
    else:
        if i.moving == Moving.WINDOW:
            _shift(s)
            _advance(s, i)
        elif i.moving == Moving.BLOCK:
            count = loader.accesses * s.chip.lanes
            copy(loader.shadow, 0, s.cells, Plane.WINDOW, count)
            fill(s.cells, Plane.WINDOW + count, s.chip.multipliers - count, 0)
            loader.words -= loader.accesses
        else:
            _advance(s, i)
        copy(loader.pixels, 0, s.cells, Plane.PIXEL, s.chip.lanes)
    loader.held = 1
    loader.left -= 1
    loader.access = 0
    loader.accesses = _accesses(s, i)


@clocked
def _shift(s):
    """Move the window as the walk moved, the shadow's words into what it gains."""
    loader = s.loader
    side = s.chip.side
    lanes = s.chip.lanes
    line = side * lanes
    window = s.cells[Plane.WINDOW : Plane.WINDOW + s.chip.multipliers]
    if loader.move == Move.DOWN:
        for cell in range((side - 1) * line):
            window[cell] = window[cell + line]
        copy(loader.shadow, 0, window, (side - 1) * line, line)
        return
    if loader.move == Move.START:
        for column in range(side):
            for row in range(side):
                _place(s, column * side + row, row * side + column)
        return
    for row in range(side):
        words = window[row * line : (row + 1) * line]
        if loader.move == Move.RIGHT:
            for cell in range(line - lanes):
                words[cell] = words[cell + lanes]
            _place(s, row, row * side + side - 1)
        else:
            for cell in range(line - 1, lanes - 1, -1):
                words[cell] = words[cell - lanes]
            _place(s, row, row * side)


@clocked
def _place(s, word, tap):
    lanes = s.chip.lanes
    copy(s.loader.shadow, word * lanes, s.cells, Plane.WINDOW + tap * lanes, lanes)


@clocked
def _advance(s, i):
    """Go to the next position of the walk, from a group's last one to the next group's first."""
    loader = s.loader
    leftward = i.traversal == Traversal.SNAKE and loader.row % 2 == 1
    if loader.column != (0 if leftward else i.width - 1):
        loader.column += -1 if leftward else 1
        loader.move = Move.LEFT if leftward else Move.RIGHT
        return
    loader.row += 1
    if loader.row == i.height:
        loader.row = 0
        loader.column = 0
        loader.move = Move.START
        next_group(loader, i)
    elif i.traversal == Traversal.SNAKE:
        loader.move = Move.DOWN
    else:
        loader.column = 0
        loader.move = Move.START
