"""Synthesis of a chip's logic with the user's library: `make synth LIBERTY=FILE [CHIP=NAME]`.

Prints area, cells and longest path of each component beside the area model's, and the size of one multiplier in
NAND2 gates; `--json` writes it all. Nothing of the library is kept but numbers, in the cache.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from arch.chip import Chip
from arch.errors import InputError
from arch.files import write_whole
from estimate.logic import SynthesisTable, synthesis_tables
from rtl.verilog import NetlistError
from synthesis.blocks import MULTIPLIER, Block, multiplier
from synthesis.liberty import Library
from synthesis.mapping import PERIOD_PS, Mapped, Recipe, commands, least_of, map_block
from synthesis.measure import Measured, measure, say


@dataclass(frozen=True)
class Component:
    """A component as synthesised: µm², of which flip-flops; cells; the longest path of its blocks in ps."""

    area_um2: float
    sequential_um2: float
    cells: int
    delay_ps: float


def components(measured: Sequence[Measured]) -> dict[str, Component]:
    """The blocks put together by component."""
    found: dict[str, Component] = {}
    for item in measured:
        old = found.get(item.component, Component(0.0, 0.0, 0, 0.0))
        found[item.component] = Component(
            old.area_um2 + item.area,
            old.sequential_um2 + item.count * item.mapped.sequential,
            old.cells + item.count * item.mapped.count,
            max(old.delay_ps, item.mapped.delay_ps),
        )
    return found


def multiplier_row(word_bits: int, library: Library, recipe: Recipe) -> dict:
    """A multiplier in µm² and in NANDs of two inputs, and the recipe: without Booth's recoding, mapped as chips are and
    for area alone, and with it."""
    block = Block(MULTIPLIER, "multipliers", MULTIPLIER, multiplier(word_bits))
    row: dict = {"word_bits": word_bits, "nand2_um2": library.nand2}
    ways = {"plain": Recipe(False, recipe.period_ps), "small": Recipe(False, small=True)}
    for name, way in (ways | {"booth": Recipe(True, recipe.period_ps)}).items():
        mapped: Mapped = map_block(block, library, way)
        row[name] = {
            "area_um2": mapped.area,
            "nand2": mapped.area / library.nand2,
            "delay_ps": mapped.delay_ps,
            "recipe": "; ".join(commands(block, library, way)[1:4]),
        }
    return row


def report(chip: Chip, library: Library, recipe: Recipe, measured: Sequence[Measured]) -> dict:
    """All of it for machines."""
    table = _table_of(library)
    modelled = table.area(chip) if table else {}
    parts = components(measured)
    total = sum(part.area_um2 for part in parts.values())
    return {
        "chip": chip.name,
        "library": library.path.name,
        "voltage": library.voltage,
        "period_ps": recipe.period_ps,
        "booth": recipe.booth,
        "gates": recipe.gates,
        "components": {name: {**vars(part), "model_um2": modelled.get(name)} for name, part in parts.items()},
        "blocks": {item.name: {"count": item.count, **vars(item.mapped)} for item in measured},
        "area_um2": total,
        "nand2": total / library.nand2,
        "model_um2": sum(modelled.values()) if table else None,
        "multiplier": multiplier_row(chip.word_bits, library, recipe),
    }


def _table_of(library: Library) -> SynthesisTable | None:
    """The shipped coefficients of this library, known by the name that its file begins with."""
    return next((table for name, table in synthesis_tables().items() if library.path.name.startswith(name)), None)


def show(found: dict) -> None:
    """The report as tables."""
    table = Table(title=f"{found['chip']}, logic in {found['library']}, without memories and wires")
    for column in ("component", "area (µm²)", "flip-flops", "cells", "path (ps)", "model (µm²)", "model error"):
        table.add_column(column, justify="left" if column == "component" else "right")
    rows = sorted(found["components"].items(), key=lambda item: -item[1]["area_um2"])
    for name, part in rows:
        share = f"{part['sequential_um2'] / part['area_um2']:.0%}"
        table.add_row(
            name,
            f"{part['area_um2']:,.0f}",
            share,
            f"{part['cells']:,}",
            f"{part['delay_ps']:,.0f}",
            *_against(part["model_um2"], part["area_um2"]),
        )
    table.add_section()
    table.add_row("all", f"{found['area_um2']:,.0f}", "", "", "", *_against(found["model_um2"], found["area_um2"]))
    console = Console()
    console.print(table)
    row = found["multiplier"]
    for name in ("plain", "small", "booth"):
        way = row[name]
        console.print(
            f"{row['word_bits']}-bit multiplier, {name}: {way['area_um2']:,.0f} µm², {way['nand2']:,.0f} NAND2 of "
            f"{row['nand2_um2']:g} µm², {way['delay_ps']:,.0f} ps"
        )
        console.print(f"  {way['recipe']}", soft_wrap=True)


def _against(modelled: float | None, real: float) -> tuple[str, str]:
    return ("", "") if modelled is None else (f"{modelled:,.0f}", f"{modelled / real - 1:+.1%}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.run", description="Area and paths of a chip's logic.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    parser.add_argument("--chip", default="tiny", help="a shipped chip or a YAML file")
    parser.add_argument("--period", type=int, default=PERIOD_PS, help="clock period that cells are sized for, ps")
    parser.add_argument("--gates", type=int, help="clock gates for enables of at least so many register bits")
    parser.add_argument("--json", type=Path, help="write the report here")
    given = parser.parse_args(arguments)
    try:
        if given.period <= 0:
            raise InputError(f"--period must be above 0 ps, not {given.period}")
        chip, library = Chip.load(given.chip), Library.load(given.liberty)
        recipe = Recipe(period_ps=given.period, gates=least_of(given.gates))
        found = report(chip, library, recipe, measure(chip, library, recipe, say))
        if given.json:
            write_whole(given.json, (json.dumps(found, indent=1) + "\n").encode())
    except (InputError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    show(found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
