"""What instructions move, by memory: words on the chip, beats outside."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from arch.chip import Chip
from arch.counts import total
from arch.events import Event
from arch.isa import Instruction

_TRAFFIC = {
    "feature": (Event.FEATURE_READS, Event.FEATURE_WRITES),
    "gradient": (Event.GRADIENT_READS, Event.GRADIENT_WRITES),
    "weight": (Event.WEIGHT_READS, Event.WEIGHT_WRITES),
    "external": (Event.EXTERNAL_READS, Event.EXTERNAL_WRITES),
}


def unit(memory: str) -> str:
    """What a memory's traffic is counted in."""
    return "beats" if memory == "external" else "words"


class Traffic(BaseModel):
    """Words read from and written to a memory, of the external one beats."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads: int
    writes: int


def traffic_of(instructions: Iterable[Instruction], chip: Chip) -> tuple[dict[str, Traffic], int]:
    """Traffic by memory, and words brought into windows."""
    events = total(instructions, chip)
    traffic = {name: Traffic(reads=events[r], writes=events[w]) for name, (r, w) in _TRAFFIC.items()}
    return traffic, events[Event.WINDOW_WORDS]
