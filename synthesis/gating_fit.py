"""What estimates take of clock gates, fitted to measured runs: free bits, gates, and what opens them.

A component's cycles seen behind gates are a sum over its few drivers (`estimate.clocking`): their counts, times shares
>= 0, times the register bits that events reach. Least squares of errors relative to all such cycles of the whole run.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from arch.chip import Chip
from estimate.clocking import OPENED_BY, TABLE, Clocking, Registers, free_bits, opened_bits
from estimate.clocking import gates as gates_of_chip
from estimate.usage import DRIVERS, moving
from synthesis import chips, programs
from synthesis.energy_fit import RUNS, non_negative, short
from synthesis.validation import errors_of

FITTED = ("t4l2", "t9l1w14")
"""Chips whose runs of `programs.FITTED` the fit is of."""
HELD_OUT = ("t4l4", "t4l3", "paper")
"""Chips that the fit does not see; on the largest networks alone are run."""
BOUNDS = (4, 8, 16)
"""Least bits of an enable that has a gate."""
LEAST = 8
"""That of estimates."""
CHIPS = {chip.name: chip for chip in (*chips.FITTED, *chips.HELD_OUT)}
GATES = TABLE.with_name("bits.csv")
"""Register bits of each component, those of them behind gates, and gates."""
OPENED = TABLE.with_name("opened.csv")
"""Of each component in a run: cycles that bits behind gates see, summed over bits, and that gates are open."""


def fitted(rows: pd.DataFrame, gates: pd.DataFrame, runs: pd.DataFrame) -> dict[str, Registers]:
    """What estimates take of each component: from the runs that the fit is to see."""
    seen = rows[rows["chip"].isin(FITTED) & rows["program"].isin(programs.FITTED)]
    whole = seen.groupby(["chip", "program"])["clocked"].sum()
    events = runs.set_index(["chip", "program"])
    found = {}
    for name, drivers in OPENED_BY.items():
        part = seen[seen["component"] == name]
        keys = list(zip(part["chip"], part["program"], strict=True))
        weights = np.array([moving(CHIPS[chip])[name].register_bits / whole[chip, program] for chip, program in keys])
        inputs = events.loc[keys, list(drivers)].to_numpy() * weights[:, None]
        wanted = part["clocked"].to_numpy() / np.array([whole[key] for key in keys])
        opened = dict(zip(drivers, non_negative(inputs, wanted), strict=True))
        found[name] = _registers(gates[(gates["component"] == name) & gates["chip"].isin(FITTED)], opened)
    return found


def _registers(gates: pd.DataFrame, opened: dict[str, float]) -> Registers:
    bits, gated, count = (float(gates[column].sum()) for column in ("bits", "gated", "gates"))
    return Registers(free=short(1 - gated / bits), gates=short(count / gated if gated else 0.0), opened=opened)


def compared(rows: pd.DataFrame, gates: pd.DataFrame, runs: pd.DataFrame, found: Clocking) -> pd.DataFrame:
    """A row a run: what its registers and gates see of the clock, a gate as one bit, in bits of the mean cycle.

    `measured` and `predicted`, and `share` of all register bits; `held_out` says why the fit did not see it.
    """
    events = {(row["chip"], row["program"]): row for row in runs.to_dict("records")}
    bits = gates.groupby("chip")[["bits", "gated", "gates"]].sum()
    table = []
    for (chip, program), part in rows.groupby(["chip", "program"]):
        run, every = events[chip, program], bits.loc[chip]
        share = seen(every, part["clocked"].sum() / run["cycles"])
        table.append(
            {
                "chip": chip,
                "program": program,
                "measured": share * every["bits"],
                "predicted": predicted(CHIPS[chip], run, found),
                "share": share,
                "held_out": _held_out(chip, program),
            }
        )
    frame = pd.DataFrame(table)
    return frame.assign(error=frame["predicted"] / frame["measured"] - 1)


def _held_out(chip: str, program: str) -> str:
    return " ".join(("chip",) * (chip not in FITTED) + ("program",) * (program not in programs.FITTED))


def predicted(chip: Chip, run: Mapping, found: Clocking) -> float:
    """Register bits and gates that see a cycle in the mean of a run, a row of `RUNS`."""
    counts = np.array([run[driver] for driver in DRIVERS])
    return (
        free_bits(chip, found) + gates_of_chip(chip, found) + float(opened_bits(chip, found) @ counts) / run["cycles"]
    )


def make_table(least: int = LEAST) -> Clocking:
    """The table that estimates take, from the committed measurements with gates for at least so many bits."""
    rows, gates, runs = read(least)
    plain = {
        "least": least,
        "chips": list(FITTED),
        "programs": list(programs.FITTED),
        "components": {name: part.model_dump() for name, part in fitted(rows, gates, runs).items()},
    }
    nothing = {"runs": 1, "mean": 0, "worst": 0}
    trial = Clocking.model_validate(
        {**plain, "fitted": nothing, "held_out": nothing, "bounds": _bounds(least), "seen": (0, 0, 0)}
    )
    table = compared(rows, gates, runs, trial)
    seen, share = table["held_out"] == "", table["share"]
    spread = [round(float(value), 4) for value in (share.min(), share.mean(), share.max())]
    errors = {"fitted": errors_of(table.loc[seen]), "held_out": errors_of(table.loc[~seen])}
    return trial.model_copy(update={**errors, "seen": tuple(spread)})


def _bounds(least: int) -> tuple[float, float]:
    """What registers and gates see with the lowest and highest of `BOUNDS`, times what they do at `least`."""
    low, one, high = (share_of(bound) for bound in (min(BOUNDS), least, max(BOUNDS)))
    return short(low / one), short(high / one)


def share_of(least: int) -> float:
    """Of a clock pin a register bit and cycle, what registers and gates see in the mean of all runs."""
    rows, gates, runs = read(least)
    bits = gates.groupby("chip")[["bits", "gated", "gates"]].sum()
    cycles = runs.set_index(["chip", "program"])["cycles"]
    opened = rows.groupby(["chip", "program"])["clocked"].sum()
    return float(np.mean([seen(bits.loc[key[0]], count / cycles[key]) for key, count in opened.items()]))


def seen(bits: pd.Series, opened: float) -> float:
    """The same of one chip, whose gates let through so many bits in the mean cycle."""
    return float(bits["bits"] - bits["gated"] + bits["gates"] + opened) / float(bits["bits"])


def read(least: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The committed rows of `OPENED` and `GATES` with gates for at least so many bits, and those of `RUNS`."""
    rows, gates = pd.read_csv(OPENED), pd.read_csv(GATES)
    return rows[rows["least"] == least], gates[gates["least"] == least], pd.read_csv(RUNS)
