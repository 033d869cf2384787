"""Reports and counters as pandas tables; columns name their unit where it is not a plain count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from arch.events import Event
from arch.isa import ENGINES
from arch.workload import Workload
from compiler.report import Report
from compiler.report_traffic import unit

if TYPE_CHECKING:
    from pandas import DataFrame

_COLUMNS = {
    "layer": "layer",
    "phase": "phase",
    "cycles": "cycles",
    "utilisation": "utilisation",
    "limited_by": "limited_by",
    "macs": "macs",
    "busy": "busy_cycles",
    "waits": "wait_cycles",
    "dma_busy": "dma_cycles",
    "window_words": "window_words",
    "weight_port_cycles": "weight_port_cycles",
    "external_cycles": "external_cycles",
    "instructions": "instructions",
}
"""Fields of a report's row, and what their columns are called."""


def report_frame(report: Report) -> DataFrame:
    """A row for each layer and phase of a report; `utilisation` is from 0 to 1, all others are counts.

    >>> import tinycl
    >>> report = tinycl.compile("digits").report
    >>> int(report_frame(report)["cycles"].sum()) == report.cycles
    True
    """
    from pandas import DataFrame

    rows = [{column: getattr(row, name) for name, column in _COLUMNS.items()} for row in report.rows]
    return DataFrame(rows, columns=list(_COLUMNS.values()))


def traffic_frame(report: Report) -> DataFrame:
    """Words moved by layer and phase: columns `MEMORY_read_words` and `MEMORY_written_words`, of external `_beats`.

    >>> import tinycl
    >>> report = tinycl.compile("digits").report
    >>> list(traffic_frame(report))[:4]
    ['layer', 'phase', 'feature_read_words', 'gradient_read_words']
    """
    from pandas import DataFrame

    return DataFrame(
        [
            {"layer": row.layer, "phase": row.phase}
            | {f"{name}_read_{unit(name)}": item.reads for name, item in row.traffic.items()}
            | {f"{name}_written_{unit(name)}": item.writes for name, item in row.traffic.items()}
            for row in report.rows
        ]
    )


def tensor_frame(report: Report) -> DataFrame:
    """A row for each tensor of a report, its `check` left out.

    >>> import tinycl
    >>> report = tinycl.compile("digits").report
    >>> tensor_frame(report)["name"].tolist()[:2]
    ['input', 'conv1.weight']
    """
    from pandas import DataFrame

    return DataFrame([row.model_dump(exclude={"check"}) for row in report.tensors])


def counter_frame(counters: np.ndarray) -> DataFrame:
    """Events counted, int64 [engines, events] in the order of `arch.isa.ENGINES` and `arch.events.Event`.

    A row for each event, in lower case, and a column for each engine.

    >>> import numpy as np
    >>> from arch.events import Event
    >>> counter_frame(np.arange(3 * len(Event)).reshape(3, -1)).loc["steps"].tolist()[0]
    2
    """
    from pandas import DataFrame, Index

    names = Index([event.name.lower() for event in Event], name="event")
    return DataFrame(counters.T, index=names, columns=[engine.name.lower() for engine in ENGINES])


def workload_frame(workload: Workload) -> DataFrame:
    """A row for each layer and phase of a workload: cycles, `macs`, `utilisation` (0 to 1), and every event's count.

    >>> import tinycl
    >>> work = tinycl.timing("digits").workload
    >>> int(workload_frame(work)["macs"].sum()) == sum(row.macs for row in work.rows)
    True
    """
    from pandas import DataFrame

    multipliers = workload.chip.multipliers
    return DataFrame(
        [
            {
                "layer": row.layer,
                "phase": row.phase,
                "cycles": row.cycles,
                "utilisation": row.macs / (multipliers * row.cycles) if row.cycles else 0.0,
                "macs": row.macs,
            }
            | {event.name.lower(): row.counts[event] for event in Event}
            for row in workload.rows
        ]
    )
