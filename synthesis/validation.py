"""The event model of energy beside what mapped netlists do: `python -m synthesis.validation [LIBERTY [CHIP ...]]`.

With a library it runs the programs of `synthesis.programs` on the RTL of small chips, prices what the mapped netlist
does in each cycle, and puts the energies and the runs' events into `estimate/data/synthesis`. Without one, and at the
end, it fits energies of events to some runs and prints the errors of the others, of other programs and other chips.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from arch.chip import Chip
from arch.errors import InputError
from arch.events import DATA_DEPENDENT, Event
from arch.files import write_whole
from arch.program import ProgramError
from arch.workload import Workload
from compiler.nodes import NetworkError
from estimate.logic_table import LogicTable, logic_file
from estimate.usage import features
from rtl.verilog import NetlistError
from synthesis import chips, programs
from synthesis.activity import RUNNING, Active, ActivityError, Part, activity, parts_of
from synthesis.blocks import TOP
from synthesis.energy_fit import ACTIVITY, LIMIT, RUNS, by_unit_costs, columns, errors, fit
from synthesis.liberty import Library
from synthesis.mapping import Recipe
from synthesis.measure import say
from synthesis.programs import Case, case
from synthesis.recording import Recording
from testbenches.native import run_native

LIBRARY = "sg13g2_stdcell"
"""The library of the committed measurements, whose costs of single units are put beside them."""
FITTED = ("t4l2",)
"""Chips whose runs of `programs.FITTED` the fit is of."""
HELD_OUT = ("t4l4",)
"""Chips that the fit does not see."""
CHIPS = {chip.name: chip for chip in (*chips.FITTED, *chips.HELD_OUT)}


def measured(chip: Chip, parts: Sequence[Part], name: str, delays: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `ACTIVITY` and the row of `RUNS` of one program on `chip`; with glitches if `delays`."""
    item = case(name, chip)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "run.vcd")
        run = run_native(item.program, item.entry, [item.inputs], trace=trace)
        found, _ = activity(parts, Recording(trace, TOP, RUNNING), delays)
    return _energies(chip, item, found, delays), _events(chip, item, run.counters.sum(axis=0))


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


def _events(chip: Chip, item: Case, counted: np.ndarray) -> pd.DataFrame:
    """Events of the run, as the program says; products with a zero as the RTL has `counted` them, int64[events].

    Raises `ActivityError` where the two differ in another.
    """
    work = Workload.of(item.program, item.entry)
    known = features(work).sum(axis=0).round().astype(int)
    for event in (event for event in Event if event not in DATA_DEPENDENT and known[event] != counted[event]):
        raise ActivityError(
            f"{item.name}: {known[event]} {event.name} are expected, and the RTL counts {counted[event]}"
        )
    known[Event.ZERO_PRODUCTS] = counted[Event.ZERO_PRODUCTS]
    counts = {name: int(known[place]) for name, place in columns().items()}
    return pd.DataFrame([{"chip": chip.name, "program": item.name, "cycles": work.cycles, **counts}])


def put(rows: pd.DataFrame, path: Path) -> None:
    """Write `rows` into a table, in place of those of the same chip and program."""
    if path.exists():
        old = pd.read_csv(path)
        same = old["chip"].isin(rows["chip"]) & old["program"].isin(rows["program"])
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


def compared(energies: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every run's error; `held_out` says why the fit did not see it, empty if it did."""
    fitted = energies["chip"].isin(FITTED) & energies["program"].isin(programs.FITTED)
    table = errors(fit(energies.loc[fitted], runs, CHIPS), energies, runs, CHIPS)
    chip, program = ~table["chip"].isin(FITTED), ~table["program"].isin(programs.FITTED)
    return table.assign(
        held_out=[" ".join(("chip",) * a + ("program",) * b) for a, b in zip(chip, program, strict=True)]
    )


def show(table: pd.DataFrame) -> None:
    """The errors, run by run and in short."""
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    for name, group in table.groupby("held_out"):
        for column in ("error", "error_with_clock"):
            sizes = group[column].abs()
            print(
                f"{f'held-out {name}' if name else 'fitted'}, {column.replace('_', ' ')}: mean {sizes.mean():.1%}, "
                f"worst {sizes.max():.1%} of {len(group)} runs; within {LIMIT:.0%}: {(sizes <= LIMIT).sum()}"
            )
    factors = (table["delayed_nj"] / table["switching_nj"]).dropna()
    print(
        f"switching with glitches: {factors.min():.2f} to {factors.max():.2f} times, {factors.mean():.2f} in the mean"
    )


def unit_costs(energies: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """By component, over all runs: nJ measured, nJ by what single units take on random operands, and their ratio."""
    table = LogicTable.load(logic_file(LIBRARY, Path()))
    modelled: Counter[str] = Counter()
    for run in runs.to_dict("records"):
        modelled.update(by_unit_costs(CHIPS[run["chip"]], run, table))
    measured = energies.groupby("component")["switching_nj"].sum()
    found = pd.DataFrame({"measured_nj": measured, "unit_costs_nj": pd.Series(modelled)}).drop(index="host")
    found.loc["all"] = found.sum()
    return found.assign(ratio=found["unit_costs_nj"] / found["measured_nj"])


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
        print(unit_costs(energies, runs).to_string(float_format=lambda value: f"{value:.3f}"))
    except (InputError, NetlistError, ActivityError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
