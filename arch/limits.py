"""Whether spans of words and rows lie within a chip's memories: phrases for what does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arch.chip import Chip
from arch.isa import Space


def memory_words(chip: Chip, space: Space) -> int:
    """Words of a memory."""
    return chip.feature_words if space == Space.FEATURE else chip.gradient_words


def span_problems(name: str, space: Space, spans: Iterable[range], chip: Chip) -> Iterator[str]:
    """A phrase if a span of words ends beyond its memory."""
    stop = max((span.stop for span in spans), default=0)
    if stop > memory_words(chip, space):
        yield (
            f"{name} must end within the {memory_words(chip, space)} words of the {space.name.lower()} memory, "
            f"not at {stop}"
        )


def row_problems(name: str, spans: Iterable[range], chip: Chip) -> Iterator[str]:
    """A phrase if a span of weight rows ends beyond the weight memory."""
    stop = max((span.stop for span in spans), default=0)
    if stop > chip.weight_rows:
        yield f"{name} must end within the {chip.weight_rows} rows of the weight memory, not at {stop}"


def overlap(some: Iterable[range], others: Iterable[range]) -> bool:
    """Whether any two spans share a word."""
    rest = list(others)
    return any(a.start < b.stop and b.start < a.stop for a in some for b in rest)
