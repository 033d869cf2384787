"""The words (rows) of an on-chip memory: what stands where, and where there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from arch.layout import Store


class Room:
    """A memory of `size` words, or rows, in pages of `page`; `taken` has the words of everything in it.

    `used` remembers for words that were given up when they were last used: room that has been free for long can be
    filled ahead of time.
    """

    def __init__(self, store: Store, size: int, page: int):
        self.store = store
        self.size = size
        self.page = page
        self.taken: dict[str, range] = {}
        self.used: list[tuple[int, range]] = []

    def copy(self) -> Room:
        """A room that can be changed by itself."""
        other = Room(self.store, self.size, self.page)
        other.taken, other.used = dict(self.taken), list(self.used)
        return other

    def take(self, name: str, words: range) -> None:
        """Let `name` have these words."""
        self.taken[name] = words

    def give(self, name: str, now: int) -> None:
        """Give up what `name` has, last used at `now`."""
        words = self.taken.pop(name)
        self.used = [(when, some) for when, some in self.used if some.start < words.start or some.stop > words.stop]
        self.used.append((now, words))

    def fit(self, count: int) -> range | None:
        """Free words for `count`: those unused for longest, then on the fewest pages; None if there are none."""
        found = [words for gap in self._gaps() for words in self._within(gap, count)]
        return min(found, key=self._rank, default=None)

    def clearing(self, count: int, cost: Callable[[str], float | None]) -> list[str] | None:
        """What to give up, as cheaply as can be, so that `count` words are free; None if that cannot be.

        `cost` of what must stay is None.
        """
        costs = {name: cost(name) for name in self.taken}
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
