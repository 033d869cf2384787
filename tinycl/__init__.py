"""tinycl: the names a notebook needs; each is imported when it is first used, so that `import tinycl` takes no time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arch import Chip, Program
    from compiler import Bits, Calibration, Network, Options, compile_network
    from explore.pareto import pareto
    from sim import FastMachine, SteppingMachine
    from tinycl.compiled import Compiled, compile
    from tinycl.device import Device
    from tinycl.estimated import Estimated, estimate
    from tinycl.exploration import sweep, timing
    from tinycl.models import Model, load_onnx
    from tinycl.simulated import Simulated, simulate
    from tinycl.torch_module import load_torch

__all__ = [
    "Bits",
    "Calibration",
    "Chip",
    "Compiled",
    "Device",
    "Estimated",
    "FastMachine",
    "Model",
    "Network",
    "Options",
    "Program",
    "Simulated",
    "SteppingMachine",
    "compile",
    "compile_network",
    "estimate",
    "load_onnx",
    "load_torch",
    "pareto",
    "simulate",
    "sweep",
    "timing",
]

_ROOMS = {
    "arch": ("Chip", "Program"),
    "compiler": ("Bits", "Calibration", "Network", "Options", "compile_network"),
    "explore.pareto": ("pareto",),
    "sim": ("FastMachine", "SteppingMachine"),
    "tinycl.compiled": ("Compiled", "compile"),
    "tinycl.device": ("Device",),
    "tinycl.estimated": ("Estimated", "estimate"),
    "tinycl.exploration": ("sweep", "timing"),
    "tinycl.models": ("Model", "load_onnx"),
    "tinycl.simulated": ("Simulated", "simulate"),
    "tinycl.torch_module": ("load_torch",),
}
_MODULES = {name: module for module, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'tinycl' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
