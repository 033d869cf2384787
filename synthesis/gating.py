"""What clock gates let through: `python -m synthesis.gating [CHIP ...]`.

With chips it runs the programs of `synthesis.programs` on their RTL, counts which register bits would see the clock
behind gates by enables (`synthesis.gates`), and puts that and the runs' drivers into `estimate/data`; no library is
needed. Without chips, and at the end, it fits the shares that estimates take (`estimate.clocking`) to some runs, writes
them, and prints the errors of the other runs, of other programs and other chips. `--liberty` says what a clock gate of
that library takes, and maps the chips with gates instead.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from arch.chip import Chip
from arch.errors import InputError
from arch.files import write_whole
from arch.program import ProgramError
from compiler.nodes import NetworkError
from estimate.clocking import TABLE, Clocking, clocking
from estimate.logic_table import LogicTable, logic_file
from rtl.verilog import NetlistError
from synthesis import programs
from synthesis.activity import RUNNING, ActivityError, activity, parts_of
from synthesis.blocks import TOP
from synthesis.energy_fit import RUNS
from synthesis.gated_energy import gated_energies, show_energies
from synthesis.gates import Gated, Opened, Structure, gated_blocks, opened
from synthesis.gating_fit import (
    BOUNDS,
    CHIPS,
    FITTED,
    GATES,
    HELD_OUT,
    LEAST,
    OPENED,
    Measured,
    compared,
    make_table,
    predicted,
)
from synthesis.liberty import Library
from synthesis.mapping import Recipe
from synthesis.measure import measure, say
from synthesis.power import gate_of, gate_price
from synthesis.programs import case
from synthesis.recording import Recording
from synthesis.run import components
from synthesis.validation import driven, errors_of, put
from testbenches.native import run_native


def structures(chip: Chip, blocks: Sequence[Gated]) -> pd.DataFrame:
    """The rows of `GATES` of a chip."""
    rows = []
    for least in BOUNDS:
        found: dict[str, Structure] = defaultdict(Structure)
        for item in blocks:
            found[item.block.component] += item.structure(least)
        rows += [{"chip": chip.name, "component": name, "least": least, **vars(part)} for name, part in found.items()]
    return pd.DataFrame(rows)


def measured(chip: Chip, blocks: Sequence[Gated], name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `OPENED` and the row of `RUNS` of one program on `chip`."""
    item = case(name, chip)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "run.vcd")
        run = run_native(item.program, item.entry, [item.inputs], trace=trace)
        recording = Recording(trace, TOP, RUNNING)
    sums: dict[tuple[str, int], Opened] = defaultdict(Opened)
    for block in blocks:
        for least, found in zip(BOUNDS, opened(block, recording, BOUNDS), strict=True):
            sums[block.block.component, least] += found
    rows = [
        {"chip": chip.name, "program": name, "component": component, "least": least, **vars(found)}
        for (component, least), found in sums.items()
    ]
    return pd.DataFrame(rows), driven(chip, item, run.counters)


def campaign(chip: Chip) -> None:
    """Measure every program that `chip` can hold; on the largest chip networks alone."""
    blocks = gated_blocks(chip)
    names = [
        name
        for name in (*programs.FITTED, *programs.HELD_OUT)
        if chip.name != HELD_OUT[-1] or programs.is_network(name)
    ]
    put(structures(chip, blocks), GATES, "chip")
    say(f"{chip.name}: gates are found")
    for name in names:
        try:
            rows, run = measured(chip, blocks, name)
        except (NetworkError, ProgramError) as error:
            say(f"{chip.name}: {name} is left out: {error}")
            continue
        put(rows, OPENED)
        put(run, RUNS)
        say(f"{chip.name}, {name}: {rows['clocked'].sum() / len(BOUNDS):,.0f} cycles of bits behind gates")


def text_of(table: Clocking) -> str:
    """The table's file."""
    return yaml.safe_dump(table.model_dump(mode="json"), sort_keys=False, width=120)


