"""Sweeps from notebooks and the command line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table as RichTable

from arch.chip import Chip
from arch.errors import InputError
from compiler import Network
from explore.chips import varied
from explore.measure import timed
from explore.pareto import pareto
from explore.point import Point
from explore.runner import Crew, run
from explore.sweep import Exact, Sweep, points_of
from explore.timing import Timing, time_network
from tinycl.compiled import as_chip, options_of
from tinycl.exact import run_exactly
from tinycl.late_progress import late_progress
from tinycl.models import Model, add_loss, read_network
from tinycl.show import facts

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_SHOWN, MOST_COLUMNS, MOST_REASONS = 40, 9, 20
"""Of a table for people."""
_UNSHOWN = ("network", "fits", "reason", "entry", "macs", "estimated", "time_us", "window_words", "map_reads", "seeds")
_RANGES = ("energy_low", "energy_high", "area_low", "area_high")

Networks = Sequence[Network | Model | str | PathLike[str]]
Chips = Mapping[str, list[Any]] | Sequence[Chip | str | PathLike[str]]


def timing(
    network: Network | Model | str | PathLike[str],
    chip: Chip | str | PathLike[str] = "paper",
    train: bool = False,
    density: float | None = None,
    **options: Any,
) -> Timing:
    """What a network costs on a chip, in milliseconds and without values: cycles, traffic, every counted event.

    `network` and `chip` as `tinycl.compile` takes them; with `train` a training step too. `density`, 0 to 1, is the
    share of values that are not zero: with it work on zeros is left out, and the result is marked `estimated`.
    Other keywords are those of `compiler.Options`, such as `bits` and `mapping`. Raises `InputError` in one line if the
    chip cannot run the network.

    >>> import tinycl
    >>> tinycl.timing("reference", train=True).cycles == tinycl.compile("reference", train=True).report.cycles
    True
    >>> narrow = tinycl.timing("resnet8", bits=tinycl.Bits(weights=8, activations=8))
    >>> narrow.cycles < tinycl.timing("resnet8").cycles
    True
    """
    return time_network(_network(network, train), as_chip(chip), options_of(train, options), density)


def sweep(
    chips: Chips,
    networks: Networks,
    *,
    base: Chip | str | PathLike[str] = "paper",
    train: bool = True,
    density: float | None = None,
    technology: str = "",
    exact: bool | Mapping[str, int] = False,
    workers: int = 1,
    backend: Literal["joblib", "dask"] = "joblib",
    scheduler: str = "",
    store: str | PathLike[str] | None = None,
    **options: Any,
) -> DataFrame:
    """A table with a row for each chip and network.

    `chips` are chips, names or files; or the values that fields of `base` take, every combination, such as
    `{"lanes": [4, 8], "weight_memory.bytes": [65536]}`, which become columns. `networks` as `tinycl.compile` takes
    them. Without `exact` rows come from the timing mode (`density` as there); with it networks are trained on digits
    on the fast simulator: `accuracy` (0 to 1), after `{"epochs": 10, "seeds": 1}`. `technology`, such as "65nm", adds
    energy (uJ of a pass) and area (mm2), each with a low and a high column. A chip that cannot run a network is a row
    with `fits` False and a `reason`. `workers` are processes of this machine; with `backend` "dask" the `scheduler`
    ("HOST:PORT") has them. With `store`, a file, what was measured is kept, and not measured again. Other keywords are
    those of `compiler.Options`. Rows depend on none of this. Raises `InputError` on what is not there.

    >>> import tinycl
    >>> table = tinycl.sweep({"lanes": [4, 8]}, ["digits"])
    >>> table[["lanes", "fits", "cycles"]].values.tolist()
    [[4, True, 4409], [8, True, 2322]]
    """
    if isinstance(chips, Mapping):
        made = list(varied(as_chip(base), chips))
    else:
        made = [(chip.model_dump(), {}) for chip in map(as_chip, chips)]
    settings = None
    if exact:
        settings = Exact.model_validate({} if exact is True else dict(exact)).model_dump()
    known = [_network(item, train) for item in networks]
    points = points_of(known, made, options_of(train, options), density, technology, settings)
    return table_of(points, Crew(workers, backend, scheduler), Path(store) if store else None)


def swept(asked: Sweep, crew: Crew | None = None, store: Path | None = None) -> tuple[DataFrame, DataFrame]:
    """The table of a sweep file, and each network's best rows (none if it names no columns); with a progress bar.

    Raises `InputError` on a column that the table has not, before anything runs if no sweep has it.

    >>> table, best = swept(Sweep(networks=["digits"], chips=[{"vary": {"lanes": [8]}}]))
    >>> len(table), len(best)
    (1, 0)
    """
    points = asked.points(lambda name: _network(name, asked.train))
    with late_progress() as bar:
        task = bar.add_task("points", total=len(points))
        table = table_of(points, crew, store, lambda done: bar.update(task, completed=done))
    front = asked.pareto
    columns = [*front.minimise, *front.maximise]
    return table, pareto(table, front.minimise, front.maximise, within="network") if columns else table.iloc[:0]


def shown(table: DataFrame, front: DataFrame) -> list[RichTable]:
    """Tables for people: each network's best rows, or all if there are no best, and why points have no numbers."""
    rows = front if len(front) else table.query("fits")
    names, same = _telling(rows)
    caption = f"in all: {', '.join(f'{name} {_cell(value)}' for name, value in same.items())}" if same else None
    tables = []
    points = Counter(table["network"])
    for network, some in rows.groupby("network", sort=False):
        there = points[network]
        most = f", the first {MOST_SHOWN} of them here" if len(some) > MOST_SHOWN else ""
        what = "best" if len(front) else "that fit"
        title = f"{network}: {there:,} points, {len(some):,} of them {what}{most}"
        best = RichTable(title=title, caption=caption)
        for name in names:
            best.add_column(name, justify="left" if name == "chip" else "right")
        for row in some.head(MOST_SHOWN).to_dict("records"):
            best.add_row(*(_cell(row[name]) for name in names))
        tables.append(best)
    counts = _reasons(table)
    return [*tables, facts("points that do not fit, and why", counts)] if counts else tables


