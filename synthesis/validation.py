"""The event model of energy beside what mapped netlists do: `python -m synthesis.validation [LIBERTY [CHIP ...]]`.

With a library it runs the programs of `synthesis.programs` on the RTL of small chips, prices what the mapped netlist
does in each cycle, and puts the energies and the runs' drivers into `estimate/data/synthesis`. Without one, and at the
end, it fits shares to some runs, writes them to `estimate/data/switching`, which every estimate takes them from, and
prints the errors of the other runs, of other programs and other chips.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from arch.chip import Chip
from arch.errors import InputError
from arch.events import Event
from arch.files import write_whole
from arch.program import ProgramError
from arch.workload import Workload
from compiler.nodes import NetworkError
from estimate.switching import TABLES, Errors, Switching
from estimate.usage import DRIVERS, drives
from rtl.verilog import NetlistError
from sim.fast import FastMachine
from synthesis import chips, programs
from synthesis.activity import RUNNING, Active, ActivityError, Part, activity, parts_of
from synthesis.blocks import TOP
from synthesis.energy_fit import ACTIVITY, LIBRARY, LIMIT, RUNS, EnergyFit, errors, fit
from synthesis.liberty import Library
from synthesis.mapping import Recipe
from synthesis.measure import say
from synthesis.programs import Case, case
from synthesis.recording import Recording
from testbenches.native import run_native

FITTED = ("t4l2", "t9l1w14")
"""Chips whose runs of `programs.FITTED` the fit is of."""
HELD_OUT = ("t4l4", "t4l3")
"""Chips that the fit does not see."""
CHIPS = {chip.name: chip for chip in (*chips.FITTED, *chips.HELD_OUT)}


def measured(chip: Chip, parts: Sequence[Part], name: str, delays: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `ACTIVITY` and the row of `RUNS` of one program on `chip`; with glitches if `delays`."""
    item = case(name, chip)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "run.vcd")
        run = run_native(item.program, item.entry, [item.inputs], trace=trace)
        found, _ = activity(parts, Recording(trace, TOP, RUNNING), delays)
    return _energies(chip, item, found, delays), driven(chip, item, run.counters)


def _energies(chip: Chip, item: Case, found: dict[str, Active], delays: bool) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "chip": chip.name,
            "program": item.name,
            "component": name,
            "switching_nj": round(part.switching * 1e9, 4),
            "delayed_nj": round(part.delayed * 1e9, 4) if delays else None,
            "clock_nj": round(part.clock * 1e9, 4),
        }
        for name, part in found.items()
    )


def driven(chip: Chip, item: Case, counted: np.ndarray) -> pd.DataFrame:
    """What drove the run, as the fast simulator has it: a row of `RUNS`.

    Raises `ActivityError` where the RTL has `counted` events otherwise, int64[engines, events].
    """
    inputs = {name: values[None] for name, values in item.inputs.items()}
    result = FastMachine(item.program).run(item.entry, inputs, count_zeros=True)
    if (result.counters != counted).any():
        names = [Event(column).name for column in np.flatnonzero((result.counters != counted).any(axis=0))]
        raise ActivityError(f"{item.name}: the RTL does not count what the simulator does of {', '.join(names)}")
    work = Workload.of(item.program, item.entry).measured(item.program, result.per_instruction, 1, result.turned)
    counts = drives(work, np.zeros(1))[0].sum(axis=0)
    named = {name: round(float(count), 4) for name, count in zip(DRIVERS, counts, strict=True)}
    return pd.DataFrame([{"chip": chip.name, "program": item.name, **named}])


def put(rows: pd.DataFrame, path: Path, *keys: str) -> None:
    """Write `rows` into a table, in place of those with the same `keys`; without, of the same chip and program."""
    if path.exists():
        old = pd.read_csv(path)
        same = np.logical_and.reduce([old[key].isin(rows[key]) for key in keys or ("chip", "program")])
        rows = pd.concat([old.loc[~same], rows], ignore_index=True)
    write_whole(path, rows.to_csv(index=False).encode())


def campaign(chip: Chip, library: Library, parts: Sequence[Part], delays: bool) -> None:
    """Measure every program that `chip` can hold."""
    for name in (*programs.FITTED, *programs.HELD_OUT):
        try:
            energies, events = measured(chip, parts, name, delays)
        except (NetworkError, ProgramError) as error:
            say(f"{chip.name}: {name} is left out: {error}")
            continue
        put(energies, ACTIVITY)
        put(events, RUNS)
        say(f"{library.name}: {chip.name}, {name}: {energies['switching_nj'].sum():.1f} nJ of switching")


