"""Rooms: what is free, what is given up, and that a room never changes."""

from __future__ import annotations

from arch.layout import Store
from compiler.room import Room

EMPTY = Room(Store.FEATURE, 100, 25)


def test_a_room_never_changes_and_the_same_change_is_the_same_room():
    held = EMPTY.take("a", range(10, 60))
    assert EMPTY.fit(100) == range(100) and not EMPTY.taken
    assert held.fit(41) is None and held.fit(40) == range(60, 100)
    assert EMPTY.take("a", range(10, 60)) is held
    assert EMPTY.take("a", range(10, 61)) is not held
    assert held.give("a", 3) is held.give("a", 3)
    assert held.give("a", 3).fit(100) == range(100) and held.fit(100) is None


def test_what_was_left_longest_is_filled_first():
    room = EMPTY.take("a", range(50)).take("b", range(50, 100)).give("b", 1).give("a", 2)
    assert room.fit(25) == range(50, 75)
    assert room.take("c", range(50, 100)).fit(25) == range(25)


def test_the_cheapest_are_cleared_and_nothing_that_must_stay():
    room = EMPTY.take("a", range(40)).take("b", range(40, 60)).take("c", range(60, 100))
    assert room.clearing(40, {"a": 2.0, "b": 5.0, "c": 1.0}) == ["c"]
    assert room.clearing(40, {"a": 2.0, "b": 5.0, "c": None}) == ["a"]
    assert room.clearing(50, {"a": None, "b": 5.0, "c": 1.0}) == ["b", "c"]
    assert room.clearing(70, {"a": 2.0, "b": None, "c": 1.0}) is None
