"""The loader: walks over the positions ahead of the steps and fills a shadow of the window, an access a cycle."""

from __future__ import annotations

from arch.events import Event
from arch.isa import Moving, Stationary, Traversal
from arch.traversal import Move
from sim.stepping_cells import clocked, copy, fill
from sim.stepping_state import Plane


@clocked
def prepare_loader(s, i):
    """Stand before position 0; `s` are the machine's registers, `i` the instruction."""
    loader = s.loader
    loader.left = s.step.positions if s.step.loads else 0
    loader.row = 0
    loader.column = 0
    loader.move = Move.START
    loader.words = i.height * i.width
    loader.access = 0
    loader.held = 0
    loader.accesses = _accesses(s, i)


@clocked
def clock_loader(s, i, memory):
    """Swap the shadow in when it is whole and the window is free, then request an access."""
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
def _accesses(s, i):
    if i.moving == Moving.WINDOW:
        return s.chip.side if s.loader.move == Move.START else 1
    if i.moving == Moving.BLOCK:
        return min(s.chip.taps, s.loader.words)
    return 1


@clocked
def _source_written(s, i):
    word = s.ports.word[0]
    return word >= 0 and (word >= s.chip.feature_words) == i.source_space


@clocked
def _request(s, i, memory):
    loader = s.loader
    if i.stationary == Stationary.PIXEL and loader.access == 0:
        place = i.pixel_space * s.chip.feature_words + i.pixel + loader.row * i.pixel_pitch + loader.column
        copy(memory.words, place * s.chip.lanes, loader.pixel, 0, s.chip.lanes)
        s.counters[0, Event.GRADIENT_READS if i.pixel_space else Event.FEATURE_READS] += 1
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
def _request_line(s, i, memory):
    """A column of the window, or its lowest row, into the shadow's words from access * K on."""
    loader = s.loader
    side = s.chip.side
    top = loader.row - i.pad_top
    left = loader.column - i.pad_left
    down = loader.move == Move.DOWN
    if down:
        top += side - 1
    elif loader.move == Move.RIGHT:
        left += side - 1
    elif loader.move == Move.START:
        left += loader.access
    for k in range(side):
        row = top if down else top + k
        column = left + k if down else left
        word = loader.access * side + k
        if 0 <= row < i.source_height and 0 <= column < i.source_width:
            _read_word(s, i, memory, row, column, word)
        else:
            fill(loader.shadow, word * s.chip.lanes, s.chip.lanes, 0)
    s.counters[0, Event.WINDOW_WORDS] += side


@clocked
def _read_word(s, i, memory, row, column, word):
    lanes = s.chip.lanes
    place = i.source_space * s.chip.feature_words + i.source + row * i.source_pitch + column
    copy(memory.words, place * lanes, s.loader.shadow, word * lanes, lanes)
    s.counters[0, Event.GRADIENT_READS if i.source_space else Event.FEATURE_READS] += 1


@clocked
def _swap(s, i):
    loader = s.loader
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
    copy(loader.pixel, 0, s.cells, Plane.PIXEL, s.chip.lanes)
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
    """Go to the next position of the walk."""
    loader = s.loader
    leftward = i.traversal == Traversal.SNAKE and loader.row % 2 == 1
    if loader.column != (0 if leftward else i.width - 1):
        loader.column += -1 if leftward else 1
        loader.move = Move.LEFT if leftward else Move.RIGHT
        return
    loader.row += 1
    if i.traversal == Traversal.SNAKE:
        loader.move = Move.DOWN
    else:
        loader.column = 0
        loader.move = Move.START
