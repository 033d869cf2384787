"""A number with its error bar."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt


@dataclass(frozen=True)
class Range:
    """`low` <= `central` <= `high`, in one unit, none negative.

    The bar of a result holds what its sources differ by, combined as independent: it is no bound.
    """

    low: float
    central: float
    high: float

    def __mul__(self, factor: float) -> Range:
        return Range(self.low * factor, self.central * factor, self.high * factor)

    def widened(self, *others: float) -> Range:
        """With more doubts, independent of those in the bar: each of `others` is what one of them alone would give."""
        down = [log(self.central / self.low), *(max(0.0, log(self.central / other)) for other in others)]
        up = [log(self.high / self.central), *(max(0.0, log(other / self.central)) for other in others)]
        low, high = (exp(sqrt(sum(part**2 for part in side))) for side in (down, up))
        return Range(self.central / low, self.central, self.central * high)

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """How many times `low` `high` is; 1 if nothing is there."""
        return self.high / self.low if self.low > 0 else 1.0

    def described(self, unit: str) -> str:
        """For people: the number with a fitting prefix of `unit`, and its bar."""
        scale, prefix = next((item for item in _PREFIXES if self.central >= item[0]), _PREFIXES[-1])
        low, central, high = (_short(value / scale) for value in (self.low, self.central, self.high))
        return f"{central} {prefix}{unit} ({low} to {high})"

    def to_dict(self) -> dict[str, float]:
        """For JSON, four digits each."""
        return {name: float(f"{getattr(self, name):.4g}") for name in ("low", "central", "high")}


_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
