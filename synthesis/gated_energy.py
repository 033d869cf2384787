"""Energy of runs with the clock behind gates: switching of mapped netlists and gates of the RTL, beside the models.

A netlist's clock pins take what a run measured, without gates, times the share of a cycle that registers and gates see
behind them, a gate as one bit (`synthesis.gating_fit`); the rest is the switching of the same run.
"""

from __future__ import annotations

import pandas as pd

from estimate.clocking import Clocking
from synthesis import programs
from synthesis.energy_fit import ACTIVITY, LIMIT, RUNS
from synthesis.gating_fit import Measured
from synthesis.gating_fit import compared as gates_compared
from synthesis.validation import compared as switching_compared


def gated_energies(found: Clocking) -> pd.DataFrame:
    """A row a run that both were measured of: nJ of switching and of the clock, as measured and as modelled, and the
    relative `error` of their sum; `held_out` says why no fit saw the run, empty if one did."""
    switching = switching_compared(pd.read_csv(ACTIVITY), pd.read_csv(RUNS))
    gates = gates_compared(Measured.read(found.least), found)[["chip", "program", "measured", "predicted", "share"]]
    table = switching.merge(gates, on=["chip", "program"])
    clock = table["clock_nj"] * table["share"]
    modelled_clock = clock * table["predicted"] / table["measured"]
    return pd.DataFrame(
        {
            "chip": table["chip"],
            "program": table["program"],
            "held_out": table["held_out"],
            "switching_nj": table["switching_nj"],
            "clock_nj": clock,
            "modelled_nj": table["predicted_nj"] + modelled_clock,
            "error": (table["predicted_nj"] + modelled_clock) / (table["switching_nj"] + clock) - 1,
        }
    )


def show_energies(table: pd.DataFrame) -> None:
    """The errors in short: of runs that no fit saw, networks and random programs apart."""
    held = table["held_out"] != ""
    networks = table["program"].map(programs.is_network)
    for name, chosen in (("networks", held & networks), ("random programs", held & ~networks), ("fitted", ~held)):
        group = table.loc[chosen]
        sizes, whole = group["error"].abs(), group["switching_nj"] + group["clock_nj"]
        print(
            f"energy with gates, {name}: mean error {sizes.mean():.1%}, worst {sizes.max():.1%} of {len(group)} runs; "
            f"within {LIMIT:.0%}: {(sizes <= LIMIT).sum()}; the clock is {(group['clock_nj'] / whole).mean():.0%} of it"
        )