def fitted(energies: pd.DataFrame, runs: pd.DataFrame) -> EnergyFit:
    """The fit to the runs that it is to see."""
    seen = energies["chip"].isin(FITTED) & energies["program"].isin(programs.FITTED)
    return fit(energies.loc[seen], runs, CHIPS)


def compared(energies: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every run's error; `held_out` says why the fit did not see it, empty if it did."""
    table = errors(fitted(energies, runs), energies, runs, CHIPS)
    return table.assign(held_out=list(map(why_held_out, table["chip"], table["program"])))


def why_held_out(chip: str, program: str) -> str:
    """What of a run the fits do not see: "chip", "program", both, or nothing."""
    return " ".join(("chip",) * (chip not in FITTED) + ("program",) * (program not in programs.FITTED))


def make_table(energies: pd.DataFrame, runs: pd.DataFrame) -> Switching:
    """The shares that estimates take, with their errors."""
    found, table = fitted(energies, runs), compared(energies, runs)
    seen = table["held_out"] == ""
    return Switching.model_validate(
        {
            "library": LIBRARY,
            "chips": list(FITTED),
            "programs": list(programs.FITTED),
            "shares": {name: dict(part) for name, part in found.shares.items()},
            "fitted": errors_of(table.loc[seen]),
            "held_out": errors_of(table.loc[~seen]),
        }
    )


def errors_of(table: pd.DataFrame) -> Errors:
    sizes = np.abs(table["error"].to_numpy(np.float64))
    return Errors(runs=len(sizes), mean=round(float(sizes.mean()), 4), worst=round(float(sizes.max()), 4))


def text_of(table: Switching) -> str:
    """The table's file."""
    return yaml.safe_dump(table.model_dump(), sort_keys=False, width=120)


def show(table: pd.DataFrame) -> None:
    """The errors, run by run and in short; of runs that the fit did not see, networks and random programs apart too."""
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    for name, group in table.groupby("held_out"):
        _show_errors(f"held-out {name}" if name else "fitted", group)
    held = table["held_out"] != ""
    networks = table["program"].map(programs.is_network)
    _show_errors("held-out, networks", table.loc[held & networks])
    _show_errors("held-out, random programs", table.loc[held & ~networks])
    factors = (table["delayed_nj"] / table["switching_nj"]).dropna()
    print(
        f"switching with glitches: {factors.min():.2f} to {factors.max():.2f} times, {factors.mean():.2f} in the mean"
    )


def _show_errors(name: str, group: pd.DataFrame) -> None:
    for column in ("error", "error_with_clock"):
        sizes = group[column].abs()
        print(
            f"{name}, {column.replace('_', ' ')}: mean {sizes.mean():.1%}, worst {sizes.max():.1%} of {len(group)} "
            f"runs; within {LIMIT:.0%}: {(sizes <= LIMIT).sum()}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.validation", description="The event model's errors.")
    parser.add_argument("liberty", type=Path, nargs="?", help="a liberty file to measure with, plain or gzip'ed")
    parser.add_argument("chips", nargs="*", metavar="CHIP", help=f"of {', '.join((*FITTED, *HELD_OUT))}; all without")
    parser.add_argument("--delays", action="store_true", help="with glitches too, which takes longer")
    given = parser.parse_args(arguments)
    try:
        if unknown := [name for name in given.chips if name not in CHIPS]:
            raise InputError(f"no chip {', '.join(unknown)}; name some of {', '.join(CHIPS)}")
        if given.liberty is not None:
            library = Library.load(given.liberty)
            if library.name != LIBRARY:
                raise InputError(f"{given.liberty}: the measured runs are of {LIBRARY}, and so must the library be")
            for name in given.chips or (*FITTED, *HELD_OUT):
                campaign(CHIPS[name], library, parts_of(CHIPS[name], library, Recipe()), given.delays)
        energies, runs = pd.read_csv(ACTIVITY), pd.read_csv(RUNS)
        show(compared(energies, runs))
        write_whole(TABLES / f"{LIBRARY}.yaml", text_of(make_table(energies, runs)).encode())
    except (InputError, NetlistError, ActivityError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
