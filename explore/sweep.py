"""A sweep: which chips are tried on which networks, and how; as YAML or from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from arch.chip import Chip
from arch.errors import InputError, described
from arch.files import LARGEST_YAML, parse_yaml, read_text
from arch.frozen import Frozen
from compiler.network import Network
from compiler.octets import Bits
from compiler.pipeline import Options
from compiler.updates import rate_exponent
from estimate.technology import Technology
from explore.chips import MOST, varied
from explore.point import Point

SWEEPS = Path(__file__).parent / "sweeps"
"""The sweeps that come with tinycl."""

Value = int | float | str | bool | None


class Chips(Frozen):
    """A base chip (a shipped one's name or a file) and the values that its fields take, every combination.

    >>> Chips(vary={"lanes": [4, 8]}).base
    'paper'
    """

    base: str = "paper"
    vary: dict[str, Annotated[list[Value], Field(min_length=1)]] = {}


class Exact(Frozen):
    """An exact run: training on handwritten digits, scaled to the network's input, on the fast simulator.

    >>> Exact(epochs=2).seeds
    1
    """

    epochs: int = Field(default=10, ge=1, le=1000)
    seeds: int = Field(default=1, ge=1, le=100)


class Front(Frozen):
    """Columns by which the best points are shown.

    >>> Front(minimise=["cycles"]).maximise
    []
    """

    minimise: list[str] = []
    maximise: list[str] = []


class Sweep(Frozen):
    """What a sweep file says; `networks` are names or files as `tinycl compile` takes them.

    `train` measures a training step, else an inference. `density` leaves out work on zeros, as in `explore.timing`.
    `technology` adds energy and area. `exact` runs every point. `learning_rate`, `momentum` and `bits` are of
    `compiler.Options`.

    >>> Sweep(networks=["digits"], chips=[Chips(vary={"lanes": [4, 8]})]).train
    True
    """

    networks: Annotated[list[str], Field(min_length=1)]
    chips: Annotated[list[Chips], Field(min_length=1)]
    train: bool = True
    density: Annotated[float, Field(ge=0, le=1)] | None = None
    technology: str = ""
    exact: Exact | None = None
    learning_rate: float = 2.0**-6
    momentum: float = 0.0
    bits: dict[Literal["weights", "activations", "gradients"], Literal[8, 16]] = {}
    pareto: Front = Front()

    @classmethod
    def load(cls, path: str | Path) -> Sweep:
        """The sweep of a YAML file, or the shipped one of that name. Raises `InputError` naming every wrong field.

        >>> Sweep.load("better").networks
        ['reference']
        """
        there = SWEEPS / f"{path}.yaml"
        path = there if there.is_file() else Path(path)
        try:
            return cls.model_validate(parse_yaml(read_text(path, LARGEST_YAML), f"sweep {path}"))
        except ValidationError as error:
            raise InputError(f"sweep {path}: {described(error)}") from None

    @property
    def options(self) -> Options:
        """How networks are compiled."""
        bits = Bits(**self.bits)
        return Options(train=self.train, learning_rate=self.learning_rate, momentum=self.momentum, bits=bits)

    def points(self, network: Callable[[str], Network]) -> list[Point]:
        """Every chip with every network, which `network` makes of a name. Raises `InputError` on what there is not."""
        made = [network(name) for name in self.networks]
        return [
            point
            for item in self.chips
            for point in points_of(
                made,
                list(varied(Chip.load(item.base), item.vary)),
                self.options,
                self.density,
                self.technology,
                self.exact.model_dump() if self.exact else None,
            )
        ]


def points_of(
    networks: Sequence[Network],
    chips: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    options: Options,
    density: float | None = None,
    technology: str = "",
    exact: dict[str, Any] | None = None,
) -> list[Point]:
    """A point for each chip (its fields, and those that are columns) and network.

    Raises `InputError` on a learning rate that is no power of two, on an unknown technology, on `density` beside
    `exact`, and on more points than `MOST`.

    >>> from tinycl.networks import digits_network
    >>> made = list(varied(Chip.load("paper"), {"lanes": [4, 8]}))
    >>> [point.varied for point in points_of([digits_network()], made, Options())]
    [{'lanes': 4}, {'lanes': 8}]
    """
    if options.train:
        rate_exponent(options.learning_rate)
    if technology:
        Technology.load(technology)
    if exact and density is not None:
        raise InputError("density is assumed, and must not come with exact, which counts zeros")
    if len(networks) * len(chips) > MOST:
        raise InputError(f"a sweep must have at most {MOST} points, not {len(networks) * len(chips)}")
    return [
        Point(dict(fields), dict(changed), network, options, density, technology, exact)
        for fields, changed in chips
        for network in networks
    ]
