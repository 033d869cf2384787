"""The passes without values: what a network costs, for the cycles and events of a program need no weights."""

from __future__ import annotations

from math import prod

import numpy as np

from arch.chip import Chip
from compiler.calibration import Calibration
from compiler.network import Network
from compiler.pipeline import PASSES, Build, Options, assemble

_VALUELESS = ("lowering", "patches", "differentiation", "kernels")
