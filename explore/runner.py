"""Points measured on one core, on several, or on a Dask cluster: the same rows in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from joblib import Parallel, delayed, parallel_config

from arch.errors import InputError
from explore.measure import Row
from explore.point import Point
from explore.store import Store


@dataclass(frozen=True)
class Crew:
    """Who measures: `workers` processes of this machine, or a Dask cluster's, whose `scheduler` is "HOST:PORT".

    >>> with Crew(workers=1).parallel() as parallel:
    ...     list(parallel([]))
    []
    """

    workers: int = 1
    backend: Literal["joblib", "dask"] = "joblib"
    scheduler: str = ""

    @contextmanager
    def parallel(self) -> Iterator[Parallel]:
        """What runs joblib's calls. Raises `InputError` if the cluster cannot be reached."""
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, not {self.workers}")
        if self.backend not in ("joblib", "dask"):
            raise InputError(f"backend must be joblib or dask, not {self.backend}")
        if self.scheduler and self.backend != "dask":
            raise InputError("scheduler must come with backend dask")
        with ExitStack() as stack:
            if self.backend == "dask":
                stack.enter_context(_client(self.scheduler))
                stack.enter_context(parallel_config(backend="dask"))
                yield Parallel(return_as="generator_unordered", n_jobs=-1)
            else:
                yield Parallel(return_as="generator_unordered", n_jobs=self.workers)


def _client(scheduler: str):
    try:
        from distributed import Client
    except ImportError:
        raise InputError("backend dask needs the package distributed: pip install 'tinycl[dask]'") from None
    if not scheduler:
        raise InputError("backend dask must have a scheduler, HOST:PORT (dask scheduler starts one)")
    try:
        return Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(f"scheduler {scheduler}: {' '.join(str(error).split()) or 'does not answer'}") from None


def run(
    points: Sequence[Point],
    measure: Callable[[Point], Row],
    crew: Crew | None = None,
    store: Path | None = None,
    watch: Callable[[int], None] = lambda _: None,
) -> list[Row]:
    """The rows of `points` in their order, those in `store` taken from there and others added to it as they come.

    `measure` is a function of a module, which workers import. `watch` is called with how many rows are there, whenever
    one comes. Rows do not depend on who made them. Raises `InputError` on a store or crew that cannot be used.

    >>> from explore.measure import timed
    >>> from explore.sweep import Sweep
    >>> from tinycl.networks import digits_network
    >>> asked = Sweep(networks=["digits"], chips=[{"vary": {"lanes": [4, 8]}}])
    >>> [row["cycles"] for row in run(asked.points(lambda name: digits_network()), timed)]
    [4409, 2322]
    """
    kept = Store(store)
    try:
        keys = [point.key for point in points]
        missing = {key: point for key, point in zip(keys, points, strict=True) if key not in kept.rows}
        done = len(keys) - len(missing)
        watch(done)
        if missing:
            with (crew or Crew()).parallel() as parallel:
                calls = (delayed(_measured)(key, point, measure) for key, point in missing.items())
                for key, row in cast(Iterator[tuple[str, Row]], parallel(calls)):
                    kept.add(key, row)
                    done += 1
                    watch(done)
        # the same chip may be called by other names
        return [kept.rows[key] | {"chip": point.fields["name"]} for key, point in zip(keys, points, strict=True)]
    finally:
        kept.close()


def _measured(key: str, point: Point, measure: Callable[[Point], Row]) -> tuple[str, Row]:
    return key, measure(point)
