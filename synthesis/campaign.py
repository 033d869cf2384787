"""Measures the chips that the area model is fitted to and held against: `python -m synthesis.campaign LIBERTY`.

Blocks that are kept are not mapped again, so that it may be stopped and started; each chip's areas are put into
`estimate/data/synthesis/areas.csv` as soon as it is done, in place of what stood there for it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from arch.chip import Chip
from arch.errors import InputError
from arch.files import write_whole
from rtl.verilog import NetlistError
from synthesis.chips import FITTED, HELD_OUT
from synthesis.fit import AREAS
from synthesis.liberty import Library
from synthesis.mapping import Recipe
from synthesis.measure import measure, say
from synthesis.run import components

_CHIPS = {chip.name: chip for chip in (*FITTED, *HELD_OUT)}


def rows_of(chip: Chip, library: Library, recipe: Recipe) -> pd.DataFrame:
    """The areas of a chip's components: a row each of `areas.csv`."""
    parts = components(measure(chip, library, recipe, say))
    return pd.DataFrame(
        {
            "library": library.name,
            "chip": chip.name,
            "component": name,
            "area_um2": round(part.area_um2, 1),
            "sequential_um2": round(part.sequential_um2, 1),
            "cells": part.cells,
            "delay_ps": round(part.delay_ps),
        }
        for name, part in sorted(parts.items())
    )


def put(rows: pd.DataFrame, path: Path = AREAS) -> None:
    """Write `rows` into the table, in place of those of the same library and chip."""
    if path.exists():
        old = pd.read_csv(path)
        same = old["library"].isin(rows["library"]) & old["chip"].isin(rows["chip"])
        rows = pd.concat([old.loc[~same], rows], ignore_index=True)
    write_whole(path, rows.to_csv(index=False).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.campaign", description="Areas of the measured chips.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    parser.add_argument("chips", nargs="*", metavar="CHIP", help=f"of {', '.join(_CHIPS)}; all without")
    given = parser.parse_args(arguments)
    try:
        unknown = [name for name in given.chips if name not in _CHIPS]
        if unknown:
            raise InputError(f"no chip {', '.join(unknown)}; name some of {', '.join(_CHIPS)}")
        library = Library.load(given.liberty)
        for name in given.chips or _CHIPS:
            put(rows_of(_CHIPS[name], library, Recipe()))
            say(f"{library.name}: {name} is done")
    except (InputError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
