"""How much more energy a unit takes with the delays of its gates: `python -m synthesis.glitch_factor LIBERTY`.

A 16-bit multiplier and a 32-bit adder by themselves, on random operands that change at once. `synthesis.activity` with
`--delays` says it of the components of a chip in a recorded run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from arch.errors import InputError
from rtl.verilog import NetlistError
from synthesis.liberty import Library
from synthesis.mapping import Recipe
from synthesis.unit_costs import CYCLES, WIDTH, multiplier_driven, other_driven

BITS = 16
"""Of the multiplier."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 if something given is wrong."""
    parser = argparse.ArgumentParser(prog="python -m synthesis.glitch_factor", description="Glitches of single units.")
    parser.add_argument("liberty", type=Path, help="a liberty file, plain or gzip'ed")
    given = parser.parse_args(arguments)
    try:
        library = Library.load(given.liberty)
        units = {
            f"{BITS}-bit multiplier": multiplier_driven(BITS, library, Recipe()),
            f"{BITS}-bit multiplier without Booth's recoding": multiplier_driven(BITS, library, Recipe(booth=False)),
            f"{WIDTH}-bit adder": other_driven("adder", library, Recipe()),
        }
    except (InputError, NetlistError) as error:
        print(f"synthesis: {error}", file=sys.stderr)
        return 2
    print(f"{library.name}: energy with delays relative to that without, {CYCLES} random operands")
    for name, driven in units.items():
        print(f"{name}: {driven.glitch_factor():.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
