"""The RTL of lock-step: a shared library around the Verilated chip (`lockstep.cpp`), and its functions by ctypes."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from arch.chip import Chip
from arch.events import COUNTER_BITS, Event
from arch.fields import BANK_BITS
from arch.isa import ENGINES
from testbenches.bench import CHIP_TOP, MAPS
from testbenches.external import external_model
from testbenches.session import chip_verilog
from testbenches.verilator import SimulationError, build_library

_INT = np.int64
_ENGINES = len(ENGINES)
_LANES, _WORDS = 16, 64
TRACE = np.dtype(
    [
        ("running", _INT),
        ("cycle", _INT),
        ("interrupt", _INT),
        ("phase", _INT, (_ENGINES,)),
        ("index", _INT, (_ENGINES,)),
        ("retire", _INT, (_ENGINES,)),
        ("counters", _INT, (_ENGINES, len(Event))),
        ("write", _INT, (len(MAPS),)),
        ("address", _INT, (len(MAPS),)),  # linear; it and the value hold where there is a write
        ("value", _INT, (len(MAPS), _LANES)),
        ("row_write", _INT),  # a bit a bank
        ("row_place", _INT),
        ("row_value", _INT, (_WORDS, _LANES)),
        ("transfer_write", _INT),  # by the DMA, to a memory of `arch.isa.OnChip`
        ("transfer_memory", _INT),
        ("transfer_bank", _INT),
        ("transfer_place", _INT),
        ("transfer_value", _INT, (_LANES,)),
        ("external_write", _INT),  # beat that was written outside; -1: none
        ("external_value", _INT, (_LANES,)),  # its halves
        ("external_problem", _INT),  # the bus's rules were broken
        ("ack", _INT),
        ("reply", _INT),
        ("age", _INT),  # cycles of the bus transaction, this one included; 0: none
        ("reads", _INT),
        ("bus_address", _INT),
        ("bus_word", _INT),
        ("pending", _INT),  # transactions that have not ended
    ]
)
"""What the model shows in a cycle: `Trace` of lockstep.cpp."""
TRANSACTION = np.dtype([(name, np.uint32) for name in ("kind", "address", "word", "idle", "hold")])
"""A bus transaction, after `idle` cycles without a bus cycle and `hold` ones in which nothing is asked."""
_RESET_CYCLES = 2


def build_model(
    chip: Chip, verilog: str, *, coverage: bool = False, waveform: bool = False, quick: bool = False
) -> Path:
    """The library of `verilog`, a chip's, from the cache or built now; `quick` builds sooner what then runs slower."""
    constants = {
        "LANES": chip.lanes,
        "WORD_BITS": chip.word_bits,
        "WEIGHT_BANKS": chip.weight_memory.banks,
        "SIDE": chip.kernel,
        "BANK_BITS": BANK_BITS,
        "COUNTER_BITS": COUNTER_BITS,
        "EVENTS": len(Event),
    }
    text = "".join(f"constexpr int {name} = {value};\n" for name, value in constants.items())
    text += external_model(chip) + resources.files("testbenches").joinpath("lockstep.cpp").read_text()
    flags = ["--coverage-line", "--coverage-toggle"] if coverage else []
    flags += ["--trace"] if waveform else []
    return build_library(verilog, text, top=CHIP_TOP, flags=flags, quick=quick)


@cache
def _library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.model_create.restype = ctypes.c_void_p
    library.model_replied.restype = ctypes.c_int64
    library.model_trace_bytes.restype = ctypes.c_int64
    library.model_external_problem.restype = ctypes.c_char_p
    if library.model_trace_bytes() != TRACE.itemsize:
        raise SimulationError("lockstep.cpp's Trace must have the fields of TRACE")
    return library


class Model:
    """One Verilated chip, just reset. `step` and `handle` are addresses: compiled code calls step(handle, TRACE*)."""

    def __init__(
        self,
        chip: Chip,
        *,
        verilog: str | None = None,
        coverage: bool = False,
        waveform: Path | None = None,
        quick: bool = False,
    ):
        text = verilog or chip_verilog(chip)
        path = build_model(chip, text, coverage=coverage, waveform=waveform is not None, quick=quick)
        self._library = _library(path)
        self.handle = int(self._library.model_create())
        self.step = ctypes.cast(self._library.model_step, ctypes.c_void_p).value or 0
        self._pointer = ctypes.c_void_p(self.handle)
        self._external = np.zeros(0, np.uint8)
        if waveform is not None:
            waveform.parent.mkdir(parents=True, exist_ok=True)
            self._library.model_waveform(self._pointer, str(waveform).encode())
        self.reset()

    def close(self) -> None:
        """Let go of the model; a waveform's file is whole then."""
        if self.handle:
            self._library.model_destroy(self._pointer)
            self.handle = 0

    def hold_reset(self) -> None:
        """Ask for a reset, which the next clock edges take until `reset` ends it."""
        self._library.model_hold_reset(self._pointer)

    def reset(self) -> None:
        """Hold the reset for some cycles; transactions that wait are dropped."""
        self._library.model_reset(self._pointer, _RESET_CYCLES)

    def queue(self, transactions: np.ndarray) -> None:
        """Add to the bus's transactions, `TRANSACTION`[n]; they go on as `step` is called."""
        items = np.ascontiguousarray(transactions)
        self._library.model_queue(self._pointer, items.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(len(items)))

    def write_external(self, contents: np.ndarray) -> None:
        """Make the memory outside these bytes, uint8[n]."""
        self._external = np.ascontiguousarray(contents)
        pointer = self._external.ctypes.data_as(ctypes.c_void_p)
        self._library.model_set_external(self._pointer, pointer, ctypes.c_int64(len(self._external)))

    def read_external(self) -> np.ndarray:
        """The memory outside, as many bytes as were written last."""
        contents = np.empty_like(self._external)
        self._library.model_get_external(self._pointer, contents.ctypes.data_as(ctypes.c_void_p))
        return contents

    @property
    def external_problem(self) -> str:
        """The first breach of the external bus's rules since the last reset, or nothing."""
        return self._library.model_external_problem(self._pointer).decode()

    def replies(self) -> np.ndarray:
        """The words read since the last call."""
        words = np.empty(self._library.model_replied(self._pointer), np.uint32)
        self._library.model_take(self._pointer, words.ctypes.data_as(ctypes.c_void_p))
        return words

    def write_coverage(self, path: Path) -> None:
        """Write Verilator's counts of all that ran so far."""
        self._library.model_coverage(self._pointer, str(path).encode())
