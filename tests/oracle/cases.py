"""What the oracle's tests share: chips, random numbers, and PyTorch's sums rounded by the rule of the chip."""

from __future__ import annotations

import apytypes
import numpy as np
import pytest
from hypothesis import strategies as st

from arch.chip import Chip
from arch.isa import Rounding, Space

torch = pytest.importorskip("torch", reason="PyTorch is the oracle; install the extra `torch`")
functional = torch.nn.functional
SMALL = Chip.load("tiny").replace(
    accumulator_banks=3,
    weight_memory={"bytes": 1 << 15, "banks": 1, "pages": 2},
    program_memory={"instructions": 1024},
)
CHIPS = [Chip.load("paper"), SMALL]
SHIFT = 3
WIDE_SHIFT = 14
"""For values that fill the word: most results then fit, some saturate."""
ROUNDINGS = {
    Rounding.RND: apytypes.QuantizationMode.RND,
    Rounding.RND_CONV: apytypes.QuantizationMode.RND_CONV,
    Rounding.TRN: apytypes.QuantizationMode.TRN,
}
F, G = Space.FEATURE, Space.GRADIENT


def rounded(
    values, chip: Chip, shift: int = SHIFT, rounding: Rounding = Rounding.RND, bits: int | None = None
) -> np.ndarray:
    """values / 2**shift as words, or as so many bits: apytypes' rounding and saturation."""
    bits = bits or chip.word_bits
    array = np.asarray(values, np.float64)
    exact = apytypes.APyFixedArray.from_float(np.ldexp(array.reshape(-1), -shift), int_bits=44, frac_bits=40)
    saturated = apytypes.OverflowMode.SAT
    cast = exact.cast(int_bits=bits, frac_bits=0, quantization=ROUNDINGS[rounding], overflow=saturated)
    unsigned = np.array(cast.to_bits(), dtype=np.int64)
    return np.where(unsigned >= 1 << (bits - 1), unsigned - (1 << bits), unsigned).reshape(array.shape)


def integers(rng: np.random.Generator, shape, low: int = -9, high: int = 10) -> np.ndarray:
    return rng.integers(low, high, shape)


def tensor(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values, np.float64))


SIDES = st.integers(1, 4)
STRIDES = SIDES.map(lambda side: (side, side)) | st.sampled_from([(2, 1), (1, 2)]) | st.tuples(*[st.integers(1, 9)] * 2)
GRIDS = st.none() | st.tuples(st.integers(1, 6), st.integers(3, 9))
"""Rows and columns of bands; scattering needs as many columns as a kernel has."""
