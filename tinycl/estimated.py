"""Energy and area of a compiled or timed network, in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from arch.workload import Workload
from estimate.area import Area, area
from estimate.energy import Energy, energy
from estimate.technology import Technology
from explore.timing import Timing
from tinycl.compiled import Compiled, chosen

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Estimated:
    """Energy of one pass and the chip's area in a technology, each with its range.

    `energy.total` (J), `area.total` (mm2) and `power_w` are central values with `low` and `high`.

    >>> import tinycl
    >>> found = tinycl.estimate(tinycl.timing("digits"))
    >>> bool(abs(found.table()["central_J"].sum() / found.energy.total.central - 1) < 1e-9)
    True
    >>> 0.0 < found.power_w < 1.0
    True
    """

    energy: Energy
    area: Area

    @property
    def power_w(self) -> float:
        """W while the pass runs, the central value."""
        return self.energy.power.central

    def table(self) -> DataFrame:
        """A row for each layer, phase and component of the pass: `low_J`, `central_J` and `high_J`."""
        return self.energy.table()

    def _repr_html_(self) -> str:
        work = self.energy.workload
        title = f"{work.network} on chip {work.chip.name}: one {work.entry} pass in {self.energy.technology}"
        facts = f"{self.energy.total.described('J')}; {self.area.total.described('mm2')} without pads"
        return f"<p><b>{title}</b>: {facts}</p>{self.area.table().to_html(index=False)}"


def estimate(
    network: Compiled | Timing,
    technology: str | PathLike[str] = "65nm",
    entry: str = "",
    *,
    clock_ns: float | None = None,
    voltage: float | None = None,
    zero_share: float | None = None,
    clock_gating: bool = True,
) -> Estimated:
    """Energy of one pass of a compiled or timed `network`, and its chip's area.

    `entry` is by default a training step if there is one.

    `technology` is the name of one that comes with tinycl or a YAML file; `clock_ns` (ns) and `voltage` (V) replace
    the chip's clock period and the technology's supply. `zero_share`, 0 to 1, is the share of products taken to have
    an operand that is zero, which cost less; without it none are. With `clock_gating` registers that share an enable
    stand behind a clock gate, as tools for chips place them; without, all see every cycle, as on an FPGA. Sources stand
    in the technology's file. Raises `InputError` on a technology, entry or number that is not there or out of range.

    >>> import tinycl
    >>> found = tinycl.estimate(tinycl.timing("digits", train=True))
    >>> found.energy.total.low < found.energy.total.central < found.energy.total.high
    True
    >>> found.power_w > 0 and found.area.total.central > 0
    True
    """
    work = _workload(network, entry)
    if zero_share is not None:
        work = work.assuming(zero_share)
    known = Technology.load(str(technology))
    return Estimated(energy(work, known, clock_ns, voltage, clock_gating), area(work.chip, known))


def _workload(network: Compiled | Timing, entry: str) -> Workload:
    if isinstance(network, Timing):
        return chosen(network.workloads, entry or network.entry, "entry")
    chosen(network.reports, entry or network.entry, "entry")
    return Workload.of(network.program, entry or network.entry, network.report.network)
