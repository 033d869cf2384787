"""The words (rows) of an on-chip memory: what stands where, and where there is room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from arch.layout import Store

_Use = tuple[int, range]
"""When words were last used."""


class Room:
    """A memory of `size` words, or rows, in pages of `page`; `taken` has the words of everything in it.

    `used` remembers for words that were given up when they were last used: room that has been free for long can be
    filled ahead of time. A room never changes: what comes of it is another one, and of the same change the same one, so
    that ways that begin alike share what was found out about it.
    """

    def __init__(
        self, store: Store, size: int, page: int, taken: dict[str, range] | None = None, used: Sequence[_Use] = ()
    ):
        self.store = store
        self.size = size
        self.page = page
        self.taken = taken or {}
        self.used = used
        self._next: dict[tuple, Room] = {}
        self._fits: dict[int, range | None] = {}

    def take(self, name: str, words: range) -> Room:
        """The room in which `name` has these words."""
        change = name, words.start, words.stop
        if change not in self._next:
            self._next[change] = Room(self.store, self.size, self.page, self.taken | {name: words}, self.used)
        return self._next[change]

    def give(self, name: str, now: int) -> Room:
        """The room without `name`, whose words were last used at `now`."""
        change = name, now
        if change not in self._next:
            words = self.taken[name]
            taken = {other: some for other, some in self.taken.items() if other != name}
            used = [use for use in self.used if use[1].start < words.start or use[1].stop > words.stop]
            self._next[change] = Room(self.store, self.size, self.page, taken, [*used, (now, words)])
        return self._next[change]

    def fit(self, count: int) -> range | None:
        """Free words for `count`: those unused for longest, then on the fewest pages; None if there are none."""
        if count not in self._fits:
            found = [words for gap in self._gaps() for words in self._within(gap, count)]
            self._fits[count] = min(found, key=self._rank, default=None)
        return self._fits[count]

    def clearing(self, count: int, costs: Mapping[str, float | None]) -> list[str] | None:
        """What to give up, as cheaply as can be, so that `count` words are free; None if that cannot be.

        `costs` are of all that is in the room, None of what must stay.
        """
        edges = {0, self.size - count}
        for words in self.taken.values():
            edges |= {words.start, words.stop, words.start - count, words.stop - count}
        best: tuple[float, list[str]] | None = None
        for first in sorted(edges):
            if first < 0 or first + count > self.size:
                continue
            names = [name for name, words in self.taken.items() if words.start < first + count and first < words.stop]
            prices = [costs[name] for name in names]
            if None in prices:
                continue
            price = sum(price for price in prices if price is not None)
            if best is None or price < best[0]:
                best = price, names
        return best[1] if best else None

    def _gaps(self) -> Iterator[range]:
        first = 0
        for words in sorted(self.taken.values(), key=lambda item: item.start):
            if words.start > first:
                yield range(first, words.start)
            first = max(first, words.stop)
        if first < self.size:
            yield range(first, self.size)

    def _within(self, gap: range, count: int) -> Iterator[range]:
        pages = range(-(-gap.start // self.page) * self.page, gap.stop, self.page)
        seams = [some.start for _, some in self.used if gap.start < some.start < gap.stop]
        for first in {gap.start, gap.stop - count, *pages, *seams}:
            if gap.start <= first <= gap.stop - count:
                yield range(first, first + count)

    def _rank(self, words: range) -> tuple[int, int, int]:
        last = max(
            (when for when, some in self.used if some.start < words.stop and words.start < some.stop), default=-1
        )
        return last, (words.stop - 1) // self.page - words.start // self.page, words.start
