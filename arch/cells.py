"""Which accumulator cells a COMPUTE leaves sums in, for the next one to keep."""

from __future__ import annotations

import numpy as np

from arch.chip import Chip
from arch.isa import Compute, Emission, Reduction
from arch.timing import writes_rows


def summed_cells(compute: Compute, chip: Chip) -> np.ndarray:
    """The cells whose sums a nest that may `hold` or `keep` emits, bool[banks x taps, lanes]."""
    cells = np.zeros((chip.accumulator_banks * chip.taps, chip.lanes), bool)
    if compute.emission == Emission.POSITION:
        per_lane = compute.reduction in (Reduction.BOTH, Reduction.LANES)
        cells[: compute.height * compute.width, : compute.iterations if per_lane else chip.lanes] = True
    elif writes_rows(compute):
        cells[: compute.iterations * chip.taps] = True
    elif compute.reduction == Reduction.BOTH:
        cells.reshape(-1)[: compute.iterations] = True
    else:
        cells[0] = True
    return cells
