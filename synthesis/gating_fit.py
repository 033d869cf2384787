"""What estimates take of clock gates, fitted to measured runs: free bits, gates, and what opens them.

A component's cycles seen behind gates are a sum over its few drivers (`estimate.clocking`): their counts, times shares
>= 0, times the register bits that events reach. Least squares of errors relative to all such cycles of the whole run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from arch.chip import Chip
from estimate.clocking import OPENED_BY, TABLE, Clocking, Registers, free_bits, opened_bits
from estimate.clocking import gates as gates_of_chip
from estimate.switching import Errors
from estimate.usage import DRIVERS, moving
from synthesis import programs
from synthesis.energy_fit import RUNS, non_negative, short
from synthesis.gates import Structure
from synthesis.validation import CHIPS, FITTED, errors_of, why_held_out
from synthesis.validation import HELD_OUT as OTHERS

Run = tuple[str, str]
"""A chip's name and a program's."""

HELD_OUT = (*OTHERS, "paper")
"""Chips that the fit does not see; on the largest networks alone are run."""
BOUNDS = (4, 8, 16)
"""Least bits of an enable that has a gate."""
LEAST = 8
"""That of estimates."""
GATES = TABLE.with_name("bits.csv")
"""Register bits of each component, those of them behind gates, and gates."""
OPENED = TABLE.with_name("opened.csv")
"""Of each component in a run: cycles that bits behind gates see, summed over bits, and that gates are open."""


@dataclass(frozen=True)
class Measured:
    """What is kept, with gates for enables of at least so many bits.

    `opened`: cycles that bits behind gates see, by run (chip and program) and component; `held`: registers and gates by
    chip and component; `runs`: cycles and drivers by run.
    """

    opened: Mapping[Run, Mapping[str, float]]
    held: Mapping[str, Mapping[str, Structure]]
    runs: Mapping[Run, Mapping]

    @classmethod
    def read(cls, least: int) -> Measured:
        """From the committed tables."""
        opened: dict[Run, dict[str, float]] = defaultdict(dict)
        held: dict[str, dict[str, Structure]] = defaultdict(dict)
        for row in pd.read_csv(OPENED).to_dict("records"):
            if row["least"] == least:
                opened[row["chip"], row["program"]][row["component"]] = row["clocked"]
        for row in pd.read_csv(GATES).to_dict("records"):
            if row["least"] == least:
                held[row["chip"]][row["component"]] = Structure(row["bits"], row["gated"], row["gates"])
        runs = {(row["chip"], row["program"]): row for row in pd.read_csv(RUNS).to_dict("records")}
        return cls(opened, held, runs)

    def bits(self, run: Run) -> float:
        """Register bits that see the clock in the mean cycle of a run, a gate as one."""
        whole = sum(self.held[run[0]].values(), Structure())
        return whole.bits - whole.gated + whole.gates + sum(self.opened[run].values()) / self.runs[run]["cycles"]

    def share(self, run: Run) -> float:
        """The same of all register bits."""
        return self.bits(run) / sum(part.bits for part in self.held[run[0]].values())

    @property
    def mean_share(self) -> float:
        """The mean of all runs'."""
        return float(np.mean([self.share(run) for run in self.opened]))


def fitted(measured: Measured) -> dict[str, Registers]:
    """What estimates take of each component: from the runs that the fit is to see."""
    keys = [run for run in measured.opened if not why_held_out(*run)]
    whole = [sum(measured.opened[run].values()) for run in keys]
    found = {}
    for name, drivers in OPENED_BY.items():
        reached = [moving(CHIPS[run[0]])[name].register_bits / most for run, most in zip(keys, whole, strict=True)]
        inputs = [[measured.runs[run][driver] for driver in drivers] for run in keys]
        wanted = [measured.opened[run][name] / most for run, most in zip(keys, whole, strict=True)]
        shares = non_negative(np.array(inputs) * np.array(reached)[:, None], np.array(wanted))
        parts = sum((measured.held[chip][name] for chip in FITTED if chip in measured.held), Structure())
        free, gates = 1 - parts.gated / parts.bits, parts.gates / parts.gated if parts.gated else 0.0
        found[name] = Registers(free=short(free), gates=short(gates), opened=dict(zip(drivers, shares, strict=True)))
    return found


def compared(measured: Measured, found: Clocking) -> pd.DataFrame:
    """A row a run: what its registers and gates see of the clock, a gate as one bit, in bits of the mean cycle.

    `measured` and `predicted`, and `share` of all register bits; `held_out` says why the fit did not see it.
    """
    rows = []
    for run in measured.opened:
        bits, modelled = measured.bits(run), predicted(CHIPS[run[0]], measured.runs[run], found)
        numbers = {"measured": bits, "predicted": modelled, "share": measured.share(run), "error": modelled / bits - 1}
        rows.append({"chip": run[0], "program": run[1], "held_out": why_held_out(*run), **numbers})
    return pd.DataFrame(rows)


def predicted(chip: Chip, run: Mapping, found: Clocking) -> float:
    """Register bits and gates that see a cycle in the mean of a run, a row of `RUNS`."""
    counts = np.array([run[driver] for driver in DRIVERS])
    still = free_bits(chip, found) + gates_of_chip(chip, found)
    return still + float(opened_bits(chip, found) @ counts) / run["cycles"]


def make_table(least: int = LEAST) -> Clocking:
    """The table that estimates take, from the committed measurements with gates for at least so many bits."""
    measured = Measured.read(least)
    few, many = (Measured.read(bound).mean_share / measured.mean_share for bound in (min(BOUNDS), max(BOUNDS)))
    shares = [measured.share(run) for run in measured.opened]
    nothing = Errors(runs=1, mean=0, worst=0)
    trial = Clocking(
        least=least,
        chips=list(FITTED),
        programs=list(programs.FITTED),
        components=fitted(measured),
        fitted=nothing,
        held_out=nothing,
        bounds=(short(few), short(many)),
        seen=(short(min(shares)), short(measured.mean_share), short(max(shares))),
    )
    table = compared(measured, trial)
    seen = table["held_out"] == ""
    return trial.model_copy(update={"fitted": errors_of(table.loc[seen]), "held_out": errors_of(table.loc[~seen])})