def _reasons(table: DataFrame) -> dict[str, str]:
    """How many points do not fit, by why; of reasons that differ in their numbers alone the first stands for all."""
    kinds: dict[str, list[str]] = {}
    for row in table.to_dict("records"):
        if not row["fits"]:
            kinds.setdefault(re.sub(r"\d+", "0", row["reason"]), []).append(row["reason"])
    most = sorted(kinds.values(), key=len, reverse=True)[:MOST_REASONS]
    return {f"{some[0]}{', or alike' if len(set(some)) > 1 else ''}": f"{len(some):,}" for some in most}


def _telling(rows: DataFrame) -> tuple[list[str], dict[str, Any]]:
    """The columns that a table for people shows, and what is the same in all rows; what another column says is left
    out where there are many.
    """
    names = [name for name in rows.columns if name not in _UNSHOWN and not name.startswith(_RANGES)]
    if len(names) <= MOST_COLUMNS or rows.empty:
        return names, {}
    names.remove("chip")  # its fields say it
    told: list[str] = []
    same: dict[str, Any] = {}
    for name in names:
        if len(rows[[name]].drop_duplicates()) == 1:
            same[name] = rows.to_dict("records")[0][name]
        elif not any(rows[name].equals(rows[other]) for other in told):
            told.append(name)
    return told, same


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table_of(
    points: Sequence[Point],
    crew: Crew | None = None,
    store: Path | None = None,
    watch: Callable[[int], None] = lambda _: None,
) -> DataFrame:
    """The rows of points, in their order, as a table; numbers that a row has not are missing."""
    from pandas import DataFrame

    if not points:
        raise InputError("a sweep must have a chip and a network")
    measure = run_exactly if points[0].exact else timed
    return DataFrame(run(points, measure, crew, store, watch)).convert_dtypes()


def _network(network: Network | Model | str | PathLike[str], train: bool) -> Network:
    """The network alone, with a loss to train."""
    if isinstance(network, Model):
        network = network.network
    found = network if isinstance(network, Network) else read_network(str(network))
    if train:
        found = deepcopy(found)
        add_loss(found, None)
    return found
