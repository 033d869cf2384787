"""What a step of the nest takes with it through the pipeline."""

from __future__ import annotations

from amaranth.lib import data

from arch.chip import Chip
from arch.fields import ROW_BITS
from arch.modes import CELL_INDEX_BITS
from rtl.scatter import scatter_layout


def step_layout(chip: Chip) -> data.StructLayout:
    """What travels with a step.

    `add`: it accumulates in `bank` (a sum in `tap`, `lane`), `first`: old values are dropped; `index` numbers its inner
    step; `clear`: every cell of the bank becomes 0. `emit`: then a row, number `row`, or `words` words (1 to T) from
    tap `from_tap` on are emitted, of which lanes that are not `kept` are masked, for outer group `group`. `final`:
    nothing follows.
    """
    return data.StructLayout(
        {
            "add": 1,
            "first": 1,
            "clear": 1,
            "bank": range(max(2, chip.accumulator_banks)),
            "tap": range(chip.taps),
            "lane": range(max(2, chip.lanes)),
            "index": CELL_INDEX_BITS,
            "scatter": scatter_layout(chip),
            "emit": 1,
            "from_tap": range(chip.taps),
            "words": range(chip.taps + 1),
            "kept": chip.lanes,
            "row": ROW_BITS,
            "group": range(chip.taps),
            "final": 1,
        }
    )