def show(found: Clocking) -> None:
    """Every run, the errors in short, and what other bounds of a gate's bits would make of it."""
    table = compared(Measured.read(found.least), found)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    for name, group in table.groupby("held_out"):
        errors = errors_of(group)
        print(
            f"{f'held-out {name}' if name else 'fitted'}: mean error {errors.mean:.1%}, worst {errors.worst:.1%} of "
            f"{errors.runs} runs"
        )
    entries = table["chip"] + ", " + table["program"].str.extract(r"(train|infer)$", expand=False).fillna("random")
    for name, group in [*table.groupby("chip"), *table.groupby(entries)]:
        errors = errors_of(group)
        print(
            f"{name}: {group['share'].mean():.3f} of a clock pin a register bit and cycle; mean error "
            f"{errors.mean:.1%}, worst {errors.worst:.1%} of {errors.runs} runs"
        )
    for least in BOUNDS:
        share = Measured.read(least).mean_share
        print(f"gates for at least {least} bits: {share:.4f} of a clock pin a register bit and cycle")
    show_energies(gated_energies(found))


def show_gate(library: Library) -> None:
    """What a clock gate of the library takes beside a register bit."""
    gate = gate_of(library)
    shut, opened = gate_price(library, gate)
    pin = LogicTable.load(logic_file(library.name, Path())).clock_pj * 1e-12
    print(
        f"{library.name}, {gate.kind}: {shut / pin:.2f} of a register bit's clock a cycle while shut, "
        f"{opened / pin:.2f} while open"
    )


def show_mapped(chip: Chip, library: Library, name: str) -> None:
    """Area and clock of `chip` mapped with gates and without, in a run of the program `name`; and the model's clock."""
    item = case(name, chip)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "run.vcd")
        run = run_native(item.program, item.entry, [item.inputs], trace=trace)
        recording = Recording(trace, TOP, RUNNING)
    areas, clocks = [], []
    for recipe in (Recipe(), Recipe(gates=LEAST)):
        areas.append({part: found.area_um2 for part, found in components(measure(chip, library, recipe, say)).items()})
        active, left_out = activity(parts_of(chip, library, recipe), recording)
        clocks.append({part: found.clock * 1e9 for part, found in active.items()})
        for part, reason in left_out.items():
            say(f"{part} is not followed: {reason}")
    for part, joules in clocks[0].items():
        print(
            f"{part:13} {areas[0][part]:10,.0f} um2, with gates {areas[1][part]:10,.0f}; clock {joules:8.2f} nJ, "
            f"with gates {clocks[1][part]:7.2f}"
        )
    bare, gated = (sum(part.values()) for part in clocks)
    cells, fewer = (sum(part.values()) for part in areas)
    events = driven(chip, item, run.counters).to_dict("records")[0]
    pin = LogicTable.load(logic_file(library.name, Path())).clock_pj * 1e-3
    modelled = predicted(chip, events, clocking()) * recording.cycles * pin
    print(
        f"{chip.name}, {name}: clock {bare:.1f} nJ, with gates {gated:.1f}, {gated / bare:.3f} of it; the model's, a "
        f"gate as a register bit, {modelled:.1f}; {cells:,.0f} um2, with gates {fewer:,.0f}, {fewer / cells - 1:+.1%}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.gating", description="What clock gates let through.")
    parser.add_argument("chips", nargs="*", metavar="CHIP", help=f"to measure, of {', '.join((*FITTED, *HELD_OUT))}")
    parser.add_argument(
        "--liberty", type=Path, help="instead say what a clock gate of this library takes, and map the chips with it"
    )
    parser.add_argument("--program", default=programs.FITTED[0], help="that the mapped chips run")
    given = parser.parse_args(arguments)
    try:
        if unknown := [name for name in given.chips if name not in (*FITTED, *HELD_OUT)]:
            raise InputError(f"no chip {', '.join(unknown)}; name some of {', '.join((*FITTED, *HELD_OUT))}")
        if given.program not in (*programs.FITTED, *programs.HELD_OUT):
            raise InputError(
                f"no program {given.program}; name one of {', '.join((*programs.FITTED, *programs.HELD_OUT))}"
            )
        if given.liberty is not None:
            library = Library.load(given.liberty)
            show_gate(library)
            for name in given.chips:
                show_mapped(CHIPS[name], library, given.program)
            return 0
        for name in given.chips:
            campaign(CHIPS[name])
        found = make_table()
        write_whole(TABLE, text_of(found).encode())
        show(found)
    except (InputError, NetlistError, ActivityError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
