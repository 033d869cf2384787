"""From a node that was measured to one that was not: energy, area and delay of logic, with their spread.

Two ways are put side by side. Geometry (constant-field scaling, Dennard et al. 1974): area by the square of the node's
length, energy by the length (capacitance) and the square of the supply, delay by the length. And A. Stillmaker and
B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to 7 nm", Integration 58
(2017): fits to SPICE simulations in predictive technology models, with a high-performance and a low-power one at
45 nm. Their coefficients were read where others use them (the NanoCAD Laboratory's nodeScale; 65 nm's energy agrees
with the authors' corrigendum), not in the paper itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from arch.errors import InputError


@dataclass(frozen=True)
class _Model:
    """Polynomials in the supply (V), highest power first, of energy and delay; relative to the same unit everywhere."""

    energy: tuple[float, float, float]
    delay: tuple[float, float, float, float]

    def factors(self, voltage: float) -> dict[str, float]:
        return {"energy": _value(self.energy, voltage), "delay": _value(self.delay, voltage)}


_MODELS: dict[int, tuple[_Model, ...]] = {
    180: (_Model((0.0, 24.64, -17.98), (0.0, 97.09, -356.7, 406.5)),),
    130: (_Model((7.171, -6.709, 2.904), (-76.65, 334.9, -493.4, 275.8)),),
    90: (_Model((4.762, -4.781, 2.092), (-60.34, 262.5, -384.2, 210.9)),),
    65: (_Model((3.755, -4.398, 1.975), (-53.3, 230.4, -333.9, 178.6)),),
    45: (
        _Model((1.018, -0.3107, 0.1539), (-501.6, 1567.0, -1619.0, 566.1)),
        _Model((1.103, -0.362, 0.2767), (-285.7, 1239.0, -1795.0, 898.8)),
    ),
}
NODES = tuple(sorted(_MODELS))
"""nm."""
_AREA = {180: 19.0, 130: 6.4, 90: 2.8, 65: 1.5, 45: 1.0}
"""Area relative to 45 nm, as published."""


@dataclass(frozen=True)
class Scale:
    """A factor: the lowest and the highest of all ways, and their geometric mean."""

    low: float
    central: float
    high: float

    @classmethod
    def of(cls, ways: list[float]) -> Scale:
        """The range of some ways."""
        return cls(min(ways), prod(ways) ** (1 / len(ways)), max(ways))


def scaling(source_nm: int, target_nm: int, source_voltage: float, target_voltage: float) -> dict[str, Scale]:
    """Factors of `energy`, `area` and `delay` from `source_nm` to `target_nm` at these supplies (V).

    Raises `InputError` for a node that was not published, or a supply at which its polynomials mean nothing.
    """
    for node in (source_nm, target_nm):
        if node not in _MODELS:
            raise InputError(f"no scaling is known for {node} nm; nodes are {', '.join(map(str, sorted(_MODELS)))}")
    length, supply = target_nm / source_nm, target_voltage / source_voltage
    published = list(_published(source_nm, target_nm, source_voltage, target_voltage))
    return {
        "energy": Scale.of([length * supply**2, *(way["energy"] for way in published)]),
        "area": Scale.of([length**2, _AREA[target_nm] / _AREA[source_nm]]),
        "delay": Scale.of([length, *(way["delay"] for way in published)]),
    }


def _published(source: int, target: int, source_voltage: float, target_voltage: float) -> Iterator[dict[str, float]]:
    for before, after in product(_MODELS[source], _MODELS[target]):
        old, new = before.factors(source_voltage), after.factors(target_voltage)
        if min(*old.values(), *new.values()) <= 0:
            raise InputError(
                f"no scaling is known from {source_voltage:g} V at {source} nm to {target_voltage:g} V at {target} nm; "
                "take supplies near the nodes' own"
            )
        yield {name: new[name] / old[name] for name in old}


def _value(coefficients: tuple[float, ...], at: float) -> float:
    total = 0.0
    for coefficient in coefficients:
        total = total * at + coefficient
    return total
